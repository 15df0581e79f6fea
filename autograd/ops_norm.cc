// Rules of normalisation (with residual and ReLU in the same pass) and pooling. Activations are (N,H,W,C).

#include "autograd/arithmetic.h"
#include "autograd/dispatch.h"
#include "autograd/ops.h"
#include "autograd/recompute.h"
#include "autograd/rule.h"
#include "kernels/norm/norm.h"
#include "kernels/pool/pool.h"

namespace mt::ops {
namespace {

template <typename T>
T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

/// What the three norms share. Inputs: x, gamma, beta, residual, all but x perhaps undefined.
struct NormBase {
  bool relu;
  double eps;
  Saved x = {};      // (N,H,W,C)
  Saved y = {};      // (N,H,W,C), only with ReLU
  Saved gamma = {};  // (C), where there is one

  /// The output, still empty.
  Tensor begin(const Tensor& input, const Tensor& scale) {
    const Tensor output = empty_like(input);
    x = input;
    if (relu) y = output;
    gamma = scale;
    return output;
  }
  /// Gradients of x, gamma, beta, residual, still empty; undefined where not wanted.
  static Gradients allocate(const Tensor& dy, const Wanted& wanted) {
    const Shape row{dy.dim(3)};
    return {wanted[0] ? empty_like(dy) : Tensor(), wanted[1] ? empty_like(dy, row) : Tensor(),
            wanted[2] ? empty_like(dy, row) : Tensor(), wanted[3] ? empty_like(dy) : Tensor()};
  }
};

/// A norm whose backward takes the statistics that its forward computed: mean and inv_std, (N,C) per instance
/// or (C) per batch.
struct NormWithStatistics : NormBase {
  Saved mean = {};
  Saved inv_std = {};
  auto saves() { return std::tie(x, y, gamma, mean, inv_std); }

  /// `backward_of` picks the backward kernel from the table.
  template <typename BackwardOf>
  Gradients gradients_by(BackwardOf backward_of, const Tensor& dy, const Wanted& wanted) const {
    const Gradients gradients = allocate(dy, wanted);
    by_dtype(dy.dtype(), "norm", [&]<typename T>() {
      backward_of(mt::norm<T>(dy.device()))(
          x.get().data<T>(), data_or_null<T>(y.get_or_none()), dy.data<T>(),
          data_or_null<T>(gamma.get_or_none()), mean.get().data<T>(), inv_std.get().data<T>(), relu,
          data_or_null<T>(gradients[0]), data_or_null<T>(gradients[3]), data_or_null<T>(gradients[1]),
          data_or_null<T>(gradients[2]), dy.dim(0), dy.dim(1) * dy.dim(2), dy.dim(3), kDefaultStream);
    });
    return gradients;
  }
};

/// y = act(γ x̂ + β + r), x̂ per image and channel;
/// g = dy · [y>0], dx = γ/σ (g − mean g − x̂ mean(g x̂)), dγ = Σ g x̂, dβ = Σ g, dr = g
struct InstanceNorm : NormWithStatistics {
  static constexpr const char* kName = "instance_norm";

  Tensor forward(const Tensor& input, const Tensor& scale, const Tensor& shift, const Tensor& residual) {
    const Tensor output = begin(input, scale);
    const Shape per_instance{input.dim(0), input.dim(3)};  // (N,C)
    const Tensor means = empty_like(input, per_instance);
    const Tensor inv_stds = empty_like(input, per_instance);
    by_dtype(input.dtype(), kName, [&]<typename T>() {
      mt::norm<T>(input.device())
          .instance_forward(input.data<T>(), data_or_null<T>(scale), data_or_null<T>(shift),
                            data_or_null<T>(residual), relu, output.data<T>(), means.data<T>(),
                            inv_stds.data<T>(), input.dim(0), input.dim(1) * input.dim(2), input.dim(3),
                            static_cast<T>(eps), kDefaultStream);
    });
    mean = means;
    inv_std = inv_stds;
    return output;
  }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const {
    return gradients_by([](const auto& table) { return table.instance_backward; }, dy, wanted);
  }
};

/// The same with statistics and means over the batch. Updates the running statistics, but not when a segment is
/// recomputed: the first run has done it.
struct BatchNormTrain : NormWithStatistics {
  static constexpr const char* kName = "batch_norm_train";
  Tensor running_mean = {};
  Tensor running_var = {};
  double momentum = 0;

