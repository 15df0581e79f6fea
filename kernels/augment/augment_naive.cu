// The augmentation as a chain: one kernel per step, one thread per pixel, everything in global memory between
// them. The fast version is in augment.cu, the math in augment.md.

#include "kernels/augment/augment_filter.cuh"
#include "kernels/augment/augment_pixel.cuh"
#include "kernels/copy/copy_cast.cuh"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 64;

__device__ int64_t thread_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

/// A kernel with one thread per item.
template <auto kKernel, typename... Args>
void for_each(int64_t items, Stream stream, Args... args) {
  launch<kKernel>(blocks_for(items, kThreads), kThreads, 0, stream, items, args...);
}

/// One thread per (image, row of the crop, output column); rows beyond a smaller crop are left alone.
__global__ void resample_across(int64_t items, const uint8_t* images, const AugmentView* views,
                                Filters filters, uint8_t* wide, int64_t height, int64_t width,
                                int64_t most_rows, int64_t out_width) {
  // images: (B,H,W,3), wide: (B, most_rows, out_width, 3)
  const int64_t item = thread_index();
  const int64_t x = item % out_width;
  const int64_t y = item / out_width % most_rows;
  const int64_t image = item / out_width / most_rows;
  if (item < items && y < views[image].height) {
    const AugmentView& view = views[image];
    const int64_t row = filters.row(image, kAcross, x);
    const uint8_t* in =
        images + ((image * height + view.top + y) * width + view.left + filters.first[row]) * 3;
    for (int c = 0; c < 3; ++c) {
      int32_t sum = kHalf;
      for (int64_t k = 0; k < view.taps_across; ++k)
        sum += filters.weights[row * filters.most_taps + k] * in[3 * k + c];
      wide[item * 3 + c] = resampled_byte(sum);
    }
  }
}

/// One thread per (image, output pixel).
__global__ void resample_down(int64_t items, const uint8_t* wide, const AugmentView* views, Filters filters,
                              uint8_t* out, int64_t most_rows, int64_t out_height, int64_t out_width) {
  const int64_t item = thread_index();
  const int64_t x = item % out_width;
  const int64_t y = item / out_width % out_height;
  const int64_t image = item / out_width / out_height;
  if (item < items) {
    const int64_t row = filters.row(image, kDown, y);
    const uint8_t* in = wide + ((image * most_rows + filters.first[row]) * out_width + x) * 3;
    for (int c = 0; c < 3; ++c) {
      int32_t sum = kHalf;
      for (int64_t k = 0; k < views[image].taps_down; ++k)
        sum += filters.weights[row * filters.most_taps + k] * in[k * out_width * 3 + c];
      out[item * 3 + c] = resampled_byte(sum);
    }
  }
}

__global__ void jitter_stains(int64_t items, uint8_t* rgb, const AugmentView* views,
                              const StainTables* tables,
                              int64_t pixels) {  // rgb: (B, pixels, 3)
  const int64_t item = thread_index();
  if (item < items && views[item / pixels].stain_jitter != 0)
    store_pixel(rgb + 3 * item, stain_jittered(load_pixel(rgb + 3 * item), views[item / pixels], *tables));
}

/// One thread per image, for those whose step `i` is contrast.
__global__ void sum_lumas(int64_t items, const uint8_t* rgb, const AugmentView* views, int i,
                          unsigned long long* sums, int64_t pixels) {
  const int64_t image = thread_index();
  if (image < items && views[image].contrast_at == i) {
    sums[image] = 0;
    for (int64_t p = 0; p < pixels; ++p)
      sums[image] += static_cast<unsigned long long>(luma(load_pixel(rgb + 3 * (image * pixels + p))));
  }
}

/// Step `i` of the colour jitter.
__global__ void jitter_colours(int64_t items, uint8_t* rgb, const AugmentView* views, int i,
                               const unsigned long long* sums, int64_t pixels) {
  const int64_t item = thread_index();
  if (item < items && i < views[item / pixels].steps) {
    const AugmentView& view = views[item / pixels];
    const int32_t mean = view.contrast_at == i ? mean_luma(sums[item / pixels], pixels) : 0;
    store_pixel(rgb + 3 * item, colour_jittered(load_pixel(rgb + 3 * item), view, i, i + 1, mean));
  }
}

__global__ void make_grey(int64_t items, uint8_t* rgb, const AugmentView* views, int64_t pixels) {
  const int64_t item = thread_index();
  if (item < items && views[item / pixels].grey != 0)
    store_pixel(rgb + 3 * item, grey(load_pixel(rgb + 3 * item)));
}

