// Three training steps of the encoder with the paper's contrastive loss, against the published trainer's.

#include <gtest/gtest.h>

#include "autograd/arena.h"
#include "kernels/optimizer/optimizer.h"
#include "models/losses.h"
#include "tests/models/golden_network.h"

namespace mt {
namespace {

using testing::expect_close;
using testing::expect_digest;
using testing::golden_doubles;

/// First views of 5 negatives and 3 positives, then their second views: (16,64,64,3).
Tensor two_views(DType dtype) {
  std::vector<Variable> parts;
  for (const uint64_t view : {0U, 1U}) {
    parts.emplace_back(testing::nhwc(testing::golden_images(103, 2 + view, {5, 3, 64, 64}), dtype));
    parts.emplace_back(testing::nhwc(testing::golden_images(103, view, {3, 3, 64, 64}), dtype));
  }
  return ops::concat_rows(parts).value();
}

/// (2·images, width) view by view → the golden order (images, 2, width).
std::vector<double> by_image(const Tensor& rows, int64_t images) {
  return testing::doubles_of(testing::reordered(rows.view({2, images, rows.dim(1)}), {1, 0, 2}));
}

struct StepCase {
  const char* prefix;  // of the golden arrays
  DType dtype;
};

class TrainStepGoldenTest : public ::testing::TestWithParam<StepCase> {
 protected:
  TrainStepGoldenTest() : file_(testing::open_golden("train_step_supcon.npz")) {
    ResNetConfig config;
    config.base_width = 16;
    config.head_hidden = 128;
    config.head_out = 64;
    network_ = testing::golden_resnet(config, 181, GetParam().dtype);
    const bool step_a = prefix() == "pm2_";
    recipe_ = step_a ? ContrastiveRecipe::paper_step_a() : ContrastiveRecipe::paper_step_b();
    const std::vector<double> labels = golden_doubles(file_, "label");
    const std::vector<double> bag_labels = golden_doubles(file_, "bag_label");
    batch_.images = 8;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      batch_.labels.push_back(static_cast<int32_t>(labels[i]));
      // A patch of a positive slide without a positive pseudo-label. Masked in step A only.
      if (step_a) batch_.uncertain.push_back(bag_labels[i] == 1 && labels[i] == 0 ? 1 : 0);
    }
  }

  static std::string prefix() { return GetParam().prefix; }

  void check_gradients_of_first_step() {
    int64_t row = 0;
    for (const ModuleEntry& entry : network_->entries()) {
      const std::vector<double> gradient = testing::torch_gradient(entry);
      expect_digest(gradient, file_[prefix() + "grad_digest_f64"], row, static_cast<uint64_t>(row),
                    allowed("grad_digest"), "gradient of " + entry.name);
      if (prefix() == "pm2_") {  // float64 rounded to float32
        testing::expect_gradient(*network_, gradient, golden_doubles(file_, "pm2_g." + entry.name),
                                 testing::agreement(*network_, file_, "pm2_grad_digest"),
                                 "gradient of " + entry.name);
      }
      ++row;
    }
  }

  double allowed(const std::string& name) const {
    return testing::agreement(*network_, file_, prefix() + name);
  }

  template <typename T>
  void train() {
    const ParameterArena arena(network_->parameters());
    const Variable images(two_views(GetParam().dtype));
    SgdRule rule;
    rule.learning_rate = 0.01;
    rule.weight_decay = 1e-4;
    std::vector<double> losses;
    for (int64_t step = 1; step <= 3; ++step) {
      arena.zero_grad();
      const Variable embeddings = network_->forward(images);  // (16,64)
      if (step == 1) {
        NoGradGuard no_tape;
        expect_close(by_image(ops::l2_normalise(embeddings).value(), 8),
                     golden_doubles(file_, prefix() + "features_f64"), allowed("features"), "features");
      }
      const ContrastiveLoss loss = contrastive_loss(embeddings, batch_, recipe_);
      losses.push_back(loss.total.item());
      backward(loss.total);
      if (step == 1) check_gradients_of_first_step();
      optimizer<T>(Device::cpu)
          .sgd(arena.values().data<T>(), arena.grads().data<T>(), nullptr, arena.size(), step, 1, rule,
               nullptr);
      arena.values_changed("sgd step");
    }
    expect_close(losses, golden_doubles(file_, prefix() + "losses_f64"), allowed("losses"), "losses");
    int64_t row = 0;
    for (const ModuleEntry& entry : network_->entries()) {
      expect_digest(testing::torch_values(entry), file_[prefix() + "final_param_digest_f64"], row,
                    static_cast<uint64_t>(row), allowed("final_param_digest"), "final " + entry.name);
      ++row;
    }
  }

  NpzFile file_;
  std::unique_ptr<ResNet> network_;
  ContrastiveBatch batch_;
  ContrastiveRecipe recipe_;
};

TEST_P(TrainStepGoldenTest, FeaturesGradientsLossesAndFinalWeights) {
  if (GetParam().dtype == DType::f64) {
    train<double>();
  } else {
    train<float>();
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, TrainStepGoldenTest,
                         ::testing::Values(StepCase{"pm2_", DType::f64}, StepCase{"pm1_", DType::f64},
                                           StepCase{"pm2_", DType::f32}, StepCase{"pm1_", DType::f32}),
                         [](const auto& test) {
                           return std::string(test.param.prefix) + name_of(test.param.dtype);
                         });

}  // namespace
}  // namespace mt