  Tensor forward(const Tensor& input, const Tensor& scale, const Tensor& shift, const Tensor& residual) {
    const Tensor output = begin(input, scale);
    const Shape per_channel{input.dim(3)};  // (C)
    const Tensor means = empty_like(input, per_channel);
    const Tensor inv_stds = empty_like(input, per_channel);
    const bool update = !is_recomputing();
    by_dtype(input.dtype(), kName, [&]<typename T>() {
      mt::norm<T>(input.device())
          .batch_forward_train(input.data<T>(), data_or_null<T>(scale), data_or_null<T>(shift),
                               data_or_null<T>(residual), relu, output.data<T>(), means.data<T>(),
                               inv_stds.data<T>(), update ? running_mean.data<T>() : nullptr,
                               update ? running_var.data<T>() : nullptr, static_cast<T>(momentum),
                               input.dim(0), input.dim(1) * input.dim(2), input.dim(3), static_cast<T>(eps),
                               kDefaultStream);
    });
    if (update) {
      running_mean.storage()->bump_version("batch_norm_train (running mean)");
      running_var.storage()->bump_version("batch_norm_train (running variance)");
    }
    mean = means;
    inv_std = inv_stds;
    return output;
  }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const {
    return gradients_by([](const auto& table) { return table.batch_backward_train; }, dy, wanted);
  }
};

/// The same with frozen statistics: dx = g γ/σ
struct BatchNormEval : NormBase {
  static constexpr const char* kName = "batch_norm_eval";
  Saved mean = {};      // (C)
  Saved variance = {};  // (C)
  auto saves() { return std::tie(x, y, gamma, mean, variance); }

  Tensor forward(const Tensor& input, const Tensor& scale, const Tensor& shift, const Tensor& residual) {
    const Tensor output = begin(input, scale);
    by_dtype(input.dtype(), kName, [&]<typename T>() {
      mt::norm<T>(input.device())
          .batch_forward_eval(input.data<T>(), data_or_null<T>(scale), data_or_null<T>(shift),
                              data_or_null<T>(residual), relu, mean.kept().data<T>(),
                              variance.kept().data<T>(), output.data<T>(), input.dim(0),
                              input.dim(1) * input.dim(2), input.dim(3), static_cast<T>(eps), kDefaultStream);
    });
    return output;
  }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const {
    const Gradients gradients = allocate(dy, wanted);
    by_dtype(dy.dtype(), kName, [&]<typename T>() {
      mt::norm<T>(dy.device())
          .batch_backward_eval(x.get().data<T>(), data_or_null<T>(y.get_or_none()), dy.data<T>(),
                               data_or_null<T>(gamma.get_or_none()), mean.get().data<T>(),
                               variance.get().data<T>(), relu, data_or_null<T>(gradients[0]),
                               data_or_null<T>(gradients[3]), data_or_null<T>(gradients[1]),
                               data_or_null<T>(gradients[2]), dy.dim(0), dy.dim(1) * dy.dim(2), dy.dim(3),
                               static_cast<T>(eps), kDefaultStream);
    });
    return gradients;
  }
};

/// y = max over a window; dx = dy at the first maximum
struct MaxPool {
  static constexpr const char* kName = "max_pool";
  PoolWindow window;
  Saved argmax = {};  // (N,P,Q,C)
  Shape shape = {};   // of x: (N,H,W,C)
  auto saves() { return std::tie(argmax); }

