// Augmentation on cuda and simt, the fast version: two passes, because contrast needs the mean of a whole
// view before it can go on. The naive version is in augment_naive.cu, the math in augment.md.

#include "kernels/augment/augment_filter.cuh"
#include "kernels/augment/augment_pixel.cuh"
#include "kernels/common/fill_array.cuh"
#include "kernels/common/tables.h"
#include "kernels/common/warp.cuh"
#include "kernels/copy/copy_cast.cuh"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;

// ---- Resampling: a block makes 32 × 16 output pixels
// Input rows are resampled horizontally into shared memory, 32 at a time, and each thread adds to its four
// pixels the rows that their vertical filters reach: any scale in 3 KiB.

constexpr int kTileWidth = 32;
constexpr int kTileHeight = 16;
constexpr int kOwn = kTileHeight / kWarps;  // pixels of a thread: one column, every fourth row
constexpr int kChunkRows = 32;

struct TilePosition {
  int64_t image;
  int64_t y;  // of the tile's first pixel
  int64_t x;
};

/// Tiles of height × width pixels, row by row, image after image.
__device__ inline TilePosition tile_of_block(int64_t out_height, int64_t out_width, int64_t height,
                                             int64_t width) {
  const int64_t across = (out_width + width - 1) / width;
  const int64_t down = (out_height + height - 1) / height;
  const int64_t block = blockIdx.x;
  return {block / (across * down), block / across % down * height, block % across * width};
}

/// Thread's pixels (tile.y + warp + 4 j, tile.x + lane); those outside of the view get any value.
__device__ inline void resample_tile(const uint8_t* images, const AugmentView& view, const Filters& filters,
                                     const TilePosition& tile, int64_t height, int64_t width,
                                     int64_t out_height, int64_t out_width, Pixel (&pixel)[kOwn]) {
  SHARED(uint8_t, wide, kChunkRows * kTileWidth * 3);  // (kChunkRows, kTileWidth, 3)
  const int64_t x = tile.x + simt::lane();
  const int64_t across = filters.row(tile.image, kAcross, x);
  const int64_t down = filters.row(tile.image, kDown, 0);
  const int64_t last_y = (tile.y + kTileHeight < out_height ? tile.y + kTileHeight : out_height) - 1;
  const int32_t row_begin = filters.first[down + tile.y];
  const int32_t row_end = filters.first[down + last_y] + view.taps_down;
  int32_t sum[kOwn][3];
#pragma unroll
  for (int j = 0; j < kOwn; ++j) sum[j][0] = sum[j][1] = sum[j][2] = kHalf;
  for (int32_t chunk = row_begin; chunk < row_end; chunk += kChunkRows) {  // the same for the whole block
    const int32_t rows = row_end - chunk < kChunkRows ? row_end - chunk : kChunkRows;
    simt::sync_threads();  // the last chunk's readers are done
    if (x < out_width) {
      const int32_t* weights = filters.weights + across * filters.most_taps;
      for (int32_t r = static_cast<int32_t>(simt::warp()); r < rows; r += kWarps) {
        const uint8_t* in =
            images +
            ((tile.image * height + view.top + chunk + r) * width + view.left + filters.first[across]) * 3;
        int32_t a = kHalf;
        int32_t b = kHalf;
        int32_t c = kHalf;
#pragma unroll 3
        for (int32_t k = 0; k < view.taps_across; ++k, in += 3) {
          a += weights[k] * in[0];
          b += weights[k] * in[1];
          c += weights[k] * in[2];
        }
        uint8_t* to = wide + (r * kTileWidth + static_cast<int32_t>(simt::lane())) * 3;
        to[0] = resampled_byte(a);
        to[1] = resampled_byte(b);
        to[2] = resampled_byte(c);
      }
    }
    simt::sync_threads();
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      const int64_t y = tile.y + simt::warp() + kWarps * j;
      if (y < out_height && x < out_width) {
        const int32_t first = filters.first[down + y];
        const int32_t* weights = filters.weights + (down + y) * filters.most_taps;
        const int32_t begin = first > chunk ? first : chunk;
        const int32_t reach = first + view.taps_down;
        const int32_t end = reach < chunk + rows ? reach : chunk + rows;
        for (int32_t row = begin; row < end; ++row) {
          const uint8_t* from = wide + ((row - chunk) * kTileWidth + static_cast<int32_t>(simt::lane())) * 3;
          sum[j][0] += weights[row - first] * from[0];
          sum[j][1] += weights[row - first] * from[1];
          sum[j][2] += weights[row - first] * from[2];
        }
      }
    }
  }
#pragma unroll
  for (int j = 0; j < kOwn; ++j)
    pixel[j] = {resampled_byte(sum[j][0]), resampled_byte(sum[j][1]), resampled_byte(sum[j][2])};
}

