// Gradient by the weights: tiles of filters x (taps, channels), summed over the pixels of a shard.

#include <vector>

#include "kernels/common/scratch.h"
#include "kernels/conv2d/conv2d_cpu.h"
#include "kernels/gemm/tile.h"
#include "tensor/parallel.h"

namespace mt::conv2d_cpu {
namespace {

// What a block of pixels takes of the second-level cache: dy of a group of filters, and one strip of x.
constexpr int64_t kBlockFloats = 128 * 1024;
// Filters that one thread takes at least: a cache line of dy.
constexpr int64_t kGroupFilters = 16;
// Rows of output shorter than this are gathered into columns, so that the inner loop runs over all pixels of
// a shard at once.
constexpr int64_t kShortRow = 14;
// Less copying than this is not worth a second thread.
constexpr int64_t kFloatsPerRange = 64 * 1024;

// Shards are computed side by side, one to a thread, as long as their sums stay in the cache.
constexpr int64_t kSideBySideFloats = 128 * 1024;

struct WeightsJob {
  const Images& x;
  const Taps& taps;
  const float* dy;  // (N,P,Q,K)
  float* dw;        // (K,R,S,C)
  const Conv2dShape& shape;
  int64_t out_h;
  int64_t out_w;

  int64_t run() const { return taps.columns * x.c; }    // floats of dw that lie together for one tap row
  int64_t filter() const { return taps.rows * run(); }  // floats of a filter
  int64_t vectors() const { return blocks(run(), tile_engine().lanes); }
  int64_t strips() const { return blocks(vectors(), tile_engine().vectors); }
  int64_t strip_begin(int64_t strip) const { return strip * vectors() / strips(); }  // in vectors
};

/// Where tiles read x of a shard: the images (or copies with frames of zeros), or columns: for each tap row
/// and strip, the strip's floats of every output pixel in turn.
struct ShardInput {
  const float* pixels = nullptr;
  int64_t row_stride = 0;
  int64_t image_stride = 0;
  bool columns = false;
};

ShardInput frame_shard(const WeightsJob& job, int64_t first, int64_t images, Scratch& scratch) {
  const Images& x = job.x;
  const Taps& taps = job.taps;
  const TileEngine& engine = tile_engine();
  ShardInput input{x.pixels + ((first * x.h - taps.top) * x.w - taps.left) * x.c, x.w * x.c, x.h * x.w * x.c};
  // A last vector that is not whole would read beyond the end of x.
  if (job.run() % engine.lanes == 0 && !taps.reach_outside(x, job.out_h, job.out_w)) return input;
  const int64_t width = (job.out_w - 1) * taps.stride + taps.columns;
  const int64_t height = (job.out_h - 1) * taps.stride + taps.rows;
  input.row_stride = width * x.c;
  input.image_stride = height * input.row_stride;
  float* frames = scratch.reserve(images * input.image_stride + engine.lanes);
  parallel_for(images * height, blocks(kFloatsPerRange, input.row_stride), [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      copy_framed_row(x, first + row / height, row % height - taps.top, -taps.left, width,
                      frames + row * input.row_stride);
    }
  });
  std::fill_n(frames + images * input.image_stride, engine.lanes, 0.0F);
  input.pixels = frames;
  return input;
}

/// Columns (R, strips, pixels of the shard, floats of the strip); a strip starts at pixels * lanes *
/// strip_begin of its tap row.
ShardInput gather_columns(const WeightsJob& job, const ShardInput& framed, int64_t images, Scratch& scratch) {
  const int64_t lanes = tile_engine().lanes;
  const int64_t pixels = images * job.out_h * job.out_w;
  float* columns = scratch.reserve(job.taps.rows * pixels * job.vectors() * lanes);
  const int64_t strips_per_range = std::max<int64_t>(1, kFloatsPerRange / (pixels * tile_engine().width()));
  parallel_for(job.taps.rows * job.strips(), strips_per_range, [=, &job](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t r = part / job.strips();
      const int64_t v = job.strip_begin(part % job.strips());
      const int64_t width = (job.strip_begin(part % job.strips() + 1) - v) * lanes;
      float* target = columns + (r * job.vectors() + v) * pixels * lanes;
      for (int64_t row = 0; row < images * job.out_h; ++row) {
        const float* source = framed.pixels + row / job.out_h * framed.image_stride +
                              (row % job.out_h * job.taps.stride + r) * framed.row_stride + v * lanes;
        for (int64_t q = 0; q < job.out_w; ++q, target += width) {
          std::copy_n(source + q * job.taps.stride * job.x.c, width, target);
        }
      }
    }
  });
  return {columns, 0, 0, true};
}

