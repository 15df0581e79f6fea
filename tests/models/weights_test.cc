#include "models/weights.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "models/mil.h"
#include "tensor/io/torch_checkpoint.h"
#include "tests/harness/error_of.h"
#include "tests/harness/golden_generator.h"
#include "tests/harness/places.h"

namespace mt {
namespace {

ResNetConfig small_config() {
  ResNetConfig config;
  config.base_width = 2;
  config.head_hidden = 5;
  config.head_out = 3;
  return config;
}

StateDict prefixed(const StateDict& weights, const std::string& prefix) {
  StateDict result;
  for (const auto& [name, tensor] : weights) result.emplace_back(prefix + name, tensor);
  return result;
}

std::vector<std::string> names_of(const StateDict& weights) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : weights) names.push_back(name);
  return names;
}

void expect_same_weights(const Module& a, const Module& b) {
  ASSERT_EQ(a.entries().size(), b.entries().size());
  for (std::size_t i = 0; i < a.entries().size(); ++i) {
    EXPECT_EQ(testing::doubles_of(a.entries()[i].tensor()), testing::doubles_of(b.entries()[i].tensor()))
        << a.entries()[i].name;
  }
}

TEST(StateDictTest, NamesAndOrderAreTorchvisions) {
  for (const int depth : {18, 50}) {
    ResNetConfig config;
    config.depth = depth;
    config.base_width = 8;
    config.norm = NormKind::batch;
    config.head = HeadKind::classifier;
    config.head_out = 10;
    const NpzFile file = testing::open_golden("resnet" + std::to_string(depth) + "_bn_narrow.npz");
    std::vector<std::string> want;
    for (const std::string& name : file.names()) {
      if (name.starts_with("w.")) want.push_back(name.substr(2));
    }
    EXPECT_EQ(names_of(state_dict(ResNet(config))), want);
  }
}

TEST(StateDictTest, ExportAndImportKeepEveryBit) {
  ResNetConfig config = small_config();
  config.norm = NormKind::batch;
  const ResNet from(config, 1);
  ResNet to(config, 2);
  const LoadReport report = load_state_dict(to, state_dict(from));
  EXPECT_EQ(report.loaded, static_cast<int64_t>(from.entries().size()));
  expect_same_weights(from, to);
}

TEST(StateDictTest, ConvolutionWeightsAreExportedAsKCRS) {
  const ResNet network(small_config(), 1);
  const Tensor own = network.find("conv1.weight")->tensor();   // (K,R,S,C)
  const Tensor exported = state_dict(network).front().second;  // (K,C,R,S)
  EXPECT_EQ(own.shape(), (Shape{2, 7, 7, 3}));
  EXPECT_EQ(exported.shape(), (Shape{2, 3, 7, 7}));
  const auto at = [](const Tensor& t, int64_t a, int64_t b, int64_t c, int64_t d) {
    return *t.select(0, a).select(0, b).select(0, c).select(0, d).data<float>();
  };
  EXPECT_EQ(at(own, 1, 4, 5, 2), at(exported, 1, 2, 4, 5));
}

TEST(StateDictTest, EverythingThatDoesNotFitIsInOneMessageAndNothingChanges) {
  ResNet network(small_config(), 1);
  const StateDict before = state_dict(network);
  StateDict weights = state_dict(ResNet(small_config(), 2));
  weights.erase(weights.begin() + 1);
  weights.back() = {"fc.2.bias", Tensor::of(std::vector<float>(7), {7})};
  weights.emplace_back("queue", Tensor::of(std::vector<float>(1), {1}));
  LoadOptions options;
  options.source = "weights.pth";
  EXPECT_EQ(error_of([&] { load_state_dict(network, weights, options); }),
            "weights.pth: does not fit ResNet-18 InstanceNorm, base width 2, projection 16-5-3; 1 missing: "
            "layer1.0.conv1.weight; 1 unexpected: queue; 1 of another shape: fc.2.bias: (7) in the file, (3) "
            "in the model");
  for (const auto& [name, tensor] : before) {
    const ModuleEntry* entry = network.find(name);
    if (entry->layout == WeightLayout::same) {
      EXPECT_EQ(testing::doubles_of(entry->tensor()), testing::doubles_of(tensor));
    }
  }
}

TEST(StateDictTest, ANewHeadMayBeMissing) {
  ResNet network(small_config(), 1);
  StateDict weights = state_dict(ResNet(small_config(), 2));
  weights.resize(weights.size() - 4);
  weights.emplace_back("fc.weight", Tensor::of(std::vector<float>(160), {10, 16}));
  LoadOptions options;
  EXPECT_NE(error_of([&] { load_state_dict(network, weights, options); }).find("4 missing: fc.0.weight"),
            std::string::npos);
  options.optional_prefixes = {"fc."};
  options.refuse_unexpected = false;
  const LoadReport report = load_state_dict(network, weights, options);
  EXPECT_EQ(report.str(),
            "20 tensors loaded; 4 missing: fc.0.weight, fc.0.bias, fc.2.weight, fc.2.bias; 1 unexpected: "
            "fc.weight");
}

