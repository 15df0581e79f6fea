#include "kernels/norm/norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/norm_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include <vector>

#include "kernels/common/tables.h"
#include "kernels/norm/norm-inl.h"
#include "tensor/parallel.h"

#if HWY_ONCE
namespace mt {
namespace {

using norm_cpu::BackwardCoefficients;
using norm_cpu::Coefficients;
using norm_cpu::kBlock;
using norm_cpu::Slab;

HWY_EXPORT(NormStatistics);
HWY_EXPORT(NormApply);
HWY_EXPORT(NormAverage);
HWY_EXPORT(NormGradientSums);
HWY_EXPORT(NormGradient);

// Calls f(image, first channel, slab) for every image and block of channels, in parallel.
template <typename F>
void for_each_slab(int64_t n, int64_t pixels, int64_t c, const F& f) {
  const int64_t blocks = (c + kBlock - 1) / kBlock;
  parallel_for(n * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % blocks * kBlock;
      f(i / blocks, first, Slab{pixels, c, std::min(kBlock, c - first)});
    }
  });
}

template <typename F>
Coefficients coefficients(const Slab& slab, const F& f) {
  Coefficients result;
  for (int64_t ch = 0; ch < slab.channels; ++ch) result.values[static_cast<std::size_t>(ch)] = f(ch);
  return result;
}

const float* at(const float* p, int64_t offset) {
  return p == nullptr ? nullptr : p + offset;
}
float* at(float* p, int64_t offset) {
  return p == nullptr ? nullptr : p + offset;
}

// The statistics of channel ch (counted from the slab's first) are mean[ch] and inv_std[ch]. y: the slab's
// pixels, or where `averaged` their mean, one number per channel.
void apply(bool averaged, const float* x, const float* gamma, const float* beta, const float* residual,
           bool relu, const float* mean, const float* inv_std, const Slab& slab, float* y) {
  const auto run = averaged ? HWY_DYNAMIC_DISPATCH(NormAverage) : HWY_DYNAMIC_DISPATCH(NormApply);
  run(x, residual, relu, slab, coefficients(slab, [&](int64_t ch) { return mean[ch]; }),
      coefficients(slab, [&](int64_t ch) { return inv_std[ch] * (gamma == nullptr ? 1.0F : gamma[ch]); }),
      coefficients(slab, [&](int64_t ch) { return beta == nullptr ? 0.0F : beta[ch]; }), y);
}

float inverse_deviation(double variance, float eps) {
  return static_cast<float>(1 / std::sqrt(variance + static_cast<double>(eps)));
}

// mean and inv_std of one slab, each one number per channel.
void slab_statistics(const float* x, const Slab& slab, float eps, float* mean, float* inv_std) {
  HWY_DYNAMIC_DISPATCH(NormStatistics)(x, slab, mean, inv_std);
  for (int64_t ch = 0; ch < slab.channels; ++ch) {
    inv_std[ch] = inverse_deviation(static_cast<double>(inv_std[ch]) / static_cast<double>(slab.pixels), eps);
  }
}

void instance_forward(const float* x, const float* gamma, const float* beta, const float* residual, bool relu,
                      float* y, float* mean, float* inv_std, int64_t n, int64_t pixels, int64_t c, float eps,
                      Stream) {
  for_each_slab(n, pixels, c, [&](int64_t image, int64_t first, const Slab& slab) {
    const int64_t start = image * pixels * c + first;
    float* image_mean = mean + image * c + first;
    float* image_inv_std = inv_std + image * c + first;
    slab_statistics(x + start, slab, eps, image_mean, image_inv_std);
    apply(false, x + start, at(gamma, first), at(beta, first), at(residual, start), relu, image_mean,
          image_inv_std, slab, y + start);
  });
}

void instance_average(const float* x, const float* gamma, const float* beta, const float* residual, bool relu,
                      float* average, int64_t n, int64_t pixels, int64_t c, float eps, Stream) {
  for_each_slab(n, pixels, c, [&](int64_t image, int64_t first, const Slab& slab) {
    const int64_t start = image * pixels * c + first;
    float mean[kBlock];
    float inv_std[kBlock];
    slab_statistics(x + start, slab, eps, mean, inv_std);
    apply(true, x + start, at(gamma, first), at(beta, first), at(residual, start), relu, mean, inv_std, slab,
          average + image * c + first);
  });
}

