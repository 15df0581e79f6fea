#include "models/mil.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/arithmetic.h"
#include "autograd/dispatch.h"
#include "kernels/elementwise/elementwise.h"
#include "tensor/check.h"

namespace mt {
namespace {

/// (x − mean) · factor of each row. x (N,D), mean (D)
Tensor centred(const Tensor& x, const Tensor& mean, const Tensor& factor) {
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());            // (N,D)
  const Tensor shift = Tensor::empty(mean.shape(), mean.dtype(), x.device());  // (D)
  by_dtype(x.dtype(), "centring", [&]<typename T>() {
    const Elementwise<T>& kernels = elementwise<T>(x.device());
    kernels.scale(mean.data<T>(), T{-1}, shift.data<T>(), mean.numel(), nullptr);
    kernels.add_row(x.data<T>(), shift.data<T>(), y.data<T>(), x.dim(0), x.dim(1), nullptr);
    kernels.scale(y.data<T>(), factor.item<T>(), y.data<T>(), y.numel(), nullptr);
  });
  return y;
}

}  // namespace

MilOutput MilModel::forward(const Variable& bag) const {
  check(bag.rank() == 2 && bag.dim(0) >= 1 && bag.dim(1) == feature_width() && bag.dtype() == dtype(),
        "{}: wants a bag (instances,{}) of {} with at least one instance, not {} {}", describe(),
        feature_width(), name_of(dtype()), name_of(bag.dtype()), bag.shape().str());
  if (!centring_mean_.defined()) return forward_centred(bag);
  check(!bag.requires_grad(), "{}: no gradient flows through the centring of its features", describe());
  const Tensor& features = bag.value();
  return forward_centred(Variable(centred(features.is_contiguous() ? features : contiguous_copy(features),
                                          centring_mean_, centring_factor_)));
}

void MilModel::set_centring(const FeatureCentring& centring) {
  check(centring.mean.rank() == 1 && centring.mean.numel() == feature_width(),
        "{}: the centring's mean has the shape {}", describe(), centring.mean.shape().str());
  if (!centring_mean_.defined()) {
    centring_mean_ = add_buffer(kCentringMean, centring.mean.shape(), 0);
    centring_factor_ = add_host_buffer(kCentringFactor, 1);
  }
  copy_into(centring_mean_, cast(centring.mean, dtype()));
  const std::vector<float> factor{centring.factor};
  copy_into(centring_factor_, cast(Tensor::of(factor, {1}), dtype()));
}

DsmilModel::DsmilModel(const DsmilConfig& config, uint64_t seed, DType dtype, Device device)
    : MilModel(dtype, seed, device), config_(config) {
  const int64_t width = config.feature_width;
  instance_classifier_ = Linear(*this, "i_classifier.fc.0", width, config.classes);
  if (config.nonlinear) shared_ = Linear(*this, "b_classifier.lin.0", width, width);
  query_ = Linear(*this, config.nonlinear ? "b_classifier.q.0" : "b_classifier.q", width, config.query_width);
  value_ = Linear(*this, "b_classifier.v.1", width, width);
  const int64_t classes = config.classes;
  bag_weight_ = add_parameter("b_classifier.fcc.weight", {classes, classes, width},
                              Initialisation::linear_uniform, classes * width);
  bag_bias_ =
      add_parameter("b_classifier.fcc.bias", {classes}, Initialisation::linear_uniform, classes * width);
}

MilOutput DsmilModel::forward_centred(const Variable& bag) const {
  const int64_t classes = config_.classes;
  const int64_t width = config_.feature_width;
  MilOutput output;
  output.instance_logits = instance_classifier_.forward(bag);                                    // (N,C)
  const Tensor critical = ops::critical_instances(output.instance_logits.value());               // (C)
  const Variable shared = config_.nonlinear ? shared_.forward(bag, GemmActivation::relu) : bag;  // (N,D)
  const Variable query =                                                                         // (N,Q)
      query_.forward(shared, config_.nonlinear ? GemmActivation::tanh : GemmActivation::none);
  // The published code divides by √Q held in float32.
  const double scale = 1.0 / static_cast<double>(std::sqrt(static_cast<float>(config_.query_width)));
  const ops::AttentionPooling pooling = ops::dsmil_attention(query, critical, shared, scale);
  // A class's attention sums to 1, so the linear value map may follow the pooling: C rows to map instead of
  // N.
  const Variable bag_vector = value_.forward(pooling.pooled);  // (C,D)
  output.bag_logit = ops::linear(ops::reshape(bag_vector, {1, classes * width}),
                                 ops::reshape(bag_weight_, {classes, classes * width}), bag_bias_);  // (1,C)
  output.attention = pooling.attention;
  output.bag_vector = bag_vector.value();
  return output;
}

