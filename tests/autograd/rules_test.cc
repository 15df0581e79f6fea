// Every rule of the table against central differences, in double: the full Jacobian.

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/arithmetic.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/recompute.h"
#include "autograd/rule.h"
#include "tests/harness/error_of.h"
#include "tests/harness/kernel_test.h"

namespace mt {
namespace {

using Inputs = std::vector<Variable>;

struct RuleCase {
  std::string name;
  Inputs inputs;
  CheckedFunction function;
};

/// f64, uniform in [−1, 1), but at least 0.02 away from 0, where ReLU has its kink.
Variable random_input(const Shape& shape, uint64_t seed) {
  std::vector<double> values = testing::widened(testing::uniform_values(shape.numel(), seed));
  for (double& value : values) value = std::copysign(0.02 + 0.98 * std::abs(value), value);
  return Variable(Tensor::of(values, shape), true);
}

Tensor positive_values(const Shape& shape, uint64_t seed) {
  return Tensor::of(testing::widened(testing::uniform_values(shape.numel(), seed, 0.5F, 2.0F)), shape);
}

void add_dense(std::vector<RuleCase>& cases) {
  const auto linear = [](GemmActivation activation) {
    return [activation](const Inputs& x) {
      return ops::linear(x[0], x[1], x.size() > 2 ? x[2] : Variable(), activation);
    };
  };
  const Inputs dense{random_input({3, 4}, 1), random_input({5, 4}, 2), random_input({5}, 3)};
  cases.push_back({"Linear", dense, linear(GemmActivation::none)});
  cases.push_back({"LinearRelu", dense, linear(GemmActivation::relu)});
  cases.push_back({"LinearTanh", dense, linear(GemmActivation::tanh)});
  cases.push_back({"LinearWithoutBias", {dense[0], dense[1]}, linear(GemmActivation::none)});
  const Variable ab = random_input({3, 4}, 4);
  const Variable ba = random_input({4, 3}, 5);
  const Variable bc = random_input({4, 2}, 6);
  const Variable cb = random_input({2, 4}, 7);
  cases.push_back({"Matmul", {ab, bc}, [](const Inputs& x) { return ops::matmul(x[0], x[1]); }});
  cases.push_back({"MatmulFirstTransposed", {ba, bc}, [](const Inputs& x) {
                     return ops::matmul(x[0], x[1], true, false);
                   }});
  cases.push_back({"MatmulSecondTransposed", {ab, cb}, [](const Inputs& x) {
                     return ops::matmul(x[0], x[1], false, true);
                   }});
  cases.push_back({"MatmulBothTransposed", {ba, cb}, [](const Inputs& x) {
                     return ops::matmul(x[0], x[1], true, true);
                   }});
  const auto conv = [](int64_t stride, int64_t padding) {
    return [=](const Inputs& x) { return ops::conv2d(x[0], x[1], stride, padding); };
  };
  const Variable image = random_input({2, 5, 4, 3}, 8);
  cases.push_back({"Conv3x3", {image, random_input({2, 3, 3, 3}, 9)}, conv(1, 1)});
  cases.push_back({"Conv3x3Stride2", {image, random_input({2, 3, 3, 3}, 10)}, conv(2, 1)});
  cases.push_back({"Conv1x1Stride2", {image, random_input({4, 1, 1, 3}, 11)}, conv(2, 0)});
  cases.push_back(
      {"Conv7x7Stride2", {random_input({1, 7, 6, 2}, 12), random_input({2, 7, 7, 2}, 13)}, conv(2, 3)});
  std::vector<uint8_t> bytes;
  for (int i = 0; i < 2 * 5 * 4 * 3; ++i) bytes.push_back(static_cast<uint8_t>(i * 53));
  const Tensor pixels = Tensor::of(bytes, {2, 5, 4, 3});
  const ImageScaling scaling{{0.5F, 0.25F, 0.75F}, {0.25F, 0.5F, 0.75F}, true};
  cases.push_back({"ConvOfPixels", {random_input({2, 3, 3, 3}, 14)}, [=](const Inputs& x) {
                     return ops::conv2d_pixels(pixels, scaling, x[0], 2, 1);
                   }});
}

void add_norms(std::vector<RuleCase>& cases) {
  const Inputs plain{random_input({2, 2, 3, 2}, 20)};
  const Inputs all{plain[0], random_input({2}, 21), random_input({2}, 22), random_input({2, 2, 3, 2}, 23)};
  const auto options = [](const Inputs& x) {
    ops::NormOptions norm;
    if (x.size() == 4) {
      norm.gamma = x[1];
      norm.beta = x[2];
      norm.residual = x[3];
      norm.relu = true;
    }
    return norm;
  };
  const CheckedFunction instance = [options](const Inputs& x) {
    return ops::instance_norm(x[0], options(x));
  };
  const CheckedFunction train = [options](const Inputs& x) {
    const Tensor mean = filled({2}, 0, DType::f64);
    const Tensor variance = filled({2}, 1, DType::f64);
    return ops::batch_norm_train(x[0], options(x), mean, variance, 0.1);
  };
  const Tensor mean = Tensor::of(std::vector<double>{0.25, -0.5}, {2});
  const Tensor variance = positive_values({2}, 24);
  const CheckedFunction eval = [=](const Inputs& x) {
    return ops::batch_norm_eval(x[0], options(x), mean, variance);
  };
  for (const auto& [name, function] :
       {std::pair{"InstanceNorm", instance}, {"BatchNormTrain", train}, {"BatchNormEval", eval}}) {
    cases.push_back({name, plain, function});
    cases.push_back({std::string(name) + "AffineResidualRelu", all, function});
  }
  const Variable image = random_input({2, 5, 4, 2}, 25);
  cases.push_back({"MaxPool", {image}, [](const Inputs& x) { return ops::max_pool(x[0], PoolWindow{}); }});
  cases.push_back(
      {"GlobalAveragePool", {image}, [](const Inputs& x) { return ops::global_average_pool(x[0]); }});
}

void add_pointwise(std::vector<RuleCase>& cases) {
  const Inputs pair{random_input({3, 4}, 30), random_input({3, 4}, 31)};
  const Inputs one{pair[0]};
  cases.push_back({"Add", pair, [](const Inputs& x) { return ops::add(x[0], x[1]); }});
  cases.push_back({"AddToItself", one, [](const Inputs& x) { return ops::add(x[0], x[0]); }});
  cases.push_back({"Sub", pair, [](const Inputs& x) { return ops::sub(x[0], x[1]); }});
  cases.push_back({"Mul", pair, [](const Inputs& x) { return ops::mul(x[0], x[1]); }});
  cases.push_back({"Scale", one, [](const Inputs& x) { return ops::scale(x[0], -2.5); }});
  const std::pair<const char*, ActivationKind> kinds[] = {
      {"Relu", ActivationKind::relu},          {"Tanh", ActivationKind::tanh},
      {"Sigmoid", ActivationKind::sigmoid},    {"GeluErf", ActivationKind::gelu_erf},
      {"GeluTanh", ActivationKind::gelu_tanh}, {"Silu", ActivationKind::silu}};
  for (const auto& [name, kind] : kinds) {
    cases.push_back({name, one, [kind = kind](const Inputs& x) { return ops::activation(kind, x[0]); }});
  }
  cases.push_back({"Softmax", one, [](const Inputs& x) { return ops::softmax(x[0]); }});
  cases.push_back({"L2Normalise", one, [](const Inputs& x) { return ops::l2_normalise(x[0]); }});
  cases.push_back({"Sum", one, [](const Inputs& x) { return ops::sum(x[0]); }});
  cases.push_back({"Mean", one, [](const Inputs& x) { return ops::mean(x[0]); }});
  cases.push_back(
      {"SubtractColumnMean", one, [](const Inputs& x) { return ops::subtract_column_mean(x[0]); }});
}

void add_shape(std::vector<RuleCase>& cases) {
  const Variable x34 = random_input({3, 4}, 40);
  const Variable x24 = random_input({2, 4}, 41);
  const auto square = [](const Variable& y) {
    return ops::mul(y, y);
  };  // so that gradients differ between elements
  cases.push_back({"Reshape", {x34}, [=](const Inputs& x) { return square(ops::reshape(x[0], {2, 6})); }});
  cases.push_back({"SliceRows", {x34}, [=](const Inputs& x) { return square(ops::slice_rows(x[0], 1, 3)); }});
  cases.push_back({"ConcatRows", {x34, x24}, [=](const Inputs& x) {
                     return square(ops::concat_rows({x[0], x[1], x[0]}));
                   }});
  const Tensor indices = Tensor::of(std::vector<int64_t>{2, 0, 2}, {3});
  cases.push_back(
      {"GatherRows", {x34}, [=](const Inputs& x) { return square(ops::gather_rows(x[0], indices)); }});
}

void add_mil(std::vector<RuleCase>& cases) {
  const Inputs query_and_values{random_input({5, 3}, 50), random_input({5, 2}, 51)};
  for (const auto& critical : {std::vector<int64_t>{3}, std::vector<int64_t>{1, 4, 1}}) {
    const Tensor rows = Tensor::of(critical, {static_cast<int64_t>(critical.size())});
    cases.push_back({"DsmilAttention" + std::to_string(critical.size()), query_and_values,
                     [rows](const Inputs& x) { return ops::dsmil_attention(x[0], rows, x[1], 0.7).pooled; }});
  }
  cases.push_back({"GatedAttention",
                   {random_input({4, 3}, 52), random_input({4, 3}, 53), random_input({1, 3}, 54),
                    random_input({4, 2}, 55)},
                   [](const Inputs& x) { return ops::gated_attention(x[0], x[1], x[2], x[3]).pooled; }});
  cases.push_back(
      {"MaxInstances", {random_input({5, 3}, 56)}, [](const Inputs& x) { return ops::max_instances(x[0]); }});
}

void add_losses(std::vector<RuleCase>& cases) {
  const Variable z = random_input({6, 3}, 60);
  ops::SupConOptions base;
  base.labels = Tensor::of(std::vector<int32_t>{0, 1, 0, 1, 0, 0}, {6});
  base.temperature = 0.5;
  const auto add_supcon = [&](const std::string& name, const ops::SupConOptions& options) {
    cases.push_back({name, {z}, [options](const Inputs& x) { return ops::supcon(x[0], options); }});
  };
  const std::pair<const char*, PairMode> modes[] = {
      {"All", PairMode::all}, {"Positives", PairMode::positives}, {"Negatives", PairMode::negatives}};
  for (const auto& [name, mode] : modes) {
    ops::SupConOptions options = base;
    options.pair_mode = mode;
    add_supcon(std::string("SupCon") + name, options);
    options.uncertain = Tensor::of(std::vector<uint8_t>{0, 0, 1, 0, 0, 0}, {6});
    add_supcon(std::string("SupCon") + name + "Uncertain", options);
  }
  ops::SupConOptions one_view = base;
  one_view.anchors = 3;
  add_supcon("SupConOneView", one_view);
  ops::SupConOptions views = base;
  views.labels = Tensor::of(std::vector<int32_t>{0, 1, 2, 0, 1, 2}, {6});
  add_supcon("NtXent", views);
  ops::SupConOptions pairs = base;
  pairs.labels = Tensor();
  pairs.positive_pairs = Tensor::of(std::vector<uint8_t>{1, 1, 0, 0, 1, 0, 0, 1, 1}, {3, 3});
  add_supcon("SupConGivenPairs", pairs);
  cases.push_back({"RankHinge", {random_input({11, 1}, 61)}, [](const Inputs& x) {
                     return ops::rank_hinge(x[0], {0, 4, 6, 8, 11}, 3);
                   }});
  const Tensor targets = Tensor::of(std::vector<double>{1, 0, 0.25, 1}, {4});
  cases.push_back(
      {"Bce", {random_input({4}, 62)}, [=](const Inputs& x) { return ops::bce(x[0], targets, 1.75); }});
}

std::vector<RuleCase> all_cases() {
  std::vector<RuleCase> cases;
  add_dense(cases);
  add_norms(cases);
  add_pointwise(cases);
  add_shape(cases);
  add_mil(cases);
  add_losses(cases);
  const auto segment = [](const Variable& x) {
    return ops::activation(ActivationKind::tanh, ops::mul(x, x));
  };
  cases.push_back({"Recompute", {random_input({3}, 70)}, [segment](const Inputs& x) {
                     return recompute(segment, x[0]);
                   }});
  return cases;
}

class RulesTest : public ::testing::TestWithParam<RuleCase> {};

TEST_P(RulesTest, JacobianIsTheDerivative) {
  const GradcheckResult result = gradcheck(GetParam().function, GetParam().inputs);
  EXPECT_TRUE(result.ok) << result.message;
}

INSTANTIATE_TEST_SUITE_P(EveryRule, RulesTest, ::testing::ValuesIn(all_cases()),
                         [](const auto& test) { return test.param.name; });

TEST(RuleTableTest, EveryRuleOfTheTableIsChecked) {
  std::set<const Rule*> checked;
  for (const RuleCase& rule : all_cases()) {
    for (const auto& node : nodes_behind(rule.function(rule.inputs))) checked.insert(node->rule);
  }
  EXPECT_GE(rules().size(), 28U);
  for (const Rule* rule : rules()) EXPECT_TRUE(checked.contains(rule)) << rule->name << " has no gradcheck";
  EXPECT_EQ(checked.size(), rules().size());
}

TEST(RuleTableTest, NoTwoRulesHaveOneName) {
  std::set<std::string> names;
  for (const Rule* rule : rules()) EXPECT_TRUE(names.insert(rule->name).second) << rule->name;
}

// Whatever a rule saves, its backward notices that it was overwritten since: a rule that reads it past Saved::get(), or keeps it
// unlisted, would compute gradients of other values.
TEST_P(RulesTest, ASavedValueThatWasOverwrittenIsAnError) {
  const auto run = [&] { return GetParam().function(GetParam().inputs); };
  const Variable whole = run();
  const std::size_t nodes = nodes_behind(whole).size();
  for (std::size_t n = 0; n < nodes; ++n) {
    const std::size_t saved = nodes_behind(whole)[n]->applied->saved().size();
    for (std::size_t s = 0; s < saved; ++s) {
      const Variable y = run();
      const auto node = nodes_behind(y)[n];
      const Tensor& kept = node->applied->saved()[s]->kept();
      if (!kept.defined()) continue;
      kept.storage()->bump_version("somebody");
      const std::string error = error_of([&] { backward(y, ones_like(y.value())); });
      EXPECT_NE(error.find("was overwritten in place by somebody"), std::string::npos)
          << node->rule->name << ", saved value " << s << ": " << error;
    }
  }
}

TEST(RuleTableTest, ShapesThatDoNotFitNameTheOperation) {
  const Variable a(filled({2, 3}, 1, DType::f32));
  const Variable b(filled({4, 2}, 1, DType::f32));
  const auto message = [](const std::function<void()>& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message([&] { ops::add(a, b); }), "add: f32 (2,3) and f32 (4,2) do not match");
  EXPECT_EQ(message([&] { ops::matmul(a, b); }), "matmul: f32 (2,3) times f32 (4,2) do not match");
  EXPECT_TRUE(message([&] { ops::linear(a, b, {}); }).starts_with("linear: "));
  EXPECT_TRUE(message([&] { ops::conv2d(a, b, 1, 0); }).starts_with("conv2d: "));
  EXPECT_EQ(
      message([&] { ops::conv2d_pixels(a.value(), {}, b, 1, 0); }),
      "conv2d_pixels: pixels (N,H,W,3) = f32 (2,3) of u8 and weight (K,R,S,3) = f32 (4,2) do not match");
  EXPECT_TRUE(message([&] { ops::supcon(a, {}); }).starts_with("supcon: "));
  EXPECT_TRUE(message([&] { ops::rank_hinge(a, {0, 3, 5}, 10); }).starts_with("rank_hinge: "));
  EXPECT_TRUE(message([&] { ops::bce(a, b.value()); }).starts_with("bce: "));
  EXPECT_TRUE(message([&] { ops::instance_norm(a, {}); }).starts_with("instance_norm: "));
  EXPECT_TRUE(message([&] { ops::concat_rows({a, b}); }).starts_with("concat_rows: "));
}

}  // namespace
}  // namespace mt