// Calls f(image) for 0 … n − 1 and g() behind every eighth and the last one: sums within shards of 8 images,
// then over shards.
template <typename F, typename G>
void for_each_shard(int64_t n, const F& f, const G& g) {
  for (int64_t image = 0; image < n; ++image) {
    f(image);
    if (image % 8 == 7 || image + 1 == n) g();
  }
}

// (N,C) → (C): within shards of 8 images, then over the shards. The result may be nullptr.
void sum_over_images(const std::vector<double>& values, int64_t n, int64_t c, float* result) {
  for (int64_t ch = 0; result != nullptr && ch < c; ++ch) {
    double total = 0;
    double shard = 0;
    for_each_shard(
        n, [&](int64_t image) { shard += values[static_cast<std::size_t>(image * c + ch)]; },
        [&] {
          total += shard;
          shard = 0;
        });
    result[ch] = static_cast<float>(total);
  }
}

struct Moments {
  double count = 0;
  double mean = 0;
  double m2 = 0;
  void merge(const Moments& other) {
    if (other.count == 0) return;
    const double delta = other.mean - mean;
    const double sum = count + other.count;
    mean += delta * (other.count / sum);
    m2 += other.m2 + delta * delta * count * (other.count / sum);
    count = sum;
  }
};

// Statistics of each channel over the batch. (N,P,C) → (C)
std::vector<Moments> batch_moments(const float* x, int64_t n, int64_t pixels, int64_t c) {
  std::vector<float> mean(static_cast<std::size_t>(n * c));  // (N,C)
  std::vector<float> m2(mean.size());                        // (N,C)
  for_each_slab(n, pixels, c, [&](int64_t image, int64_t first, const Slab& slab) {
    const int64_t i = image * c + first;
    HWY_DYNAMIC_DISPATCH(NormStatistics)
    (x + image * pixels * c + first, slab, mean.data() + i, m2.data() + i);
  });
  std::vector<Moments> moments(static_cast<std::size_t>(c));
  for (int64_t ch = 0; ch < c; ++ch) {
    Moments shard;
    Moments& total = moments[static_cast<std::size_t>(ch)];
    for_each_shard(
        n,
        [&](int64_t image) {
          const auto i = static_cast<std::size_t>(image * c + ch);
          shard.merge({static_cast<double>(pixels), mean[i], m2[i]});
        },
        [&] {
          total.merge(shard);
          shard = {};
        });
  }
  return moments;
}

// Statistics (C) that are already known. y: (N,P,C), or where `averaged` (N,C).
void batch_apply(bool averaged, const float* x, const float* gamma, const float* beta, const float* residual,
                 bool relu, const float* mean, const float* inv_std, float* y, int64_t n, int64_t pixels,
                 int64_t c) {
  for_each_slab(n, pixels, c, [&](int64_t image, int64_t first, const Slab& slab) {
    const int64_t start = image * pixels * c + first;
    apply(averaged, x + start, at(gamma, first), at(beta, first), at(residual, start), relu, mean + first,
          inv_std + first, slab, y + (averaged ? image * c + first : start));
  });
}

void batch_forward_train(const float* x, const float* gamma, const float* beta, const float* residual,
                         bool relu, float* y, float* mean, float* inv_std, float* running_mean,
                         float* running_var, float momentum, int64_t n, int64_t pixels, int64_t c, float eps,
                         Stream) {
  check(running_var == nullptr || n * pixels >= 2,
        "batch norm: running statistics need 2 values per channel, not {}", n * pixels);
  const auto moments = batch_moments(x, n, pixels, c);
  const auto blend = [&](float old, double fresh) {
    return static_cast<float>(old + static_cast<double>(momentum) * (fresh - static_cast<double>(old)));
  };
  for (int64_t ch = 0; ch < c; ++ch) {
    const Moments& m = moments[static_cast<std::size_t>(ch)];
    mean[ch] = static_cast<float>(m.mean);
    inv_std[ch] = inverse_deviation(m.m2 / m.count, eps);
    if (running_mean != nullptr) running_mean[ch] = blend(running_mean[ch], m.mean);
    if (running_var != nullptr) running_var[ch] = blend(running_var[ch], m.m2 / (m.count - 1));
  }
  batch_apply(false, x, gamma, beta, residual, relu, mean, inv_std, y, n, pixels, c);
}

