// Instance and batch normalisation on cuda and simt, the naive version: one thread per group of values that
// share a mean, in double. Math: norm.md. Neighbouring threads are neighbouring channels, so loads are
// coalesced; but a layer of 64 channels has 64 threads for a whole batch.

#include "kernels/common/device_array.cuh"
#include "kernels/device/kernel.h"
#include "kernels/norm/norm.h"
#include "kernels/norm/norm_tile.cuh"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 64;

/// (N,P,C) and how its groups lie: group i has channel i % c of `images` images, from image i / c · images
/// on.
struct Groups {
  int64_t n;
  int64_t pixels;
  int64_t c;
  int64_t images;  // of a group: 1 (instance) or N (batch)
  __host__ __device__ int64_t count() const { return n == 0 ? 0 : n / images * c; }
  __host__ __device__ double size() const { return static_cast<double>(images * pixels); }
};

/// Calls f(place) for every element of a group, in order.
template <typename F>
__device__ void for_each_of_group(const Groups& s, int64_t group, const F& f) {
  const int64_t start = group / s.c * s.images * s.pixels * s.c + group % s.c;
  for (int64_t p = 0; p < s.images * s.pixels; ++p) f(start + p * s.c);
}

/// Running statistics, (C) or null.
struct Running {
  float* mean;
  float* var;
  float momentum;
};

__device__ void blend(float& old, double fresh, float momentum) {
  old = static_cast<float>(static_cast<double>(old) +
                           static_cast<double>(momentum) * (fresh - static_cast<double>(old)));
}

__global__ void statistics_naive(const float* x, float* mean, float* inv_std, Running running, float eps,
                                 Groups s) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < s.count()) {
    double sum = 0;
    for_each_of_group(s, i, [&](int64_t place) { sum += static_cast<double>(x[place]); });
    const double m = sum / s.size();
    double m2 = 0;
    for_each_of_group(s, i, [&](int64_t place) {
      const double d = static_cast<double>(x[place]) - m;
      m2 += d * d;
    });
    mean[i] = static_cast<float>(m);
    inv_std[i] = inverse_deviation(m2 / s.size(), eps);
    if (running.mean != nullptr) blend(running.mean[i], m, running.momentum);
    if (running.var != nullptr) blend(running.var[i], m2 / (s.size() - 1), running.momentum);
  }
}

__device__ float activated(float x, float mean, float scale, float shift, const float* residual, bool relu) {
  float z = fmaf(x - mean, scale, shift);
  if (residual != nullptr) z += *residual;
  return relu && z < 0 ? 0.0F : z;  // NaN stays
}

__global__ void apply_naive(const float* x, const float* gamma, const float* beta, const float* residual,
                            bool relu, const float* mean, const float* inv_std, float* y, Groups s) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < s.count()) {
    const float scale = inv_std[i] * (gamma == nullptr ? 1.0F : gamma[i % s.c]);
    const float shift = beta == nullptr ? 0.0F : beta[i % s.c];
    for_each_of_group(s, i, [&](int64_t place) {
      y[place] =
          activated(x[place], mean[i], scale, shift, residual == nullptr ? nullptr : residual + place, relu);
    });
  }
}

/// One thread per image and channel. Statistics: (N,C), or (C) where per_image is false.
__global__ void average_naive(const float* x, const float* gamma, const float* beta, const float* residual,
                              bool relu, const float* mean, const float* inv_std, bool per_image,
                              float* average, Groups s) {  // average: (N,C); s: groups of one image
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < s.count()) {
    const int64_t statistic = per_image ? i : i % s.c;
    const float scale = inv_std[statistic] * (gamma == nullptr ? 1.0F : gamma[i % s.c]);
    const float shift = beta == nullptr ? 0.0F : beta[i % s.c];
    double sum = 0;
    for_each_of_group(s, i, [&](int64_t place) {
      sum += static_cast<double>(activated(x[place], mean[statistic], scale, shift,
                                           residual == nullptr ? nullptr : residual + place, relu));
    });
    average[i] = static_cast<float>(sum / s.size());
  }
}

struct Outputs {
  float* dx;         // (N,P,C) or null
  float* dresidual;  // (N,P,C) or null
  double* sum;       // Σ g of each group
  double* product;   // Σ g x̂ of each group
};

