// Rules of normalisation (with residual and ReLU in the same pass) and pooling. Activations are (N,H,W,C).

#include "autograd/arithmetic.h"
#include "autograd/dispatch.h"
#include "autograd/ops.h"
#include "autograd/recompute.h"
#include "kernels/norm/norm.h"
#include "kernels/pool/pool.h"

namespace mt::ops {
namespace {

template <typename T>
T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

Tensor value_or_none(const Variable& variable) {
  return variable.defined() ? variable.value() : Tensor();
}

/// The inputs of a norm: x first, then those of gamma, beta and residual that there are.
struct NormInputs {
  std::vector<Variable> variables;
  int gamma = -1;
  int beta = -1;
  int residual = -1;

  NormInputs(const char* operation, const Variable& x, const NormOptions& options) : variables{x} {
    check(x.rank() == 4, "{}: wants (N,H,W,C), not {}", operation, x.shape().str());
    const int64_t channels = x.dim(3);
    gamma = append(operation, "gamma", options.gamma, Shape{channels}, x.dtype());
    beta = append(operation, "beta", options.beta, Shape{channels}, x.dtype());
    residual = append(operation, "residual", options.residual, x.shape(), x.dtype());
  }

 private:
  int append(const char* operation, const char* what, const Variable& variable, const Shape& shape,
             DType dtype) {
    if (!variable.defined()) return -1;
    check(variable.shape() == shape && variable.dtype() == dtype, "{}: {} is {} {}, wanted {} {}", operation,
          what, name_of(variable.dtype()), variable.shape().str(), name_of(dtype), shape.str());
    variables.push_back(variable);
    return static_cast<int>(variables.size()) - 1;
  }
};

/// What every norm's backward keeps, and the gradients that it has to make.
struct NormBackward {
  const char* operation;
  bool relu;
  int gamma_index;
  int beta_index;
  int residual_index;
  Saved x;      // (N,H,W,C)
  Saved y;      // (N,H,W,C), only with ReLU
  Saved gamma;  // (C), only when there is one

  NormBackward(const char* name, const NormInputs& inputs, const NormOptions& options, const Tensor& output)
      : operation(name),
        relu(options.relu),
        gamma_index(inputs.gamma),
        beta_index(inputs.beta),
        residual_index(inputs.residual),
        x(inputs.variables[0].value(), name) {
    if (relu) y = Saved(output, name);
    if (options.gamma.defined()) gamma = Saved(options.gamma.value(), name);
  }

  const Tensor y_or_none() const { return relu ? y.get() : Tensor(); }
  const Tensor gamma_or_none() const { return gamma_index >= 0 ? gamma.get() : Tensor(); }

