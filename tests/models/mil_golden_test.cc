// DSMIL and gated ABMIL against PyTorch's float64 runs of the published code: outputs, losses, gradients, a
// training run.

#include <gtest/gtest.h>

#include "autograd/arena.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/select/select.h"
#include "models/losses.h"
#include "models/mil.h"
#include "tests/models/golden_network.h"

namespace mt {
namespace {

using testing::doubles_of;
using testing::expect_close;
using testing::expect_digest;
using testing::golden_doubles;
using testing::kDoubleAgreement;

class MilGoldenTest : public ::testing::TestWithParam<DType> {
 protected:
  DType dtype() const { return GetParam(); }
  double agreement(const Module& model) const {
    return dtype() == DType::f64 ? kDoubleAgreement : testing::float_agreement(model);
  }
  Variable bag(const Tensor& features) const { return Variable(cast(features, dtype()), true); }

  /// Weights PREFIX"w."NAME of the file.
  static void load(Module& model, const NpzFile& file, const std::string& prefix) {
    StateDict weights;
    for (const ModuleEntry& entry : model.entries())
      weights.emplace_back(entry.name, file[prefix + entry.name]);
    load_state_dict(model, weights);
  }
};

INSTANTIATE_TEST_SUITE_P(Types, MilGoldenTest, ::testing::Values(DType::f64, DType::f32),
                         [](const auto& test) { return std::string(name_of(test.param)); });

/// The published code hands its pos_weight to BCEWithLogitsLoss as first argument, which is `weight`: both
/// classes are scaled.
constexpr double kGoldenWeight = 1.75;

MilLossWeights published_weights() {
  MilLossWeights weights;
  weights.bag *= kGoldenWeight;
  weights.max_instance *= kGoldenWeight;
  return weights;
}

/// Outputs of one bag of the pair and its two single losses; `side` is "pos" or "neg".
void check_bag_of_pair(const NpzFile& file, const std::string& prefix, const std::string& side,
                       const MilOutput& output, double relative) {
  const auto want = [&](const char* name) { return golden_doubles(file, prefix + side + name); };
  expect_close(doubles_of(output.instance_logits.value()), want("_ins_f64"), relative,
               side + " instance logits");
  expect_close(doubles_of(output.bag_logit.value()), want("_bag_f64"), relative, side + " bag logit");
  expect_close(doubles_of(output.attention), want("_A_f64"), relative, side + " attention");
  expect_close(doubles_of(output.bag_vector), want("_B_f64"), relative, side + " bag vector");
  const MilLoss loss = bag_loss(output, {side == "pos" ? 1.0 : 0.0}, published_weights());
  EXPECT_NEAR(kGoldenWeight * loss.bag.item(), golden_doubles(file, prefix + "l_" + side + "_bag_f64")[0],
              2 * relative);
  EXPECT_NEAR(kGoldenWeight * loss.max_instance.item(),
              golden_doubles(file, prefix + "l_" + side + "_max_f64")[0], 4 * relative);
  const std::vector<double> logits = doubles_of(output.instance_logits.value());
  std::vector<int64_t> top(10);
  std::vector<double> values(10);
  select<double>(Device::cpu)
      .top_k(logits.data(), nullptr, static_cast<int64_t>(logits.size()), 10, top.data(), values.data(),
             nullptr);
  EXPECT_EQ(doubles_of(file[prefix + side + "_topk_f64"]), std::vector<double>(top.begin(), top.end()));
}

void check_pair(const NpzFile& file, const std::string& prefix, const DsmilModel& model,
                const Variable& positive, const Variable& negative, double relative) {
  const MilOutput positive_output = model.forward(positive);
  const MilOutput negative_output = model.forward(negative);
  check_bag_of_pair(file, prefix, "pos", positive_output, relative);
  check_bag_of_pair(file, prefix, "neg", negative_output, relative);
  const MilLoss loss = pair_loss(positive_output, negative_output, published_weights());
  EXPECT_NEAR(loss.total.item(), golden_doubles(file, prefix + "total_f64")[0], relative * loss.total.item());
  EXPECT_NEAR(loss.rank.item(), golden_doubles(file, prefix + "rank_f64")[0], relative);
  backward(loss.total);
}

TEST_P(MilGoldenTest, DsmilSmallPair) {
  const NpzFile file = testing::open_golden("dsmil.npz");
  DsmilConfig config;
  config.feature_width = 32;
  DsmilModel model(config, 0, dtype());
  load(model, file, "small_w.");
  const NamedTensors fill = testing::golden_weights(state_dict(model), 31);
  for (const auto& [name, tensor] : fill)
    EXPECT_EQ(doubles_of(tensor), golden_doubles(file, "small_w." + name)) << name;
  const Variable positive = bag(file["small_pos_feats"]);
  const Variable negative = bag(file["small_neg_feats"]);
  check_pair(file, "small_", model, positive, negative, agreement(model));
  for (const ModuleEntry& entry : model.entries()) {
    expect_close(doubles_of(entry.parameter.grad()), golden_doubles(file, "small_g." + entry.name + "_f64"),
                 2 * agreement(model), "gradient of " + entry.name);
  }
  expect_close(doubles_of(positive.grad()), golden_doubles(file, "small_grad_pos_feats_f64"),
               2 * agreement(model), "positive bag");
  expect_close(doubles_of(negative.grad()), golden_doubles(file, "small_grad_neg_feats_f64"),
               2 * agreement(model), "negative bag");
}

TEST_P(MilGoldenTest, DsmilFullPair) {
  const NpzFile file = testing::open_golden("dsmil.npz");
  DsmilModel model(DsmilConfig{}, 0, dtype());
  load_state_dict(model, testing::golden_weights(state_dict(model), 32));
  const Variable positive = bag(testing::golden_values(106, 512, {300, 512}));
  const Variable negative = bag(testing::golden_values(106, 513, {201, 512}));
  check_pair(file, "full_", model, positive, negative, agreement(model));
  uint64_t stream = 0;
  for (const ModuleEntry& entry : model.entries()) {
    expect_digest(doubles_of(entry.parameter.grad()), file["full_gdigest." + entry.name + "_f64"], 0,
                  stream++, 2 * agreement(model), "gradient of " + entry.name);
  }
  expect_digest(doubles_of(positive.grad()), file["full_grad_pos_feats_digest_f64"], 0, 0,
                2 * agreement(model), "positive bag");
  expect_digest(doubles_of(negative.grad()), file["full_grad_neg_feats_digest_f64"], 0, 0,
                2 * agreement(model), "negative bag");
}

/// Single bags with the non-ranking loss: the golden losses are those of these targets without pos_weight.
void check_single_bag(const NpzFile& file, const std::string& prefix, DsmilModel& model, const Variable& bag,
                      const std::vector<double>& targets, double relative) {
  const MilOutput output = model.forward(bag);
  expect_close(doubles_of(output.instance_logits.value()), golden_doubles(file, prefix + "classes"), relative,
               "instance logits");
  expect_close(doubles_of(output.bag_logit.value()), golden_doubles(file, prefix + "bag"), relative,
               "bag logits");
  expect_close(doubles_of(output.attention), golden_doubles(file, prefix + "A"), relative, "attention");
  expect_close(doubles_of(output.bag_vector), golden_doubles(file, prefix + "B"), relative, "bag vectors");
  const MilLoss loss = bag_loss(output, targets, MilLossWeights{});
  EXPECT_NEAR(loss.total.item(), golden_doubles(file, prefix + "loss")[0], relative * loss.total.item());
  backward(loss.total);
  for (const ModuleEntry& entry : model.entries()) {
    expect_close(doubles_of(entry.parameter.grad()), golden_doubles(file, prefix + "g." + entry.name),
                 2 * relative, "gradient of " + entry.name);
  }
  expect_close(doubles_of(bag.grad()), golden_doubles(file, prefix + "grad_feats"), 2 * relative,
               "gradient of the bag");
}

TEST_P(MilGoldenTest, DsmilThreeClasses) {
  const NpzFile file = testing::open_golden("dsmil.npz");
  DsmilConfig config;
  config.feature_width = 32;
  config.classes = 3;
  DsmilModel model(config, 0, dtype());
  load(model, file, "mc3_w.");
  check_single_bag(file, "mc3_", model, bag(file["mc3_feats"]), {0, 1, 1}, agreement(model));
}

TEST_P(MilGoldenTest, DsmilLinearQuery) {
  const NpzFile file = testing::open_golden("dsmil.npz");
  DsmilConfig config;
  config.feature_width = 32;
  config.nonlinear = false;
  DsmilModel model(config, 0, dtype());
  load(model, file, "lin_w.");
  check_single_bag(file, "lin_", model, bag(file["lin_feats"]), {1}, agreement(model));
}

/// Ten epochs of three pairs with Adam; the learning rates are those of the file.
template <typename T>
void train_dsmil(DType dtype) {
  const NpzFile file = testing::open_golden("dsmil.npz");
  DsmilConfig config;
  config.feature_width = 32;
  DsmilModel model(config, 0, dtype);
  load_state_dict(model, testing::golden_weights(state_dict(model), 31));
  const ParameterArena arena(model.parameters());
  const Tensor first_moment = arena.make_state();
  const Tensor second_moment = arena.make_state();
  const std::vector<double> rates = golden_doubles(file, "traj_lr_f64");
  std::vector<double> losses;
  AdamRule rule;
  rule.weight_decay = 1e-4;
  int64_t step = 0;
  for (const double rate : rates) {
    for (int64_t i = 0; i < 3; ++i) {
      const auto stream = static_cast<uint64_t>(2 * i);
      const Variable positive(cast(testing::golden_values(108, stream, {20 + i, 32}), dtype));
      const Variable negative(cast(testing::golden_values(108, stream + 1, {25 - i, 32}), dtype));
      arena.zero_grad();
      const MilLoss loss = pair_loss(model.forward(positive), model.forward(negative), MilLossWeights{});
      losses.push_back(loss.total.item());
      backward(loss.total);
      rule.learning_rate = rate;
      optimizer<T>(Device::cpu)
          .adam(arena.values().data<T>(), arena.grads().data<T>(), first_moment.data<T>(),
                second_moment.data<T>(), nullptr, arena.size(), ++step, 1, rule, nullptr);
      arena.values_changed("adam step");
    }
  }
  expect_close(losses, golden_doubles(file, "traj_losses_f64"),
               testing::agreement(model, file, "traj_losses"), "losses");
  for (const ModuleEntry& entry : model.entries()) {
    const std::string name = "traj_final." + entry.name;
    expect_close(doubles_of(entry.tensor()), golden_doubles(file, name + "_f64"),
                 testing::agreement(model, file, name), name);
  }
}

TEST(MilTrajectoryTest, ThirtyAdamStepsInDouble) {
  train_dsmil<double>(DType::f64);
}
TEST(MilTrajectoryTest, ThirtyAdamStepsInFloat) {
  train_dsmil<float>(DType::f32);
}

TEST_P(MilGoldenTest, GatedAbmil) {
  const NpzFile file = testing::open_golden("abmil_gated.npz");
  GatedAbmilConfig config;
  config.feature_width = 24;
  config.hidden_width = 32;
  config.gate_width = 16;
  GatedAbmilModel model(config, 0, dtype());
  load(model, file, "w.");
  const double relative = agreement(model);
  const Variable x = bag(file["x"]);
  const MilOutput output = model.forward(x);
  expect_close(doubles_of(output.bag_logit.value()), golden_doubles(file, "logit_f64"), relative, "logit");
  expect_close(doubles_of(output.attention), golden_doubles(file, "A_f64"), relative, "attention");
  expect_close(doubles_of(output.bag_vector), golden_doubles(file, "z_f64"), relative, "bag vector");
  // Attention logits, up to the shift that softmax does not see.
  std::vector<double> shifted = golden_doubles(file, "a_f64");
  std::vector<double> logs = doubles_of(output.attention);
  for (std::size_t i = shifted.size(); i-- > 0;) {
    shifted[i] -= shifted[0];
    logs[i] = std::log(logs[i] / logs[0]);
  }
  expect_close(logs, shifted, 2 * relative, "attention logits");
  MilLossWeights bag_only;
  bag_only.bag = 1;
  bag_only.max_instance = 0;
  const MilLoss loss = bag_loss(output, {1}, bag_only);
  EXPECT_NEAR(loss.total.item(), golden_doubles(file, "loss_f64")[0], relative * loss.total.item());
  backward(loss.total);
  for (const ModuleEntry& entry : model.entries()) {
    const std::vector<double> want = golden_doubles(file, "g." + entry.name + "_f64");
    if (entry.name == "w.bias") {  // shifts every attention logit alike: the true gradient is 0
      EXPECT_FALSE(entry.parameter.grad().defined());
      EXPECT_NEAR(want[0], 0, 1e-15);
      continue;
    }
    expect_close(doubles_of(entry.parameter.grad()), want, 2 * relative, "gradient of " + entry.name);
  }
  expect_close(doubles_of(x.grad()), golden_doubles(file, "grad_x_f64"), 2 * relative, "gradient of the bag");
}

}  // namespace
}  // namespace mt
