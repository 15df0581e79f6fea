#pragma once
// Multiple-instance models: from the features of a slide's patches to the slide's logit and one logit per
// patch.

#include <memory>
#include <string>

#include "models/kinds.h"
#include "models/layers.h"
#include "models/module.h"

namespace mt {

/// N instances, C classes (1 for a binary slide label).
struct MilOutput {
  Variable bag_logit;        // (1,C)
  Variable instance_logits;  // (N,C); their sigmoid is a probability that can be compared between slides
  Tensor
      attention;  // (N,C), columns sum to 1; undefined for mean and max. Only for looking at, never a score.
  Tensor bag_vector;  // (C,V): what the bag logit is computed from; undefined for mean and max
};

/// Shift and scale of features: x → (x − mean) · factor, mean per dimension, one factor for all.
struct FeatureCentring {
  Tensor mean;  // (D) of f32
  float factor = 1;
};

class MilModel : public Module {
 public:
  using Module::Module;
  /// bag (N,D), N >= 1, as the encoder or a file gives it: it is centred here where the model has a centring
  /// (then no gradient flows back into the bag).
  MilOutput forward(const Variable& bag) const;
  virtual int64_t feature_width() const = 0;
  /// The model belongs to features centred so: buffers of its state dict, the mean (D) and the factor (1).
  static constexpr const char* kCentringMean = "centring.mean";
  static constexpr const char* kCentringFactor = "centring.factor";
  void set_centring(const FeatureCentring& centring);

 protected:
  virtual MilOutput forward_centred(const Variable& bag) const = 0;

 private:
  Tensor centring_mean_;    // undefined: none
  Tensor centring_factor_;  // on the cpu
};

struct DsmilConfig {
  int64_t feature_width = 512;
  int64_t classes = 1;
  int64_t query_width = 128;
  /// False leaves out the first linear layer and the tanh (names then: b_classifier.q instead of
  /// b_classifier.q.0).
  bool nonlinear = true;
};

/// DSMIL (Li, Li and Eliceiri, CVPR 2021). The instance classifier reads raw
/// features; its highest logit names the critical instance, whose query attends over the bag.
class DsmilModel : public MilModel {
 public:
  explicit DsmilModel(const DsmilConfig& config, uint64_t seed = 0, DType dtype = DType::f32,
                      Device device = Device::cpu);
  int64_t feature_width() const override { return config_.feature_width; }
  std::string describe() const override;
  const DsmilConfig& config() const { return config_; }

 private:
  MilOutput forward_centred(const Variable& bag) const override;

  DsmilConfig config_;
  Linear instance_classifier_;  // i_classifier.fc.0
  Linear shared_;               // b_classifier.lin.0, nonlinear only
  Linear query_;                // b_classifier.q.0 or b_classifier.q
  Linear value_;                // b_classifier.v.1
  Variable
      bag_weight_;     // b_classifier.fcc.weight (C,C,V): a one-dimensional convolution over the whole vector
  Variable bag_bias_;  // b_classifier.fcc.bias (C)
};

struct GatedAbmilConfig {
  int64_t feature_width = 512;
  int64_t hidden_width = 512;
  int64_t gate_width = 256;
};

/// Attention MIL with gates (Ilse, Tomczak and Welling, ICML 2018). An instance's logit is the bag
/// classifier's on that instance alone, as the attention over a single instance is 1.
class GatedAbmilModel : public MilModel {
 public:
  explicit GatedAbmilModel(const GatedAbmilConfig& config, uint64_t seed = 0, DType dtype = DType::f32,
                           Device device = Device::cpu);
  int64_t feature_width() const override { return config_.feature_width; }
  std::string describe() const override;

 private:
  MilOutput forward_centred(const Variable& bag) const override;

  GatedAbmilConfig config_;
  Linear hidden_;      // fc.0
  Linear gate_v_;      // V
  Linear gate_u_;      // U
  Linear attention_;   // w; its bias shifts all logits alike and gets no gradient
  Linear classifier_;  // cls
};

/// A linear classifier on every instance (fc); the bag's logit is the mean or the maximum of the instances'.
class PoolingModel : public MilModel {
 public:
  PoolingModel(MilKind mean_or_max, int64_t feature_width, uint64_t seed = 0, DType dtype = DType::f32,
               Device device = Device::cpu);
  int64_t feature_width() const override { return feature_width_; }
  std::string describe() const override;

 private:
  MilOutput forward_centred(const Variable& bag) const override;

  MilKind kind_;
  int64_t feature_width_;
  Linear classifier_;  // fc
};

/// For binary labels.
std::unique_ptr<MilModel> make_mil_model(MilKind kind, int64_t feature_width, uint64_t seed,
                                         Device device = Device::cpu);

/// sigmoid(bag logit) of a model with one class, in double.
double slide_score(const MilOutput& output);
/// sigmoid(instance logits) of class 0, (N) on the cpu; computed without tape.
Tensor instance_scores(const MilOutput& output);
Tensor instance_scores(const MilModel& model, const Tensor& bag);

}  // namespace mt
