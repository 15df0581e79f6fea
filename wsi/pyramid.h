#pragma once
// What a dialect finds out about a file (Facts), and the reading of pixels from it (Pyramid).

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wsi/image.h"
#include "wsi/level.h"
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
  std::string mpp_source;  // who says so: "its MPP", "its resolution tag"
  std::string mpp_text;    // what stands there where it is no number
  Colour background = {255, 255, 255};
  MissingTile missing_tile = MissingTile::background;
  std::map<std::string, std::string> properties;
  std::map<std::string, AssociatedSource> associated;
  std::vector<std::string> notes;  // see Slide::notes
};

/// A rectangle of a level, in its pixels.
struct LevelRect {
  int64_t x, y, width, height;
};

class Pyramid {
 public:
  /// `facts` points into `file`. Throws Error when level 0 cannot be decoded, or a level reaches behind the
  /// end of the file; a coarser level that cannot be decoded is left out with a note.
  Pyramid(std::unique_ptr<TiffFile> file, std::string dialect, Facts facts, const OpenOptions& options);

  const std::string& dialect() const { return dialect_; }
  const Facts& facts() const { return facts_; }
  const std::vector<Level>& levels() const { return levels_; }
  int64_t max_image_pixels() const { return max_image_pixels_; }

  /// Fills `out`, (rect.height, rect.width, Channels) with 3 = RGB or 4 = RGBA channels.
  template <int Channels>
  void read(int level, const LevelRect& rect, uint8_t* out) const;
  /// Whether any tile that the rectangle touches is stored; where none is, read() gives background alone
  /// unless another level takes its place.
  bool has_stored_tile(int level, const LevelRect& rect) const;
  bool shows_background_only(int level, const LevelRect& rect) const;
  int64_t missing_tiles(int level) const;
  int64_t tile_count(int level) const { return directory(level).chunks(); }
  RgbImage associated(const std::string& name) const;

 private:
  enum class Tiles { stored, stored_or_substitute };
  template <int Channels>
  void read_tiles(int level, const LevelRect& rect, Tiles tiles, uint8_t* out) const;
  /// Null where the tile is missing and nothing takes its place.
  TilePixels tile(int level, int64_t column, int64_t row, Tiles tiles) const;
  TilePixels decode_tile(int level, int64_t index) const;
  TilePixels substitute_tile(int level, int64_t column, int64_t row) const;
  /// The bytes of a chunk, of each plane.
  std::vector<std::vector<uint8_t>> chunk_bytes(const TiffDirectory& directory, int64_t index) const;
  RgbImage read_image(const TiffDirectory& directory) const;
  const TiffDirectory& directory(int level) const {
    return *facts_.levels[static_cast<std::size_t>(level)].directory;
  }
  /// Throws Error when the level can never be read.
  void check_supported(const LevelSource& source) const;
  /// Throws Error when one of its tiles lies behind the end of the file.
  void check_complete(const TiffDirectory& directory, std::size_t level) const;
  void leave_out_unsupported_levels();
  void note_missing_tiles();
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
