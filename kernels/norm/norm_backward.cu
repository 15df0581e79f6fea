// The fast backward passes of instance and batch normalisation on cuda and simt. Math: norm.md. First the
// sums over segments, then over images, then the gradient.

#include "kernels/common/device_array.cuh"
#include "kernels/device/kernel.h"
#include "kernels/norm/norm.h"
#include "kernels/norm/norm_tile.cuh"

namespace mt::MT_BACKEND {
namespace {

/// The inputs of all backward passes.
struct Pass {
  const float* x;        // (N,P,C)
  const float* y;        // (N,P,C), null: no ReLU
  const float* dy;       // (N,P,C)
  const float* gamma;    // (C) or null
  const float* mean;     // (N,C), or (C) where per_image is 0
  const float* inv_std;  // the same
  int64_t per_image;     // C, or 0
};

/// g: dy behind the mask y > 0.
template <int kWidth>
__device__ FloatGroup<kWidth> masked_gradient(const Pass& in, int64_t place) {
  auto g = simt::load_vector<FloatGroup<kWidth>>(in.dy + place);
  if (in.y != nullptr) {
    const auto y = simt::load_vector<FloatGroup<kWidth>>(in.y + place);
#pragma unroll
    for (int w = 0; w < kWidth; ++w) g.value[w] = y.value[w] > 0 ? g.value[w] : 0.0F;
  }
  return g;
}

// ---- 1. Sums over segments: a thread's pixels in order, then the block's rows in order

struct Sums {
  float g;        // Σ g
  float product;  // Σ g (x − mean)
};

template <typename Tile>
__global__ void segment_sums(Pass in, Sums* part, NormView v) {  // part: (N · segments, C)
  constexpr int kWidth = Tile::kWidth;
  SHARED(Sums, rows, kNormThreads * kWidth);  // (rows, lanes, kWidth)
  const NormPlace<Tile> at(v);
  Sums mine[kWidth] = {};
  if (at.channel < v.c) {
    const auto mean = of_channels<kWidth>(in.mean, at.image * in.per_image + at.channel, 0);
    for (int round = 0; round < kRounds; ++round) {
      const int length = at.run_length(round);
      const int64_t start = (at.image * v.pixels + at.run_begin(round)) * v.c + at.channel;
#pragma unroll
      for (int p = 0; p < kRun; ++p) {
        if (p < length) {
          const auto g = masked_gradient<kWidth>(in, start + p * v.c);
          const auto x = simt::load_vector<FloatGroup<kWidth>>(in.x + start + p * v.c);
#pragma unroll
          for (int w = 0; w < kWidth; ++w) {
            mine[w].g += g.value[w];
            mine[w].product = fmaf(g.value[w], x.value[w] - mean.value[w], mine[w].product);
          }
        }
      }
    }
  }
#pragma unroll
  for (int w = 0; w < kWidth; ++w) rows[threadIdx.x * kWidth + w] = mine[w];
  simt::sync_threads();
  if (at.row == 0 && at.channel < v.c) {
    for (int r = 1; r < Tile::kRows; ++r) {
#pragma unroll
      for (int w = 0; w < kWidth; ++w) {
        const Sums other = rows[(r * Tile::kLanes + at.lane) * kWidth + w];
        mine[w] = {mine[w].g + other.g, mine[w].product + other.product};
      }
    }
    Group<Sums, kWidth> neighbours;
#pragma unroll
    for (int w = 0; w < kWidth; ++w) neighbours.value[w] = mine[w];
    simt::store_vector(part + at.segment * v.c + at.channel, neighbours);
  }
}

// ---- 2. Sums over an image's segments, and over images, in double

struct GroupSums {
  double g;
  double product;
};

__global__ void image_sums(const Sums* part, GroupSums* images, NormView v) {  // images: (N,C)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < v.n * v.c) {
    const Sums* segments = part + i / v.c * v.segments * v.c + i % v.c;
    GroupSums sum{0, 0};
    for (int64_t s = 0; s < v.segments; ++s) {
      sum.g += static_cast<double>(segments[s * v.c].g);
      sum.product += static_cast<double>(segments[s * v.c].product);
    }
    images[i] = sum;
  }
}

/// What the gradient needs beside the Pass, of the same shape as its statistics; null for frozen ones.
struct Means {
  float* g;           // mean of g
  float* projection;  // inv_std² · mean of g (x − mean)
};

__device__ void store_means(const GroupSums& sum, float inv_std, double count, const Means& out, int64_t i) {
  const double s = static_cast<double>(inv_std);
  out.g[i] = static_cast<float>(sum.g / count);
  out.projection[i] = static_cast<float>(sum.product * s * s / count);
}

__global__ void instance_means(const GroupSums* images, const float* inv_std, Means out,
                               NormView v) {  // (N,C)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < v.n * v.c) store_means(images[i], inv_std[i], static_cast<double>(v.pixels), out, i);
}

/// One thread per channel: dgamma, dbeta (C, or null) and the batch's means (null unless wanted). Images are
/// added within shards of 8 in order, then shard by shard.
__global__ void channel_sums(const GroupSums* images, Pass in, float* dgamma, float* dbeta, Means means,
                             NormView v) {
  const int64_t ch = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (ch < v.c) {
    GroupSums total{0, 0};
    double total_dgamma = 0;
    for (int64_t first = 0; first < v.n; first += 8) {
      GroupSums shard{0, 0};
      double shard_dgamma = 0;
      for (int64_t i = first; i < v.n && i < first + 8; ++i) {
        const GroupSums image = images[i * v.c + ch];
        shard.g += image.g;
        shard.product += image.product;
        shard_dgamma += image.product * static_cast<double>(in.inv_std[i * in.per_image + ch]);
      }
      total.g += shard.g;
      total.product += shard.product;
      total_dgamma += shard_dgamma;
    }
    if (dgamma != nullptr) dgamma[ch] = static_cast<float>(total_dgamma);
    if (dbeta != nullptr) dbeta[ch] = static_cast<float>(total.g);
    if (means.g != nullptr) {
      const double count = static_cast<double>(v.n) * static_cast<double>(v.pixels);
      store_means(total, in.inv_std[ch], count, means, ch);
    }
  }
}

// ---- 3. dx = scale · ((g − mean of g) − (x − mean) · projection), dresidual = g

/// dx, dresidual: (N,P,C), null where not wanted; either may be dy, for a thread loads a run before it stores
/// it.
template <typename Tile>
__global__ void apply_gradient(Pass in, Means means, float* dx, float* dresidual, NormView v) {
  constexpr int kWidth = Tile::kWidth;
  const NormPlace<Tile> at(v);
  if (at.channel < v.c) {
    const int64_t statistic = at.image * in.per_image + at.channel;
    const auto mean = of_channels<kWidth>(in.mean, statistic, 0);
    const auto gamma = of_channels<kWidth>(in.gamma, at.channel, 1);
    const auto mean_g = of_channels<kWidth>(means.g, statistic, 0);
    const auto projection = of_channels<kWidth>(means.projection, statistic, 0);
    auto scale = of_channels<kWidth>(in.inv_std, statistic, 0);
#pragma unroll
    for (int w = 0; w < kWidth; ++w) scale.value[w] *= gamma.value[w];
    const bool reads_x = means.projection != nullptr && dx != nullptr;
    for (int round = 0; round < kRounds; ++round) {
      const int length = at.run_length(round);
      const int64_t start = (at.image * v.pixels + at.run_begin(round)) * v.c + at.channel;
      FloatGroup<kWidth> g[kRun];
      FloatGroup<kWidth> x[kRun];
#pragma unroll
      for (int p = 0; p < kRun; ++p) {
        if (p < length) {
          g[p] = masked_gradient<kWidth>(in, start + p * v.c);
          x[p] = reads_x ? simt::load_vector<FloatGroup<kWidth>>(in.x + start + p * v.c) : mean;
        }
      }
#pragma unroll
      for (int p = 0; p < kRun; ++p) {
        if (p < length) {
          if (dresidual != nullptr) simt::store_vector(dresidual + start + p * v.c, g[p]);
          if (dx != nullptr) {
#pragma unroll
            for (int w = 0; w < kWidth; ++w) {
              const float along = (x[p].value[w] - mean.value[w]) * projection.value[w];
              g[p].value[w] = ((g[p].value[w] - mean_g.value[w]) - along) * scale.value[w];
            }
            simt::store_vector(dx + start + p * v.c, g[p]);
          }
        }
      }
    }
  }
}

// ---- Host

enum class Statistics { instance, batch, frozen };

void backward(Statistics kind, const Pass& in, float* dx, float* dresidual, float* dgamma, float* dbeta,
              int64_t n, int64_t pixels, int64_t c, Stream stream) {
  const int64_t groups = kind == Statistics::instance ? n * c : (kind == Statistics::batch ? c : 0);
  const DeviceArray<float> mean_g(groups);
  const DeviceArray<float> projection(groups);
  const Means means{mean_g.data(), projection.data()};  // null for frozen statistics
  const Means batch_means = kind == Statistics::batch ? means : Means{nullptr, nullptr};
  const bool wants_parameters = dgamma != nullptr || dbeta != nullptr;
  const bool aligned = aligned_to_vectors(in.x, in.y, in.dy, in.gamma, in.mean, in.inv_std, dx, dresidual);
  with_norm_tile(n, pixels, c, aligned, [&]<typename Tile>(Tile, const NormView& v) {
    const int64_t blocks = n * v.segments * v.strips;
    const DeviceArray<Sums> part(n * v.segments * c);
    const DeviceArray<GroupSums> images(n * c);
    const auto* sums = static_cast<const GroupSums*>(images.data());
    if (n > 0 && (kind != Statistics::frozen || wants_parameters)) {
      launch<segment_sums<Tile>>(blocks, kNormThreads, 0, stream, in, part.data(), v);
      launch<image_sums>(blocks_for(n * c, kNormThreads), kNormThreads, 0, stream,
                         static_cast<const Sums*>(part.data()), images.data(), v);
    }
    if (n > 0 && kind == Statistics::instance) {
      launch<instance_means>(blocks_for(n * c, kNormThreads), kNormThreads, 0, stream, sums, in.inv_std,
                             means, v);
    }
    if (wants_parameters || kind == Statistics::batch) {
      launch<channel_sums>(blocks_for(c, kNormThreads), kNormThreads, 0, stream, sums, in, dgamma, dbeta,
                           batch_means, v);
    }
    if (n > 0 && (dx != nullptr || dresidual != nullptr))
      launch<apply_gradient<Tile>>(blocks, kNormThreads, 0, stream, in, means, dx, dresidual, v);
  });
}

}  // namespace