__global__ void resize_tile(const uint8_t* image, const AugmentView* view, Filters filters, uint8_t* out,
                            int64_t height, int64_t width, int64_t out_height, int64_t out_width) {
  // image: (H,W,3), out: (out_height,out_width,3)
  const TilePosition tile = tile_of_block(out_height, out_width, kTileHeight, kTileWidth);
  Pixel pixel[kOwn];
  resample_tile(image, *view, filters, tile, height, width, out_height, out_width, pixel);
  const int64_t x = tile.x + simt::lane();
#pragma unroll
  for (int j = 0; j < kOwn; ++j) {
    const int64_t y = tile.y + simt::warp() + kWarps * j;
    if (y < out_height && x < out_width) store_pixel(out + (y * out_width + x) * 3, pixel[j]);
  }
}

// ---- First pass: crop, resize, stains, and the colour steps before contrast
// A view that needs no second pass is finished here and written where it belongs; another goes to `between`,
// and its lumas are summed in integers, so the order of blocks cannot show.

__global__ void first_pass(const uint8_t* images, const AugmentView* views, Filters filters,
                           const StainTables* tables, uint8_t* between, unsigned long long* luma_sums,
                           uint8_t* out, int64_t height, int64_t width, int64_t size) {
  // images: (B,H,W,3), between, out: (B,size,size,3), luma_sums: (B)
  const TilePosition tile = tile_of_block(size, size, kTileHeight, kTileWidth);
  const AugmentView& view = views[tile.image];
  Pixel pixel[kOwn];
  resample_tile(images, view, filters, tile, height, width, size, size, pixel);
  const bool goes_on = view.second_pass != 0;
  const int64_t image_start = tile.image * size * size * 3;
  const int64_t x = tile.x + simt::lane();
  unsigned lumas = 0;
#pragma unroll
  for (int j = 0; j < kOwn; ++j) {
    const int64_t y = tile.y + simt::warp() + kWarps * j;
    if (y < size && x < size) {
      Pixel p = pixel[j];
      if (view.stain_jitter != 0) p = stain_jittered(p, view, *tables);
      p = colour_jittered(p, view, 0, view.contrast_at, 0);
      if (goes_on) {
        lumas += static_cast<unsigned>(luma(p));
        store_pixel(between + image_start + (y * size + x) * 3, p);
      } else {
        if (view.grey != 0) p = grey(p);
        store_pixel(out + image_start +
                        turned_offset(static_cast<int32_t>(y), static_cast<int32_t>(x),
                                      static_cast<int32_t>(size), view),
                    p);
      }
    }
  }
  const unsigned total = block_sum<kThreads>(lumas);  // at most 512 · 255
  if (threadIdx.x == 0 && view.steps != 0)
    simt::atomic_add(&luma_sums[tile.image], static_cast<unsigned long long>(total));
}

// ---- Second pass: contrast and what follows it, grey, blur, flips and turns
// A block makes 32 × 32 pixels. The colour steps are done again for a margin of the blur's radius; both
// directions of the blur stay in shared memory.

constexpr int kBlurTile = 32;

/// Bytes of shared memory for a radius: the tile with its margin, and its rows blurred horizontally.
constexpr int64_t blur_bytes(int64_t radius) {
  const int64_t side = kBlurTile + 2 * radius;
  return (side * (kBlurTile + 1) * 3) * static_cast<int64_t>(sizeof(uint16_t)) + side * side * 3;
}

