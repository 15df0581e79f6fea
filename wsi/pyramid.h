#pragma once
// What a dialect finds out about a file (Facts), and the reading of pixels from it (Pyramid).

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wsi/slide.h"
#include "wsi/tiff/directory.h"
#include "wsi/tile_cache.h"

namespace mt::wsi {

/// A level's visible size may be smaller than the directory's, which is padded to whole tiles in some
/// dialects.
struct LevelSource {
  Level level;
  const TiffDirectory* directory;
};

/// A picture beside the pyramid: an image of the TIFF, or a JPEG file that stood in the metadata.
using AssociatedSource = std::variant<const TiffDirectory*, std::vector<uint8_t>>;

/// What shows where a tile is missing.
enum class MissingTile {
  background,         // bare glass that the scanner left out
  neighbouring_level  // an encoder's fault: the next finer level, or the next coarser one for level 0
};

struct Facts {
  std::vector<LevelSource> levels;  // finest first; Pyramid fills in the downsamples that are 0
  std::optional<double> mpp_x, mpp_y, objective_power;
  Colour background = {255, 255, 255};
  MissingTile missing_tile = MissingTile::background;
  std::map<std::string, std::string> properties;
  std::map<std::string, AssociatedSource> associated;
};

/// A rectangle of a level, in its pixels.
struct LevelRect {
  int64_t x, y, width, height;
};

class Pyramid {
 public:
  /// `facts` points into `file`. Checks that every level can be decoded and lies inside the file.
  Pyramid(std::unique_ptr<TiffFile> file, std::string dialect, Facts facts, const OpenOptions& options);

  const std::string& dialect() const { return dialect_; }
  const Facts& facts() const { return facts_; }
  const std::vector<Level>& levels() const { return levels_; }
  int64_t max_image_pixels() const { return max_image_pixels_; }

  /// Fills `out`, (rect.height, rect.width, Channels) with 3 = RGB or 4 = RGBA channels.
  template <int Channels>
  void read(int level, const LevelRect& rect, uint8_t* out) const;
  RgbImage associated(const std::string& name) const;

 private:
  /// Null where the tile is missing and nothing takes its place.
  TilePixels tile(int level, int64_t column, int64_t row) const;
  TilePixels decode_tile(int level, int64_t index) const;
  TilePixels substitute_tile(int level, int64_t column, int64_t row) const;
  bool has_all_tiles(int level, const LevelRect& rect) const;
  RgbImage read_image(const TiffDirectory& directory) const;
  void check_level(int level) const;
  std::string path() const { return file_->path().string(); }

  std::unique_ptr<TiffFile> file_;
  std::string dialect_;
  Facts facts_;
  std::vector<Level> levels_;
  int64_t max_image_pixels_;
  std::shared_ptr<TileCache> cache_;
  uint64_t slide_id_;
};

}  // namespace mt::wsi
