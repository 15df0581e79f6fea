// Rules of matrix products and convolution.

#include "autograd/dispatch.h"
#include "autograd/ops.h"
#include "autograd/rule.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/reduce/reduce.h"

namespace mt::ops {
namespace {

/// op(a) op(b) → (m,n), all contiguous.
Tensor product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, int64_t m, int64_t n,
               int64_t k) {
  const Tensor c = empty_like(a, Shape{m, n});
  by_dtype(a.dtype(), "matmul", [&]<typename T>() {
    mt::gemm<T>(a.device())
        .multiply(transpose_a, transpose_b, m, n, k, a.data<T>(), a.dim(1), b.data<T>(), b.dim(1), T{0},
                  c.data<T>(), n, {}, kDefaultStream);
  });
  return c;
}

/// dy · act'(y)
Tensor through_activation(GemmActivation kind, const Tensor& dy, const Tensor& y) {
  if (kind == GemmActivation::none) return dy;
  const Tensor g = empty_like(dy);
  const ActivationKind same = kind == GemmActivation::relu ? ActivationKind::relu : ActivationKind::tanh;
  by_dtype(dy.dtype(), "linear", [&]<typename T>() {
    mt::activation<T>(dy.device())
        .backward(same, y.data<T>(), dy.data<T>(), g.data<T>(), dy.numel(), kDefaultStream);
  });
  return g;
}

Tensor sum_of_rows(const Tensor& x) {
  const Tensor y = empty_like(x, Shape{x.dim(1)});
  by_dtype(x.dtype(), "linear", [&]<typename T>() {
    mt::reduce<T>(x.device()).column_sum(x.data<T>(), y.data<T>(), x.dim(0), x.dim(1), kDefaultStream);
  });
  return y;
}

/// y = act(x wᵀ + b); g = dy · act'(y), dx = g w, dw = gᵀ x, db = Σ rows of g
struct Linear {
  static constexpr const char* kName = "linear";
  GemmActivation activation;
  Saved x = {};       // (N,I)
  Saved weight = {};  // (O,I)
  Saved y = {};       // (N,O), only behind an activation
  auto saves() { return std::tie(x, weight, y); }

  Tensor forward(const Tensor& input, const Tensor& w, const Tensor& bias) {
    const int64_t rows = input.dim(0);
    const int64_t in = input.dim(1);
    const int64_t out = w.dim(0);
    const Tensor output = empty_like(input, Shape{rows, out});  // (N,O)
    by_dtype(input.dtype(), kName, [&]<typename T>() {
      const GemmEpilogue<T> epilogue{bias.defined() ? bias.data<T>() : nullptr, activation};
      mt::gemm<T>(input.device())
          .multiply(false, true, rows, out, in, input.data<T>(), in, w.data<T>(), in, T{0}, output.data<T>(),
                    out, epilogue, kDefaultStream);
    });
    x = input;
    weight = w;
    if (activation != GemmActivation::none) y = output;
    return output;
  }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const {
    const Tensor g =  // (N,O)
        activation == GemmActivation::none ? dy : through_activation(activation, dy, y.get());
    const int64_t n = g.dim(0);
    const int64_t o = g.dim(1);
    const int64_t i = x.get().dim(1);
    Gradients gradients(3);
    if (wanted[0]) gradients[0] = product(g, false, weight.get(), false, n, i, o);  // (N,I)
    if (wanted[1]) gradients[1] = product(g, true, x.get(), false, o, i, n);        // (O,I)
    if (wanted[2]) gradients[2] = sum_of_rows(g);                                   // (O)
    return gradients;
  }
};

/// y = op(a) op(b); da = dy bᵀ, db = aᵀ dy, transposed where the inputs were
struct Matmul {
  static constexpr const char* kName = "matmul";
  bool transpose_a;
  bool transpose_b;
  Saved a = {};
  Saved b = {};
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  auto saves() { return std::tie(a, b); }

  Tensor forward(const Tensor& left, const Tensor& right) {
    a = left;
    b = right;
    m = left.dim(transpose_a ? 1 : 0);
    k = left.dim(transpose_a ? 0 : 1);
    n = right.dim(transpose_b ? 0 : 1);
    return product(left, transpose_a, right, transpose_b, m, n, k);  // (M,N)
  }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const {
    Gradients gradients(2);
    if (wanted[0]) {
      gradients[0] = transpose_a ? product(b.get(), transpose_b, dy, true, k, m, n)     // (K,M)
                                 : product(dy, false, b.get(), !transpose_b, m, k, n);  // (M,K)
    }
    if (wanted[1]) {
      gradients[1] = transpose_b ? product(dy, true, a.get(), transpose_a, n, k, m)     // (N,K)
                                 : product(a.get(), !transpose_a, dy, false, k, n, m);  // (K,N)
    }
    return gradients;
  }
};

/// y = x ⋆ w; dx = dy correlated with the flipped w, dw = x correlated with dy
struct Conv2d {
  static constexpr const char* kName = "conv2d";
  Conv2dShape shape;
  Saved x = {};       // (N,H,W,C)
  Saved weight = {};  // (K,R,S,C)
  auto saves() { return std::tie(x, weight); }

