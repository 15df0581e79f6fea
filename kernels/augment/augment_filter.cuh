#pragma once
// Pillow's resampling weights, computed on the device, for the .cu files of the augmentation.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/augment/augment.h"
#include "kernels/augment/augment_view.h"
#include "kernels/common/device_array.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

/// The filters of all views along both axes: output position i of a view reads `taps` inputs from first on.
struct Filters {
  int32_t* first;    // (B, 2, positions)
  int32_t* weights;  // (B, 2, positions, most_taps), in units of 2^-22
  int64_t positions;
  int64_t most_taps;

  __device__ int64_t row(int64_t image, int axis, int64_t i) const {
    return (image * 2 + axis) * positions + i;
  }
};
constexpr int kDown = 0;
constexpr int kAcross = 1;

/// Triangle filter over [centre − reach, centre + reach], the weights normalised and rounded. One thread per
/// (image, axis, output position). Products are rounded by themselves, as on the cpu.
__global__ void resample_filters(const AugmentView* views, int64_t batch, int64_t out_height,
                                 int64_t out_width, Filters filters) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t image = item / (2 * filters.positions);
  const int axis = static_cast<int>(item / filters.positions % 2);
  const int64_t i = item % filters.positions;
  const int64_t out_size = axis == kDown ? out_height : out_width;
  if (image < batch && i < out_size) {
    const AugmentView& view = views[image];
    const int64_t in_size = axis == kDown ? view.height : view.width;
    const int64_t taps = axis == kDown ? view.taps_down : view.taps_across;
    const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
    const double reach = scale < 1.0 ? 1.0 : scale;
    const double centre = simt::multiply_rounded(static_cast<double>(i) + 0.5, scale);
    const int64_t lowest = static_cast<int64_t>(centre - reach + 0.5);
    const int64_t highest = static_cast<int64_t>(centre + reach + 0.5);
    const int64_t begin = lowest < 0 ? 0 : lowest;
    const int64_t end = highest < in_size ? highest : in_size;
    const auto triangle = [=](int64_t k) {
      const double distance =
          fabs(simt::multiply_rounded(static_cast<double>(k) - centre + 0.5, 1.0 / reach));
      return distance < 1.0 ? 1.0 - distance : 0.0;
    };
    double sum = 0;
    for (int64_t k = begin; k < end; ++k) sum += triangle(k);
    const int64_t start = begin < in_size - taps ? begin : in_size - taps;  // so that all taps lie inside
    filters.first[filters.row(image, axis, i)] = static_cast<int32_t>(start);
    int32_t* weights = filters.weights + filters.row(image, axis, i) * filters.most_taps;
    for (int64_t k = start; k < start + taps; ++k) {
      const bool inside = k >= begin && k < end;
      weights[k - start] =
          inside ? static_cast<int32_t>(0.5 + simt::multiply_rounded(triangle(k) / sum, 0x1p22)) : 0;
    }
  }
}

/// A weighted sum in units of 2^-22 that began with a half.
__device__ inline uint8_t resampled_byte(int32_t sum) {
  const int32_t value = sum >> 22;
  return static_cast<uint8_t>(value > 255 ? 255 : value);
}
constexpr int32_t kHalf = 1 << 21;

/// What a launch over a batch of views needs in device memory.
class DeviceViews {
 public:
  DeviceViews(const std::vector<AugmentView>& views, int64_t out_height, int64_t out_width, Stream stream)
      : views_(views, stream),
        positions_(std::max(out_height, out_width)),
        most_taps_(most_taps(views)),
        first_(static_cast<int64_t>(views.size()) * 2 * positions_),
        weights_(static_cast<int64_t>(views.size()) * 2 * positions_ * most_taps_) {
    const int64_t batch = static_cast<int64_t>(views.size());
    constexpr int kThreads = 128;
    launch<resample_filters>(blocks_for(batch * 2 * positions_, kThreads), kThreads, 0, stream, views_.data(),
                             batch, out_height, out_width, filters());
  }
  const AugmentView* data() const { return views_.data(); }
  Filters filters() const { return {first_.data(), weights_.data(), positions_, most_taps_}; }

 private:
  static int64_t most_taps(const std::vector<AugmentView>& views) {
    int32_t most = 1;
    for (const AugmentView& view : views) most = std::max({most, view.taps_down, view.taps_across});
    return most;
  }
  DeviceArray<AugmentView> views_;
  int64_t positions_;
  int64_t most_taps_;
  DeviceArray<int32_t> first_;
  DeviceArray<int32_t> weights_;
};

/// The tables of the stain jitter never change: they are brought once and stay.
inline const StainTables* stain_tables_on_device() {
  static const auto* tables = [] {
    auto* memory = new DeviceArray<StainTables>(1);
    copy_bytes(memory->data(), kDevice, &stain_tables(), Device::cpu, sizeof(StainTables));
    return memory;
  }();
  return tables->data();
}

/// The view that only resizes a whole image.
inline AugmentView whole_view(int64_t height, int64_t width, int64_t out_height, int64_t out_width) {
  if (height < 1 || width < 1 || out_height < 1 || out_width < 1) {
    const auto text = [](int64_t n) { return std::to_string(n); };
    fail_kernel("resize: " + text(height) + " x " + text(width) + " to " + text(out_height) + " x " +
                text(out_width) + ": sizes begin at 1");
  }
  AugmentView view{};
  view.height = static_cast<int32_t>(height);
  view.width = static_cast<int32_t>(width);
  view.taps_down = resample_taps(height, out_height);
  view.taps_across = resample_taps(width, out_width);
  return view;
}

}  // namespace

/// The naive version's table, from augment_naive.cu.
const Augment<float>& naive_augment();

}  // namespace mt::MT_BACKEND
