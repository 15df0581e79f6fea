// Activation functions on cuda and simt. Formulas, derivatives and error bounds: activation.md. The naive
// version takes one element per thread, the fast one four; both kernels are in kernels/common/map.cuh.

#include "kernels/activation/activation.h"
#include "kernels/common/map.cuh"
#include "kernels/common/tables.h"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

__device__ float sigmoid_of(float x) {
  return 1.0F / (1.0F + expf(-x));
}

// Each has the value at x and the slope at what the backward keeps: y or x (activation.h).

struct Relu {
  static __device__ float value(float x) { return x < 0 ? 0.0F : x; }
  static __device__ float slope(float y) { return y > 0 ? 1.0F : (y != y ? y : 0.0F); }
};

struct Tanh {
  static __device__ float value(float x) { return tanhf(x); }
  static __device__ float slope(float y) { return (1.0F - y) * (1.0F + y); }
};

struct Sigmoid {
  static __device__ float value(float x) { return sigmoid_of(x); }
  static __device__ float slope(float y) { return y * (1.0F - y); }
};

struct Silu {
  static __device__ float value(float x) { return x * sigmoid_of(x); }
  static __device__ float slope(float x) {
    const float p = sigmoid_of(x);
    return fmaf(x * p, sigmoid_of(-x), p);
  }
};

struct GeluErf {
  /// The normal distribution; erfc keeps its relative error in the left tail, where ½(1 + erf) would cancel.
  static __device__ float phi(float x) { return 0.5F * erfcf(-0.70710678118F * x); }
  static __device__ float value(float x) { return x * phi(x); }
  static __device__ float slope(float x) {
    const float density = 0.398942280401F * expf(-0.5F * (x * x));  // exp(−x²/2) / √(2π)
    return fmaf(x, density, phi(x));
  }
};

struct GeluTanh {
  static constexpr float kTwoRootTwoOverPi = 1.59576912161F;  // 2 √(2/π)
  static constexpr float kCubic = 0.044715F;
  static __device__ float inner(float x) { return kTwoRootTwoOverPi * x * fmaf(kCubic, x * x, 1.0F); }
  static __device__ float value(float x) { return x * sigmoid_of(inner(x)); }
  static __device__ float slope(float x) {
    const float t = inner(x);
    const float p = sigmoid_of(t);
    const float bounded = x < -100 ? -100.0F : (x > 100 ? 100.0F : x);  // p (1 − p) is 0 beyond
    const float inner_slope = kTwoRootTwoOverPi * fmaf(3 * kCubic, bounded * bounded, 1.0F);
    return fmaf(bounded * inner_slope, p * sigmoid_of(-t), p);
  }
};

template <typename Kind>
struct Value {
  __device__ float operator()(float x) const { return Kind::value(x); }
};
template <typename Kind>
struct Gradient {
  __device__ float operator()(float saved, float dy) const { return Kind::slope(saved) * dy; }
};

/// Calls run(Kind{}) for the kind's formulas.
template <typename Run>
void with_formulas(ActivationKind kind, const Run& run) {
  switch (kind) {
    case ActivationKind::relu:
      return run(Relu{});
    case ActivationKind::tanh:
      return run(Tanh{});
    case ActivationKind::sigmoid:
      return run(Sigmoid{});
    case ActivationKind::gelu_erf:
      return run(GeluErf{});
    case ActivationKind::gelu_tanh:
      return run(GeluTanh{});
    case ActivationKind::silu:
      return run(Silu{});
  }
}

// ---- 1. Naive

void forward_naive(ActivationKind kind, const float* x, float* y, int64_t n, Stream stream) {
  with_formulas(kind, [&]<typename K>(K) { map_naive(x, y, n, Value<K>{}, stream); });
}

void backward_naive(ActivationKind kind, const float* saved, const float* dy, float* dx, int64_t n,
                    Stream stream) {
  with_formulas(kind, [&]<typename K>(K) { map_naive(saved, dy, dx, n, Gradient<K>{}, stream); });
}

// ---- 2. Fast

void forward(ActivationKind kind, const float* x, float* y, int64_t n, Stream stream) {
  with_formulas(kind, [&]<typename K>(K) { map(x, y, n, Value<K>{}, stream); });
}

void backward(ActivationKind kind, const float* saved, const float* dy, float* dx, int64_t n, Stream stream) {
  with_formulas(kind, [&]<typename K>(K) { map(saved, dy, dx, n, Gradient<K>{}, stream); });
}

constexpr Activation<float> kFast{forward, backward};
constexpr Activation<float> kNaive{forward_naive, backward_naive};

}  // namespace

void register_activation() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