__global__ void second_pass(const uint8_t* between, const AugmentView* views,
                            const unsigned long long* luma_sums, uint8_t* out,
                            int64_t size) {  // between, out: (B,size,size,3)
  DYN_SHARED(uint8_t, memory);
  const TilePosition tile = tile_of_block(size, size, kBlurTile, kBlurTile);
  const AugmentView& view = views[tile.image];
  const int32_t radius = view.blur_radius;
  const int32_t side = kBlurTile + 2 * radius;
  // A row of `blurred` has a pixel more than it needs: turned tiles read it by columns.
  constexpr int32_t kPitch = (kBlurTile + 1) * 3;
  uint16_t* blurred = reinterpret_cast<uint16_t*>(memory);  // (side, kBlurTile + 1, 3)
  uint8_t* sharp = memory + side * kPitch * static_cast<int32_t>(sizeof(uint16_t));  // (side, side, 3)
  const int32_t extent = static_cast<int32_t>(size);
  const int32_t y0 = static_cast<int32_t>(tile.y);
  const int32_t x0 = static_cast<int32_t>(tile.x);
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  const bool goes_on = view.second_pass != 0;
  if (goes_on) {
    const uint8_t* in = between + tile.image * size * size * 3;  // (size,size,3)
    const int32_t mean = view.steps != 0 ? mean_luma(luma_sums[tile.image], size * size) : 0;
    for (int32_t i = thread; i < side * side; i += kThreads) {
      const int64_t y = mirrored(y0 + i / side - radius, extent);
      const int64_t x = mirrored(x0 + i % side - radius, extent);
      Pixel p = load_pixel(in + (y * size + x) * 3);
      p = colour_jittered(p, view, view.contrast_at, view.steps, mean);
      if (view.grey != 0) p = grey(p);
      store_pixel(sharp + 3 * i, p);
    }
  }
  simt::sync_threads();
  if (goes_on) {
    for (int32_t i = thread; i < side * kBlurTile * 3; i += kThreads) {
      const int32_t row = i / (kBlurTile * 3);
      const int32_t at = i % (kBlurTile * 3);
      const uint8_t* from = sharp + row * side * 3 + at;
      int32_t sum = 0;
      for (int32_t k = 0; k <= 2 * radius; ++k) sum += view.blur_weights[k] * from[3 * k];
      blurred[row * kPitch + at] = static_cast<uint16_t>(sum);
    }
  }
  simt::sync_threads();
  if (goes_on) {
    const int64_t image_start = tile.image * size * size * 3;
    const bool sideways = view.quarter_turns % 2 != 0;  // neighbouring threads write neighbouring pixels
    for (int32_t i = thread; i < kBlurTile * kBlurTile; i += kThreads) {
      const int32_t y = sideways ? i % kBlurTile : i / kBlurTile;
      const int32_t x = sideways ? i / kBlurTile : i % kBlurTile;
      if (y0 + y < extent && x0 + x < extent) {
        const uint16_t* from = blurred + y * kPitch + x * 3;
        int32_t sum[3] = {1 << 15, 1 << 15, 1 << 15};
        for (int32_t k = 0; k <= 2 * radius; ++k) {
          const int32_t weight = view.blur_weights[k];
          for (int c = 0; c < 3; ++c) sum[c] += weight * from[k * kPitch + c];
        }
        store_pixel(out + image_start + turned_offset(y0 + y, x0 + x, extent, view),
                    {sum[0] >> 16, sum[1] >> 16, sum[2] >> 16});
      }
    }
  }
}

int64_t tiles_of(int64_t out_height, int64_t out_width, int64_t height, int64_t width) {
  return blocks_for(out_height, height) * blocks_for(out_width, width);
}

void write_views(const uint8_t* images, const AugmentParameters* parameters, uint8_t* out, int64_t batch,
                 int64_t height, int64_t width, int64_t size, int64_t blur_size, Stream stream) {
  const std::vector<AugmentView> views = augment_views(parameters, batch, height, width, size, blur_size);
  if (batch == 0) return;
  int64_t most_radius = 0;
  bool any_goes_on = false;
  for (const AugmentView& view : views) {
    most_radius = std::max<int64_t>(most_radius, view.blur_radius);
    any_goes_on = any_goes_on || view.second_pass != 0;
  }
  const DeviceViews on_device(views, size, size, stream);
  const DeviceArray<unsigned long long> luma_sums(static_cast<int64_t>(views.size()));
  fill_array(luma_sums.data(), static_cast<int64_t>(views.size()), 0ULL, stream);
  const DeviceArray<uint8_t> between(any_goes_on ? batch * size * size * 3 : 0);  // (B,size,size,3)
  launch<first_pass>(batch * tiles_of(size, size, kTileHeight, kTileWidth), kThreads, 0, stream, images,
                     on_device.data(), on_device.filters(), stain_tables_on_device(), between.data(),
                     luma_sums.data(), out, height, width, size);
  if (!any_goes_on) return;
  launch<second_pass>(batch * tiles_of(size, size, kBlurTile, kBlurTile), kThreads, blur_bytes(most_radius),
                      stream, between.data(), on_device.data(), luma_sums.data(), out, size);
}

void apply(const uint8_t* images, const AugmentParameters* parameters, uint8_t* out, int64_t batch,
           int64_t height, int64_t width, int64_t size, int64_t blur_size, Stream stream) {
  write_views(images, parameters, out, batch, height, width, size, blur_size, stream);
}

void resize(const uint8_t* image, uint8_t* out, int64_t height, int64_t width, int64_t out_height,
            int64_t out_width, Stream stream) {
  const std::vector<AugmentView> views{whole_view(height, width, out_height, out_width)};
  const DeviceViews on_device(views, out_height, out_width, stream);
  launch<resize_tile>(tiles_of(out_height, out_width, kTileHeight, kTileWidth), kThreads, 0, stream, image,
                      on_device.data(), on_device.filters(), out, height, width, out_height, out_width);
}

constexpr Augment<float> kFast{apply, resize};

}  // namespace

void register_augment() {
  register_table(kDevice, kFast);
  register_table(kDevice, naive_augment(), "naive");
}

}  // namespace mt::MT_BACKEND