/// Output rows [row, row + rows) of images [image, image + images) of a shard.
struct PixelBlock {
  int64_t image;
  int64_t images;
  int64_t row;
  int64_t rows;
};

/// The terms of dw[..][r][strip] over a block of pixels, but for the pointers to dy.
TileTerms terms_of_block(const WeightsJob& job, const ShardInput& input, const PixelBlock& block, int64_t r,
                         int64_t strip) {
  const int64_t lanes = tile_engine().lanes;
  const int64_t v = job.strip_begin(strip);
  const int64_t channels = job.shape.k;
  if (input.columns) {
    const int64_t pixels = block.images * job.out_h * job.out_w;
    return {.a_step = channels,
            .b = input.pixels + (r * job.vectors() + v) * pixels * lanes,
            .b_step = (job.strip_begin(strip + 1) - v) * lanes,
            .run_length = pixels};
  }
  const int64_t row = block.row * job.taps.stride + r;
  return {.a_step = channels,
          .a_run = job.out_w * channels,
          .a_group = job.out_h * job.out_w * channels,
          .b = input.pixels + block.image * input.image_stride + row * input.row_stride + v * lanes,
          .b_step = job.taps.stride * job.x.c,
          .b_run = job.taps.stride * input.row_stride,
          .b_group = input.image_stride,
          .groups = block.images,
          .runs = block.rows,
          .run_length = job.out_w};
}

/// Filters [k, k + filters) and tap rows [r, r + rows): what one task computes of dw.
struct Part {
  int64_t k;
  int64_t filters;
  int64_t r;
  int64_t rows;
};

/// Takes a block's terms into a part of sums (K,R,S,C). dy is the shard's.
void add_block(const WeightsJob& job, const ShardInput& input, const float* dy, const PixelBlock& block,
               const Part& part, float* sums, TileStart start) {
  const TileEngine& engine = tile_engine();
  const float* gradient = dy + (block.image * job.out_h + block.row) * job.out_w * job.shape.k;
  std::vector<const float*> a(static_cast<std::size_t>(part.filters));
  std::vector<float*> c(static_cast<std::size_t>(part.filters));
  for (int64_t i = 0; i < part.filters; ++i) {
    a[static_cast<std::size_t>(i)] = gradient + part.k + i;
    c[static_cast<std::size_t>(i)] = sums + (part.k + i) * job.filter();
  }
  for (int64_t r = part.r; r < part.r + part.rows; ++r) {
    for (int64_t strip = 0; strip < job.strips(); ++strip) {
      TileTerms terms = terms_of_block(job, input, block, r, strip);
      const int64_t begin = job.strip_begin(strip) * engine.lanes;
      const int64_t vectors = job.strip_begin(strip + 1) - job.strip_begin(strip);
      const int64_t tiles = blocks(part.filters, engine.rows[static_cast<std::size_t>(vectors)]);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t i = tile * part.filters / tiles;
        terms.a = a.data() + i;
        const TileResult result{.c = c.data() + i,
                                .offset = r * job.run() + begin,
                                .columns = std::min(vectors * engine.lanes, job.run() - begin),
                                .start = start};
        engine.multiply((tile + 1) * part.filters / tiles - i, vectors, terms, result);
      }
    }
  }
}

/// dw += sums, for one part.
void add_sums(const WeightsJob& job, const Part& part, const float* sums) {
  for (int64_t k = part.k; k < part.k + part.filters; ++k) {
    const int64_t begin = k * job.filter() + part.r * job.run();
    for (int64_t i = begin; i < begin + part.rows * job.run(); ++i) job.dw[i] += sums[i];
  }
}

