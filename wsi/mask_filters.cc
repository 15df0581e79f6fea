#include "wsi/mask_filters.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tensor/check.h"
#include "tensor/parallel.h"

namespace mt::wsi {
namespace {

/// Every value becomes the `pick` of a window of `side` values along x, then along y. Window: [-side/2, side
/// - side/2).
template <typename Pick>
Plane box_filter(const Plane& plane, int before, int after, const Pick& pick) {
  Plane horizontal(plane.width, plane.height);
  Plane result(plane.width, plane.height);
  for (int64_t y = 0; y < plane.height; ++y) {
    for (int64_t x = 0; x < plane.width; ++x) {
      uint8_t value = plane.at(x, y);
      for (int64_t k = std::max<int64_t>(0, x - before); k <= std::min(plane.width - 1, x + after); ++k) {
        value = pick(value, plane.at(k, y));
      }
      horizontal.at(x, y) = value;
    }
  }
  for (int64_t y = 0; y < plane.height; ++y) {
    for (int64_t x = 0; x < plane.width; ++x) {
      uint8_t value = horizontal.at(x, y);
      for (int64_t k = std::max<int64_t>(0, y - before); k <= std::min(plane.height - 1, y + after); ++k) {
        value = pick(value, horizontal.at(x, k));
      }
      result.at(x, y) = value;
    }
  }
  return result;
}

uint8_t larger(uint8_t a, uint8_t b) {
  return std::max(a, b);
}
uint8_t smaller(uint8_t a, uint8_t b) {
  return std::min(a, b);
}

/// A window's counts of each value, and its median kept as the window slides (Huang et al. 1979).
class SlidingMedian {
 public:
  explicit SlidingMedian(int values) : half_(values / 2) {}
  void add(uint8_t value) {
    ++counts_[value];
    below_ += value < median_ ? 1 : 0;
  }
  void remove(uint8_t value) {
    --counts_[value];
    below_ -= value < median_ ? 1 : 0;
  }
  uint8_t median() {
    while (below_ > half_) below_ -= counts_[--median_];
    while (below_ + counts_[median_] <= half_) below_ += counts_[median_++];
    return static_cast<uint8_t>(median_);
  }

 private:
  std::array<int, 256> counts_{};
  std::size_t median_ = 0;
  int below_ = 0;  // values under median_
  int half_;
};

}  // namespace

Plane median_filter(const Plane& plane, int side) {
  check(side >= 1 && side % 2 == 1, "tissue: median filter of side {}; it must be odd", side);
  const int64_t radius = side / 2;
  Plane result(plane.width, plane.height);
  parallel_for(plane.height, 16, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      SlidingMedian window(side * side);
      const auto for_column = [&](int64_t x, const auto& body) {
        const int64_t column = std::clamp<int64_t>(x, 0, plane.width - 1);
        for (int64_t j = y - radius; j <= y + radius; ++j) {
          body(plane.at(column, std::clamp<int64_t>(j, 0, plane.height - 1)));
        }
      };
      for (int64_t x = -radius; x < radius; ++x) for_column(x, [&](uint8_t value) { window.add(value); });
      for (int64_t x = 0; x < plane.width; ++x) {
        for_column(x + radius, [&](uint8_t value) { window.add(value); });
        result.at(x, y) = window.median();
        for_column(x - radius, [&](uint8_t value) { window.remove(value); });
      }
    }
  });
  return result;
}

Plane dilate(const Plane& mask, int side) {
  return box_filter(mask, side / 2, side - 1 - side / 2, larger);
}

Plane close_mask(const Plane& mask, int side) {
  const Plane dilated = dilate(mask, side);
  // The mirrored window undoes the shift of an even side.
  return box_filter(dilated, side - 1 - side / 2, side / 2, smaller);
}

int otsu_threshold(const Plane& plane) {
  std::array<int64_t, 256> histogram{};
  for (const uint8_t value : plane.pixels) ++histogram[value];
  const double total = static_cast<double>(plane.pixels.size());
  double sum = 0;
  for (std::size_t value = 0; value < 256; ++value) {
    sum += static_cast<double>(value) * static_cast<double>(histogram[value]);
  }
  double count_below = 0;
  double sum_below = 0;
  double best_variance = -1;
  int best = 0;
  for (std::size_t value = 0; value < 255; ++value) {
    count_below += static_cast<double>(histogram[value]);
    sum_below += static_cast<double>(value) * static_cast<double>(histogram[value]);
    const double count_above = total - count_below;
    if (count_below == 0 || count_above == 0) continue;
    const double difference = sum_below / count_below - (sum - sum_below) / count_above;
    const double variance = count_below * count_above * difference * difference;
    if (variance > best_variance) {
      best_variance = variance;
      best = static_cast<int>(value);
    }
  }
  return best;
}

void replace_small_areas(Plane& mask, uint8_t value, uint8_t replacement, int64_t least, bool diagonal) {
  std::vector<uint8_t> seen(mask.pixels.size());
  std::vector<std::pair<int64_t, int64_t>> area;
  for (int64_t start_y = 0; start_y < mask.height; ++start_y) {
    for (int64_t start_x = 0; start_x < mask.width; ++start_x) {
      const auto visit = [&](int64_t x, int64_t y) {
        if (x < 0 || y < 0 || x >= mask.width || y >= mask.height || mask.at(x, y) != value) return;
        uint8_t& mark = seen[static_cast<std::size_t>(y * mask.width + x)];
        if (mark == 0) area.emplace_back(x, y);
        mark = 1;
      };
      area.clear();
      if (seen[static_cast<std::size_t>(start_y * mask.width + start_x)] == 0) visit(start_x, start_y);
      for (std::size_t next = 0; next < area.size(); ++next) {
        const auto [x, y] = area[next];
        for (int64_t dy = -1; dy <= 1; ++dy) {
          for (int64_t dx = -1; dx <= 1; ++dx) {
            if (diagonal || dx == 0 || dy == 0) visit(x + dx, y + dy);
          }
        }
      }
      if (static_cast<int64_t>(area.size()) >= least) continue;
      for (const auto& [x, y] : area) mask.at(x, y) = replacement;
    }
  }
}

}  // namespace mt::wsi
