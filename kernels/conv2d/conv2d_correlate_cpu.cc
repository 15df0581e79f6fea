// Forward convolution and its gradient by the input: register tiles of output pixels x output channels, whose
// rows point straight into the images (or into a copy with a frame of zeros, or scaled from bytes), so that
// nothing is unrolled into columns.

#include <vector>

#include "kernels/common/scratch.h"
#include "kernels/conv2d/conv2d_cpu.h"
#include "kernels/gemm/tile.h"
#include "tensor/parallel.h"

namespace mt::conv2d_cpu {
namespace {

// A task's piece of the input stays in the second-level cache beside a strip of weights.
constexpr int64_t kTaskFloats = 128 * 1024;
// … and a block of a strip of weights, this many terms deep.
constexpr int64_t kBlockTerms = 640;
// Smallest task in output pixels: a few tiles, so that packing pointers and frames stays small beside them.
constexpr int64_t kTaskPixels = 56;

/// Where the pixels of a task are: one pointer to the first tap and one to the output of each.
struct TaskPixels {
  std::vector<const float*> input;
  std::vector<float*> output;
  int64_t row_stride = 0;  // floats from an input row to the next
};

struct Correlation {
  const Images& x;
  const Taps& taps;
  const float* panels;
  const OutputGrid& out;

  int64_t frame_width() const { return (out.out_w - 1) * taps.stride + taps.columns; }
  int64_t frame_height(int64_t out_rows) const { return (out_rows - 1) * taps.stride + taps.rows; }
};

/// Calls visit(image, first output row, rows) for each image that output rows [begin, end) of all images
/// touch.
template <typename Visit>
void for_each_image(int64_t out_h, int64_t begin, int64_t end, const Visit& visit) {
  for (int64_t row = begin; row < end;) {
    const int64_t image = row / out_h;
    const int64_t rows = std::min(end, (image + 1) * out_h) - row;
    visit(image, row - image * out_h, rows);
    row += rows;
  }
}

void gather_pixels(const Correlation& job, bool framed, int64_t begin, int64_t end, TaskPixels& pixels) {
  thread_local Scratch scratch;
  const Images& x = job.x;
  const Taps& taps = job.taps;
  const OutputGrid& out = job.out;
  pixels.input.resize(static_cast<std::size_t>((end - begin) * out.out_w));
  pixels.output.resize(pixels.input.size());
  auto next_input = pixels.input.begin();
  auto next_output = pixels.output.begin();
  pixels.row_stride = (framed ? job.frame_width() : x.w) * x.c;
  float* frame = nullptr;
  if (framed) {
    int64_t rows_needed = 0;
    for_each_image(out.out_h, begin, end,
                   [&](int64_t, int64_t, int64_t rows) { rows_needed += job.frame_height(rows); });
    frame = scratch.reserve(rows_needed * pixels.row_stride);
  }
  for_each_image(out.out_h, begin, end, [&](int64_t image, int64_t p, int64_t rows) {
    const int64_t top = p * taps.stride - taps.top;
    const float* origin = framed ? frame : x.pixels + ((image * x.h + top) * x.w - taps.left) * x.c;
    if (framed) {
      for (int64_t i = 0; i < job.frame_height(rows); ++i, frame += pixels.row_stride) {
        copy_framed_row(x, image, top + i, -taps.left, job.frame_width(), frame);
      }
    }
    for (int64_t i = 0; i < rows; ++i) {
      const float* input = origin + i * taps.stride * pixels.row_stride;
      float* output =
          out.y + ((image * out.h + out.first_row + (p + i) * out.step) * out.w + out.first_column) * out.k;
      for (int64_t q = 0; q < out.out_w; ++q) {
        *next_input++ = input + q * taps.stride * x.c;
        *next_output++ = output + q * out.step * out.k;
      }
    }
  });
}

/// Terms [begin, begin + terms.run_length) of each of the runs of `terms`, for all pixels of a task and one
/// panel.
void correlate_panel(const Correlation& job, const TaskPixels& pixels, int64_t panel, TileTerms terms,
                     TileStart start) {
  const TileEngine& engine = tile_engine();
  const int64_t columns = std::min(engine.width(), job.out.k - panel * engine.width());
  const int64_t vectors = blocks(columns, engine.lanes);
  const auto count = static_cast<int64_t>(pixels.input.size());
  const int64_t tiles = blocks(count, engine.rows[static_cast<std::size_t>(vectors)]);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t i = tile * count / tiles;
    terms.a = pixels.input.data() + i;
    const TileResult result{
        .c = pixels.output.data() + i, .offset = panel * engine.width(), .columns = columns, .start = start};
    engine.multiply((tile + 1) * count / tiles - i, vectors, terms, result);
  }
}

/// Output channels of panels [first, last) for the pixels of a task. The terms of a long sum are taken in
/// blocks, so that a block of a panel stays in the cache while all pixels pass over it.
void correlate_pixels(const Correlation& job, const TaskPixels& pixels, int64_t first, int64_t last) {
  const int64_t width = panel_width();
  const int64_t run = job.taps.columns * job.x.c;
  const bool together = job.taps.rows * run <= kBlockTerms;
  const int64_t run_blocks = together ? 1 : blocks(run, kBlockTerms);
  for (int64_t panel = first; panel < last; ++panel) {
    const float* b = job.panels + panel * job.taps.rows * run * width;
    for (int64_t r = 0; r < (together ? 1 : job.taps.rows); ++r) {
      for (int64_t block = 0; block < run_blocks; ++block) {
        const int64_t begin = block * run / run_blocks;
        const TileTerms terms{.a_first = r * pixels.row_stride + begin,
                              .a_run = pixels.row_stride,
                              .b = b + (r * run + begin) * width,
                              .b_step = width,
                              .b_run = run * width,
                              .runs = together ? job.taps.rows : 1,
                              .run_length = (block + 1) * run / run_blocks - begin};
        correlate_panel(job, pixels, panel, terms,
                        r > 0 || block > 0 ? TileStart::from_result : TileStart::from_zero);
      }
    }
  }
}

}  // namespace

