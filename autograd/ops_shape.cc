// Rules of operations that move values and compute nothing.

#include "autograd/arithmetic.h"
#include "autograd/dispatch.h"
#include "autograd/ops.h"
#include "kernels/gather/gather.h"

namespace mt::ops {

Variable reshape(const Variable& x, const Shape& shape) {
  return record("reshape", x.value().view(shape), {x},
                [before = x.shape()](const Tensor& dy, const Wanted&) { return Gradients{dy.view(before)}; });
}

Variable slice_rows(const Variable& x, int64_t begin, int64_t end) {
  check(x.rank() >= 1, "slice_rows: a scalar has no rows");
  return record("slice_rows", x.value().slice(0, begin, end), {x},
                [begin, end, shape = x.shape()](const Tensor& dy, const Wanted&) {
                  const Tensor dx = filled(shape, 0, dy.dtype(), dy.device());
                  copy_into(dx.slice(0, begin, end), dy);
                  return Gradients{dx};
                });
}

Variable concat_rows(const std::vector<Variable>& parts) {
  check(!parts.empty(), "concat_rows: no parts");
  std::vector<int64_t> dims(parts[0].shape().dims().begin(), parts[0].shape().dims().end());
  check(!dims.empty(), "concat_rows: a scalar has no rows");
  std::vector<int64_t> begins{0};
  for (const Variable& part : parts) {
    check(part.rank() == parts[0].rank() && part.dtype() == parts[0].dtype(),
          "concat_rows: {} {} and {} {} do not match", name_of(parts[0].dtype()), parts[0].shape().str(),
          name_of(part.dtype()), part.shape().str());
    for (int i = 1; i < part.rank(); ++i) {
      check(part.dim(i) == parts[0].dim(i), "concat_rows: {} and {} do not match", parts[0].shape().str(),
            part.shape().str());
    }
    begins.push_back(begins.back() + part.dim(0));
  }
  dims[0] = begins.back();
  const Tensor y = empty_like(parts[0].value(), Shape(std::span<const int64_t>(dims)));
  for (std::size_t i = 0; i < parts.size(); ++i)
    copy_into(y.slice(0, begins[i], begins[i + 1]), parts[i].value());
  return record("concat_rows", y, parts, [begins](const Tensor& dy, const Wanted& wanted) {
    Gradients gradients(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (wanted[i]) gradients[i] = dy.slice(0, begins[i], begins[i + 1]);
    }
    return gradients;
  });
}

Variable gather_rows(const Variable& x, const Tensor& indices) {
  check(x.rank() == 2 && indices.rank() == 1 && indices.dtype() == DType::i64,
        "gather_rows: wants x (rows,columns) and i64 indices (count), not {} and {} {}", x.shape().str(),
        name_of(indices.dtype()), indices.shape().str());
  check_device(indices, x.device(), "gather_rows", "indices are");
  const Tensor y = empty_like(x.value(), Shape{indices.dim(0), x.dim(1)});  // (count,columns)
  by_dtype(x.dtype(), "gather_rows", [&]<typename T>() {
    mt::gather<T>(x.device())
        .rows(x.value().data<T>(), indices.data<int64_t>(), y.data<T>(), x.dim(0), x.dim(1), y.dim(0),
              kDefaultStream);
  });
  return record(
      "gather_rows", y, {x},
      [shape = x.shape(), indices = Saved(indices, "gather_rows")](const Tensor& dy, const Wanted&) {
        const Tensor dx = filled(shape, 0, dy.dtype(), dy.device());
        by_dtype(dy.dtype(), "gather_rows", [&]<typename T>() {
          mt::gather<T>(dy.device())
              .scatter_add_rows(dy.data<T>(), indices.get().data<int64_t>(), dx.data<T>(), shape[0], shape[1],
                                dy.dim(0), kDefaultStream);
        });
        return Gradients{dx};
      });
}

}  // namespace mt::ops
