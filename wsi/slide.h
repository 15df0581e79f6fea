#pragma once
// What a whole-slide image is to everyone above: a pyramid of levels that can be read at any place, from any
// thread.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wsi/image.h"
#include "wsi/level.h"
#include "wsi/tile_error.h"

namespace mt::wsi {

class Pyramid;

/// An open slide. Everything is const after open() and may be called from any number of threads at once. An
/// Error of one read belongs to that read alone: the slide stays usable.
class Slide {
 public:
  /// Opens a slide of any dialect that dialects/ knows. Throws Error with one line that names the file and
  /// the fault; a file whose tiles lie behind its end (a broken download) is refused here, not hours later.
  static std::unique_ptr<Slide> open(const std::filesystem::path& path, const OpenOptions& options = {});
  ~Slide();
  Slide(const Slide&) = delete;
  Slide& operator=(const Slide&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// "philips", "aperio" or "generic".
  const std::string& dialect() const;
  /// Finest first; never empty.
  const std::vector<Level>& levels() const;
  int level_count() const { return static_cast<int>(levels().size()); }
  /// Micrometres per level-0 pixel; nothing when neither the file nor the options say it. mpp() is the mean
  /// of x and y.
  std::optional<double> mpp() const;
  std::optional<double> mpp_x() const;
  std::optional<double> mpp_y() const;
  /// mpp(), or an Error that says what is missing and how to give it.
  double required_mpp() const;
  /// 20 for a 20x objective; nothing when the file does not say.
  std::optional<double> objective_power() const;
  /// What shows where there is no slide.
  Colour background() const;
  /// Everything else that the file says, by dialect: "aperio.Date", "philips.DICOM_MANUFACTURER",
  /// "tiff.Software".
  const std::map<std::string, std::string>& properties() const;
  /// Tiles of a level that the file does not hold, and how many it has in all. A Philips scanner leaves out
  /// bare glass, which shows as background; where an encoder failed (Aperio), the next finer level takes the
  /// tile's place, or the next coarser one at level 0.
  int64_t missing_tiles(int level) const;
  int64_t tile_count(int level) const;
  /// What a user should know of the file beside that, one line each: levels that were left out and why, tiles
  /// that are missing, a physical size that cannot be. Empty for a slide in order.
  const std::vector<std::string>& notes() const;
  /// Names of the pictures beside the pyramid: of "label", "macro", "thumbnail" those that are there.
  std::vector<std::string> associated_names() const;
  RgbImage associated(const std::string& name) const;

  /// The coarsest level whose downsample is at most `downsample`; level 0 when there is none.
  int best_level(double downsample) const;

  /// width x height pixels of `level`. (x, y) is the upper left corner in level-0 pixels; at level > 0 the
  /// origin is floor(x / downsample) (OpenSlide interpolates fractions instead). Outside the slide and on
  /// missing tiles: the background, which also shines through where the slide has an alpha channel. This is
  /// what `--mpp native:LEVEL` reads.
  RgbImage read_region(int64_t x_level0, int64_t y_level0, int level, int64_t width, int64_t height) const;
  /// The same with the slide's alpha (255 where it has none), 0 where there is no slide.
  RgbaImage read_region_rgba(int64_t x_level0, int64_t y_level0, int level, int64_t width,
                             int64_t height) const;

  /// width x height pixels of `target_mpp` micrometres each, whose upper left corner is level-0 pixel (x, y):
  /// from the coarsest level that is still fine enough, by area averaging over the background-filled level. A
  /// level whose mpp equals the target within kSameMpp is copied as read_region gives it. A target finer than
  /// level 0 is magnified from level 0 by the same area rule. Throws when the slide has no mpp.
  RgbImage read_at_mpp(int64_t x_level0, int64_t y_level0, double target_mpp, int64_t width,
                       int64_t height) const;
  /// A copy instead of resampling up to this relative difference: a 224 px patch drifts by at most 1.1 px,
  /// which is less than scanners of one nominal magnification differ, and 0.499 um/px slides are read at 0.5
  /// without blur.
  static constexpr double kSameMpp = 0.005;

  /// The whole slide, its longer side max_side pixels (fewer when the slide is smaller).
  RgbImage thumbnail(int64_t max_side) const;

 private:
  Slide(std::filesystem::path path, std::unique_ptr<Pyramid> pyramid);
  RgbImage read_resampled(double x_level0, double y_level0, double scale_x, double scale_y, int64_t width,
                          int64_t height) const;

  std::filesystem::path path_;
  std::unique_ptr<Pyramid> pyramid_;
};

}  // namespace mt::wsi
