// Instance and batch normalisation on cuda and simt: the fast forward passes and the tables. Math and error
// bounds: norm.md. The naive version: norm_naive.cu; the backward passes: norm_backward.cu.

#include "kernels/norm/norm.h"

#include <string>

#include "kernels/common/device_array.cuh"
#include "kernels/common/tables.h"
#include "kernels/device/kernel.h"
#include "kernels/norm/norm_tile.cuh"

namespace mt::MT_BACKEND {
namespace {

// ---- 1. Statistics of segments

/// Mean and squared deviations of some values of a channel, relative to its image's pivot.
struct Moments {
  float mean;
  float m2;
};

/// a, of a_count values, with the b_count values of b (Chan, Golub & LeVeque 1983).
__device__ Moments merged(const Moments& a, int a_count, const Moments& b, int b_count) {
  const float share = static_cast<float>(b_count) / static_cast<float>(a_count + b_count);
  const float delta = b.mean - a.mean;
  return {fmaf(delta, share, a.mean), a.m2 + fmaf(delta * delta, static_cast<float>(a_count) * share, b.m2)};
}

/// part[segment, c]: the segment's moments. A run of pixels is measured in two passes over registers; runs,
/// and then the block's rows, are merged in order. The pivot is the image's first pixel: it takes a common
/// offset out before anything is rounded.
template <typename Tile>
__global__ void segment_moments(const float* x, Moments* part, NormView v) {
  // x: (N,P,C), part: (N · segments, C)
  constexpr int kWidth = Tile::kWidth;
  SHARED(Moments, rows, kNormThreads * kWidth);  // (rows, lanes, kWidth)
  SHARED(int, counts, Tile::kRows);
  const NormPlace<Tile> at(v);
  const float* image = x + at.image * v.pixels * v.c;  // (P,C)
  Moments mine[kWidth] = {};
  int count = 0;
  if (at.channel < v.c) {
    const auto pivot = simt::load_vector<FloatGroup<kWidth>>(image + at.channel);
    for (int round = 0; round < kRounds; ++round) {
      const int length = at.run_length(round);
      const float* run = image + at.run_begin(round) * v.c + at.channel;
      float value[kRun][kWidth];
      float sum[kWidth] = {};
#pragma unroll
      for (int p = 0; p < kRun; ++p) {
        if (p < length) {
          const auto loaded = simt::load_vector<FloatGroup<kWidth>>(run + p * v.c);
#pragma unroll
          for (int w = 0; w < kWidth; ++w) {
            value[p][w] = loaded.value[w] - pivot.value[w];
            sum[w] += value[p][w];
          }
        }
      }
      if (length > 0) {
#pragma unroll
        for (int w = 0; w < kWidth; ++w) {
          Moments here{sum[w] / static_cast<float>(length), 0};
#pragma unroll
          for (int p = 0; p < kRun; ++p) {
            const float deviation = p < length ? value[p][w] - here.mean : 0.0F;
            here.m2 = fmaf(deviation, deviation, here.m2);
          }
          mine[w] = merged(mine[w], count, here, length);
        }
        count += length;
      }
    }
  }
#pragma unroll
  for (int w = 0; w < kWidth; ++w) rows[threadIdx.x * kWidth + w] = mine[w];
  if (at.lane == 0) counts[at.row] = count;  // lane 0 always has channels
  simt::sync_threads();
  if (at.row == 0 && at.channel < v.c) {
#pragma unroll Tile::kRowsUnrolled
    for (int r = 1; r < Tile::kRows; ++r) {
      if (counts[r] > 0) {
#pragma unroll
        for (int w = 0; w < kWidth; ++w) {
          mine[w] = merged(mine[w], count, rows[(r * Tile::kLanes + at.lane) * kWidth + w], counts[r]);
        }
        count += counts[r];
      }
    }
    Group<Moments, kWidth> neighbours;
#pragma unroll
    for (int w = 0; w < kWidth; ++w) neighbours.value[w] = mine[w];
    simt::store_vector(part + at.segment * v.c + at.channel, neighbours);
  }
}

// ---- 2. Statistics of groups, in double

struct GroupMoments {
  double mean;
  double m2;
};

/// All segments of one image and channel.
__device__ GroupMoments image_moments(const float* x, const Moments* part, int64_t image, int64_t channel,
                                      const NormView& v) {
  const Moments* segments = part + image * v.segments * v.c + channel;
  double sum = 0;
  for (int64_t s = 0; s < v.segments; ++s)
    sum += static_cast<double>(v.pixels_of(s)) * static_cast<double>(segments[s * v.c].mean);
  const double offset = sum / static_cast<double>(v.pixels);
  double m2 = 0;
  for (int64_t s = 0; s < v.segments; ++s) {
    const double delta = static_cast<double>(segments[s * v.c].mean) - offset;
    m2 += static_cast<double>(segments[s * v.c].m2) + static_cast<double>(v.pixels_of(s)) * delta * delta;
  }
  return {static_cast<double>(x[image * v.pixels * v.c + channel]) + offset, m2};
}

__global__ void instance_statistics(const float* x, const Moments* part, float* mean, float* inv_std,
                                    NormView v, float eps) {  // mean, inv_std: (N,C)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < v.n * v.c) {
    const GroupMoments m = image_moments(x, part, i / v.c, i % v.c, v);
    mean[i] = static_cast<float>(m.mean);
    inv_std[i] = inverse_deviation(m.m2 / static_cast<double>(v.pixels), eps);
  }
}

__global__ void all_image_moments(const float* x, const Moments* part, GroupMoments* images,
                                  NormView v) {  // images: (N,C)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < v.n * v.c) images[i] = image_moments(x, part, i / v.c, i % v.c, v);
}

/// What is known and wanted of a batch, each (C); the running ones may be null.
struct BatchStatistics {
  float* mean;
  float* inv_std;
  float* running_mean;
  float* running_var;
  float momentum;
  float eps;
};

__device__ float blended(float old, double fresh, float momentum) {
  return static_cast<float>(static_cast<double>(old) +
                            static_cast<double>(momentum) * (fresh - static_cast<double>(old)));
}

/// One thread per channel; images are added within shards of 8 in order, then shard by shard.
__global__ void batch_statistics(const GroupMoments* images, BatchStatistics out, NormView v) {
  const int64_t ch = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (ch < v.c) {
    const auto over_images = [&](const auto& term) {
      double total = 0;
      for (int64_t first = 0; first < v.n; first += 8) {
        double shard = 0;
        for (int64_t i = first; i < v.n && i < first + 8; ++i) shard += term(images[i * v.c + ch]);
        total += shard;
      }
      return total;
    };
    const double pixels = static_cast<double>(v.pixels);
    const double count = static_cast<double>(v.n) * pixels;
    const double mean = over_images([](const GroupMoments& m) { return m.mean; }) / static_cast<double>(v.n);
    const double m2 = over_images([=](const GroupMoments& m) {
      const double delta = m.mean - mean;
      return m.m2 + pixels * delta * delta;
    });
    out.mean[ch] = static_cast<float>(mean);
    out.inv_std[ch] = inverse_deviation(m2 / count, out.eps);
    if (out.running_mean != nullptr) out.running_mean[ch] = blended(out.running_mean[ch], mean, out.momentum);
    if (out.running_var != nullptr)
      out.running_var[ch] = blended(out.running_var[ch], m2 / (count - 1), out.momentum);
  }
}

__global__ void inverse_deviations_kernel(const float* variance, float* inv_std, int64_t c, float eps) {
  const int64_t ch = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (ch < c) inv_std[ch] = inverse_deviation(static_cast<double>(variance[ch]), eps);
}

// ---- 3. y = act((x − mean) · scale + beta + residual)

struct Affine {
  const float* gamma;     // (C) or null
  const float* beta;      // (C) or null
  const float* residual;  // (N,P,C) or null
  const float* mean;      // (N,C), or (C) where per_image is 0
  const float* inv_std;   // the same
  int64_t per_image;      // C, or 0
  bool relu;
};

__device__ float activated(float x, float mean, float scale, float beta, float residual, bool relu) {
  const float z = fmaf(x - mean, scale, beta) + residual;
  return relu && z < 0 ? 0.0F : z;  // NaN stays
}

/// A thread keeps its channels' numbers in registers and loads a whole run before it stores it: y may be x or
/// the residual.
template <typename Tile>
__global__ void apply_norm(const float* x, Affine f, float* y, NormView v) {  // x, y: (N,P,C)
  constexpr int kWidth = Tile::kWidth;
  const NormPlace<Tile> at(v);
  if (at.channel < v.c) {
    const int64_t place = at.image * f.per_image + at.channel;
    const auto mean = of_channels<kWidth>(f.mean, place, 0);
    const auto gamma = of_channels<kWidth>(f.gamma, at.channel, 1);
    const auto beta = of_channels<kWidth>(f.beta, at.channel, 0);
    auto scale = of_channels<kWidth>(f.inv_std, place, 0);
#pragma unroll
    for (int w = 0; w < kWidth; ++w) scale.value[w] *= gamma.value[w];
    for (int round = 0; round < kRounds; ++round) {
      const int length = at.run_length(round);
      const int64_t start = (at.image * v.pixels + at.run_begin(round)) * v.c + at.channel;
      FloatGroup<kWidth> value[kRun];
      FloatGroup<kWidth> residual[kRun];
#pragma unroll
      for (int p = 0; p < kRun; ++p) {
        if (p < length) {
          value[p] = simt::load_vector<FloatGroup<kWidth>>(x + start + p * v.c);
          residual[p] = of_channels<kWidth>(f.residual, start + p * v.c, 0);
        }
      }
#pragma unroll
      for (int p = 0; p < kRun; ++p) {
        if (p < length) {
#pragma unroll
          for (int w = 0; w < kWidth; ++w) {
            value[p].value[w] = activated(value[p].value[w], mean.value[w], scale.value[w], beta.value[w],
                                          residual[p].value[w], f.relu);
          }
          simt::store_vector(y + start + p * v.c, value[p]);
        }
      }
    }
  }
}

// ---- 4. The mean of that y over an image's pixels

constexpr int kWarps = kNormThreads / 32;

/// A block has 32 · kWidth channels of one image. A warp adds every fourth run of 8 pixels: the run in float,
/// runs in double; the warps are added in order. That is the order of pool's global average.
template <int kWidth>
__global__ void average_norm(const float* x, Affine f, float* average, int64_t pixels, int64_t c,
                             int64_t strips) {  // x: (N,P,C), average: (N,C); grid: N · strips
  SHARED(double, rows, kNormThreads* kWidth);   // (warps, lanes, kWidth)
  const int64_t image = blockIdx.x / strips;
  const int64_t channel = (blockIdx.x % strips * 32 + simt::lane()) * kWidth;
  double total[kWidth] = {};
  if (channel < c) {
    const int64_t place = image * f.per_image + channel;
    const auto mean = of_channels<kWidth>(f.mean, place, 0);
    const auto gamma = of_channels<kWidth>(f.gamma, channel, 1);
    const auto beta = of_channels<kWidth>(f.beta, channel, 0);
    auto scale = of_channels<kWidth>(f.inv_std, place, 0);
#pragma unroll
    for (int w = 0; w < kWidth; ++w) scale.value[w] *= gamma.value[w];
    for (int64_t first = int64_t{kRun} * simt::warp(); first < pixels; first += kRun * kWarps) {
      float sum[kWidth] = {};
#pragma unroll
      for (int p = 0; p < kRun; ++p) {
        if (first + p < pixels) {
          const int64_t from = (image * pixels + first + p) * c + channel;
          const auto value = simt::load_vector<FloatGroup<kWidth>>(x + from);
          const auto residual = of_channels<kWidth>(f.residual, from, 0);
#pragma unroll
          for (int w = 0; w < kWidth; ++w) {
            sum[w] += activated(value.value[w], mean.value[w], scale.value[w], beta.value[w],
                                residual.value[w], f.relu);
          }
        }
      }
#pragma unroll
      for (int w = 0; w < kWidth; ++w) total[w] += static_cast<double>(sum[w]);
    }
  }
#pragma unroll
  for (int w = 0; w < kWidth; ++w) rows[threadIdx.x * kWidth + w] = total[w];
  simt::sync_threads();
  if (simt::warp() == 0 && channel < c) {
    FloatGroup<kWidth> result;
#pragma unroll
    for (int w = 0; w < kWidth; ++w) {
      for (int other = 1; other < kWarps; ++other) {
        total[w] += rows[(other * 32 + simt::lane()) * kWidth + w];
      }
      result.value[w] = static_cast<float>(total[w] / static_cast<double>(pixels));
    }
    simt::store_vector(average + image * c + channel, result);
  }
}

// ---- Host

template <typename Tile>
int64_t blocks_of(const NormView& v) {
  return v.n * v.segments * v.strips;
}

template <typename Tile>
void launch_apply(Tile, const float* x, const Affine& f, float* y, const NormView& v, Stream stream) {
  launch<apply_norm<Tile>>(blocks_of<Tile>(v), kNormThreads, 0, stream, x, f, y, v);
}

template <typename Tile>
void launch_moments(Tile, const float* x, Moments* part, const NormView& v, Stream stream) {
  launch<segment_moments<Tile>>(blocks_of<Tile>(v), kNormThreads, 0, stream, x, part, v);
}

void instance_forward(const float* x, const float* gamma, const float* beta, const float* residual, bool relu,
                      float* y, float* mean, float* inv_std, int64_t n, int64_t pixels, int64_t c, float eps,
                      Stream stream) {
  if (n == 0) return;
  const bool aligned = aligned_to_vectors(x, gamma, beta, residual, y, mean, inv_std);
  with_norm_tile(n, pixels, c, aligned, [&](auto tile, const NormView& v) {
    const DeviceArray<Moments> part(n * v.segments * c);
    launch_moments(tile, x, part.data(), v, stream);
    launch<instance_statistics>(blocks_for(n * c, kNormThreads), kNormThreads, 0, stream, x,
                                static_cast<const Moments*>(part.data()), mean, inv_std, v, eps);
    launch_apply(tile, x, {gamma, beta, residual, mean, inv_std, c, relu}, y, v, stream);
  });
}

template <typename Tile>
void launch_average(Tile, const float* x, const Affine& f, float* average, const NormView& v, Stream stream) {
  const int64_t strips = blocks_for(v.c, 32 * Tile::kWidth);
  launch<average_norm<Tile::kWidth>>(v.n * strips, kNormThreads, 0, stream, x, f, average, v.pixels, v.c,
                                     strips);
}

void instance_average(const float* x, const float* gamma, const float* beta, const float* residual, bool relu,
                      float* average, int64_t n, int64_t pixels, int64_t c, float eps, Stream stream) {
  if (n == 0) return;
  const DeviceArray<float> mean(n * c);
  const DeviceArray<float> inv_std(n * c);
  const bool aligned = aligned_to_vectors(x, gamma, beta, residual, average, mean.data(), inv_std.data());
  with_norm_tile(n, pixels, c, aligned, [&](auto tile, const NormView& v) {
    const DeviceArray<Moments> part(n * v.segments * c);
    launch_moments(tile, x, part.data(), v, stream);
    launch<instance_statistics>(blocks_for(n * c, kNormThreads), kNormThreads, 0, stream, x,
                                static_cast<const Moments*>(part.data()), mean.data(), inv_std.data(), v,
                                eps);
    launch_average(tile, x, {gamma, beta, residual, mean.data(), inv_std.data(), c, relu}, average, v,
                   stream);
  });
}

void batch_forward_train(const float* x, const float* gamma, const float* beta, const float* residual,
                         bool relu, float* y, float* mean, float* inv_std, float* running_mean,
                         float* running_var, float momentum, int64_t n, int64_t pixels, int64_t c, float eps,
                         Stream stream) {
  require_unbiased(running_var, n * pixels);
  if (n == 0) return;
  const bool aligned = aligned_to_vectors(x, gamma, beta, residual, y, mean, inv_std);
  with_norm_tile(n, pixels, c, aligned, [&](auto tile, const NormView& v) {
    const DeviceArray<Moments> part(n * v.segments * c);
    const DeviceArray<GroupMoments> images(n * c);
    launch_moments(tile, x, part.data(), v, stream);
    launch<all_image_moments>(blocks_for(n * c, kNormThreads), kNormThreads, 0, stream, x,
                              static_cast<const Moments*>(part.data()), images.data(), v);
    const BatchStatistics statistics{mean, inv_std, running_mean, running_var, momentum, eps};
    launch<batch_statistics>(blocks_for(c, kNormThreads), kNormThreads, 0, stream,
                             static_cast<const GroupMoments*>(images.data()), statistics, v);
    launch_apply(tile, x, {gamma, beta, residual, mean, inv_std, 0, relu}, y, v, stream);
  });
}

void batch_forward_eval(const float* x, const float* gamma, const float* beta, const float* residual,
                        bool relu, const float* running_mean, const float* running_var, float* y, int64_t n,
                        int64_t pixels, int64_t c, float eps, Stream stream) {
  if (n == 0) return;
  const DeviceArray<float> inv_std(c);
  inverse_deviations(running_var, inv_std.data(), c, eps, stream);
  const bool aligned = aligned_to_vectors(x, gamma, beta, residual, y, running_mean);
  with_norm_tile(n, pixels, c, aligned, [&](auto tile, const NormView& v) {
    launch_apply(tile, x, {gamma, beta, residual, running_mean, inv_std.data(), 0, relu}, y, v, stream);
  });
}

void batch_average_eval(const float* x, const float* gamma, const float* beta, const float* residual,
                        bool relu, const float* running_mean, const float* running_var, float* average,
                        int64_t n, int64_t pixels, int64_t c, float eps, Stream stream) {
  if (n == 0) return;
  const DeviceArray<float> inv_std(c);
  inverse_deviations(running_var, inv_std.data(), c, eps, stream);
  const bool aligned = aligned_to_vectors(x, gamma, beta, residual, average, running_mean);
  with_norm_tile(n, pixels, c, aligned, [&](auto tile, const NormView& v) {
    launch_average(tile, x, {gamma, beta, residual, running_mean, inv_std.data(), 0, relu}, average, v,
                   stream);
  });
}

constexpr Norm<float> kFast{instance_forward,   instance_backward,    batch_forward_train,
                            batch_forward_eval, batch_backward_train, batch_backward_eval,
                            instance_average,   batch_average_eval};

}  // namespace

void inverse_deviations(const float* variance, float* inv_std, int64_t c, float eps, Stream stream) {
  launch<inverse_deviations_kernel>(blocks_for(c, kNormThreads), kNormThreads, 0, stream, variance, inv_std,
                                    c, eps);
}

void require_unbiased(const float* running_var, int64_t count) {
  if (running_var != nullptr && count < 2) {
    fail_kernel("batch norm: running statistics need 2 values per channel, not " + std::to_string(count));
  }
}

void register_norm() {
  register_table(kDevice, kFast);
  register_table(kDevice, naive_norm(), "naive");
}

}  // namespace mt::MT_BACKEND
