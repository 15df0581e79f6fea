#pragma once
// How the blocks of the normalisations share (N,P,C), and the declarations that their .cu files share.
// Included by .cu files only.

#include <cstdint>

#include "kernels/common/vectors.cuh"
#include "kernels/device/kernel.h"
#include "kernels/norm/norm.h"

namespace mt::MT_BACKEND {

/// Threads of a block of the fast kernels.
constexpr int kNormThreads = 128;
/// Neighbouring pixels that a thread holds in registers at a time, and how often it does.
constexpr int kRun = 8;
constexpr int kRounds = 4;

/// A block takes one strip of channels and one segment of pixels of one image: kLanes threads stand beside
/// each other, each with kWidth neighbouring channels, and kRows above each other, each with runs of pixels.
/// Which Tile is used depends on C and on alignment alone.
template <int kWidthOfThread, int kLanesOfRow>
struct NormTile {
  static constexpr int kWidth = kWidthOfThread;
  static constexpr int kLanes = kLanesOfRow;
  static constexpr int kRows = kNormThreads / kLanes;
  static constexpr int kRowsUnrolled =
      kRows == 4 ? 1 : kRows;  // else four rows take a fifth block's registers
  static constexpr int64_t kStrip = int64_t{kLanes} * kWidth;           // channels
  static constexpr int64_t kSegment = int64_t{kRun} * kRounds * kRows;  // pixels
};

/// The sizes of (N,P,C), in tiles. The grid is n · segments · strips blocks.
struct NormView {
  int64_t n;
  int64_t pixels;
  int64_t c;
  int64_t segment;  // pixels of one
  int64_t segments;
  int64_t strips;
  __host__ __device__ int64_t pixels_of(int64_t s) const {
    return s + 1 < segments ? segment : pixels - s * segment;
  }
};

/// Calls run(NormTile{}, view). `aligned`: every (N,P,C) array and every array of channels may be read as
/// float4.
template <typename Run>
void with_norm_tile(int64_t n, int64_t pixels, int64_t c, bool aligned, const Run& run) {
  const auto with = [&]<typename Tile>(Tile tile) {
    run(tile, NormView{n, pixels, c, Tile::kSegment, blocks_for(pixels, Tile::kSegment),
                       blocks_for(c, Tile::kStrip)});
  };
  if (c % 4 != 0 || !aligned) {
    with(NormTile<1, 32>{});
  } else if (c <= 64) {
    with(NormTile<4, 16>{});
  } else {
    with(NormTile<4, 32>{});
  }
}

/// Where a thread stands.
template <typename Tile>
struct NormPlace {
  __device__ explicit NormPlace(const NormView& v)
      : lane(static_cast<int>(threadIdx.x) % Tile::kLanes),
        row(static_cast<int>(threadIdx.x) / Tile::kLanes) {
    segment = blockIdx.x / v.strips;
    image = segment / v.segments;
    const int64_t s = segment % v.segments;
    begin = s * v.segment;
    end = begin + v.pixels_of(s);
    channel = (blockIdx.x % v.strips * Tile::kLanes + lane) * Tile::kWidth;
  }
  /// The first pixel of the thread's run in a round, and how many there are: 0 to kRun.
  __device__ int64_t run_begin(int round) const {
    return begin + (int64_t{round} * Tile::kRows + row) * kRun;
  }
  __device__ int run_length(int round) const {
    const int64_t left = end - run_begin(round);
    return left <= 0 ? 0 : (left < kRun ? static_cast<int>(left) : kRun);
  }

  int lane;
  int row;
  int64_t segment;  // image · segments + the segment's number
  int64_t image;
  int64_t begin;  // pixels of the segment
  int64_t end;
  int64_t channel;  // the first of the thread's kWidth; C or more: it has none
};

/// The kWidth numbers of a thread's channels in an array over channels, or `other` everywhere where it is
/// null.
template <int kWidth>
__device__ inline FloatGroup<kWidth> of_channels(const float* values, int64_t place, float other) {
  FloatGroup<kWidth> result;
  if (values != nullptr) {
    result = simt::load_vector<FloatGroup<kWidth>>(values + place);
  } else {
    for (int w = 0; w < kWidth; ++w) result.value[w] = other;
  }
  return result;
}

__device__ inline float inverse_deviation(double variance, float eps) {
  return static_cast<float>(1 / sqrt(variance + static_cast<double>(eps)));
}

/// inv_std[ch] = 1 / √(variance[ch] + eps), (C): frozen statistics.
void inverse_deviations(const float* variance, float* inv_std, int64_t c, float eps, Stream stream);

// norm_backward.cu
void instance_backward(const float* x, const float* y, const float* dy, const float* gamma, const float* mean,
                       const float* inv_std, bool relu, float* dx, float* dresidual, float* dgamma,
                       float* dbeta, int64_t n, int64_t pixels, int64_t c, Stream stream);
void batch_backward_train(const float* x, const float* y, const float* dy, const float* gamma,
                          const float* mean, const float* inv_std, bool relu, float* dx, float* dresidual,
                          float* dgamma, float* dbeta, int64_t n, int64_t pixels, int64_t c, Stream stream);
void batch_backward_eval(const float* x, const float* y, const float* dy, const float* gamma,
                         const float* running_mean, const float* running_var, bool relu, float* dx,
                         float* dresidual, float* dgamma, float* dbeta, int64_t n, int64_t pixels, int64_t c,
                         float eps, Stream stream);

// norm_naive.cu
const Norm<float>& naive_norm();

/// Throws Error when the unbiased variance does not exist.
void require_unbiased(const float* running_var, int64_t count);

}  // namespace mt::MT_BACKEND
