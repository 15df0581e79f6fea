// The rules of the table on a device, in float, against the same rules in double on the cpu (which
// rules_test.cc holds against central differences): values and gradients of small chains that together go
// through every family.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "autograd/arithmetic.h"
#include "autograd/ops.h"
#include "kernels/device/device.h"
#include "tests/harness/kernel_test.h"

namespace mt {
namespace {

using Inputs = std::vector<Variable>;

/// Where a chain computes, and in what.
struct Place {
  Device device;
  DType dtype;
  Tensor of(const std::vector<double>& values, const Shape& shape) const {
    return moved_to(cast(Tensor::of(values, shape), dtype), device);
  }
  template <typename T>
  Tensor integers(const std::vector<T>& values) const {
    return moved_to(Tensor::of(values, {static_cast<int64_t>(values.size())}), device);
  }
};

struct Chain {
  const char* name;
  std::vector<Shape> inputs;
  /// The lengths of all sums that one element goes through, forward and backward, added up.
  double terms;
  std::function<Variable(const Inputs&, const Place&)> scalar;
};

Variable square_sum(const Variable& x) {
  return ops::sum(ops::mul(x, x));
}

Variable perceptron(const Inputs& x, const Place& place) {
  const Variable hidden = ops::linear(x[0], x[1], x[2], GemmActivation::tanh);  // (6,5)
  const Variable logits = ops::reshape(ops::linear(hidden, x[3], Variable()), {6});
  return ops::bce(logits, place.of({0, 1, 1, 0, 1, 0}, {6}), 1.5);
}

Variable convolution(const Inputs& x, const Place&) {
  const Variable maps = ops::conv2d(x[0], x[1], 2, 1);  // (2,5,4,4)
  ops::NormOptions options;
  options.gamma = x[2];
  options.beta = x[3];
  options.relu = true;
  const Variable pooled = ops::max_pool(ops::instance_norm(maps, options), {3, 2, 1});
  return square_sum(ops::global_average_pool(pooled));
}

Variable batch_statistics(const Inputs& x, const Place& place) {
  ops::NormOptions options;
  options.gamma = x[1];
  options.beta = x[2];
  options.residual = x[3];
  return square_sum(
      ops::batch_norm_train(x[0], options, place.of({0, 0, 0}, {3}), place.of({1, 1, 1}, {3}), 0.1));
}

Variable dsmil(const Inputs& x, const Place& place) {
  const auto pooling = ops::dsmil_attention(x[0], place.integers<int64_t>({2}), x[1], 0.5);
  return ops::add(square_sum(pooling.pooled), ops::sum(ops::max_instances(x[2])));
}

Variable gated(const Inputs& x, const Place&) {
  return square_sum(ops::gated_attention(x[0], x[1], x[2], x[3]).pooled);
}

Variable contrast(const Inputs& x, const Place& place) {
  ops::SupConOptions options;
  options.labels = place.integers<int32_t>({1, 0, 1, 0, 1, 0, 0, 1});
  return ops::supcon(ops::l2_normalise(x[0]), options);
}

Variable ranking(const Inputs& x, const Place&) {
  return ops::mean(ops::rank_hinge(x[0], {0, 7, 12}, 3));
}

Variable rows(const Inputs& x, const Place& place) {
  const Variable chosen = ops::gather_rows(x[0], place.integers<int64_t>({4, 0, 4}));  // (3,5)
  const Variable joined = ops::concat_rows({ops::slice_rows(x[0], 1, 4), chosen});     // (6,5)
  const Variable spread = ops::softmax(ops::subtract_column_mean(joined));
  return ops::sum(ops::mul(ops::scale(spread, 3), ops::sub(joined, x[1])));
}

const std::vector<Chain>& chains() {
  static const std::vector<Chain> all{
      {"Perceptron", {{6, 8}, {5, 8}, {5}, {1, 5}}, 8 + 5 + 6 + 6 + 8, perceptron},
      {"Convolution", {{2, 9, 8, 3}, {4, 3, 3, 3}, {4}, {4}}, 27 + 20 + 6 + 20 + 40, convolution},
      {"BatchStatistics", {{2, 3, 4, 3}, {3}, {3}, {2, 3, 4, 3}}, 24 + 72 + 24, batch_statistics},
      {"Dsmil", {{7, 4}, {7, 5}, {7, 1}}, 4 + 7 + 7 + 5, dsmil},
      {"GatedAttention", {{7, 4}, {7, 4}, {1, 4}, {7, 5}}, 4 + 7 + 7 + 5, gated},
      {"Contrast", {{8, 6}}, (6 + 8 + 8 + 8) / 0.07, contrast},  // products are divided by the temperature
      {"Ranking", {{12}}, 3 + 3, ranking},
      {"Rows", {{5, 5}, {6, 5}}, 5 + 6 + 30, rows},
  };
  return all;
}

/// The scalar, then the gradients of all inputs, as doubles on the host.
std::vector<std::vector<double>> run(const Chain& chain, const Place& place) {
  Inputs inputs;
  uint64_t seed = 40;
  for (const Shape& shape : chain.inputs) {
    const auto values = testing::widened(testing::uniform_values(shape.numel(), ++seed));
    inputs.emplace_back(place.of(values, shape), true);
  }
  const Variable result = chain.scalar(inputs, place);
  backward(result);
  std::vector<std::vector<double>> all{{result.item()}};
  for (const Variable& input : inputs) {
    const Tensor gradient = cast(moved_to(input.grad(), Device::cpu), DType::f64);
    all.emplace_back(gradient.span<double>().begin(), gradient.span<double>().end());
  }
  return all;
}

struct Case {
  Device device;
  const Chain* chain;
};

class DeviceRulesTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!device_is_present(GetParam().device)) GTEST_SKIP() << "no NVIDIA GPU";
  }
};

/// Each element within the roundings of its sums, of the largest of its gradient; eight of them for what a
/// norm or a softmax makes of one.
TEST_P(DeviceRulesTest, ValuesAndGradientsAreThoseOfTheDoubleReference) {
  const Chain& chain = *GetParam().chain;
  const auto want = run(chain, {Device::cpu, DType::f64});
  const auto got = run(chain, {GetParam().device, DType::f32});
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t part = 0; part < want.size(); ++part) {
    double largest = 0;
    for (const double value : want[part]) largest = std::max(largest, std::abs(value));
    const double allowed = 8 * testing::kRoundoff * chain.terms * largest;
    ASSERT_EQ(got[part].size(), want[part].size());
    for (std::size_t i = 0; i < want[part].size(); ++i) {
      EXPECT_TRUE(std::abs(got[part][i] - want[part][i]) <= allowed)
          << (part == 0 ? "value" : "gradient of input ") << part << "[" << i << "]: " << got[part][i]
          << ", want " << want[part][i] << ", allowed " << allowed;
    }
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Device device : {Device::simt, Device::cuda}) {
    for (const Chain& chain : chains()) all.push_back({device, &chain});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceRulesTest, ::testing::ValuesIn(cases()), [](const auto& test) {
  const std::string order = test.param.device == Device::simt ? "_ascending" : "";
  return std::string(name_of(test.param.device)) + order + "_" + test.param.chain->name;
});

}  // namespace
}  // namespace mt
