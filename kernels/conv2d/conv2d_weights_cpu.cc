// Gradient by the weights: tiles of filters x (taps, channels), summed over pixels straight from dy and x in
// memory.

#include <vector>

#include "kernels/common/scratch.h"
#include "kernels/conv2d/conv2d_cpu.h"
#include "kernels/gemm/tile.h"
#include "tensor/parallel.h"

namespace mt::conv2d_cpu {
namespace {

// dy of one block of pixels stays in the second-level cache while all taps pass over it.
constexpr int64_t kBlockFloats = 96 * 1024;

/// Images of a shard where whole vectors can be read at every tap: a copy with a frame of zeros, or the
/// images themselves.
struct ShardInput {
  const float* pixels = nullptr;
  int64_t row_stride = 0;
  int64_t image_stride = 0;
};

struct WeightsJob {
  const Images& x;
  const Taps& taps;
  const float* dy;  // (N,P,Q,K)
  float* dw;        // (K,R,S,C)
  const Conv2dShape& shape;

  int64_t run() const { return taps.columns * x.c; }    // floats of dw that lie together for one tap row
  int64_t filter() const { return taps.rows * run(); }  // floats of a filter
  int64_t out_w() const { return shape.out_w(); }
  int64_t out_h() const { return shape.out_h(); }
};

ShardInput frame_shard(const WeightsJob& job, int64_t first, int64_t images, Scratch& scratch) {
  const Images& x = job.x;
  const Taps& taps = job.taps;
  const TileEngine& engine = tile_engine();
  ShardInput input{x.pixels + ((first * x.h - taps.top) * x.w - taps.left) * x.c, x.w * x.c, x.h * x.w * x.c};
  // A last vector that is not whole would read beyond the end of x.
  if (job.run() % engine.lanes == 0 && !taps.reach_outside(x, job.out_h(), job.out_w())) return input;
  const int64_t width = (job.out_w() - 1) * taps.stride + taps.columns;
  const int64_t height = (job.out_h() - 1) * taps.stride + taps.rows;
  input.row_stride = width * x.c;
  input.image_stride = height * input.row_stride;
  float* frames = scratch.reserve(images * input.image_stride + engine.lanes);
  parallel_for(images * height, blocks(8192, std::max<int64_t>(1, input.row_stride)),
               [=](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end; ++row) {
                   copy_framed_row(x, first + row / height, row % height - taps.top, -taps.left, width,
                                   frames + row * input.row_stride);
                 }
               });
  std::fill_n(frames + images * input.image_stride, engine.lanes, 0.0F);
  input.pixels = frames;
  return input;
}

/// A block of output pixels: rows [row, row + rows) of images [image, image + images) of the shard.
struct PixelBlock {
  int64_t image;
  int64_t images;
  int64_t row;
  int64_t rows;
};

/// Adds a block's terms to (or sets, for the first) sums[k][r][..] for filters [k, k + filters) and tap row
/// r.
void add_block(const WeightsJob& job, const ShardInput& input, const float* dy, const PixelBlock& block,
               int64_t r, int64_t k, int64_t filters, float* sums, bool add) {
  const TileEngine& engine = tile_engine();
  const int64_t vectors = blocks(job.run(), engine.lanes);
  const int64_t strips = blocks(vectors, engine.vectors);
  const int64_t channels = job.shape.k;
  const float* x =
      input.pixels + block.image * input.image_stride + (block.row * job.taps.stride + r) * input.row_stride;
  const float* g = dy + (block.image * job.out_h() + block.row) * job.out_w() * channels;
  std::vector<const float*> a(static_cast<std::size_t>(filters));
  std::vector<float*> c(static_cast<std::size_t>(filters));
  for (int64_t i = 0; i < filters; ++i) {
    a[static_cast<std::size_t>(i)] = g + k + i;
    c[static_cast<std::size_t>(i)] = sums + (k + i) * job.filter() + r * job.run();
  }
  for (int64_t strip = 0; strip < strips; ++strip) {
    const int64_t v = strip * vectors / strips;
    const int64_t strip_vectors = (strip + 1) * vectors / strips - v;
    const int64_t tiles = blocks(filters, engine.rows[static_cast<std::size_t>(strip_vectors)]);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t i = tile * filters / tiles;
      const TileTerms terms{.a = a.data() + i,
                            .a_step = channels,
                            .a_run = job.out_w() * channels,
                            .a_group = job.out_h() * job.out_w() * channels,
                            .b = x + v * engine.lanes,
                            .b_step = job.taps.stride * job.x.c,
                            .b_run = job.taps.stride * input.row_stride,
                            .b_group = input.image_stride,
                            .groups = block.images,
                            .runs = block.rows,
                            .run_length = job.out_w()};
      const TileResult result{.c = c.data() + i,
                              .offset = v * engine.lanes,
                              .columns = std::min(strip_vectors * engine.lanes, job.run() - v * engine.lanes),
                              .add = add};
      engine.multiply((tile + 1) * filters / tiles - i, strip_vectors, terms, result);
    }
  }
}

