// Rules of pointwise operations, row operations and reductions.

#include "autograd/arithmetic.h"
#include "autograd/dispatch.h"
#include "autograd/ops.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/l2_normalise/l2_normalise.h"
#include "kernels/reduce/reduce.h"
#include "kernels/softmax/softmax.h"

namespace mt::ops {
namespace {

void check_same_shape(const Variable& a, const Variable& b, const char* operation) {
  check(a.shape() == b.shape() && a.dtype() == b.dtype(), "{}: {} {} and {} {} do not match", operation,
        name_of(a.dtype()), a.shape().str(), name_of(b.dtype()), b.shape().str());
}

Tensor scaled(const Tensor& x, double factor) {
  const Tensor y = empty_like(x);
  by_dtype(x.dtype(), "scale", [&]<typename T>() {
    mt::elementwise<T>(x.device())
        .scale(x.data<T>(), static_cast<T>(factor), y.data<T>(), x.numel(), kDefaultStream);
  });
  return y;
}

Tensor product(const Tensor& a, const Tensor& b) {
  const Tensor y = empty_like(a);
  by_dtype(a.dtype(), "mul", [&]<typename T>() {
    mt::elementwise<T>(a.device()).mul(a.data<T>(), b.data<T>(), y.data<T>(), a.numel(), kDefaultStream);
  });
  return y;
}

/// x − (mean of the rows of x). The map is symmetric and idempotent, so it is its own backward.
Tensor minus_column_mean(const Tensor& x) {
  const Tensor y = empty_like(x);                      // (N,D)
  const Tensor mean = empty_like(x, Shape{x.dim(1)});  // (D)
  by_dtype(x.dtype(), "subtract_column_mean", [&]<typename T>() {
    mt::reduce<T>(x.device()).column_mean(x.data<T>(), mean.data<T>(), x.dim(0), x.dim(1), kDefaultStream);
    const auto& pointwise = mt::elementwise<T>(x.device());
    pointwise.scale(mean.data<T>(), T{-1}, mean.data<T>(), mean.numel(), kDefaultStream);
    pointwise.add_row(x.data<T>(), mean.data<T>(), y.data<T>(), x.dim(0), x.dim(1), kDefaultStream);
  });
  return y;
}

}  // namespace

Variable add(const Variable& a, const Variable& b) {
  check_same_shape(a, b, "add");
  return record("add", sum_of(a.value(), b.value()), {a, b}, [](const Tensor& dy, const Wanted&) {
    return Gradients{dy, dy};
  });
}

Variable sub(const Variable& a, const Variable& b) {
  check_same_shape(a, b, "sub");
  const Tensor y = empty_like(a.value());
  by_dtype(a.dtype(), "sub", [&]<typename T>() {
    mt::elementwise<T>(a.device())
        .sub(a.value().data<T>(), b.value().data<T>(), y.data<T>(), y.numel(), kDefaultStream);
  });
  return record("sub", y, {a, b}, [](const Tensor& dy, const Wanted& wanted) {
    return Gradients{dy, wanted[1] ? scaled(dy, -1) : Tensor()};
  });
}

Variable mul(const Variable& a, const Variable& b) {
  check_same_shape(a, b, "mul");
  return record(
      "mul", product(a.value(), b.value()), {a, b},
      [a = Saved(a.value(), "mul"), b = Saved(b.value(), "mul")](const Tensor& dy, const Wanted& wanted) {
        return Gradients{wanted[0] ? product(dy, b.get()) : Tensor(),
                         wanted[1] ? product(dy, a.get()) : Tensor()};
      });
}

Variable scale(const Variable& x, double factor) {
  return record("scale", scaled(x.value(), factor), {x},
                [factor](const Tensor& dy, const Wanted&) { return Gradients{scaled(dy, factor)}; });
}

Variable activation(ActivationKind kind, const Variable& x) {
  const Tensor& input = x.value();
  const Tensor y = empty_like(input);
  by_dtype(x.dtype(), "activation", [&]<typename T>() {
    mt::activation<T>(x.device()).forward(kind, input.data<T>(), y.data<T>(), y.numel(), kDefaultStream);
  });
  const Tensor kept = activation_backward_reads_output(kind) ? y : input;
  return record(
      "activation", y, {x}, [kind, kept = Saved(kept, "activation")](const Tensor& dy, const Wanted&) {
        const Tensor dx = empty_like(dy);
        by_dtype(dy.dtype(), "activation", [&]<typename T>() {
          mt::activation<T>(dy.device())
              .backward(kind, kept.get().data<T>(), dy.data<T>(), dx.data<T>(), dx.numel(), kDefaultStream);
        });
        return Gradients{dx};
      });
}

Variable softmax(const Variable& x) {
  check(x.rank() == 2 && x.dim(1) >= 1, "softmax: wants (rows,columns), not {}", x.shape().str());
  const Tensor y = empty_like(x.value());  // (R,C)
  by_dtype(x.dtype(), "softmax", [&]<typename T>() {
    mt::softmax<T>(x.device()).forward(x.value().data<T>(), y.data<T>(), x.dim(0), x.dim(1), kDefaultStream);
  });
  return record("softmax", y, {x}, [y = Saved(y, "softmax")](const Tensor& dy, const Wanted&) {
    const Tensor dx = empty_like(dy);
    by_dtype(dy.dtype(), "softmax", [&]<typename T>() {
      mt::softmax<T>(dy.device())
          .backward(y.get().data<T>(), dy.data<T>(), dx.data<T>(), dy.dim(0), dy.dim(1), kDefaultStream);
    });
    return Gradients{dx};
  });
}

Variable l2_normalise(const Variable& x) {
  check(x.rank() == 2 && x.dim(1) >= 1, "l2_normalise: wants (rows,columns), not {}", x.shape().str());
  const Tensor y = empty_like(x.value());                      // (R,C)
  const Tensor norm = empty_like(x.value(), Shape{x.dim(0)});  // (R)
  by_dtype(x.dtype(), "l2_normalise", [&]<typename T>() {
    mt::l2_normalise<T>(x.device())
        .forward(x.value().data<T>(), y.data<T>(), norm.data<T>(), x.dim(0), x.dim(1),
                 static_cast<T>(kL2NormaliseEps), kDefaultStream);
  });
  return record(
      "l2_normalise", y, {x},
      [y = Saved(y, "l2_normalise"), norm = Saved(norm, "l2_normalise")](const Tensor& dy, const Wanted&) {
        const Tensor dx = empty_like(dy);
        by_dtype(dy.dtype(), "l2_normalise", [&]<typename T>() {
          mt::l2_normalise<T>(dy.device())
              .backward(y.get().data<T>(), norm.get().data<T>(), dy.data<T>(), dx.data<T>(), dy.dim(0),
                        dy.dim(1), static_cast<T>(kL2NormaliseEps), kDefaultStream);
        });
        return Gradients{dx};
      });
}

Variable sum(const Variable& x) {
  const Tensor y = empty_like(x.value(), Shape{});  // ()
  by_dtype(x.dtype(), "sum", [&]<typename T>() {
    mt::reduce<T>(x.device()).sum(x.value().data<T>(), y.data<T>(), x.numel(), kDefaultStream);
  });
  return record("sum", y, {x}, [shape = x.shape()](const Tensor& dy, const Wanted&) {
    const Tensor dx = filled(shape, 0, dy.dtype(), dy.device());
    by_dtype(dy.dtype(), "sum",
             [&]<typename T>() {  // as a column plus a row of one: dy never visits the host
               mt::elementwise<T>(dy.device())
                   .add_row(dx.data<T>(), dy.data<T>(), dx.data<T>(), dx.numel(), 1, kDefaultStream);
             });
    return Gradients{dx};
  });
}

Variable mean(const Variable& x) {
  check(x.numel() > 0, "mean: no elements in {}", x.shape().str());
  return scale(sum(x), 1.0 / static_cast<double>(x.numel()));
}

Variable subtract_column_mean(const Variable& x) {
  check(x.rank() == 2 && x.dim(0) >= 1, "subtract_column_mean: wants (rows,columns) with rows, not {}",
        x.shape().str());
  return record("subtract_column_mean", minus_column_mean(x.value()), {x},
                [](const Tensor& dy, const Wanted&) { return Gradients{minus_column_mean(dy)}; });
}

}  // namespace mt::ops
