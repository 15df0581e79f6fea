// Rules of operations that move values and compute nothing.

#include "autograd/arithmetic.h"
#include "autograd/dispatch.h"
#include "autograd/ops.h"
#include "autograd/rule.h"
#include "kernels/gather/gather.h"

namespace mt::ops {
namespace {

/// y = x; dx = dy
struct Reshape {
  static constexpr const char* kName = "reshape";
  Shape after;
  Shape before = {};

  Tensor forward(const Tensor& x) {
    before = x.shape();
    return x.view(after);
  }
  Gradients backward(const Tensor& dy, const Wanted&) const { return {dy.view(before)}; }
};

/// y = x[begin:end]; dx = dy in rows begin to end, 0 elsewhere
struct SliceRows {
  static constexpr const char* kName = "slice_rows";
  int64_t begin;
  int64_t end;
  Shape shape = {};

  Tensor forward(const Tensor& x) {
    shape = x.shape();
    return x.slice(0, begin, end);
  }
  Gradients backward(const Tensor& dy, const Wanted&) const {
    const Tensor dx = filled(shape, 0, dy.dtype(), dy.device());
    copy_into(dx.slice(0, begin, end), dy);
    return {dx};
  }
};

/// y = [a; b; …]; da, db, … = their rows of dy
struct ConcatRows {
  static constexpr const char* kName = "concat_rows";
  std::vector<int64_t> begins{0};

  Tensor forward(const std::vector<Tensor>& parts) {
    for (const Tensor& part : parts) begins.push_back(begins.back() + part.dim(0));
    std::vector<int64_t> dims(parts[0].shape().dims().begin(), parts[0].shape().dims().end());
    dims[0] = begins.back();
    const Tensor y = empty_like(parts[0], Shape(std::span<const int64_t>(dims)));
    for (std::size_t i = 0; i < parts.size(); ++i) copy_into(y.slice(0, begins[i], begins[i + 1]), parts[i]);
    return y;
  }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const {
    Gradients gradients(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (wanted[i]) gradients[i] = dy.slice(0, begins[i], begins[i + 1]);
    }
    return gradients;
  }
};

/// y[i] = x[index i]; dx[index i] += dy[i]
struct GatherRows {
  static constexpr const char* kName = "gather_rows";
  Saved indices;  // (count)
  Shape shape = {};
  auto saves() { return std::tie(indices); }

  Tensor forward(const Tensor& x) {
    shape = x.shape();
    const Tensor y = empty_like(x, Shape{indices.kept().dim(0), x.dim(1)});  // (count,columns)
    by_dtype(x.dtype(), kName, [&]<typename T>() {
      mt::gather<T>(x.device())
          .rows(x.data<T>(), indices.kept().data<int64_t>(), y.data<T>(), x.dim(0), x.dim(1), y.dim(0),
                kDefaultStream);
    });
    return y;
  }
  Gradients backward(const Tensor& dy, const Wanted&) const {
    const Tensor dx = filled(shape, 0, dy.dtype(), dy.device());
    by_dtype(dy.dtype(), kName, [&]<typename T>() {
      mt::gather<T>(dy.device())
          .scatter_add_rows(dy.data<T>(), indices.get().data<int64_t>(), dx.data<T>(), shape[0], shape[1],
                            dy.dim(0), kDefaultStream);
    });
    return {dx};
  }
};

}  // namespace

Variable reshape(const Variable& x, const Shape& shape) {
  return apply(Reshape{shape}, x);
}

Variable slice_rows(const Variable& x, int64_t begin, int64_t end) {
  check(x.rank() >= 1, "slice_rows: a scalar has no rows");
  return apply(SliceRows{begin, end}, x);
}

Variable concat_rows(const std::vector<Variable>& parts) {
  check(!parts.empty(), "concat_rows: no parts");
  check(parts[0].rank() >= 1, "concat_rows: a scalar has no rows");
  for (const Variable& part : parts) {
    check(part.rank() == parts[0].rank() && part.dtype() == parts[0].dtype(),
          "concat_rows: {} {} and {} {} do not match", name_of(parts[0].dtype()), parts[0].shape().str(),
          name_of(part.dtype()), part.shape().str());
    for (int i = 1; i < part.rank(); ++i) {
      check(part.dim(i) == parts[0].dim(i), "concat_rows: {} and {} do not match", parts[0].shape().str(),
            part.shape().str());
    }
  }
  return apply_to_all(ConcatRows{}, parts);
}

Variable gather_rows(const Variable& x, const Tensor& indices) {
  check(x.rank() == 2 && indices.rank() == 1 && indices.dtype() == DType::i64,
        "gather_rows: wants x (rows,columns) and i64 indices (count), not {} and {} {}", x.shape().str(),
        name_of(indices.dtype()), indices.shape().str());
  check_device(indices, x.device(), "gather_rows", "indices are");
  return apply(GatherRows{indices}, x);
}

}  // namespace mt::ops