/// y: null without ReLU. frozen: the statistics are constants.
__global__ void gradient_naive(const float* x, const float* y, const float* dy, const float* gamma,
                               const float* mean, const float* inv_std, bool frozen, Outputs out, Groups s) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < s.count()) {
    const auto g = [&](int64_t place) { return y == nullptr || y[place] > 0 ? dy[place] : 0.0F; };
    const double deviation = static_cast<double>(inv_std[i]);
    const auto standard = [&](int64_t place) {
      return (static_cast<double>(x[place]) - static_cast<double>(mean[i])) * deviation;
    };
    double sum = 0;
    double product = 0;
    for_each_of_group(s, i, [&](int64_t place) {
      sum += static_cast<double>(g(place));
      product += static_cast<double>(g(place)) * standard(place);
    });
    out.sum[i] = sum;
    out.product[i] = product;
    const double scale = deviation * (gamma == nullptr ? 1.0 : static_cast<double>(gamma[i % s.c]));
    for_each_of_group(s, i, [&](int64_t place) {  // dx or dresidual may be dy
      const float masked = g(place);
      const double centred = frozen ? 0 : sum / s.size() + standard(place) * (product / s.size());
      if (out.dresidual != nullptr) out.dresidual[place] = masked;
      if (out.dx != nullptr)
        out.dx[place] = static_cast<float>(scale * (static_cast<double>(masked) - centred));
    });
  }
}

/// dgamma, dbeta: (C) or null. Rows of groups are added within shards of 8 in order, then shard by shard.
__global__ void parameters_naive(const double* sum, const double* product, float* dgamma, float* dbeta,
                                 int64_t rows, int64_t c) {  // sum, product: (rows, C)
  const int64_t ch = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (ch < c) {
    double total_sum = 0;
    double total_product = 0;
    for (int64_t first = 0; first < rows; first += 8) {
      double shard_sum = 0;
      double shard_product = 0;
      for (int64_t r = first; r < rows && r < first + 8; ++r) {
        shard_sum += sum[r * c + ch];
        shard_product += product[r * c + ch];
      }
      total_sum += shard_sum;
      total_product += shard_product;
    }
    if (dgamma != nullptr) dgamma[ch] = static_cast<float>(total_product);
    if (dbeta != nullptr) dbeta[ch] = static_cast<float>(total_sum);
  }
}

// ---- Host

template <auto kKernel, typename... Args>
void launch_groups(const Groups& s, Stream stream, Args... args) {
  launch<kKernel>(blocks_for(s.count(), kThreads), kThreads, 0, stream, args..., s);
}

void instance_forward_naive(const float* x, const float* gamma, const float* beta, const float* residual,
                            bool relu, float* y, float* mean, float* inv_std, int64_t n, int64_t pixels,
                            int64_t c, float eps, Stream stream) {
  const Groups s{n, pixels, c, 1};
  if (n == 0) return;
  launch_groups<statistics_naive>(s, stream, x, mean, inv_std, Running{nullptr, nullptr, 0}, eps);
  launch_groups<apply_naive>(s, stream, x, gamma, beta, residual, relu, mean, inv_std, y);
}

void instance_average_naive(const float* x, const float* gamma, const float* beta, const float* residual,
                            bool relu, float* average, int64_t n, int64_t pixels, int64_t c, float eps,
                            Stream stream) {
  const Groups s{n, pixels, c, 1};
  if (n == 0) return;
  const DeviceArray<float> mean(n * c);
  const DeviceArray<float> inv_std(n * c);
  launch_groups<statistics_naive>(s, stream, x, mean.data(), inv_std.data(), Running{nullptr, nullptr, 0},
                                  eps);
  launch_groups<average_naive>(s, stream, x, gamma, beta, residual, relu,
                               static_cast<const float*>(mean.data()),
                               static_cast<const float*>(inv_std.data()), true, average);
}

void batch_forward_train_naive(const float* x, const float* gamma, const float* beta, const float* residual,
                               bool relu, float* y, float* mean, float* inv_std, float* running_mean,
                               float* running_var, float momentum, int64_t n, int64_t pixels, int64_t c,
                               float eps, Stream stream) {
  require_unbiased(running_var, n * pixels);
  const Groups s{n, pixels, c, n};
  if (n == 0) return;
  launch_groups<statistics_naive>(s, stream, x, mean, inv_std, Running{running_mean, running_var, momentum},
                                  eps);
  launch_groups<apply_naive>(s, stream, x, gamma, beta, residual, relu, mean, inv_std, y);
}