  Tensor forward(const Tensor& x) {
    shape = x.shape();
    const Shape pooled{x.dim(0), window.pooled(x.dim(1)), window.pooled(x.dim(2)), x.dim(3)};
    const Tensor y = empty_like(x, pooled);                               // (N,P,Q,C)
    const Tensor indices = Tensor::empty(pooled, DType::u8, x.device());  // (N,P,Q,C)
    by_dtype(x.dtype(), kName, [&]<typename T>() {
      mt::pool<T>(x.device())
          .max_forward(x.data<T>(), y.data<T>(), indices.data<uint8_t>(), x.dim(0), x.dim(1), x.dim(2),
                       x.dim(3), window, kDefaultStream);
    });
    argmax = indices;
    return y;
  }
  Gradients backward(const Tensor& dy, const Wanted&) const {
    const Tensor dx = empty_like(dy, shape);
    by_dtype(dy.dtype(), kName, [&]<typename T>() {
      mt::pool<T>(dy.device())
          .max_backward(dy.data<T>(), argmax.get().data<uint8_t>(), dx.data<T>(), shape[0], shape[1],
                        shape[2], shape[3], window, kDefaultStream);
    });
    return {dx};
  }
};

/// y = mean over pixels; dx = dy / pixels
struct GlobalAveragePool {
  static constexpr const char* kName = "global_average_pool";
  Shape shape = {};  // of x: (N,H,W,C)