/// The sums of one shard for filters [k, k + filters) and tap row r; pixels in the order of memory.
void add_shard(const WeightsJob& job, const ShardInput& input, const float* dy, int64_t images, int64_t r,
               int64_t k, int64_t filters, float* sums) {
  const int64_t row_floats = std::max<int64_t>(1, job.out_w() * job.shape.k);
  const int64_t rows_per_block = std::clamp<int64_t>(kBlockFloats / row_floats, 1, job.out_h());
  const int64_t images_per_block =
      rows_per_block < job.out_h() ? 1 : std::max<int64_t>(1, kBlockFloats / (row_floats * job.out_h()));
  for (int64_t image = 0; image < images; image += images_per_block) {
    for (int64_t row = 0; row < job.out_h(); row += rows_per_block) {
      const PixelBlock block{image, std::min(images_per_block, images - image), row,
                             std::min(rows_per_block, job.out_h() - row)};
      add_block(job, input, dy, block, r, k, filters, sums, image > 0 || row > 0);
    }
  }
}

/// dw[filters][r] += sums[filters][r]
void add_sums(const WeightsJob& job, int64_t r, int64_t k, int64_t filters, const float* sums) {
  for (int64_t i = k; i < k + filters; ++i) {
    const int64_t begin = i * job.filter() + r * job.run();
    for (int64_t j = begin; j < begin + job.run(); ++j) job.dw[j] += sums[j];
  }
}

}  // namespace

void backward_weights(const float* x, const float* dy, float* dw, const Conv2dShape& d, Stream) {
  check_conv2d_shape(d);
  const Images images{x, d.n, d.h, d.w, d.c};
  const Taps taps{.rows = d.r, .columns = d.s, .stride = d.stride, .top = d.padding, .left = d.padding};
  const WeightsJob job{images, taps, dy, dw, d};
  if (d.n == 0) std::fill_n(dw, d.k * job.filter(), 0.0F);
  if (d.k == 0 || d.c == 0) return;
  thread_local Scratch frames;
  thread_local Scratch partial;
  const int64_t groups = std::clamp<int64_t>(blocks(4 * thread_count(), d.r), 1, blocks(d.k, 8));
  for (int64_t first = 0; first < d.n; first += kConv2dShardImages) {
    const int64_t count = std::min(kConv2dShardImages, d.n - first);
    const ShardInput input = frame_shard(job, first, count, frames);
    const float* shard_dy = dy + first * d.out_h() * d.out_w() * d.k;
    float* sums = first == 0 ? dw : partial.reserve(d.k * job.filter());
    parallel_for(groups * d.r, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t k = task / d.r * d.k / groups;
        const int64_t filters = (task / d.r + 1) * d.k / groups - k;
        add_shard(job, input, shard_dy, count, task % d.r, k, filters, sums);
        if (first > 0) add_sums(job, task % d.r, k, filters, sums);
      }
    });
  }
}

}  // namespace mt::conv2d_cpu