TEST(StateDictTest, NanWeightsAreRefusedByName) {
  ResNet network(small_config(), 1);
  for (const float bad : {NAN, INFINITY}) {
    const StateDict weights = state_dict(ResNet(small_config(), 2));
    weights[4].second.data<float>()[3] = bad;
    LoadOptions options;
    options.source = "weights.pth";
    EXPECT_TRUE(error_of([&] {
                  load_state_dict(network, weights, options);
                }).starts_with("weights.pth: layer1.1.conv2.weight has NaN or infinite values"));
  }
}

TEST(StateDictTest, OtherNumberTypesAreConverted) {
  ResNet network(small_config(), 1);
  StateDict weights;
  for (const auto& [name, tensor] : state_dict(ResNet(small_config(), 2, DType::f64)))
    weights.emplace_back(name, tensor);
  EXPECT_EQ(weights.front().second.dtype(), DType::f64);
  load_state_dict(network, weights);
  expect_same_weights(network, ResNet(small_config(), 2));
}

TEST(FindResnetTest, WhateverStandsBeforeAllNamesIsTakenOff) {
  const StateDict plain = state_dict(ResNet(small_config(), 1));
  const std::vector<std::string> names = names_of(plain);
  for (const std::string prefix :
       {"", "module.", "resnet.", "net.", "module.encoder_q.", "module.resnet.", "net.resnet.",
        "state_dict.module.encoder_q.", "model.", "model.resnet.", "backbone.", "encoder.", "module.encoder.",
        "module.base_encoder.", "_orig_mod.", "module._orig_mod.", "teacher.backbone.", "a.b.c.d."}) {
    StateDict wrapped = prefixed(plain, prefix);
    if (!prefix.empty()) {  // beside the encoder: optimizer state, a queue
      wrapped.emplace_back("optimizer.state.0.momentum_buffer", Tensor::of(std::vector<float>{1}, {1}));
      if (prefix.ends_with("encoder_q.")) {
        wrapped.emplace_back(prefix.substr(0, prefix.size() - 10) + "queue_ptr",
                             Tensor::of(std::vector<int64_t>{7}, {1}));
      }
    }
    EXPECT_EQ(names_of(find_resnet(wrapped)), names) << prefix;
  }
}

TEST(FindResnetTest, NumberedChildrenGetTheirNamesBack) {
  ResNetConfig config = small_config();
  config.norm = NormKind::batch;
  config.head = HeadKind::none;
  const ResNet network(config, 1);
  const std::vector<std::pair<std::string, std::string>> children{{"conv1.", "0."},  {"bn1.", "1."},
                                                                  {"layer1.", "4."}, {"layer2.", "5."},
                                                                  {"layer3.", "6."}, {"layer4.", "7."}};
  StateDict numbered;  // as DSMIL's SimCLR saves it, with its projection beside
  for (const auto& [name, tensor] : state_dict(network)) {
    for (const auto& [child, number] : children) {
      if (name.starts_with(child))
        numbered.emplace_back("features." + number + name.substr(child.size()), tensor);
    }
  }
  numbered.emplace_back("l1.weight", Tensor::of(std::vector<float>(4), {2, 2}));
  const StateDict found = find_resnet(numbered);
  EXPECT_EQ(names_of(found), names_of(state_dict(network)));
  ResNet other(config, 2);
  load_state_dict(other, found);
  expect_same_weights(network, other);
}

TEST(FindResnetTest, OfTwoNetworksTheOneThatIsEvaluatedIsTaken) {
  const StateDict good = state_dict(ResNet(small_config(), 1));
  const StateDict other = state_dict(ResNet(small_config(), 2));
  const auto both = [&](const std::string& a, const std::string& b) {
    StateDict weights = prefixed(other, b);
    for (auto& entry : prefixed(good, a)) weights.push_back(entry);
    return find_resnet(weights, "two.pth");
  };
  for (const auto& [first, second] : std::vector<std::pair<std::string, std::string>>{
           {"module.encoder_q.", "module.encoder_k."},
           {"state_dict.module.base_encoder.", "state_dict.module.momentum_encoder."},
           {"teacher.backbone.", "student.module.backbone."},
           {"online.", "target."},
           {"state_dict.module.", "state_dict_ema.module."},
           {"model.", "best.model."}}) {
    const StateDict found = both(first, second);
    EXPECT_EQ(names_of(found), names_of(good));
    EXPECT_EQ(testing::doubles_of(found[0].second), testing::doubles_of(good[0].second)) << first;
  }
  EXPECT_EQ(error_of([&] { both("left.", "right."); }),
            "two.pth: holds 2 networks, below \"right.\", \"left.\"; save the one that is meant in a file of "
            "its own");
}