int64_t panel_width() {
  return tile_engine().width();
}

void correlate(const Images& x, const Taps& taps, const float* panels, const OutputGrid& out) {
  const Correlation job{x, taps, panels, out};
  const int64_t panel_count = blocks(out.k, panel_width());
  const int64_t rows = x.n * out.out_h;
  if (rows == 0 || out.out_w == 0 || panel_count == 0) return;
  const bool framed = x.bytes != nullptr || taps.reach_outside(x, out.out_h, out.out_w);

  const int64_t wanted_tasks = 4 * thread_count();
  const int64_t row_floats = std::max<int64_t>(1, taps.stride * job.frame_width() * x.c);
  const int64_t most_rows = std::max<int64_t>(1, kTaskFloats / row_floats);
  // Strips of weights are read once a task: where there are several, tasks rather split those than the
  // pixels.
  const int64_t fewest_rows =
      blocks(std::max(kTaskPixels, blocks(rows * out.out_w * panel_count, wanted_tasks)), out.out_w);
  const int64_t row_tasks = blocks(rows, std::min(most_rows, fewest_rows));
  const int64_t panel_tasks = std::min(panel_count, blocks(wanted_tasks, row_tasks));
  parallel_for(row_tasks * panel_tasks, 1, [&](int64_t begin, int64_t end) {
    TaskPixels pixels;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t part = task / panel_tasks;
      gather_pixels(job, framed, part * rows / row_tasks, (part + 1) * rows / row_tasks, pixels);
      const int64_t panel = task % panel_tasks;
      correlate_pixels(job, pixels, panel * panel_count / panel_tasks,
                       (panel + 1) * panel_count / panel_tasks);
    }
  });
}

}  // namespace mt::conv2d_cpu