void batch_forward_eval_naive(const float* x, const float* gamma, const float* beta, const float* residual,
                              bool relu, const float* running_mean, const float* running_var, float* y,
                              int64_t n, int64_t pixels, int64_t c, float eps, Stream stream) {
  const Groups s{n, pixels, c, n};
  if (n == 0) return;
  const DeviceArray<float> inv_std(c);
  inverse_deviations(running_var, inv_std.data(), c, eps, stream);
  launch_groups<apply_naive>(s, stream, x, gamma, beta, residual, relu, running_mean, inv_std.data(), y);
}

void batch_average_eval_naive(const float* x, const float* gamma, const float* beta, const float* residual,
                              bool relu, const float* running_mean, const float* running_var, float* average,
                              int64_t n, int64_t pixels, int64_t c, float eps, Stream stream) {
  if (n == 0) return;
  const DeviceArray<float> inv_std(c);
  inverse_deviations(running_var, inv_std.data(), c, eps, stream);
  launch_groups<average_naive>(Groups{n, pixels, c, 1}, stream, x, gamma, beta, residual, relu, running_mean,
                               static_cast<const float*>(inv_std.data()), false, average);
}

void backward_naive(const Groups& s, bool frozen, const float* x, const float* y, const float* dy,
                    const float* gamma, const float* mean, const float* inv_std, float* dx, float* dresidual,
                    float* dgamma, float* dbeta, Stream stream) {
  const DeviceArray<double> sum(s.count());
  const DeviceArray<double> product(s.count());
  if (s.n > 0) {
    launch_groups<gradient_naive>(s, stream, x, y, dy, gamma, mean, inv_std, frozen,
                                  Outputs{dx, dresidual, sum.data(), product.data()});
  }
  launch<parameters_naive>(blocks_for(s.c, kThreads), kThreads, 0, stream,
                           static_cast<const double*>(sum.data()), static_cast<const double*>(product.data()),
                           dgamma, dbeta, s.count() / s.c, s.c);
}

void instance_backward_naive(const float* x, const float* y, const float* dy, const float* gamma,
                             const float* mean, const float* inv_std, bool relu, float* dx, float* dresidual,
                             float* dgamma, float* dbeta, int64_t n, int64_t pixels, int64_t c,
                             Stream stream) {
  backward_naive({n, pixels, c, 1}, false, x, relu ? y : nullptr, dy, gamma, mean, inv_std, dx, dresidual,
                 dgamma, dbeta, stream);
}

void batch_backward_train_naive(const float* x, const float* y, const float* dy, const float* gamma,
                                const float* mean, const float* inv_std, bool relu, float* dx,
                                float* dresidual, float* dgamma, float* dbeta, int64_t n, int64_t pixels,
                                int64_t c, Stream stream) {
  backward_naive({n, pixels, c, n}, false, x, relu ? y : nullptr, dy, gamma, mean, inv_std, dx, dresidual,
                 dgamma, dbeta, stream);
}

void batch_backward_eval_naive(const float* x, const float* y, const float* dy, const float* gamma,
                               const float* running_mean, const float* running_var, bool relu, float* dx,
                               float* dresidual, float* dgamma, float* dbeta, int64_t n, int64_t pixels,
                               int64_t c, float eps, Stream stream) {
  const DeviceArray<float> inv_std(c);
  inverse_deviations(running_var, inv_std.data(), c, eps, stream);
  backward_naive({n, pixels, c, n}, true, x, relu ? y : nullptr, dy, gamma, running_mean, inv_std.data(), dx,
                 dresidual, dgamma, dbeta, stream);
}

}  // namespace

const Norm<float>& naive_norm() {
  static constexpr Norm<float> kTable{instance_forward_naive,     instance_backward_naive,
                                      batch_forward_train_naive,  batch_forward_eval_naive,
                                      batch_backward_train_naive, batch_backward_eval_naive,
                                      instance_average_naive,     batch_average_eval_naive};
  return kTable;
}

}  // namespace mt::MT_BACKEND
