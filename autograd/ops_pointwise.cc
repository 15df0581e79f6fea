// Rules of pointwise operations, row operations and reductions.

#include "autograd/arithmetic.h"
#include "autograd/dispatch.h"
#include "autograd/ops.h"
#include "autograd/rule.h"
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

/// y = a + b; da = dy, db = dy
struct Add {
  static constexpr const char* kName = "add";

  Tensor forward(const Tensor& a, const Tensor& b) const { return sum_of(a, b); }
  Gradients backward(const Tensor& dy, const Wanted&) const { return {dy, dy}; }
};

/// y = a − b; da = dy, db = −dy
struct Sub {
  static constexpr const char* kName = "sub";

  Tensor forward(const Tensor& a, const Tensor& b) const {
    const Tensor y = empty_like(a);
    by_dtype(a.dtype(), kName, [&]<typename T>() {
      mt::elementwise<T>(a.device()).sub(a.data<T>(), b.data<T>(), y.data<T>(), y.numel(), kDefaultStream);
    });
    return y;
  }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const {
    return {dy, wanted[1] ? scaled(dy, -1) : Tensor()};
  }
};

/// y = a · b; da = dy · b, db = dy · a
struct Mul {
  static constexpr const char* kName = "mul";
  Saved a;
  Saved b;
  auto saves() { return std::tie(a, b); }

  Tensor forward(const Tensor& left, const Tensor& right) {
    a = left;
    b = right;
    return product(left, right);
  }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const {
    return {wanted[0] ? product(dy, b.get()) : Tensor(), wanted[1] ? product(dy, a.get()) : Tensor()};
  }
};

/// y = k x; dx = k dy
struct Scale {
  static constexpr const char* kName = "scale";
  double factor;

  Tensor forward(const Tensor& x) const { return scaled(x, factor); }
  Gradients backward(const Tensor& dy, const Wanted&) const { return {scaled(dy, factor)}; }
};

/// y = f(x); dx = dy · f'(x)
struct Activation {
  static constexpr const char* kName = "activation";
  ActivationKind kind;
  Saved x_or_y = {};  // what f' is cheapest to compute from
  auto saves() { return std::tie(x_or_y); }

  Tensor forward(const Tensor& x) {
    const Tensor y = empty_like(x);
    by_dtype(x.dtype(), kName, [&]<typename T>() {
      mt::activation<T>(x.device()).forward(kind, x.data<T>(), y.data<T>(), y.numel(), kDefaultStream);
    });
    x_or_y = activation_backward_reads_output(kind) ? y : x;
    return y;
  }
  Gradients backward(const Tensor& dy, const Wanted&) const {
    const Tensor dx = empty_like(dy);
    by_dtype(dy.dtype(), kName, [&]<typename T>() {
      mt::activation<T>(dy.device())
          .backward(kind, x_or_y.get().data<T>(), dy.data<T>(), dx.data<T>(), dx.numel(), kDefaultStream);
    });
    return {dx};
  }
};

/// y = eˣ / Σ eˣ over the columns; dx = y (dy − Σ dy y)
struct Softmax {
  static constexpr const char* kName = "softmax";
  Saved y;  // (R,C)
  auto saves() { return std::tie(y); }

  Tensor forward(const Tensor& x) {
    const Tensor output = empty_like(x);  // (R,C)
    by_dtype(x.dtype(), kName, [&]<typename T>() {
      mt::softmax<T>(x.device()).forward(x.data<T>(), output.data<T>(), x.dim(0), x.dim(1), kDefaultStream);
    });
    y = output;
    return output;
  }
  Gradients backward(const Tensor& dy, const Wanted&) const {
    const Tensor dx = empty_like(dy);  // (R,C)
    by_dtype(dy.dtype(), kName, [&]<typename T>() {
      mt::softmax<T>(dy.device())
          .backward(y.get().data<T>(), dy.data<T>(), dx.data<T>(), dy.dim(0), dy.dim(1), kDefaultStream);
    });
    return {dx};
  }
};

/// y = x / ‖x‖; dx = (dy − y (y·dy)) / ‖x‖
struct L2Normalise {
  static constexpr const char* kName = "l2_normalise";
  Saved y;     // (R,C)
  Saved norm;  // (R)
  auto saves() { return std::tie(y, norm); }