TEST(WeightFilesTest, TorchFilesOfEveryLayoutGiveTheSameNetwork) {
  for (const char* name : {"r18in_narrow_zip.pth", "r18in_narrow_legacy.pth", "r18in_narrow_trainer.pth"}) {
    SCOPED_TRACE(name);
    const StateDict weights = read_resnet_weights(testing::golden_path(name));
    const ResNetConfig config = detect_resnet(weights, name);
    ResNetConfig want;
    want.base_width = 16;
    want.head_hidden = 128;
    want.head_out = 64;
    EXPECT_EQ(config, want);
    ResNet network(config, 1);
    EXPECT_EQ(load_state_dict(network, weights).loaded, 24);
    const StateDict loaded = state_dict(network);
    const NamedTensors filled = testing::golden_weights(loaded, 181);
    for (std::size_t i = 0; i < loaded.size(); ++i) {
      EXPECT_EQ(testing::doubles_of(loaded[i].second), testing::doubles_of(filled[i].second))
          << loaded[i].first;
    }
  }
}

TEST(WeightFilesTest, WrappersOfPretrainersAreTakenOff) {
  std::vector<std::string> first = names_of(state_dict(ResNet(ResNetConfig{})));
  first.resize(8);
  for (const char* name : {"layout_moco_zip.pth", "layout_simclr_legacy.pth"}) {
    EXPECT_EQ(names_of(read_resnet_weights(testing::golden_path(name))), first) << name;
  }
}

TEST(WeightFilesTest, DsmilWeightsOfThePublishedCodeLoad) {
  DsmilConfig config;
  config.feature_width = 32;
  DsmilModel model(config, 1);
  load_state_dict(model, read_weights(testing::golden_path("dsmil_small_zip.pth")));
  for (const auto& [name, tensor] : testing::golden_weights(state_dict(model), 31)) {
    EXPECT_EQ(testing::doubles_of(model.find(name)->tensor()), testing::doubles_of(tensor)) << name;
  }
}

TEST(DetectResnetTest, ReadsTheArchitectureOffTheNames) {
  for (const int depth : {18, 34, 50}) {
    for (const NormKind norm : {NormKind::instance, NormKind::instance_affine, NormKind::batch}) {
      for (const HeadKind head : {HeadKind::none, HeadKind::classifier, HeadKind::projection}) {
        ResNetConfig config;
        config.depth = depth;
        config.base_width = 3;
        config.norm = norm;
        config.head = head;
        if (head == HeadKind::projection) config.head_hidden = 9;
        if (head != HeadKind::none) config.head_out = 4;
        EXPECT_EQ(detect_resnet(state_dict(ResNet(config))), config);
      }
    }
  }
}

TEST(DetectResnetTest, SaysWhatDoesNotLookLikeOne) {
  const auto message = [](const StateDict& weights) {
    return error_of([&] { detect_resnet(weights, "x.pth"); });
  };
  DsmilConfig dsmil;
  dsmil.feature_width = 4;
  EXPECT_EQ(message(state_dict(DsmilModel(dsmil))),
            "x.pth: has no conv1.weight, so it is no torchvision ResNet; its first tensor is "
            "i_classifier.fc.0.weight");
  StateDict weights = state_dict(ResNet(small_config()));
  weights.resize(17);  // layer 4 is cut off
  EXPECT_EQ(message(weights), "x.pth: basic blocks 2-2-2-1 are not those of ResNet-18, -34 or -50");
  weights[0].second = Tensor::of(std::vector<float>(2 * 27), {2, 3, 3, 3});
  EXPECT_EQ(message(weights), "x.pth: conv1.weight is (2,3,3,3), a torchvision ResNet has (width,3,7,7)");
  EXPECT_EQ(message({}),
            "x.pth: has no conv1.weight, so it is no torchvision ResNet; its first tensor is (none)");
}

TEST(InitialisationTest, DependsOnSeedAndNameAloneAndHasPyTorchsScale) {
  ResNetConfig config;
  config.base_width = 16;
  const ResNet a(config, 7);
  config.head = HeadKind::none;
  const ResNet b(config, 7);
  const ResNet c(config, 8);
  const auto values = [](const Module& module, const char* name) {
    return testing::doubles_of(module.find(name)->tensor());
  };
  EXPECT_EQ(values(a, "layer4.1.conv2.weight"), values(b, "layer4.1.conv2.weight"));
  EXPECT_NE(values(a, "layer4.1.conv2.weight"), values(c, "layer4.1.conv2.weight"));
  const std::vector<double> conv = values(a, "layer4.1.conv2.weight");  // 128 · 128 · 9 values
  double squares = 0;
  for (const double value : conv) squares += value * value;
  const double n = static_cast<double>(conv.size());
  const double variance = 2.0 / (128 * 9);                              // kaiming, fan out
  EXPECT_NEAR(squares / n, variance, 5 * variance * std::sqrt(2 / n));  // five standard errors of a variance
  const double bound = 1 / std::sqrt(128.0);
  double largest = 0;
  for (const double value : values(a, "fc.0.weight")) largest = std::max(largest, std::abs(value));
  EXPECT_LE(largest, bound * (1 + 1e-6));
  EXPECT_GT(largest, 0.999 * bound);
}

}  // namespace
}  // namespace mt