std::string DsmilModel::describe() const {
  return fmt::format("DSMIL ({} features, {} class{}{})", config_.feature_width, config_.classes,
                     config_.classes == 1 ? "" : "es", config_.nonlinear ? "" : ", linear query");
}

GatedAbmilModel::GatedAbmilModel(const GatedAbmilConfig& config, uint64_t seed, DType dtype, Device device)
    : MilModel(dtype, seed, device), config_(config) {
  hidden_ = Linear(*this, "fc.0", config.feature_width, config.hidden_width);
  gate_v_ = Linear(*this, "V", config.hidden_width, config.gate_width);
  gate_u_ = Linear(*this, "U", config.hidden_width, config.gate_width);
  attention_ = Linear(*this, "w", config.gate_width, 1);
  classifier_ = Linear(*this, "cls", config.hidden_width, 1);
}

MilOutput GatedAbmilModel::forward_centred(const Variable& bag) const {
  const Variable hidden = hidden_.forward(bag, GemmActivation::relu);  // (N,L)
  const ops::AttentionPooling pooling =
      ops::gated_attention(gate_v_.forward(hidden), gate_u_.forward(hidden), attention_.weight, hidden);
  MilOutput output;
  output.bag_logit = classifier_.forward(pooling.pooled);  // (1,1)
  output.instance_logits = classifier_.forward(hidden);    // (N,1)
  output.attention = pooling.attention.view({bag.dim(0), 1});
  output.bag_vector = pooling.pooled.value();  // (1,L)
  return output;
}

std::string GatedAbmilModel::describe() const {
  return fmt::format("gated ABMIL ({}-{} features, gate {})", config_.feature_width, config_.hidden_width,
                     config_.gate_width);
}

PoolingModel::PoolingModel(MilKind kind, int64_t feature_width, uint64_t seed, DType dtype, Device device)
    : MilModel(dtype, seed, device), kind_(kind), feature_width_(feature_width) {
  classifier_ = Linear(*this, "fc", feature_width, 1);
}

MilOutput PoolingModel::forward_centred(const Variable& bag) const {
  MilOutput output;
  output.instance_logits = classifier_.forward(bag);                                          // (N,1)
  const Variable pooled = kind_ == MilKind::max ? ops::max_instances(output.instance_logits)  // (1)
                                                : ops::mean(output.instance_logits);          // ()
  output.bag_logit = ops::reshape(pooled, {1, 1});
  return output;
}

std::string PoolingModel::describe() const {
  return fmt::format("{} pooling ({} features)", kind_ == MilKind::max ? "max" : "mean", feature_width_);
}

std::unique_ptr<MilModel> make_mil_model(MilKind kind, int64_t feature_width, uint64_t seed, Device device) {
  switch (kind) {
    case MilKind::dsmil: {
      DsmilConfig config;
      config.feature_width = feature_width;
      return std::make_unique<DsmilModel>(config, seed, DType::f32, device);
    }
    case MilKind::abmil: {
      GatedAbmilConfig config;
      config.feature_width = feature_width;
      return std::make_unique<GatedAbmilModel>(config, seed, DType::f32, device);
    }
    case MilKind::mean:
    case MilKind::max:
      return std::make_unique<PoolingModel>(kind, feature_width, seed, DType::f32, device);
  }
  fail("make_mil_model: {} is no kind of model", static_cast<int>(kind));
}

double slide_score(const MilOutput& output) {
  return 1 / (1 + std::exp(-output.bag_logit.item()));
}

Tensor instance_scores(const MilOutput& output) {
  NoGradGuard no_tape;
  const Variable logits(output.instance_logits.value());  // (N,C)
  const Variable scores = ops::activation(ActivationKind::sigmoid, logits);
  return copied_to(scores.value().select(1, 0), Device::cpu);  // (N)
}

Tensor instance_scores(const MilModel& model, const Tensor& bag) {
  NoGradGuard no_tape;
  return instance_scores(model.forward(Variable(bag)));
}

}  // namespace mt