  Tensor forward(const Tensor& input, const Tensor& w) {
    x = input;
    weight = w;
    const Tensor y = empty_like(input, Shape{shape.n, shape.out_h(), shape.out_w(), shape.k});  // (N,P,Q,K)
    by_dtype(input.dtype(), kName, [&]<typename T>() {
      mt::conv2d<T>(input.device()).forward(input.data<T>(), w.data<T>(), y.data<T>(), shape, kDefaultStream);
    });
    return y;
  }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const {
    Gradients gradients(2);
    by_dtype(dy.dtype(), kName, [&]<typename T>() {
      const auto& kernels = mt::conv2d<T>(dy.device());
      if (wanted[0]) {
        gradients[0] = empty_like(x.get());  // (N,H,W,C)
        kernels.backward_data(dy.data<T>(), weight.get().data<T>(), gradients[0].data<T>(), shape,
                              kDefaultStream);
      }
      if (wanted[1]) {
        gradients[1] = empty_like(weight.get());  // (K,R,S,C)
        kernels.backward_weights(x.get().data<T>(), dy.data<T>(), gradients[1].data<T>(), shape,
                                 kDefaultStream);
      }
    });
    return gradients;
  }
};

/// y = ((u8/255 − mean) / std) ⋆ w; dw as conv2d's
struct Conv2dPixels {
  static constexpr const char* kName = "conv2d_pixels";
  Conv2dShape shape;
  ImageScaling scaling;
  Saved pixels;  // (N,H,W,3) of u8
  auto saves() { return std::tie(pixels); }

  Tensor forward(const Tensor& weight) const {
    const Tensor y = empty_like(weight, Shape{shape.n, shape.out_h(), shape.out_w(), shape.k});  // (N,P,Q,K)
    by_dtype(weight.dtype(), kName, [&]<typename T>() {
      mt::conv2d<T>(weight.device())
          .forward_pixels(pixels.kept().data<uint8_t>(), scaling, weight.data<T>(), y.data<T>(), shape, {},
                          kDefaultStream);
    });
    return y;
  }
  Gradients backward(const Tensor& dy, const Wanted&) const {
    const Tensor x = empty_like(dy, Shape{shape.n, shape.h, shape.w, shape.c});   // (N,H,W,3)
    const Tensor dw = empty_like(dy, Shape{shape.k, shape.r, shape.s, shape.c});  // (K,R,S,3)
    by_dtype(dy.dtype(), kName, [&]<typename T>() {
      copy<T>(dy.device())
          .image_to_float(pixels.get().data<uint8_t>(), x.data<T>(), shape.n, shape.h * shape.w, scaling,
                          kDefaultStream);
      mt::conv2d<T>(dy.device())
          .backward_weights(x.data<T>(), dy.data<T>(), dw.data<T>(), shape, kDefaultStream);
    });
    return {dw};
  }
};

}  // namespace

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, GemmActivation activation) {
  check(x.rank() == 2 && weight.rank() == 2 && x.dim(1) == weight.dim(1) && x.dtype() == weight.dtype() &&
            (!bias.defined() || (bias.shape() == Shape{weight.dim(0)} && bias.dtype() == x.dtype())),
        "linear: x {} {}, weight {} {}, bias {} do not match", name_of(x.dtype()), x.shape().str(),
        name_of(weight.dtype()), weight.shape().str(), bias.defined() ? bias.shape().str() : "(none)");
  return apply(Linear{activation}, x, weight, bias);
}

Variable matmul(const Variable& a, const Variable& b, bool transpose_a, bool transpose_b) {
  check(a.rank() == 2 && b.rank() == 2 && a.dtype() == b.dtype() &&
            a.dim(transpose_a ? 0 : 1) == b.dim(transpose_b ? 1 : 0),
        "matmul: {} {}{} times {} {}{} do not match", name_of(a.dtype()), a.shape().str(),
        transpose_a ? " transposed" : "", name_of(b.dtype()), b.shape().str(),
        transpose_b ? " transposed" : "");
  return apply(Matmul{transpose_a, transpose_b}, a, b);
}

Variable conv2d(const Variable& x, const Variable& weight, int64_t stride, int64_t padding) {
  check(x.rank() == 4 && weight.rank() == 4 && x.dim(3) == weight.dim(3) && x.dtype() == weight.dtype(),
        "conv2d: x (N,H,W,C) = {} {} and weight (K,R,S,C) = {} {} do not match", name_of(x.dtype()),
        x.shape().str(), name_of(weight.dtype()), weight.shape().str());
  const Conv2dShape shape{x.dim(0),      x.dim(1),      x.dim(2), x.dim(3), weight.dim(0),
                          weight.dim(1), weight.dim(2), stride,   padding};
  check_conv2d_shape(shape);
  return apply(Conv2d{shape}, x, weight);
}

Variable conv2d_pixels(const Tensor& pixels, const ImageScaling& scaling, const Variable& weight,
                       int64_t stride, int64_t padding) {
  check(pixels.rank() == 4 && weight.rank() == 4 && pixels.dim(3) == 3 && weight.dim(3) == 3 &&
            pixels.dtype() == DType::u8,
        "conv2d_pixels: pixels (N,H,W,3) = {} {} of u8 and weight (K,R,S,3) = {} {} do not match",
        name_of(pixels.dtype()), pixels.shape().str(), name_of(weight.dtype()), weight.shape().str());
  check_device(pixels, weight.device(), "conv2d_pixels", "pixels are");
  const Conv2dShape shape{pixels.dim(0), pixels.dim(1), pixels.dim(2), 3,      weight.dim(0),
                          weight.dim(1), weight.dim(2), stride,        padding};
  check_conv2d_shape(shape);
  return apply(Conv2dPixels{shape, scaling, pixels}, weight);
}

}  // namespace mt::ops
