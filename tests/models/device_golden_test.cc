// Networks on a device, in float, against PyTorch's float64 runs.

#include <gtest/gtest.h>

#include <string>

#include "autograd/arithmetic.h"
#include "kernels/device/device.h"
#include "models/losses.h"
#include "models/mil.h"
#include "tests/models/golden_network.h"

namespace mt {
namespace {

using testing::expect_close;
using testing::golden_doubles;

class DeviceGoldenTest : public ::testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (!device_is_present(GetParam())) GTEST_SKIP() << "no NVIDIA GPU";
  }
  Tensor here(const Tensor& tensor) const { return moved_to(tensor, GetParam()); }
  static std::vector<double> on_host(const Tensor& tensor) {
    return testing::doubles_of(moved_to(tensor, Device::cpu));
  }
};

TEST_P(DeviceGoldenTest, Resnet18InstanceNormEmbedsAndProjects) {
  const NpzFile file = testing::open_golden("resnet18_instancenorm_narrow.npz");
  ResNetConfig config;
  config.base_width = 16;
  config.head_hidden = 128;
  config.head_out = 64;
  ResNet network(config, 0, DType::f32, GetParam());
  load_state_dict(network, testing::golden_weights(state_dict(network), 181));
  NoGradGuard no_tape;
  const Variable images(here(testing::images_from_bytes(file["x64_u8"], DType::f32)));  // (N,64,64,3)
  const Variable features = network.features(images);
  expect_close(on_host(features.value()), golden_doubles(file, "x64_feat_f64"),
               testing::agreement(network, file, "x64_feat"), "features");
  expect_close(on_host(network.head(features).value()), golden_doubles(file, "x64_proj_f64"),
               testing::agreement(network, file, "x64_proj"), "projection");
}

TEST_P(DeviceGoldenTest, DsmilGivesThePairsLossesAndGradients) {
  const NpzFile file = testing::open_golden("dsmil.npz");
  DsmilConfig config;
  config.feature_width = 32;
  DsmilModel model(config, 0, DType::f32, GetParam());
  load_state_dict(model, testing::golden_weights(state_dict(model), 31));
  const double relative = testing::float_agreement(model);
  const Variable positive(here(cast(file["small_pos_feats"], DType::f32)), true);  // (N,32)
  const Variable negative(here(cast(file["small_neg_feats"], DType::f32)), true);
  const MilOutput of_positive = model.forward(positive);
  const MilOutput of_negative = model.forward(negative);
  expect_close(on_host(of_positive.attention), golden_doubles(file, "small_pos_A_f64"), relative,
               "attention");
  expect_close(on_host(of_positive.bag_vector), golden_doubles(file, "small_pos_B_f64"), relative,
               "bag vector");
  MilLossWeights weights;  // the golden code scales both (mil_golden_test.cc)
  weights.bag *= 1.75;
  weights.max_instance *= 1.75;
  const MilLoss loss = pair_loss(of_positive, of_negative, weights);
  EXPECT_NEAR(loss.total.item(), golden_doubles(file, "small_total_f64")[0], relative * loss.total.item());
  backward(loss.total);
  for (const ModuleEntry& entry : model.entries()) {
    expect_close(on_host(entry.parameter.grad()), golden_doubles(file, "small_g." + entry.name + "_f64"),
                 2 * relative, "gradient of " + entry.name);
  }
  expect_close(on_host(positive.grad()), golden_doubles(file, "small_grad_pos_feats_f64"), 2 * relative,
               "positive bag");
  expect_close(on_host(negative.grad()), golden_doubles(file, "small_grad_neg_feats_f64"), 2 * relative,
               "negative bag");
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceGoldenTest, ::testing::Values(Device::simt, Device::cuda),
                         [](const auto& test) {
                           return std::string(name_of(test.param)) +
                                  (test.param == Device::simt ? "_ascending" : "");
                         });

}  // namespace
}  // namespace mt