/// Sums one shard of images for a part of dw (K,R,S,C), the shard's pixels in the order of memory, from zero;
/// then sets `target` to the sums or, with `add`, adds them. dy is the shard's; `room` (K,R,S,C) is used to
/// add a shard of several blocks.
void add_part(const WeightsJob& job, const ShardInput& input, const float* dy, int64_t images,
              const Part& part, bool add, float* target, float* room) {
  const int64_t row_floats = job.out_w * (part.filters + tile_engine().width());
  const int64_t rows =
      input.columns ? job.out_h : std::clamp<int64_t>(kBlockFloats / row_floats, 1, job.out_h);
  const int64_t images_per_block = input.columns ? images
                                   : rows < job.out_h
                                       ? 1
                                       : std::max<int64_t>(1, kBlockFloats / (row_floats * job.out_h));
  if (rows == job.out_h && images_per_block >= images) {
    const TileStart start = add ? TileStart::add_to_result : TileStart::from_zero;
    return add_block(job, input, dy, {0, images, 0, rows}, part, target, start);
  }
  float* sums = add ? room : target;
  for (int64_t image = 0; image < images; image += images_per_block) {
    for (int64_t row = 0; row < job.out_h; row += rows) {
      const PixelBlock block{image, std::min(images_per_block, images - image), row,
                             std::min(rows, job.out_h - row)};
      add_block(job, input, dy, block, part, sums,
                image > 0 || row > 0 ? TileStart::from_result : TileStart::from_zero);
    }
  }
  if (add) add_sums(job, part, sums);
}

/// dw cut into at least `wanted` parts where it can be: by filters, and by tap rows where filters are few.
std::vector<Part> parts_of(const WeightsJob& job, int64_t wanted) {
  const int64_t groups = std::min(wanted, blocks(job.shape.k, kGroupFilters));
  const int64_t row_groups = std::min(blocks(wanted, groups), job.taps.rows);
  std::vector<Part> parts;
  for (int64_t i = 0; i < groups * row_groups; ++i) {
    const int64_t k = i / row_groups * job.shape.k / groups;
    const int64_t r = i % row_groups * job.taps.rows / row_groups;
    parts.push_back({k, (i / row_groups + 1) * job.shape.k / groups - k, r,
                     (i % row_groups + 1) * job.taps.rows / row_groups - r});
  }
  return parts;
}

/// One shard for all of dw, cut into `wanted` parts; `add` and `target` as for add_part.
void add_shard(const WeightsJob& job, int64_t shard, int64_t wanted, bool add, float* target) {
  thread_local Scratch frames;
  thread_local Scratch columns;
  thread_local Scratch room;
  const int64_t image = shard * kConv2dShardImages;
  const int64_t images = std::min(kConv2dShardImages, job.shape.n - image);
  ShardInput input = frame_shard(job, image, images, frames);
  if (job.out_w < kShortRow) input = gather_columns(job, input, images, columns);
  const float* dy = job.dy + image * job.out_h * job.out_w * job.shape.k;
  float* sums = add ? room.reserve(job.shape.k * job.filter()) : nullptr;
  const std::vector<Part> parts = parts_of(job, wanted);
  parallel_for(static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      add_part(job, input, dy, images, parts[static_cast<std::size_t>(i)], add, target, sums);
  });
}

/// Shards [first, first + count): a thread takes one at a time, into sums of its own; then the sums are added
/// in order.
void add_shards_side_by_side(const WeightsJob& job, int64_t first, int64_t count) {
  thread_local Scratch scratch;
  const int64_t floats = job.shape.k * job.filter();
  float* sums = scratch.reserve(count * floats);  // (shards, K,R,S,C)
  parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) add_shard(job, first + i, 1, false, sums + i * floats);
  });
  if (first == 0) std::copy_n(sums, floats, job.dw);
  for (int64_t shard = first == 0 ? 1 : 0; shard < count; ++shard) {
    for (int64_t i = 0; i < floats; ++i) job.dw[i] += sums[shard * floats + i];
  }
}

}  // namespace

void backward_weights(const float* x, const float* dy, float* dw, const Conv2dShape& d, Stream) {
  check_conv2d_shape(d);
  const Images images{x, d.n, d.h, d.w, d.c};
  const Taps taps{.rows = d.r, .columns = d.s, .stride = d.stride, .top = d.padding, .left = d.padding};
  const WeightsJob job{images, taps, dy, dw, d, d.out_h(), d.out_w()};
  if (d.n == 0) std::fill_n(dw, d.k * job.filter(), 0.0F);
  if (d.k == 0 || d.c == 0) return;
  const int64_t shards = blocks(d.n, kConv2dShardImages);
  const int64_t threads = thread_count();
  const int64_t together = std::min(shards, kSideBySideFloats / (d.k * job.filter())) / threads * threads;
  if (together > 1) {
    for (int64_t first = 0; first < shards; first += together) {
      add_shards_side_by_side(job, first, std::min(together, shards - first));
    }
  } else {
    for (int64_t shard = 0; shard < shards; ++shard) add_shard(job, shard, 2 * threads, shard > 0, dw);
  }
}

}  // namespace mt::conv2d_cpu
