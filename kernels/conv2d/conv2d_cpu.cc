#include "kernels/conv2d/conv2d_cpu.h"

#include "kernels/common/scratch.h"
#include "kernels/common/tables.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/pack.h"
#include "tensor/parallel.h"

namespace mt {
namespace {

using namespace conv2d_cpu;

/// A 1x1 convolution at every pixel is a matrix product of pixels and filters.
bool is_matrix_product(const Conv2dShape& d) {
  return d.r == 1 && d.s == 1 && d.stride == 1 && d.padding == 0;
}

/// Small panels are packed several at a time: less than 256 KiB is not worth a second thread.
int64_t panels_per_range(int64_t floats) {
  return std::max<int64_t>(1, 64 * 1024 / std::max<int64_t>(1, floats));
}

void multiply_pixels(const float* x, const float* weight, float* y, const Conv2dShape& d, Stream stream) {
  gemm<float>(Device::cpu)
      .multiply(false, true, d.n * d.h * d.w, d.k, d.c, x, d.c, weight, d.c, 0, y, d.k, {}, stream);
}

void correlate_images(const Images& x, const float* weight, float* y, const Conv2dShape& d) {
  thread_local Scratch scratch;
  const int64_t width = panel_width();
  const int64_t depth = d.r * d.s * d.c;
  float* panels = scratch.reserve(blocks(d.k, width) * depth * width);
  parallel_for(blocks(d.k, width), panels_per_range(depth * width), [=](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t k = panel * width;
      pack_columns(weight + k * depth, depth, depth, std::min(width, d.k - k), width, panels + k * depth);
    }
  });
  const Taps taps{.rows = d.r, .columns = d.s, .stride = d.stride, .top = d.padding, .left = d.padding};
  const OutputGrid out{
      .y = y, .h = d.out_h(), .w = d.out_w(), .k = d.k, .out_h = d.out_h(), .out_w = d.out_w()};
  correlate(x, taps, panels, out);
}

void forward(const float* x, const float* weight, float* y, const Conv2dShape& d, Stream stream) {
  check_conv2d_shape(d);
  if (is_matrix_product(d)) {
    multiply_pixels(x, weight, y, d, stream);
  } else {
    correlate_images({x, d.n, d.h, d.w, d.c}, weight, y, d);
  }
}

void forward_fused(const float* x, const float* weight, float* y, const Conv2dShape& d,
                   const Conv2dEpilogue<float>& epilogue, Stream stream) {
  forward(x, weight, y, d, stream);
  apply_epilogue(y, d, epilogue);
}

void forward_pixels(const uint8_t* pixels, const ImageScaling& scaling, const float* weight, float* y,
                    const Conv2dShape& d, const Conv2dEpilogue<float>& epilogue, Stream stream) {
  check_conv2d_pixels(d);
  const Bytes bytes{pixels, image_table(scaling), scaling.swap_red_blue};
  const Images images{.n = d.n, .h = d.h, .w = d.w, .c = 3, .bytes = &bytes};
  if (is_matrix_product(d)) {  // no stem: the matrix product wants its operand in memory
    thread_local Scratch scratch;
    float* x = scratch.reserve(d.n * d.h * d.w * 3);  // (N,H,W,3)
    images.copy_pixels(0, d.n * d.h * d.w, x);
    multiply_pixels(x, weight, y, d, stream);
  } else {
    correlate_images(images, weight, y, d);
  }
  apply_epilogue(y, d, epilogue);
}

/// Which outputs reach input rows (or columns) first, first + stride …: those of the taps residue, residue +
/// stride …
struct ParityClass {
  ParityClass(int64_t residue_in, int64_t size, int64_t filter, int64_t stride, int64_t padding)
      : residue(residue_in) {
    first = ((residue - padding) % stride + stride) % stride;
    count = first < size ? blocks(size - first, stride) : 0;
    taps = residue < filter ? blocks(filter - residue, stride) : 0;
    // Input row first + i * stride takes tap residue + t * stride from dy's row i + (first + padding -
    // residue) / stride - t. Read backwards (t = taps - 1 - u) that is a correlation at dy's row i - before +
    // u.
    before = taps - 1 - (first + padding - residue) / stride;
  }
  int64_t tap(int64_t u, int64_t stride) const { return residue + (taps - 1 - u) * stride; }

  int64_t residue;
  int64_t first;
  int64_t count;
  int64_t taps;
  int64_t before;
};

/// panels (taps of rows, taps of columns, K, width) of the filters' taps of one class, transposed and turned
/// around.
void pack_class(const float* weight, const Conv2dShape& d, const ParityClass& rows,
                const ParityClass& columns, float* panels) {
  const int64_t width = panel_width();
  const int64_t depth = rows.taps * columns.taps * d.k;
  parallel_for(blocks(d.c, width), panels_per_range(depth * width), [=](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t c = panel * width;
      for (int64_t tap = 0; tap < rows.taps * columns.taps; ++tap) {
        const int64_t r = rows.tap(tap / columns.taps, d.stride);
        const int64_t s = columns.tap(tap % columns.taps, d.stride);
        pack_rows(weight + (r * d.s + s) * d.c + c, d.r * d.s * d.c, d.k, std::min(width, d.c - c), width,
                  panels + c * depth + tap * d.k * width);
      }
    }
  });
}

/// The gradient of a convolution of stride t is t x t correlations of dy, one for each parity of the input's
/// row and column, each with the taps that meet it: no zeros are inserted.
void backward_data(const float* dy, const float* weight, float* dx, const Conv2dShape& d, Stream stream) {
  check_conv2d_shape(d);
  if (is_matrix_product(d)) {
    gemm<float>(Device::cpu)
        .multiply(false, false, d.n * d.h * d.w, d.c, d.k, dy, d.k, weight, d.c, 0, dx, d.c, {}, stream);
    return;
  }
  thread_local Scratch scratch;
  const int64_t width = panel_width();
  float* panels = scratch.reserve(blocks(d.c, width) * width * d.r * d.s * d.k);
  if (d.stride > std::min(d.r, d.s))
    std::fill_n(dx, d.n * d.h * d.w * d.c, 0.0F);  // some parities meet no tap
  for (int64_t row_residue = 0; row_residue < std::min(d.stride, d.r); ++row_residue) {
    for (int64_t column_residue = 0; column_residue < std::min(d.stride, d.s); ++column_residue) {
      const ParityClass rows(row_residue, d.h, d.r, d.stride, d.padding);
      const ParityClass columns(column_residue, d.w, d.s, d.stride, d.padding);
      pack_class(weight, d, rows, columns, panels);
      const Taps taps{.rows = rows.taps,
                      .columns = columns.taps,
                      .stride = 1,
                      .top = rows.before,
                      .left = columns.before};
      const OutputGrid out{.y = dx,
                           .h = d.h,
                           .w = d.w,
                           .k = d.c,
                           .first_row = rows.first,
                           .first_column = columns.first,
                           .step = d.stride,
                           .out_h = rows.count,
                           .out_w = columns.count};
      correlate({dy, d.n, d.out_h(), d.out_w(), d.k}, taps, panels, out);
    }
  }
}

}  // namespace

template <>
const Conv2d<float>& conv2d<float>(Device device) {
  static constexpr Conv2d<float> table{forward, backward_data, backward_weights, forward_fused,
                                       forward_pixels};
  return device == Device::cpu ? table : chosen_table<Conv2d<float>>(device, "conv2d");
}

}  // namespace mt
