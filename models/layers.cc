#include "models/layers.h"

#include "autograd/recompute.h"

namespace mt {

Linear::Linear(Module& module, const std::string& name, int64_t in, int64_t out)
    : weight(module.add_parameter(name + ".weight", {out, in}, Initialisation::linear_uniform, in)),
      bias(module.add_parameter(name + ".bias", {out}, Initialisation::linear_uniform, in)) {}

Conv::Conv(Module& module, const std::string& name, int64_t in, int64_t out, int64_t window,
           int64_t conv_stride)
    : weight(module.add_parameter(name + ".weight", {out, window, window, in},
                                  Initialisation::kaiming_normal_out, out * window * window,
                                  WeightLayout::conv_krsc)),
      stride(conv_stride),
      padding(window / 2) {}

const char* name_of(NormKind kind) {
  switch (kind) {
    case NormKind::instance:
      return "InstanceNorm";
    case NormKind::instance_affine:
      return "InstanceNorm (affine)";
    case NormKind::batch:
      return "BatchNorm";
  }
  return "?";
}

Norm2d::Norm2d(Module& module, const std::string& name, NormKind norm_kind, int64_t channels)
    : kind(norm_kind) {
  if (kind == NormKind::instance) return;
  gamma = module.add_parameter(name + ".weight", {channels}, Initialisation::ones, channels);
  beta = module.add_parameter(name + ".bias", {channels}, Initialisation::zeros, channels);
  if (kind == NormKind::instance_affine) return;
  running_mean = module.add_buffer(name + ".running_mean", {channels}, 0);
  running_var = module.add_buffer(name + ".running_var", {channels}, 1);
  batches_tracked = module.add_counter(name + ".num_batches_tracked");
}

ops::NormOptions Norm2d::options(bool relu, const Variable& residual) const {
  ops::NormOptions result;
  result.gamma = gamma;
  result.beta = beta;
  result.residual = residual;
  result.relu = relu;
  return result;
}

Variable Norm2d::forward(const Variable& x, BatchStatistics statistics, bool relu,
                         const Variable& residual) const {
  constexpr double kMomentum = 0.1;  // torch.nn.BatchNorm2d's default
  if (kind != NormKind::batch) return ops::instance_norm(x, options(relu, residual));
  if (statistics == BatchStatistics::frozen)
    return ops::batch_norm_eval(x, options(relu, residual), running_mean, running_var);
  if (!is_recomputing()) ++*batches_tracked.data<int64_t>();
  return ops::batch_norm_train(x, options(relu, residual), running_mean, running_var, kMomentum);
}

Variable Norm2d::forward_averaged(const Variable& x, BatchStatistics statistics, bool relu,
                                  const Variable& residual) const {
  if (kind != NormKind::batch) return ops::instance_norm_average(x, options(relu, residual));
  if (statistics == BatchStatistics::frozen)
    return ops::batch_norm_eval_average(x, options(relu, residual), running_mean, running_var);
  return ops::global_average_pool(forward(x, statistics, relu, residual));
}

}  // namespace mt