/// Both directions at once: exact in integers, one rounding. Written where flips and turns put the pixel.
__global__ void blur_and_turn(int64_t items, const uint8_t* rgb, const AugmentView* views, uint8_t* out,
                              int64_t size) {
  const int64_t item = thread_index();
  const int64_t pixels = size * size;
  if (item < items) {
    const AugmentView& view = views[item / pixels];
    const int32_t side = static_cast<int32_t>(size);
    const int32_t y = static_cast<int32_t>(item % pixels / size);
    const int32_t x = static_cast<int32_t>(item % size);
    const int32_t radius = view.blur_radius;
    const uint8_t* in = rgb + item / pixels * pixels * 3;  // (size,size,3)
    int32_t sum[3] = {1 << 15, 1 << 15, 1 << 15};
    for (int32_t i = -radius; i <= radius; ++i) {
      for (int32_t j = -radius; j <= radius; ++j) {
        const int32_t weight = view.blur_weights[i + radius] * view.blur_weights[j + radius];
        const Pixel p =
            load_pixel(in + (static_cast<int64_t>(mirrored(y + i, side)) * size + mirrored(x + j, side)) * 3);
        sum[0] += weight * p.r;
        sum[1] += weight * p.g;
        sum[2] += weight * p.b;
      }
    }
    store_pixel(out + item / pixels * pixels * 3 + turned_offset(y, x, side, view),
                {sum[0] >> 16, sum[1] >> 16, sum[2] >> 16});
  }
}

/// images (B,H,W,3) → out (B, out_height, out_width, 3)
void resample(const uint8_t* images, const std::vector<AugmentView>& views, const DeviceViews& on_device,
              uint8_t* out, int64_t height, int64_t width, int64_t out_height, int64_t out_width,
              Stream stream) {
  const int64_t batch = static_cast<int64_t>(views.size());
  int64_t most_rows = 1;
  for (const AugmentView& view : views) most_rows = std::max<int64_t>(most_rows, view.height);
  const DeviceArray<uint8_t> wide(batch * most_rows * out_width * 3);
  for_each<resample_across>(batch * most_rows * out_width, stream, images, on_device.data(),
                            on_device.filters(), wide.data(), height, width, most_rows, out_width);
  for_each<resample_down>(batch * out_height * out_width, stream, wide.data(), on_device.data(),
                          on_device.filters(), out, most_rows, out_height, out_width);
}

void write_views_naive(const uint8_t* images, const AugmentParameters* parameters, uint8_t* out,
                       int64_t batch, int64_t height, int64_t width, int64_t size, int64_t blur_size,
                       Stream stream) {
  const std::vector<AugmentView> views = augment_views(parameters, batch, height, width, size, blur_size);
  if (batch == 0) return;
  const int64_t pixels = size * size;
  const DeviceViews on_device(views, size, size, stream);
  const DeviceArray<unsigned long long> luma_sums(batch);
  const DeviceArray<uint8_t> rgb(batch * pixels * 3);
  resample(images, views, on_device, rgb.data(), height, width, size, size, stream);
  for_each<jitter_stains>(batch * pixels, stream, rgb.data(), on_device.data(), stain_tables_on_device(),
                          pixels);
  for (int i = 0; i < 4; ++i) {
    for_each<sum_lumas>(batch, stream, rgb.data(), on_device.data(), i, luma_sums.data(), pixels);
    for_each<jitter_colours>(batch * pixels, stream, rgb.data(), on_device.data(), i, luma_sums.data(),
                             pixels);
  }
  for_each<make_grey>(batch * pixels, stream, rgb.data(), on_device.data(), pixels);
  for_each<blur_and_turn>(batch * pixels, stream, rgb.data(), on_device.data(), out, size);
}

void apply_naive(const uint8_t* images, const AugmentParameters* parameters, uint8_t* out, int64_t batch,
                 int64_t height, int64_t width, int64_t size, int64_t blur_size, Stream stream) {
  write_views_naive(images, parameters, out, batch, height, width, size, blur_size, stream);
}

void resize_naive(const uint8_t* image, uint8_t* out, int64_t height, int64_t width, int64_t out_height,
                  int64_t out_width, Stream stream) {
  const std::vector<AugmentView> views{whole_view(height, width, out_height, out_width)};
  resample(image, views, DeviceViews(views, out_height, out_width, stream), out, height, width, out_height,
           out_width, stream);
}

}  // namespace

const Augment<float>& naive_augment() {
  static constexpr Augment<float> table{apply_naive, resize_naive};
  return table;
}

}  // namespace mt::MT_BACKEND
