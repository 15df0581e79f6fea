#include "train/data/tiles.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "tensor/check.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/seal.h"
#include "train/data/datasets/slide_names.h"
#include "wsi/tiling.h"
#include "wsi/tissue.h"

namespace mt::train {

std::vector<TiledSlide> without_tiles(const Dataset& dataset) {
  std::vector<TiledSlide> slides;
  for (const SlideRecord& record : dataset.slides) slides.push_back({record, {}});
  return slides;
}

PatchScale parse_patch_scale(const std::string& text) {
  PatchScale scale;
  char* end = nullptr;
  if (text.starts_with("native:")) {
    const std::string level = text.substr(7);
    const long value = std::strtol(level.c_str(), &end, 10);
    if (level.empty() || *end != '\0' || value < 0 || value > 64)
      throw UsageError(fmt::format("--mpp {}: native:LEVEL takes a level number", text));
    scale.level = static_cast<int>(value);
    return scale;
  }
  scale.mpp = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(scale.mpp >= 0.01 && scale.mpp <= 100)) {
    throw UsageError(fmt::format("--mpp {}: micrometres per pixel (0.01 to 100), or native:LEVEL", text));
  }
  return scale;
}

std::unique_ptr<wsi::Slide> open_slide(const SlideRecord& record, const Config& config) {
  wsi::OpenOptions options;
  if (config.mpp_override > 0) options.mpp_if_missing = config.mpp_override;
  if (record.mpp > 0) options.mpp_override = record.mpp;
  return wsi::Slide::open(record.path, options);
}

wsi::Annotations read_outlines(const SlideRecord& record, const Config& config) {
  std::vector<std::string> groups;
  std::istringstream list(config.tumour_groups);
  for (std::string group; std::getline(list, group, ',');) {
    const std::size_t first = group.find_first_not_of(' ');
    if (first != std::string::npos)
      groups.push_back(group.substr(first, group.find_last_not_of(' ') - first + 1));
  }
  return wsi::read_annotations(record.annotation, groups);
}

bool is_given_mpp(const SlideRecord& record, const Config& config) {
  if (config.mpp_override <= 0 || record.mpp > 0) return false;
  Config plain = config;
  plain.mpp_override = 0;
  return !open_slide(record, plain)->mpp().has_value();
}

void check_scale(const SlideRecord& record, const wsi::Slide& slide, const Config& config) {
  const PatchScale scale = parse_patch_scale(config.mpp);
  check(scale.level < slide.level_count(), "{}: has {} levels, so no level {} (--mpp {})",
        record.path.string(), slide.level_count(), scale.level, config.mpp);
  if (scale.level >= 0) return;
  check(slide.mpp().has_value(),
        "{}: does not say its micrometres per pixel; give it with --mpp-override, or in a column mpp of the "
        "table",
        record.path.string());
  check(*slide.mpp() <= scale.mpp * kMostMagnified,
        "{}: has {:.3g} um/px, patches of {} um/px would be magnified {:.1f} times; leave the slide "
        "out, or train with a coarser --mpp",
        record.path.string(), *slide.mpp(), config.mpp, *slide.mpp() / scale.mpp);
}

void check_outlines(const SlideRecord& record, const wsi::Annotations& outlines, const wsi::Slide& slide) {
  const std::string file = record.annotation.string();
  const int64_t tumour = outlines.tumour_count();
  if (record.label == 0) {
    check(tumour == 0,
          "{}: outlines tumour ({}), and slide {} is negative; mend the label or the file, or leave the "
          "annotation out",
          file, counted(static_cast<std::size_t>(tumour), "outline"), record.id);
    return;
  }
  if (record.label != 1) return;
  check(tumour > 0,
        "{}: outlines no tumour, and slide {} is positive{}; mend the file, or leave the annotation out",
        file, record.id,
        outlines.notes().empty()
            ? ""
            : fmt::format(" ({}; --tumour-groups None makes outlines in no group tumour)",
                          listed(outlines.notes(), 2)));
  const auto& level0 = slide.levels().front();
  check(outlines.tumour_count_outside(level0.width, level0.height) < tumour,
        "{}: its outlines lie outside of slide {} ({} x {} px); are they another slide's, or of another "
        "resolution?",
        file, record.id, level0.width, level0.height);
}

namespace {

/// The share of tumour in every patch. Throws Error when no patch has any.
std::vector<float> tumour_shares(const SlideRecord& record, const wsi::Slide& slide,
                                 const wsi::Tiling& tiling, const Config& config) {
  const wsi::Annotations outlines = read_outlines(record, config);
  check_outlines(record, outlines, slide);
  std::vector<float> shares;
  for (const wsi::Patch& tile : tiling.patches) {
    const auto x = static_cast<double>(tile.x_level0);
    const auto y = static_cast<double>(tile.y_level0);
    shares.push_back(static_cast<float>(outlines.coverage(x, y, tiling.patch_level0)));
  }
  if (std::any_of(shares.begin(), shares.end(), [](float share) { return share > 0; })) return shares;
  const bool is_excluded =
      std::any_of(tiling.patches.begin(), tiling.patches.end(), [&](const wsi::Patch& tile) {
        return outlines.coverage_without_exclusion(static_cast<double>(tile.x_level0),
                                                   static_cast<double>(tile.y_level0),
                                                   tiling.patch_level0) > 0;
      });
  fail("{}: no patch of slide {} has tumour by its outlines: {}; mend the file, or leave the annotation out",
       record.annotation.string(), record.id,
       is_excluded
           ? "areas that are not tumour (Normal, Exclusion, Ignore*) cover them"
           : "they lie beside its tissue, or go round it twice; are they of another resolution or slide?");
}

/// Throws the reason why a slide has no patch.
[[noreturn]] void fail_without_patch(const SlideRecord& record, const wsi::Slide& slide,
                                     const wsi::Tiling& tiling, const Config& config) {
  const auto& level0 = slide.levels().front();
  const auto side = static_cast<double>(std::min(level0.width, level0.height));
  if (tiling.patch_level0 > side) {
    fail("{}: the slide is {} x {} px, and a patch of {} px at --mpp {} is {:.0f} of its pixels{}",
         record.path.string(), level0.width, level0.height, config.patch, config.mpp, tiling.patch_level0,
         slide.mpp() ? fmt::format(" of {:.3g} um", *slide.mpp()) : "");
  }
  fail("{}: no patch of {} px holds at least {:.0f} % tissue (--min-tissue of train); leave the slide out",
       record.path.string(), config.patch, config.min_tissue * 100);
}

}  // namespace

