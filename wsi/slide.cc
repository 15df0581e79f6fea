#include "wsi/slide.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"
#include "wsi/dialects/dialect.h"
#include "wsi/pyramid.h"
#include "wsi/resample.h"

namespace mt::wsi {
namespace {

/// Coordinates beyond this are mistakes; below it no sum or product of coordinates can overflow.
constexpr int64_t kFarthest = int64_t{1} << 40;
/// Source pixels that resampling holds at once.
constexpr int64_t kBandPixels = int64_t{1} << 24;
/// Source columns that are read at once.
constexpr double kBlockColumns = 4096;

/// Scanners of 20x have about 0.5 um/px, of 40x 0.25.
constexpr double kMppTimesPower = 10;

void check_output(const std::filesystem::path& path, int64_t width, int64_t height, int64_t limit) {
  check(width > 0 && height > 0, "{}: a region of {}x{} pixels is empty", path.string(), width, height);
  check(width <= limit / height, "{}: a region of {}x{} pixels; at most {} pixels are allowed", path.string(),
        width, height, limit);
}

int64_t level_coordinate(const std::filesystem::path& path, int64_t level0, double downsample) {
  check(level0 > -kFarthest && level0 < kFarthest, "{}: coordinate {} is out of range", path.string(),
        level0);
  return static_cast<int64_t>(std::floor(static_cast<double>(level0) / downsample));
}

void check_level(const std::filesystem::path& path, int level, int level_count) {
  check(level >= 0 && level < level_count, "{}: level {} of {} levels", path.string(), level, level_count);
}

/// What read_region and read_region_rgba share; pixels of kSamples bytes.
template <int kSamples, typename Image>
Image read_level(const Slide& slide, const Pyramid& pyramid, int64_t x_level0, int64_t y_level0, int level,
                 int64_t width, int64_t height) {
  check_level(slide.path(), level, slide.level_count());
  check_output(slide.path(), width, height, pyramid.max_image_pixels());
  const double downsample = slide.levels()[static_cast<std::size_t>(level)].downsample;
  const LevelRect rect{level_coordinate(slide.path(), x_level0, downsample),
                       level_coordinate(slide.path(), y_level0, downsample), width, height};
  Image image(width, height);
  pyramid.read<kSamples>(level, rect, image.pixels.data());
  return image;
}

void fill_columns(RgbImage& image, int64_t top, int64_t rows, const AreaResampler::Columns& columns,
                  const Colour& colour) {
  for (int64_t y = top; y < top + rows; ++y) {
    for (int64_t x = columns.first; x < columns.last; ++x)
      std::copy(colour.begin(), colour.end(), image.at(x, y));
  }
}

bool same_scale(double a, double b) {
  return std::abs(a / b - 1) <= Slide::kSameMpp;
}

}  // namespace

Slide::Slide(std::filesystem::path path, std::unique_ptr<Pyramid> pyramid)
    : path_(std::move(path)), pyramid_(std::move(pyramid)) {}

Slide::~Slide() = default;

std::unique_ptr<Slide> Slide::open(const std::filesystem::path& path, const OpenOptions& options) {
  for (const std::optional<double>& mpp : {options.mpp_override, options.mpp_if_missing}) {
    check(!mpp || is_credible_mpp(*mpp), "{}: {} um/px is given for it; a slide has {} to {}", path.string(),
          mpp.value_or(0), kFinestMpp, kCoarsestMpp);
  }
  return std::unique_ptr<Slide>(new Slide(path, open_pyramid(path, options)));
}

const std::string& Slide::dialect() const {
  return pyramid_->dialect();
}
const std::vector<Level>& Slide::levels() const {
  return pyramid_->levels();
}
std::optional<double> Slide::mpp_x() const {
  return pyramid_->facts().mpp_x;
}
std::optional<double> Slide::mpp_y() const {
  return pyramid_->facts().mpp_y;
}
std::optional<double> Slide::objective_power() const {
  return pyramid_->facts().objective_power;
}
Colour Slide::background() const {
  return pyramid_->facts().background;
}
const std::map<std::string, std::string>& Slide::properties() const {
  return pyramid_->facts().properties;
}
int64_t Slide::missing_tiles(int level) const {
  check_level(path_, level, level_count());
  return pyramid_->missing_tiles(level);
}
int64_t Slide::tile_count(int level) const {
  check_level(path_, level, level_count());
  return pyramid_->tile_count(level);
}
const std::vector<std::string>& Slide::notes() const {
  return pyramid_->facts().notes;
}
RgbImage Slide::associated(const std::string& name) const {
  return pyramid_->associated(name);
}

std::optional<double> Slide::mpp() const {
  if (!mpp_x() || !mpp_y()) return std::nullopt;
  return (*mpp_x() + *mpp_y()) / 2;
}

double Slide::required_mpp() const {
  if (const std::optional<double> known = mpp()) return *known;
  const std::string objective = objective_power()
                                    ? fmt::format(" ({:g}x objectives have about {:g})", *objective_power(),
                                                  kMppTimesPower / *objective_power())
                                    : std::string();
  fail(
      "{}: does not say how large its pixels are; give its um/px with --mpp-override{}, or read a level as "
      "it "
      "is (native:LEVEL)",
      path_.string(), objective);
}

std::vector<std::string> Slide::associated_names() const {
  std::vector<std::string> names;
  for (const auto& entry : pyramid_->facts().associated) names.push_back(entry.first);
  return names;
}

int Slide::best_level(double downsample) const {
  int best = 0;
  for (int level = 1; level < level_count(); ++level) {
    const double candidate = levels()[static_cast<std::size_t>(level)].downsample;
    if (candidate <= downsample && candidate > levels()[static_cast<std::size_t>(best)].downsample)
      best = level;
  }
  return best;
}

RgbImage Slide::read_region(int64_t x_level0, int64_t y_level0, int level, int64_t width,
                            int64_t height) const {
  return read_level<3, RgbImage>(*this, *pyramid_, x_level0, y_level0, level, width, height);
}

RgbaImage Slide::read_region_rgba(int64_t x_level0, int64_t y_level0, int level, int64_t width,
                                  int64_t height) const {
  return read_level<4, RgbaImage>(*this, *pyramid_, x_level0, y_level0, level, width, height);
}

RgbImage Slide::read_at_mpp(int64_t x_level0, int64_t y_level0, double target_mpp, int64_t width,
                            int64_t height) const {
  check(std::isfinite(target_mpp) && target_mpp > 0, "{}: target of {} um/px must be positive",
        path_.string(), target_mpp);
  required_mpp();
  const double scale_x = target_mpp / *mpp_x(), scale_y = target_mpp / *mpp_y();  // level-0 pixels per pixel
  const int level = best_level(std::min(scale_x, scale_y) * (1 + kSameMpp));
  const double downsample = levels()[static_cast<std::size_t>(level)].downsample;
  if (same_scale(scale_x, downsample) && same_scale(scale_y, downsample)) {
    return read_region(x_level0, y_level0, level, width, height);
  }
  level_coordinate(path_, x_level0, 1);
  level_coordinate(path_, y_level0, 1);
  return read_resampled(static_cast<double>(x_level0), static_cast<double>(y_level0), scale_x, scale_y, width,
                        height);
}

RgbImage Slide::read_resampled(double x_level0, double y_level0, double scale_x, double scale_y,
                               int64_t width, int64_t height) const {
  check_output(path_, width, height, pyramid_->max_image_pixels());
  const int level = best_level(std::min(scale_x, scale_y) * (1 + kSameMpp));
  const double downsample = levels()[static_cast<std::size_t>(level)].downsample;
  const double x = x_level0 / downsample, y = y_level0 / downsample;  // in pixels of the level
  const double step_x = scale_x / downsample,
               step_y = scale_y / downsample;  // of the level per pixel of the result
  const double reach = std::max(std::abs(x) + static_cast<double>(width) * step_x,
                                std::abs(y) + static_cast<double>(height) * step_y);
  check(reach < static_cast<double>(kFarthest), "{}: {}x{} pixels of that size reach too far", path_.string(),
        width, height);
  LevelRect rect{static_cast<int64_t>(std::floor(x)), 0, 0, 0};
  rect.width = static_cast<int64_t>(std::ceil(x + static_cast<double>(width) * step_x)) - rect.x;
  // Rows are read in bands, and bands in blocks of columns, so that a thumbnail of a slide without coarse
  // levels needs little memory, and a block without stored tiles no time.
  const double source_pixels_per_row = static_cast<double>(rect.width) * step_y;
  const int64_t band =
      std::clamp<int64_t>(static_cast<int64_t>(kBandPixels / source_pixels_per_row), 1, height);
  const int64_t block = std::clamp<int64_t>(static_cast<int64_t>(kBlockColumns / step_x), 1, width);
  const AreaResampler resampler(rect.width, {x - static_cast<double>(rect.x), step_x, width});
  RgbImage image(width, height);
  for (int64_t top = 0; top < height; top += band) {
    const int64_t rows = std::min(band, height - top);
    const double band_y = y + static_cast<double>(top) * step_y;
    rect.y = static_cast<int64_t>(std::floor(band_y));
    rect.height = static_cast<int64_t>(std::ceil(band_y + static_cast<double>(rows) * step_y)) - rect.y;
    for (int64_t left = 0; left < width; left += block) {
      const AreaResampler::Columns columns{left, std::min(left + block, width)};
      const AreaResampler::Columns from = resampler.source_columns(columns);
      const LevelRect part{rect.x + from.first, rect.y, from.last - from.first, rect.height};
      if (pyramid_->shows_background_only(level, part)) {
        fill_columns(image, top, rows, columns, background());
        continue;
      }
      check_output(path_, part.width, part.height, pyramid_->max_image_pixels());
      RgbImage source(part.width, part.height);
      pyramid_->read<3>(level, part, source.pixels.data());
      resampler.fill(source, from.first, columns, {band_y - static_cast<double>(rect.y), step_y, rows},
                     image.at(0, top), width * 3);
    }
  }
  return image;
}

RgbImage Slide::thumbnail(int64_t max_side) const {
  check(max_side > 0, "{}: thumbnail of {} pixels", path_.string(), max_side);
  const Level& finest = levels()[0];
  const int64_t longer = std::max(finest.width, finest.height);
  if (longer <= max_side) return read_region(0, 0, 0, finest.width, finest.height);
  const auto scaled = [&](int64_t side) {
    return std::max<int64_t>(1, (side * max_side + longer / 2) / longer);
  };
  const int64_t width = scaled(finest.width), height = scaled(finest.height);
  return read_resampled(0, 0, static_cast<double>(finest.width) / static_cast<double>(width),
                        static_cast<double>(finest.height) / static_cast<double>(height), width, height);
}

}  // namespace mt::wsi