  Tensor forward(const Tensor& x) {
    shape = x.shape();
    const Tensor y = empty_like(x, Shape{x.dim(0), x.dim(3)});  // (N,C)
    by_dtype(x.dtype(), kName, [&]<typename T>() {
      mt::pool<T>(x.device())
          .global_average_forward(x.data<T>(), y.data<T>(), x.dim(0), x.dim(1) * x.dim(2), x.dim(3),
                                  kDefaultStream);
    });
    return y;
  }
  Gradients backward(const Tensor& dy, const Wanted&) const {
    const Tensor dx = empty_like(dy, shape);
    by_dtype(dy.dtype(), kName, [&]<typename T>() {
      mt::pool<T>(dy.device())
          .global_average_backward(dy.data<T>(), dx.data<T>(), shape[0], shape[1] * shape[2], shape[3],
                                   kDefaultStream);
    });
    return {dx};
  }
};

void check_norm(const char* operation, const Variable& x, const NormOptions& options) {
  check(x.rank() == 4, "{}: wants (N,H,W,C), not {}", operation, x.shape().str());
  const auto check_input = [&](const char* what, const Variable& input, const Shape& shape) {
    check(!input.defined() || (input.shape() == shape && input.dtype() == x.dtype()),
          "{}: {} is {} {}, wanted {} {}", operation, what, input.defined() ? name_of(input.dtype()) : "",
          input.defined() ? input.shape().str() : "", name_of(x.dtype()), shape.str());
  };
  check_input("gamma", options.gamma, Shape{x.dim(3)});
  check_input("beta", options.beta, Shape{x.dim(3)});
  check_input("residual", options.residual, x.shape());
}

template <typename R>
Variable apply_norm(R rule, const Variable& x, const NormOptions& options) {
  return apply(std::move(rule), x, options.gamma, options.beta, options.residual);
}

bool is_recorded(const Variable& x, const NormOptions& options) {
  return mt::is_recorded({x, options.gamma, options.beta, options.residual});
}

void check_running(const Variable& x, const Tensor& mean, const Tensor& variance) {
  const Shape wanted{x.dim(3)};
  check(mean.shape() == wanted && variance.shape() == wanted && mean.dtype() == x.dtype() &&
            variance.dtype() == x.dtype(),
        "batch_norm: running statistics {} and {} for {} channels of {}", mean.shape().str(),
        variance.shape().str(), x.dim(3), name_of(x.dtype()));
  check_device(mean, x.device(), "batch_norm", "running statistics are");
  check_device(variance, x.device(), "batch_norm", "running statistics are");
}

}  // namespace

Variable instance_norm(const Variable& x, const NormOptions& options) {
  check_norm("instance_norm", x, options);
  return apply_norm(InstanceNorm{{{options.relu, options.eps}}}, x, options);
}

Variable batch_norm_train(const Variable& x, const NormOptions& options, const Tensor& running_mean,
                          const Tensor& running_var, double momentum) {
  check_norm("batch_norm_train", x, options);
  check_running(x, running_mean, running_var);
  check(x.dim(0) * x.dim(1) * x.dim(2) >= 2, "batch_norm_train: {} has fewer than 2 values per channel",
        x.shape().str());
  return apply_norm(BatchNormTrain{{{options.relu, options.eps}}, running_mean, running_var, momentum}, x,
                    options);
}

Variable batch_norm_eval(const Variable& x, const NormOptions& options, const Tensor& running_mean,
                         const Tensor& running_var) {
  check_norm("batch_norm_eval", x, options);
  check_running(x, running_mean, running_var);
  return apply_norm(BatchNormEval{{options.relu, options.eps}, running_mean, running_var}, x, options);
}

Variable max_pool(const Variable& x, const PoolWindow& window) {
  check(x.rank() == 4 && x.dim(1) + 2 * window.padding >= window.window &&
            x.dim(2) + 2 * window.padding >= window.window,
        "max_pool: a window of {} does not fit into (N,H,W,C) = {} with padding {}", window.window,
        x.shape().str(), window.padding);
  return apply(MaxPool{window}, x);
}

Variable global_average_pool(const Variable& x) {
  check(x.rank() == 4 && x.dim(1) * x.dim(2) >= 1, "global_average_pool: wants (N,H,W,C), not {}",
        x.shape().str());
  return apply(GlobalAveragePool{}, x);
}

Variable instance_norm_average(const Variable& x, const NormOptions& options) {
  check_norm("instance_norm", x, options);
  if (is_recorded(x, options)) return global_average_pool(instance_norm(x, options));
  check(x.dim(1) * x.dim(2) >= 1, "instance_norm: no pixels in (N,H,W,C) = {}", x.shape().str());
  const Tensor average = empty_like(x.value(), Shape{x.dim(0), x.dim(3)});  // (N,C)
  by_dtype(x.dtype(), "instance_norm", [&]<typename T>() {
    mt::norm<T>(x.device())
        .instance_average(x.value().data<T>(), data_or_null<T>(value_or_none(options.gamma)),
                          data_or_null<T>(value_or_none(options.beta)),
                          data_or_null<T>(value_or_none(options.residual)), options.relu, average.data<T>(),
                          x.dim(0), x.dim(1) * x.dim(2), x.dim(3), static_cast<T>(options.eps),
                          kDefaultStream);
  });
  return Variable(average);
}

Variable batch_norm_eval_average(const Variable& x, const NormOptions& options, const Tensor& running_mean,
                                 const Tensor& running_var) {
  check_norm("batch_norm_eval", x, options);
  if (is_recorded(x, options)) {
    return global_average_pool(batch_norm_eval(x, options, running_mean, running_var));
  }
  check_running(x, running_mean, running_var);
  check(x.dim(1) * x.dim(2) >= 1, "batch_norm_eval: no pixels in (N,H,W,C) = {}", x.shape().str());
  const Tensor average = empty_like(x.value(), Shape{x.dim(0), x.dim(3)});  // (N,C)
  by_dtype(x.dtype(), "batch_norm_eval", [&]<typename T>() {
    mt::norm<T>(x.device())
        .batch_average_eval(x.value().data<T>(), data_or_null<T>(value_or_none(options.gamma)),
                            data_or_null<T>(value_or_none(options.beta)),
                            data_or_null<T>(value_or_none(options.residual)), options.relu,
                            running_mean.data<T>(), running_var.data<T>(), average.data<T>(), x.dim(0),
                            x.dim(1) * x.dim(2), x.dim(3), static_cast<T>(options.eps), kDefaultStream);
  });
  return Variable(average);
}

}  // namespace mt::ops