SlideTiles make_tiles(const SlideRecord& record, const wsi::Slide& slide, const Config& config) {
  check_scale(record, slide, config);
  const PatchScale scale = parse_patch_scale(config.mpp);
  wsi::TilingOptions options;
  options.patch = config.patch;
  options.overlap = config.overlap;
  options.mpp = scale.mpp;
  if (scale.level >= 0) options.level = scale.level;
  options.min_tissue = config.min_tissue;
  const wsi::Tiling tiling = wsi::tile_slide(slide, wsi::find_tissue(slide), options);
  if (tiling.patches.empty()) fail_without_patch(record, slide, tiling, config);

  SlideTiles tiles;
  tiles.patch = config.patch;
  tiles.patch_level0 = tiling.patch_level0;
  tiles.mpp = tiling.mpp;
  tiles.level = scale.level;
  tiles.level0_width = slide.levels().front().width;
  tiles.level0_height = slide.levels().front().height;
  for (const wsi::Patch& patch : tiling.patches) {
    tiles.x_level0.push_back(patch.x_level0);
    tiles.y_level0.push_back(patch.y_level0);
    tiles.tissue.push_back(patch.tissue_fraction);
  }
  // A normal slide has no tumour anywhere; a tumour slide has instance truth only where somebody drew it
  // completely.
  if (record.label == 0) {
    tiles.tumour.assign(tiling.patches.size(), 0.0F);
  } else if (!record.annotation.empty() && record.annotation_is_complete) {
    tiles.tumour = tumour_shares(record, slide, tiling, config);
  }
  return tiles;
}

void note_small_outlines(Dataset& dataset, const std::vector<TiledSlide>& slides, const Config& config) {
  for (const auto& [record, tiles] : slides) {
    if (record.label != 1 || record.annotation.empty() || tiles.tumour.empty()) continue;
    const float most = *std::max_element(tiles.tumour.begin(), tiles.tumour.end());
    if (most >= static_cast<float>(config.tumour_overlap)) continue;
    dataset.notes.push_back(fmt::format(
        "{}: no patch of slide {} is tumour by {:.0f} % (--tumour-overlap), {:.0f} % at most",
        record.annotation.string(), record.id, config.tumour_overlap * 100, static_cast<double>(most) * 100));
  }
}

void write_tiles(const std::filesystem::path& path, const SlideTiles& tiles) {
  const Shape shape{tiles.count()};
  NamedTensors tensors{{"x_level0", Tensor::of(tiles.x_level0, shape)},
                       {"y_level0", Tensor::of(tiles.y_level0, shape)},
                       {"tissue", Tensor::of(tiles.tissue, shape)}};
  if (!tiles.tumour.empty()) tensors.emplace_back("tumour", Tensor::of(tiles.tumour, shape));
  const std::vector<double> scale{tiles.patch_level0, tiles.mpp};
  const std::vector<int64_t> sizes{tiles.patch, tiles.level, tiles.level0_width, tiles.level0_height};
  tensors.emplace_back("patch_level0_mpp", Tensor::of(scale, {2}));
  tensors.emplace_back("patch_level_width_height", Tensor::of(sizes, {4}));
  write_safetensors(
      path.string(), tensors,
      {{"checksum", blank_seal()}, {"made_from", std::string(kMadeFromMark) + tiles.made_from}});
}

SlideTiles read_tiles(const std::filesystem::path& path) {
  check_seal(path.string(), "delete it, and the same train command makes it anew");
  const SafetensorsFile file(path.string());
  const auto vector = [&]<typename T>(const char* name, std::vector<T>& out) {
    const Tensor tensor = file[name];
    const auto values = tensor.span<T>();
    out.assign(values.begin(), values.end());
  };
  SlideTiles tiles;
  vector("x_level0", tiles.x_level0);
  vector("y_level0", tiles.y_level0);
  vector("tissue", tiles.tissue);
  if (file.has("tumour")) vector("tumour", tiles.tumour);
  std::vector<double> scale;
  std::vector<int64_t> sizes;
  vector("patch_level0_mpp", scale);
  vector("patch_level_width_height", sizes);
  check(scale.size() == 2 && sizes.size() == 4 && tiles.y_level0.size() == tiles.x_level0.size() &&
            tiles.tissue.size() == tiles.x_level0.size(),
        "{}: is not a tiling of this program; delete it", path.string());
  tiles.patch_level0 = scale[0];
  tiles.mpp = scale[1];
  tiles.patch = sizes[0];
  tiles.level = static_cast<int>(sizes[1]);
  tiles.level0_width = sizes[2];
  tiles.level0_height = sizes[3];
  if (const auto found = file.metadata().find("made_from"); found != file.metadata().end())
    tiles.made_from = found->second.substr(std::min(found->second.size(), kMadeFromMark.size()));
  return tiles;
}

}  // namespace mt::train
