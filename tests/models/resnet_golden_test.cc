// ResNets against PyTorch's float64 runs: activations, features, logits, losses, gradients, running
// statistics.

#include <gtest/gtest.h>

#include <algorithm>

#include "autograd/ops.h"
#include "tensor/parallel.h"
#include "tests/models/golden_network.h"

namespace mt {
namespace {

using testing::expect_close;
using testing::expect_digest;
using testing::golden_doubles;
using testing::golden_resnet;
using testing::kDoubleAgreement;

ResNetConfig instance_config(int64_t base_width) {
  ResNetConfig config;
  config.base_width = base_width;
  config.head_hidden = 8 * base_width;
  config.head_out = 4 * base_width;
  return config;
}

// ---- InstanceNorm ----

void check_crc_and_digests_of_weights(const ResNet& network, const NpzFile& file) {
  const Tensor crc = file["param_crc32"];
  int64_t row = 0;
  for (const auto& [name, tensor] : state_dict(network)) {
    const Tensor f32 = cast(tensor, DType::f32);
    const int64_t want = crc.data<int64_t>()[row];
    EXPECT_EQ(tensor.dtype() == DType::i64 ? 0 : static_cast<int64_t>(testing::crc32_of(f32)), want) << name;
    if (file.has("param_digest")) {
      expect_digest(testing::doubles_of(tensor), file["param_digest"], row, static_cast<uint64_t>(row), 1e-12,
                    name);
    }
    ++row;
  }
  EXPECT_EQ(row, crc.numel());
}

/// Features and projection against `prefix`_feat_f64 and `prefix`_proj_f64.
Activations check_embedding(const ResNet& network, const NpzFile& file, const std::string& prefix,
                            const Tensor& images) {
  NoGradGuard no_tape;
  Activations activations;
  const Variable features = network.features(Variable(images), &activations);
  const Variable projection = network.head(features);
  for (const auto& [name, value] : {std::pair{prefix + "_feat", features}, {prefix + "_proj", projection}}) {
    expect_close(testing::doubles_of(value.value()), golden_doubles(file, name + "_f64"),
                 testing::agreement(network, file, name), name);
  }
  return activations;
}

/// The golden bn1 is before its ReLU; here both are one pass, so the norm is applied alone to the golden
/// conv1.
Tensor norm_alone(const Tensor& conv1) {
  NoGradGuard no_tape;
  return ops::instance_norm(Variable(conv1), {}).value();
}

/// The same for each image alone, images beside each other: the double reference runs in one thread.
Activations embed_in_threads(const ResNet& network, const Tensor& images, Tensor& features,
                             Tensor& projection) {
  const auto count = static_cast<std::size_t>(images.dim(0));
  std::vector<Activations> activations(count);
  std::vector<Variable> feature_rows(count);
  std::vector<Variable> projection_rows(count);
  parallel_for(images.dim(0), 1, [&](int64_t begin, int64_t end) {
    NoGradGuard no_tape;
    const auto i = static_cast<std::size_t>(begin);
    feature_rows[i] = network.features(Variable(images.slice(0, begin, end)), &activations[i]);
    projection_rows[i] = network.head(feature_rows[i]);
  });
  NoGradGuard no_tape;
  features = ops::concat_rows(feature_rows).value();
  projection = ops::concat_rows(projection_rows).value();
  Activations joined;
  for (std::size_t stage = 0; stage < activations[0].size(); ++stage) {
    std::vector<Variable> parts;
    for (const Activations& image : activations) parts.emplace_back(image[stage].second);
    joined.emplace_back(activations[0][stage].first, ops::concat_rows(parts).value());
  }
  return joined;
}

TEST(ResNetGoldenTest, Resnet18InstanceNormFullAgreesInDouble) {
  const NpzFile file = testing::open_golden("resnet18_instancenorm_full.npz");
  const auto network = golden_resnet(instance_config(64), 18, DType::f64);
  check_crc_and_digests_of_weights(*network, file);
  const std::pair<const char*, Tensor> inputs[] = {
      {"x64", testing::golden_images(100, 0, {4, 3, 64, 64})},
      {"x224", testing::golden_images(100, 1, {2, 3, 224, 224})}};
  for (const auto& [prefix, images] : inputs) {
    Tensor features;
    Tensor projection;
    Activations activations =
        embed_in_threads(*network, testing::nhwc(images, DType::f64), features, projection);
    const std::string name_of_set = prefix;
    expect_close(testing::doubles_of(features), golden_doubles(file, name_of_set + "_feat_f64"),
                 kDoubleAgreement, "features");
    expect_close(testing::doubles_of(projection), golden_doubles(file, name_of_set + "_proj_f64"),
                 kDoubleAgreement, "projection");
    activations.emplace_back("bn1", norm_alone(activations[0].second));
    for (const auto& [name, value] : activations) {
      expect_digest(testing::nchw_doubles(value), file[name_of_set + "_" + name + "_digest"], 0, 0,
                    kDoubleAgreement, std::string(prefix) + " " + name);
    }
  }
}

TEST(ResNetGoldenTest, Resnet18InstanceNormFullAgreesInFloat) {
  const NpzFile file = testing::open_golden("resnet18_instancenorm_full.npz");
  const auto network = golden_resnet(instance_config(64), 18, DType::f32);
  check_embedding(*network, file, "x64",
                  testing::nhwc(testing::golden_images(100, 0, {4, 3, 64, 64}), DType::f32));
  check_embedding(*network, file, "x224",
                  testing::nhwc(testing::golden_images(100, 1, {2, 3, 224, 224}), DType::f32));
}

TEST(ResNetGoldenTest, Resnet18InstanceNormNarrowAgreesInBothTypes) {
  const NpzFile file = testing::open_golden("resnet18_instancenorm_narrow.npz");
  for (const DType dtype : {DType::f64, DType::f32}) {
    SCOPED_TRACE(name_of(dtype));
    const auto network = golden_resnet(instance_config(16), 181, dtype);
    for (const auto& [name, tensor] : state_dict(*network)) {
      EXPECT_EQ(testing::doubles_of(tensor), golden_doubles(file, "w." + name)) << name;
    }
    for (const std::string prefix : {"x64", "x224"}) {
      const Tensor images = testing::images_from_bytes(file[prefix + "_u8"], dtype);
      Activations activations = check_embedding(*network, file, prefix, images);
      if (prefix == "x224") continue;
      activations.emplace_back("bn1", norm_alone(activations[0].second));
      for (const auto& [name, value] :
           activations) {  // of the first image; PyTorch's float32 run: both sides round
        expect_close(testing::nchw_doubles(value.slice(0, 0, 1)),
                     golden_doubles(file, "x64_" + name + "_f32"), 2 * testing::float_agreement(*network),
                     name);
      }
    }
  }
}

// ---- BatchNorm: training and frozen, with gradients ----

/// Mean cross-entropy of logits (N,C) and its gradient, in double: the classifier's loss is no part of the
/// product.
std::pair<double, Tensor> cross_entropy(const Tensor& logits, const std::vector<int64_t>& labels) {
  const auto rows = static_cast<std::size_t>(logits.dim(0));
  const auto columns = static_cast<std::size_t>(logits.dim(1));
  const std::vector<double> x = testing::doubles_of(logits);
  std::vector<double> gradient(x.size());
  double loss = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    const double largest = *std::max_element(&x[r * columns], &x[r * columns] + columns);
    double sum = 0;
    for (std::size_t c = 0; c < columns; ++c) sum += std::exp(x[r * columns + c] - largest);
    const auto label = static_cast<std::size_t>(labels[r]);
    loss += (std::log(sum) + largest - x[r * columns + label]) / static_cast<double>(rows);
    for (std::size_t c = 0; c < columns; ++c) {
      gradient[r * columns + c] = (std::exp(x[r * columns + c] - largest) / sum - (c == label ? 1.0 : 0.0)) /
                                  static_cast<double>(rows);
    }
  }
  return {loss, cast(Tensor::of(gradient, logits.shape()), logits.dtype())};
}

struct BatchNormCase {
  std::string file;
  int depth;
  int64_t base_width;
  uint64_t fill;
};

const std::vector<BatchNormCase>& batch_norm_cases() {  // the long ones first
  static const std::vector<BatchNormCase> cases{{"resnet50_bn_full", 50, 64, 501},
                                                {"resnet18_bn_full", 18, 64, 281},
                                                {"resnet50_bn_narrow", 50, 8, 50},
                                                {"resnet18_bn_narrow", 18, 8, 28}};
  return cases;
}

class BatchNormCheck {
 public:
  BatchNormCheck(const BatchNormCase& test, DType dtype)
      : file_(testing::open_golden(test.file + ".npz")), narrow_(!file_.has("param_crc32")) {
    ResNetConfig config;
    config.depth = test.depth;
    config.base_width = test.base_width;
    config.norm = NormKind::batch;
    config.head = HeadKind::classifier;
    config.head_out = 10;
    network_ = golden_resnet(config, test.fill, dtype);
  }