std::vector<float> inverse_deviations(const float* running_var, int64_t c, float eps) {
  std::vector<float> inv_std(static_cast<std::size_t>(c));
  for (int64_t ch = 0; ch < c; ++ch)
    inv_std[static_cast<std::size_t>(ch)] = inverse_deviation(running_var[ch], eps);
  return inv_std;
}

void batch_forward_eval(const float* x, const float* gamma, const float* beta, const float* residual,
                        bool relu, const float* running_mean, const float* running_var, float* y, int64_t n,
                        int64_t pixels, int64_t c, float eps, Stream) {
  const auto inv_std = inverse_deviations(running_var, c, eps);
  batch_apply(false, x, gamma, beta, residual, relu, running_mean, inv_std.data(), y, n, pixels, c);
}

void batch_average_eval(const float* x, const float* gamma, const float* beta, const float* residual,
                        bool relu, const float* running_mean, const float* running_var, float* average,
                        int64_t n, int64_t pixels, int64_t c, float eps, Stream) {
  const auto inv_std = inverse_deviations(running_var, c, eps);
  batch_apply(true, x, gamma, beta, residual, relu, running_mean, inv_std.data(), average, n, pixels, c);
}

// Everything that the backward passes share. Statistics are (N,C), or (C) when `per_batch`.
struct Backward {
  const float* x;
  const float* y;  // nullptr: no ReLU
  const float* dy;
  const float* gamma;
  const float* mean;
  const float* inv_std;
  bool per_batch;
  float* dx;
  float* dresidual;
  int64_t n;
  int64_t pixels;
  int64_t c;

  int64_t statistic(int64_t image, int64_t first) const { return (per_batch ? 0 : image * c) + first; }

  // Σ g and Σ g (x − mean) of one slab.
  void sums(int64_t image, int64_t first, const Slab& slab, float* sum, float* product) const {
    const int64_t start = image * pixels * c + first;
    const float* m = mean + statistic(image, first);
    HWY_DYNAMIC_DISPATCH(NormGradientSums)
    (x + start, at(y, start), dy + start, slab, coefficients(slab, [&](int64_t ch) { return m[ch]; }), sum,
     product);
  }

  // dx and dresidual of one slab; sum and product (per channel of the slab) are nullptr for frozen
  // statistics.
  void gradient(int64_t image, int64_t first, const Slab& slab, const float* sum, const float* product,
                double count) const {
    const int64_t start = image * pixels * c + first;
    const float* m = mean + statistic(image, first);
    const float* s = inv_std + statistic(image, first);
    BackwardCoefficients k;
    k.mean = coefficients(slab, [&](int64_t ch) { return m[ch]; });
    k.scale =
        coefficients(slab, [&](int64_t ch) { return s[ch] * (gamma == nullptr ? 1.0F : gamma[first + ch]); });
    if (sum != nullptr) {
      k.mean_g = coefficients(
          slab, [&](int64_t ch) { return static_cast<float>(static_cast<double>(sum[ch]) / count); });
      k.projection = coefficients(slab, [&](int64_t ch) {
        const double inverse = s[ch];
        return static_cast<float>(static_cast<double>(product[ch]) * inverse * inverse / count);
      });
    }
    HWY_DYNAMIC_DISPATCH(NormGradient)
    (x + start, at(y, start), dy + start, slab, k, at(dx, start), at(dresidual, start));
  }

  // The (N,C) sums to dgamma and dbeta.
  void parameters(const std::vector<float>& sum, const std::vector<float>& product, float* dgamma,
                  float* dbeta) const {
    std::vector<double> terms(sum.begin(), sum.end());
    sum_over_images(terms, n, c, dbeta);
    for (int64_t i = 0; i < n * c; ++i) {
      const auto k = static_cast<std::size_t>(i);
      terms[k] = static_cast<double>(product[k]) * static_cast<double>(inv_std[per_batch ? i % c : i]);
    }
    sum_over_images(terms, n, c, dgamma);
  }
};