  Tensor forward(const Tensor& x) {
    const Tensor output = empty_like(x);                    // (R,C)
    const Tensor lengths = empty_like(x, Shape{x.dim(0)});  // (R)
    by_dtype(x.dtype(), kName, [&]<typename T>() {
      mt::l2_normalise<T>(x.device())
          .forward(x.data<T>(), output.data<T>(), lengths.data<T>(), x.dim(0), x.dim(1),
                   static_cast<T>(kL2NormaliseEps), kDefaultStream);
    });
    y = output;
    norm = lengths;
    return output;
  }
  Gradients backward(const Tensor& dy, const Wanted&) const {
    const Tensor dx = empty_like(dy);  // (R,C)
    by_dtype(dy.dtype(), kName, [&]<typename T>() {
      mt::l2_normalise<T>(dy.device())
          .backward(y.get().data<T>(), norm.get().data<T>(), dy.data<T>(), dx.data<T>(), dy.dim(0), dy.dim(1),
                    static_cast<T>(kL2NormaliseEps), kDefaultStream);
    });
    return {dx};
  }
};

/// y = Σ x; dx = dy everywhere
struct Sum {
  static constexpr const char* kName = "sum";
  Shape shape = {};

  Tensor forward(const Tensor& x) {
    shape = x.shape();
    const Tensor y = empty_like(x, Shape{});  // ()
    by_dtype(x.dtype(), kName, [&]<typename T>() {
      mt::reduce<T>(x.device()).sum(x.data<T>(), y.data<T>(), x.numel(), kDefaultStream);
    });
    return y;
  }
  Gradients backward(const Tensor& dy, const Wanted&) const {
    const Tensor dx = filled(shape, 0, dy.dtype(), dy.device());
    by_dtype(dy.dtype(), kName,
             [&]<typename T>() {  // as a column plus a row of one: dy never visits the host
               mt::elementwise<T>(dy.device())
                   .add_row(dx.data<T>(), dy.data<T>(), dx.data<T>(), dx.numel(), 1, kDefaultStream);
             });
    return {dx};
  }
};

/// y = x − mean of the rows of x. The map is symmetric and idempotent, so it is its own backward.
struct SubtractColumnMean {
  static constexpr const char* kName = "subtract_column_mean";

  Tensor forward(const Tensor& x) const {
    const Tensor y = empty_like(x);                      // (N,D)
    const Tensor mean = empty_like(x, Shape{x.dim(1)});  // (D)
    by_dtype(x.dtype(), kName, [&]<typename T>() {
      mt::reduce<T>(x.device()).column_mean(x.data<T>(), mean.data<T>(), x.dim(0), x.dim(1), kDefaultStream);
      const auto& pointwise = mt::elementwise<T>(x.device());
      pointwise.scale(mean.data<T>(), T{-1}, mean.data<T>(), mean.numel(), kDefaultStream);
      pointwise.add_row(x.data<T>(), mean.data<T>(), y.data<T>(), x.dim(0), x.dim(1), kDefaultStream);
    });
    return y;
  }
  Gradients backward(const Tensor& dy, const Wanted&) const { return {forward(dy)}; }
};

}  // namespace

Variable add(const Variable& a, const Variable& b) {
  check_same_shape(a, b, "add");
  return apply(Add{}, a, b);
}

Variable sub(const Variable& a, const Variable& b) {
  check_same_shape(a, b, "sub");
  return apply(Sub{}, a, b);
}

Variable mul(const Variable& a, const Variable& b) {
  check_same_shape(a, b, "mul");
  return apply(Mul{}, a, b);
}

Variable scale(const Variable& x, double factor) {
  return apply(Scale{factor}, x);
}

Variable activation(ActivationKind kind, const Variable& x) {
  return apply(Activation{kind}, x);
}

Variable softmax(const Variable& x) {
  check(x.rank() == 2 && x.dim(1) >= 1, "softmax: wants (rows,columns), not {}", x.shape().str());
  return apply(Softmax{}, x);
}

Variable l2_normalise(const Variable& x) {
  check(x.rank() == 2 && x.dim(1) >= 1, "l2_normalise: wants (rows,columns), not {}", x.shape().str());
  return apply(L2Normalise{}, x);
}

Variable sum(const Variable& x) {
  return apply(Sum{}, x);
}

Variable mean(const Variable& x) {
  check(x.numel() > 0, "mean: no elements in {}", x.shape().str());
  return scale(sum(x), 1.0 / static_cast<double>(x.numel()));
}

Variable subtract_column_mean(const Variable& x) {
  check(x.rank() == 2 && x.dim(0) >= 1, "subtract_column_mean: wants (rows,columns) with rows, not {}",
        x.shape().str());
  return apply(SubtractColumnMean{}, x);
}

}  // namespace mt::ops