  void check_weights() const {
    if (!narrow_) return check_crc_and_digests_of_weights(*network_, file_);
    for (const auto& [name, tensor] : state_dict(*network_)) {
      EXPECT_EQ(testing::doubles_of(tensor), golden_doubles(file_, "w." + name)) << name;
    }
  }

  /// Forward, cross-entropy and backward with frozen statistics.
  void check_frozen() {
    network_->set_batch_statistics(BatchStatistics::frozen);
    check_pass("eval_logits", "eval_loss", "eval_grad_digest");
  }

  /// The same with the batch's statistics; then the images' gradient and the running statistics.
  void check_training() {
    network_->set_batch_statistics(BatchStatistics::batch);
    check_pass("train_logits", "train_loss", "grad_digest");
    expect_digest(testing::nchw_doubles(images_.grad()), file_["grad_x_digest_f64"], 0, 0,
                  allowed("grad_x_digest"), "gradient of the images");
    if (narrow_) check_narrow_gradients();
    check_running_statistics();
  }

 private:
  double allowed(const std::string& name) const { return testing::agreement(*network_, file_, name); }

  void check_pass(const std::string& logits_name, const std::string& loss_name, const std::string& digests) {
    for (const ModuleEntry& entry : network_->entries()) {
      if (entry.is_parameter()) entry.parameter.zero_grad();
    }
    images_ = Variable(input(), true);
    const Variable logits = network_->forward(images_);
    expect_close(testing::doubles_of(logits.value()), golden_doubles(file_, logits_name + "_f64"),
                 allowed(logits_name), logits_name);
    const auto [loss, gradient] = cross_entropy(logits.value(), {0, 3, 7, 9});
    EXPECT_NEAR(loss, golden_doubles(file_, loss_name + "_f64")[0], allowed(logits_name) * loss);
    backward(logits, gradient);
    int64_t row = 0;
    for (const ModuleEntry& entry : network_->entries()) {
      if (!entry.is_parameter()) continue;
      expect_digest(testing::torch_gradient(entry), file_[digests + "_f64"], row, static_cast<uint64_t>(row),
                    allowed(digests), digests + " of " + entry.name);
      ++row;
    }
  }

