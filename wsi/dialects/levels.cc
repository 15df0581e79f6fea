#include "wsi/dialects/levels.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "tensor/check.h"

namespace mt::wsi {
namespace {

struct Interval {
  double low, high;
};

/// The divisors that make `side` of `finest`, within a pixel of rounding.
Interval divisors(int64_t finest, int64_t side, int64_t padding) {
  const auto length = static_cast<double>(finest);
  const int64_t least = side - 1 - padding;
  return {length / static_cast<double>(side + 1), least > 0 ? length / static_cast<double>(least) : length};
}

bool same_size(const TiffDirectory& a, const TiffDirectory& b) {
  return a.width == b.width && a.height == b.height;
}

/// The first page, or the largest that it is a reduction of.
const TiffDirectory* finest_of(const std::vector<const TiffDirectory*>& pages) {
  const TiffDirectory* finest = pages.front();
  for (const TiffDirectory* page : pages) {
    if (page->width > finest->width && is_reduction_of(*page, *pages.front())) finest = page;
  }
  return finest;
}

}  // namespace

bool is_reduction_of(const TiffDirectory& finest, const TiffDirectory& page, int64_t padding_x,
                     int64_t padding_y) {
  const Interval x = divisors(finest.width, page.width, padding_x);
  const Interval y = divisors(finest.height, page.height, padding_y);
  return std::max({2.0, std::ceil(x.low), std::ceil(y.low)}) <= std::min(x.high, y.high);
}

bool is_named_picture(const TiffDirectory& page) {
  constexpr std::array<std::string_view, 4> kNames = {"label", "macro", "thumbnail", "overview"};
  constexpr std::string_view kQptiffType = "<imagetype>";
  std::string text = page.description.substr(0, 1024);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto is_name = [&](std::size_t at) {
    return std::any_of(kNames.begin(), kNames.end(), [&](std::string_view name) {
      return std::string_view(text).substr(at).starts_with(name);
    });
  };
  if (const std::size_t type = text.find(kQptiffType); type != std::string::npos)
    return is_name(type + kQptiffType.size());
  // The name begins a line: "Aperio Image Library v11\r\nlabel 387x463", "Macro".
  for (std::size_t line = 0; line != std::string::npos && line < text.size();) {
    if (is_name(line)) return true;
    const std::size_t end = text.find('\n', line);
    line = end == std::string::npos ? end : end + 1;
  }
  return false;
}

std::vector<const TiffDirectory*> pyramid_pages(const TiffFile& file) {
  std::vector<const TiffDirectory*> pages;
  for (const TiffDirectory& page : file.directories()) {
    const bool is_first = &page == &file.first();
    const bool is_mask = (page.subfile_type & kTiffMask) != 0;
    if (page.tiled && !is_mask && (is_first || !is_named_picture(page))) pages.push_back(&page);
  }
  return pages;
}

void add_levels(const std::vector<const TiffDirectory*>& pages, Facts& facts) {
  check(!pages.empty(), "no image in it is tiled");
  const TiffDirectory& finest = *finest_of(pages);
  std::vector<const TiffDirectory*> levels{&finest};
  int64_t planes = 0;
  for (const TiffDirectory* page : pages) {
    if (page == &finest) continue;
    // SubIFDs of another image are reductions of that one.
    if (page->is_subifd && (finest.is_subifd || page->index != finest.index)) continue;
    if (same_size(*page, finest)) {
      planes += page->is_subifd ? 0 : 1;
    } else if (is_reduction_of(finest, *page)) {
      levels.push_back(page);
    } else {
      facts.notes.push_back(
          fmt::format("image {} ({} x {} pixels) is no reduction of the slide and is left out", page->index,
                      page->width, page->height));
    }
  }
  check(
      planes == 0 || finest.samples > 2,
      "holds {} grey images of {}x{} pixels, which are channels (fluorescence), focal planes or time points; "
      "only brightfield slides are read: write one RGB image",
      planes + 1, finest.width, finest.height);
  if (planes > 0) {
    facts.notes.push_back(fmt::format("{} further {} of the slide's size (focal planes?) {} left out", planes,
                                      planes == 1 ? "image" : "images", planes == 1 ? "is" : "are"));
  }
  std::stable_sort(levels.begin(), levels.end(),
                   [](const TiffDirectory* a, const TiffDirectory* b) { return a->width > b->width; });
  for (const TiffDirectory* page : levels) {
    // Of several of one size the first is the level; the others belong to the planes.
    if (!facts.levels.empty() && page->width >= facts.levels.back().level.width) continue;
    facts.levels.push_back({{page->width, page->height, 0}, page});
  }
}

std::optional<TagMpp> resolution_mpp(const TiffDirectory& page) {
  constexpr std::array<double, 6> kMicrometres = {0, 0, 25400, 10000, 1000, 1};  // by ResolutionUnit
  const double unit = page.resolution_unit < kMicrometres.size() ? kMicrometres[page.resolution_unit] : 0;
  const TagMpp mpp{unit / page.x_resolution, unit / page.y_resolution};
  const bool said = std::isfinite(mpp.x) && std::isfinite(mpp.y) && mpp.x > 0 && mpp.y > 0;
  return said ? std::optional(mpp) : std::nullopt;
}

}  // namespace mt::wsi