void instance_backward(const float* x, const float* y, const float* dy, const float* gamma, const float* mean,
                       const float* inv_std, bool relu, float* dx, float* dresidual, float* dgamma,
                       float* dbeta, int64_t n, int64_t pixels, int64_t c, Stream) {
  const Backward pass{x, relu ? y : nullptr, dy, gamma, mean, inv_std, false, dx, dresidual, n, pixels, c};
  std::vector<float> sum(static_cast<std::size_t>(n * c));  // (N,C)
  std::vector<float> product(sum.size());                   // (N,C)
  for_each_slab(n, pixels, c, [&](int64_t image, int64_t first, const Slab& slab) {
    const int64_t i = image * c + first;
    pass.sums(image, first, slab, sum.data() + i, product.data() + i);
    pass.gradient(image, first, slab, sum.data() + i, product.data() + i, static_cast<double>(pixels));
  });
  pass.parameters(sum, product, dgamma, dbeta);
}

// Batch statistics (C); frozen ones do not depend on x.
void batch_backward(const Backward& pass, bool frozen, float* dgamma, float* dbeta) {
  const int64_t n = pass.n;
  const int64_t c = pass.c;
  std::vector<float> sum;            // (N,C)
  std::vector<float> product;        // (N,C)
  std::vector<float> total_sum;      // (C)
  std::vector<float> total_product;  // (C)
  if (!frozen || dgamma != nullptr || dbeta != nullptr) {
    sum.resize(static_cast<std::size_t>(n * c));
    product.resize(sum.size());
    for_each_slab(n, pass.pixels, c, [&](int64_t image, int64_t first, const Slab& slab) {
      const int64_t i = image * c + first;
      pass.sums(image, first, slab, sum.data() + i, product.data() + i);
    });
    pass.parameters(sum, product, dgamma, dbeta);
  }
  if (!frozen) {
    total_sum.resize(static_cast<std::size_t>(c));
    total_product.resize(static_cast<std::size_t>(c));
    sum_over_images({sum.begin(), sum.end()}, n, c, total_sum.data());
    sum_over_images({product.begin(), product.end()}, n, c, total_product.data());
  }
  const double count = static_cast<double>(n * pass.pixels);
  for_each_slab(n, pass.pixels, c, [&](int64_t image, int64_t first, const Slab& slab) {
    pass.gradient(image, first, slab, frozen ? nullptr : total_sum.data() + first,
                  frozen ? nullptr : total_product.data() + first, count);
  });
}

void batch_backward_train(const float* x, const float* y, const float* dy, const float* gamma,
                          const float* mean, const float* inv_std, bool relu, float* dx, float* dresidual,
                          float* dgamma, float* dbeta, int64_t n, int64_t pixels, int64_t c, Stream) {
  batch_backward({x, relu ? y : nullptr, dy, gamma, mean, inv_std, true, dx, dresidual, n, pixels, c}, false,
                 dgamma, dbeta);
}

void batch_backward_eval(const float* x, const float* y, const float* dy, const float* gamma,
                         const float* running_mean, const float* running_var, bool relu, float* dx,
                         float* dresidual, float* dgamma, float* dbeta, int64_t n, int64_t pixels, int64_t c,
                         float eps, Stream) {
  const auto inv_std = inverse_deviations(running_var, c, eps);
  batch_backward(
      {x, relu ? y : nullptr, dy, gamma, running_mean, inv_std.data(), true, dx, dresidual, n, pixels, c},
      true, dgamma, dbeta);
}

}  // namespace

template <>
const Norm<float>& norm<float>(Device device) {
  static constexpr Norm<float> table{instance_forward,   instance_backward,    batch_forward_train,
                                     batch_forward_eval, batch_backward_train, batch_backward_eval,
                                     instance_average,   batch_average_eval};
  return device == Device::cpu ? table : device_table<Norm<float>>(device, "norm");
}

}  // namespace mt
#endif