void instance_backward(const float* x, const float* y, const float* dy, const float* gamma, const float* mean,
                       const float* inv_std, bool relu, float* dx, float* dresidual, float* dgamma,
                       float* dbeta, int64_t n, int64_t pixels, int64_t c, Stream stream) {
  const Pass in{x, relu ? y : nullptr, dy, gamma, mean, inv_std, c};
  backward(Statistics::instance, in, dx, dresidual, dgamma, dbeta, n, pixels, c, stream);
}

void batch_backward_train(const float* x, const float* y, const float* dy, const float* gamma,
                          const float* mean, const float* inv_std, bool relu, float* dx, float* dresidual,
                          float* dgamma, float* dbeta, int64_t n, int64_t pixels, int64_t c, Stream stream) {
  const Pass in{x, relu ? y : nullptr, dy, gamma, mean, inv_std, 0};
  backward(Statistics::batch, in, dx, dresidual, dgamma, dbeta, n, pixels, c, stream);
}

void batch_backward_eval(const float* x, const float* y, const float* dy, const float* gamma,
                         const float* running_mean, const float* running_var, bool relu, float* dx,
                         float* dresidual, float* dgamma, float* dbeta, int64_t n, int64_t pixels, int64_t c,
                         float eps, Stream stream) {
  const DeviceArray<float> inv_std(c);
  inverse_deviations(running_var, inv_std.data(), c, eps, stream);
  const Pass in{x, relu ? y : nullptr, dy, gamma, running_mean, inv_std.data(), 0};
  backward(Statistics::frozen, in, dx, dresidual, dgamma, dbeta, n, pixels, c, stream);
}

}  // namespace mt::MT_BACKEND