  Tensor input() const {
    const Tensor generated = testing::golden_images(102, 0, {4, 3, 64, 64});
    if (narrow_) {  // these files hold the bytes too
      const Tensor stored = testing::images_from_bytes(file_["x_u8"], network_->dtype());
      EXPECT_EQ(testing::doubles_of(stored),
                testing::doubles_of(testing::nhwc(generated, network_->dtype())));
      EXPECT_EQ(golden_doubles(file_, "y"), (std::vector<double>{0, 3, 7, 9}));
    }
    return testing::nhwc(generated, network_->dtype());
  }

  void check_narrow_gradients() const {
    for (const ModuleEntry& entry : network_->entries()) {
      if (!entry.is_parameter()) continue;  // the golden gradient is a double rounded to float32
      testing::expect_gradient(
          *network_, testing::torch_gradient(entry), golden_doubles(file_, "g." + entry.name),
          testing::agreement(*network_, file_, "grad_digest"), "gradient of " + entry.name);
    }
  }

  void check_running_statistics() const {
    uint64_t buffer = 0;
    int64_t row = 0;  // digests have rows for the floating buffers only
    for (const ModuleEntry& entry : network_->entries()) {
      if (entry.is_parameter()) continue;
      const std::vector<double> values = testing::doubles_of(entry.buffer);
      const bool counter = entry.buffer.dtype() == DType::i64;
      if (narrow_) {
        expect_close(values, golden_doubles(file_, "after." + entry.name), allowed("train_logits"),
                     entry.name);
      } else if (!counter) {
        expect_digest(values, file_["running_digest_f64"], row, buffer, allowed("running_digest"),
                      entry.name);
      }
      row += counter ? 0 : 1;
      ++buffer;
    }
  }

  NpzFile file_;
  bool narrow_;
  std::unique_ptr<ResNet> network_;
  Variable images_;
};

TEST(BatchNormGoldenTest, EveryNetworkAgreesInDouble) {
  // The reference runs in one thread, so the networks run beside each other: first frozen (the files' order),
  // then training.
  parallel_for(static_cast<int64_t>(batch_norm_cases().size()), 1, [](int64_t begin, int64_t) {
    const BatchNormCase& test = batch_norm_cases()[static_cast<std::size_t>(begin)];
    SCOPED_TRACE(test.file);
    BatchNormCheck network(test, DType::f64);
    network.check_weights();
    network.check_frozen();
    network.check_training();
  });
}

class BatchNormFloatGoldenTest : public ::testing::TestWithParam<BatchNormCase> {};

TEST_P(BatchNormFloatGoldenTest, AgreesInFloat) {
  BatchNormCheck network(GetParam(), DType::f32);
  network.check_frozen();
  network.check_training();
}

INSTANTIATE_TEST_SUITE_P(Networks, BatchNormFloatGoldenTest, ::testing::ValuesIn(batch_norm_cases()),
                         [](const auto& test) { return test.param.file; });

}  // namespace
}  // namespace mt