  /// Undefined where the gradient is not wanted.
  Gradients allocate(const Tensor& dy, const Wanted& wanted) const {
    Gradients gradients(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const bool is_row = static_cast<int>(i) == gamma_index || static_cast<int>(i) == beta_index;
      if (wanted[i]) gradients[i] = is_row ? empty_like(dy, Shape{dy.dim(3)}) : empty_like(dy);
    }
    return gradients;
  }
  Tensor gradient(const Gradients& gradients, int index) const {
    return index >= 0 ? gradients[static_cast<std::size_t>(index)] : Tensor();
  }
};

/// Records a norm whose backward takes the statistics that its forward computed: mean and inv_std, (N,C) per
/// instance or (C) per batch. `backward_of` picks the backward kernel from the table.
template <typename BackwardOf>
Variable record_with_statistics(const char* name, const NormInputs& inputs, const NormOptions& options,
                                const Tensor& y, const Tensor& mean, const Tensor& inv_std,
                                BackwardOf backward_of) {
  return record(name, y, inputs.variables,
                [name, backward_of, kept = NormBackward(name, inputs, options, y), mean = Saved(mean, name),
                 inv_std = Saved(inv_std, name)](const Tensor& dy, const Wanted& wanted) {
                  const Gradients gradients = kept.allocate(dy, wanted);
                  by_dtype(dy.dtype(), name, [&]<typename T>() {
                    const auto backward = backward_of(mt::norm<T>(dy.device()));
                    backward(kept.x.get().template data<T>(), data_or_null<T>(kept.y_or_none()), dy.data<T>(),
                             data_or_null<T>(kept.gamma_or_none()), mean.get().template data<T>(),
                             inv_std.get().template data<T>(), kept.relu, data_or_null<T>(gradients[0]),
                             data_or_null<T>(kept.gradient(gradients, kept.residual_index)),
                             data_or_null<T>(kept.gradient(gradients, kept.gamma_index)),
                             data_or_null<T>(kept.gradient(gradients, kept.beta_index)), dy.dim(0),
                             dy.dim(1) * dy.dim(2), dy.dim(3), kDefaultStream);
                  });
                  return gradients;
                });
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
  const NormInputs inputs("instance_norm", x, options);
  const Tensor y = empty_like(x.value());                                   // (N,H,W,C)
  const Tensor mean = empty_like(x.value(), Shape{x.dim(0), x.dim(3)});     // (N,C)
  const Tensor inv_std = empty_like(x.value(), Shape{x.dim(0), x.dim(3)});  // (N,C)
  by_dtype(x.dtype(), "instance_norm", [&]<typename T>() {
    mt::norm<T>(x.device())
        .instance_forward(x.value().data<T>(), data_or_null<T>(value_or_none(options.gamma)),
                          data_or_null<T>(value_or_none(options.beta)),
                          data_or_null<T>(value_or_none(options.residual)), options.relu, y.data<T>(),
                          mean.data<T>(), inv_std.data<T>(), x.dim(0), x.dim(1) * x.dim(2), x.dim(3),
                          static_cast<T>(options.eps), kDefaultStream);
  });
  return record_with_statistics("instance_norm", inputs, options, y, mean, inv_std,
                                [](const auto& table) { return table.instance_backward; });
}

Variable batch_norm_train(const Variable& x, const NormOptions& options, const Tensor& running_mean,
                          const Tensor& running_var, double momentum) {
  const NormInputs inputs("batch_norm_train", x, options);
  check_running(x, running_mean, running_var);
  check(x.dim(0) * x.dim(1) * x.dim(2) >= 2, "batch_norm_train: {} has fewer than 2 values per channel",
        x.shape().str());
  const Tensor y = empty_like(x.value());                         // (N,H,W,C)
  const Tensor mean = empty_like(x.value(), Shape{x.dim(3)});     // (C)
  const Tensor inv_std = empty_like(x.value(), Shape{x.dim(3)});  // (C)
  const bool update = !is_recomputing();                          // the first run has done it
  by_dtype(x.dtype(), "batch_norm_train", [&]<typename T>() {
    mt::norm<T>(x.device())
        .batch_forward_train(x.value().data<T>(), data_or_null<T>(value_or_none(options.gamma)),
                             data_or_null<T>(value_or_none(options.beta)),
                             data_or_null<T>(value_or_none(options.residual)), options.relu, y.data<T>(),
                             mean.data<T>(), inv_std.data<T>(), update ? running_mean.data<T>() : nullptr,
                             update ? running_var.data<T>() : nullptr, static_cast<T>(momentum), x.dim(0),
                             x.dim(1) * x.dim(2), x.dim(3), static_cast<T>(options.eps), kDefaultStream);
  });
  if (update) {
    running_mean.storage()->bump_version("batch_norm_train (running mean)");
    running_var.storage()->bump_version("batch_norm_train (running variance)");
  }
  return record_with_statistics("batch_norm_train", inputs, options, y, mean, inv_std,
                                [](const auto& table) { return table.batch_backward_train; });
}

Variable batch_norm_eval(const Variable& x, const NormOptions& options, const Tensor& running_mean,
                         const Tensor& running_var) {
  const NormInputs inputs("batch_norm_eval", x, options);
  check_running(x, running_mean, running_var);
  const Tensor y = empty_like(x.value());  // (N,H,W,C)
  by_dtype(x.dtype(), "batch_norm_eval", [&]<typename T>() {
    mt::norm<T>(x.device())
        .batch_forward_eval(x.value().data<T>(), data_or_null<T>(value_or_none(options.gamma)),
                            data_or_null<T>(value_or_none(options.beta)),
                            data_or_null<T>(value_or_none(options.residual)), options.relu,
                            running_mean.data<T>(), running_var.data<T>(), y.data<T>(), x.dim(0),
                            x.dim(1) * x.dim(2), x.dim(3), static_cast<T>(options.eps), kDefaultStream);
  });
  return record(
      "batch_norm_eval", y, inputs.variables,
      [kept = NormBackward("batch_norm_eval", inputs, options, y),
       mean = Saved(running_mean, "batch_norm_eval"), variance = Saved(running_var, "batch_norm_eval"),
       eps = options.eps](const Tensor& dy, const Wanted& wanted) {
        const Gradients gradients = kept.allocate(dy, wanted);
        by_dtype(dy.dtype(), "batch_norm_eval", [&]<typename T>() {
          mt::norm<T>(dy.device())
              .batch_backward_eval(kept.x.get().data<T>(), data_or_null<T>(kept.y_or_none()), dy.data<T>(),
                                   data_or_null<T>(kept.gamma_or_none()), mean.get().data<T>(),
                                   variance.get().data<T>(), kept.relu, data_or_null<T>(gradients[0]),
                                   data_or_null<T>(kept.gradient(gradients, kept.residual_index)),
                                   data_or_null<T>(kept.gradient(gradients, kept.gamma_index)),
                                   data_or_null<T>(kept.gradient(gradients, kept.beta_index)), dy.dim(0),
                                   dy.dim(1) * dy.dim(2), dy.dim(3), static_cast<T>(eps), kDefaultStream);
        });
        return gradients;
      });
}

Variable max_pool(const Variable& x, const PoolWindow& window) {
  check(x.rank() == 4 && x.dim(1) + 2 * window.padding >= window.window &&
            x.dim(2) + 2 * window.padding >= window.window,
        "max_pool: a window of {} does not fit into (N,H,W,C) = {} with padding {}", window.window,
        x.shape().str(), window.padding);
  const Shape pooled{x.dim(0), window.pooled(x.dim(1)), window.pooled(x.dim(2)), x.dim(3)};
  const Tensor y = empty_like(x.value(), pooled);                      // (N,P,Q,C)
  const Tensor argmax = Tensor::empty(pooled, DType::u8, x.device());  // (N,P,Q,C)
  by_dtype(x.dtype(), "max_pool", [&]<typename T>() {
    mt::pool<T>(x.device())
        .max_forward(x.value().data<T>(), y.data<T>(), argmax.data<uint8_t>(), x.dim(0), x.dim(1), x.dim(2),
                     x.dim(3), window, kDefaultStream);
  });
  return record(
      "max_pool", y, {x},
      [window, shape = x.shape(), argmax = Saved(argmax, "max_pool")](const Tensor& dy, const Wanted&) {
        const Tensor dx = empty_like(dy, shape);
        by_dtype(dy.dtype(), "max_pool", [&]<typename T>() {
          mt::pool<T>(dy.device())
              .max_backward(dy.data<T>(), argmax.get().data<uint8_t>(), dx.data<T>(), shape[0], shape[1],
                            shape[2], shape[3], window, kDefaultStream);
        });
        return Gradients{dx};
      });
}

Variable global_average_pool(const Variable& x) {
  check(x.rank() == 4 && x.dim(1) * x.dim(2) >= 1, "global_average_pool: wants (N,H,W,C), not {}",
        x.shape().str());
  const Tensor y = empty_like(x.value(), Shape{x.dim(0), x.dim(3)});  // (N,C)
  by_dtype(x.dtype(), "global_average_pool", [&]<typename T>() {
    mt::pool<T>(x.device())
        .global_average_forward(x.value().data<T>(), y.data<T>(), x.dim(0), x.dim(1) * x.dim(2), x.dim(3),
                                kDefaultStream);
  });
  return record("global_average_pool", y, {x}, [shape = x.shape()](const Tensor& dy, const Wanted&) {
    const Tensor dx = empty_like(dy, shape);
    by_dtype(dy.dtype(), "global_average_pool", [&]<typename T>() {
      mt::pool<T>(dy.device())
          .global_average_backward(dy.data<T>(), dx.data<T>(), shape[0], shape[1] * shape[2], shape[3],
                                   kDefaultStream);
    });
    return Gradients{dx};
  });
}

Variable instance_norm_average(const Variable& x, const NormOptions& options) {
  const NormInputs inputs("instance_norm", x, options);
  if (is_recorded(inputs.variables)) return global_average_pool(instance_norm(x, options));
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
  const NormInputs inputs("batch_norm_eval", x, options);
  if (is_recorded(inputs.variables)) {
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
