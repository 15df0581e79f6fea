#include "autograd/tape.h"

#include <gtest/gtest.h>

#include "autograd/arena.h"
#include "autograd/arithmetic.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/recompute.h"
#include "tests/harness/error_of.h"
#include "tests/harness/kernel_test.h"

namespace mt {
namespace {

Variable leaf(const std::vector<double>& values) {
  return Variable(Tensor::of(values, {static_cast<int64_t>(values.size())}), true);
}

std::vector<double> grad_of(const Variable& x) {
  const auto values = x.grad().span<double>();
  return {values.begin(), values.end()};
}

/// A rule that is in no table.
class TestRule : public AppliedRule {
 public:
  using Backward = std::function<Gradients(const Tensor&, const Wanted&)>;
  TestRule(const char* name, Backward backward) : row_{name}, backward_(std::move(backward)) {}
  const Rule& rule() const override { return row_; }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const override { return backward_(dy, wanted); }

 private:
  Rule row_;
  Backward backward_;
};

Variable record_test_rule(const char* name, const Tensor& y, const std::vector<Variable>& inputs,
                          TestRule::Backward backward) {
  return record(std::make_unique<TestRule>(name, std::move(backward)), y, inputs);
}

TEST(TapeTest, GradientsOfAValueUsedTwiceAreAdded) {
  const Variable x = leaf({2, 3});
  backward(ops::sum(ops::add(ops::mul(x, x), ops::scale(x, 10))));  // 2x + 10
  EXPECT_EQ(grad_of(x), (std::vector<double>{14, 16}));
}

TEST(TapeTest, GradientsOfSeveralBackwardsAreAddedUntilZeroGrad) {
  const Variable x = leaf({2});
  backward(ops::sum(ops::mul(x, x)));
  backward(ops::sum(ops::mul(x, x)));
  EXPECT_EQ(grad_of(x), (std::vector<double>{8}));
  x.zero_grad();
  EXPECT_FALSE(x.grad().defined());
}

TEST(TapeTest, AGradientSharedByTwoInputsIsNotAddedToInPlace) {
  // add() hands the same tensor to both inputs; x then gets a second gradient, which must not reach y.
  const Variable x = leaf({1});
  const Variable y = leaf({1});
  const Variable first = ops::scale(x, 3);
  backward(ops::sum(ops::add(first, ops::add(x, y))));
  EXPECT_EQ(grad_of(x), (std::vector<double>{4}));
  EXPECT_EQ(grad_of(y), (std::vector<double>{1}));
}

TEST(TapeTest, DiamondsAreVisitedInTopologicalOrder) {
  // z = (x² + x)·x²: the gradient of x² must be complete before it flows on.
  const Variable x = leaf({3});
  const Variable square = ops::mul(x, x);
  backward(ops::sum(ops::mul(ops::add(square, x), square)));
  EXPECT_EQ(grad_of(x), (std::vector<double>{4 * 27 + 3 * 9}));  // d (x⁴ + x³) = 4x³ + 3x²
}

TEST(TapeTest, NothingIsRecordedUnderNoGradGuard) {
  const Variable x = leaf({1});
  {
    NoGradGuard guard;
    EXPECT_FALSE(tape_is_on());
    EXPECT_FALSE(ops::mul(x, x).requires_grad());
  }
  EXPECT_TRUE(tape_is_on());
  EXPECT_TRUE(ops::mul(x, x).requires_grad());
  EXPECT_FALSE(ops::mul(x.detach(), x.detach()).requires_grad());
}

TEST(TapeTest, GradientsThatNobodyWantsAreNotComputed) {
  const Variable x = leaf({1, 2});
  const Variable constant(Tensor::of(std::vector<double>{5, 7}, {2}));
  Wanted seen;
  const Variable y =
      record_test_rule("probe", x.value(), {constant, x}, [&](const Tensor& dy, const Wanted& wanted) {
        seen = wanted;
        return Gradients{Tensor(), dy};
      });
  backward(ops::sum(y));
  EXPECT_EQ(seen, (Wanted{false, true}));
  EXPECT_FALSE(constant.grad().defined());
}

TEST(TapeTest, ASavedValueThatWasOverwrittenIsAnErrorThatNamesBothOperations) {
  const Variable x = leaf({1, 2});
  const Variable loss = ops::sum(ops::mul(x, x));
  x.value().data<double>()[0] = 100;
  x.value().storage()->bump_version("sgd step");
  EXPECT_EQ(error_of([&] { backward(loss); }),
            "mul backward: a value (2) that it saved was overwritten in place by sgd step; call backward() "
            "before that, or let it "
            "write elsewhere");
}

TEST(TapeTest, ASecondBackwardThroughTheSameTapeIsAnError) {
  const Variable x = leaf({1});
  const Variable square = ops::mul(x, x);
  backward(ops::sum(square));
  EXPECT_NE(error_of([&] { backward(ops::sum(square)); }).find("saved values are freed"), std::string::npos);
}

TEST(TapeTest, SavedValuesAreFreedAfterBackward) {
  const Variable x(filled({1 << 20}, 1, DType::f32), true);
  Allocator& memory = allocator(Device::cpu);
  const std::size_t before = memory.live_bytes();
  const Variable y = ops::sum(ops::activation(ActivationKind::tanh, ops::scale(x, 0.5)));
  EXPECT_GE(memory.live_bytes(), before + (std::size_t{4} << 20));  // tanh keeps its output
  backward(y);
  EXPECT_LE(memory.live_bytes(), before + (std::size_t{4} << 20) + 4096);  // x's gradient, and the scalar
}

TEST(TapeTest, ALossThatDependsOnNothingIsAnError) {
  const Variable x(Tensor::of(std::vector<double>{1}, {1}));
  EXPECT_NE(error_of([&] { backward(ops::sum(x)); }).find("depends on nothing"), std::string::npos);
  EXPECT_NE(error_of([&] {
              backward(ops::mul(leaf({1, 2}), leaf({1, 2})));
            }).find("a loss has one element"),
            std::string::npos);
}

TEST(TapeTest, ARuleThatReturnsAWrongShapeIsNamed) {
  const Variable x = leaf({1, 2});
  const Variable y = record_test_rule("broken", x.value(), {x}, [](const Tensor&, const Wanted&) {
    return Gradients{Tensor::of(std::vector<double>{1}, {1})};
  });
  EXPECT_EQ(error_of([&] { backward(ops::sum(y)); }),
            "broken backward: the gradient (1) does not fit the value (2)");
}

TEST(GradcheckTest, FindsAWrongFactorAndAMissingTerm) {
  const auto wrong_factor = [](const std::vector<Variable>& x) {
    return record_test_rule("wrong", ops::mul(x[0], x[0]).value(), {x[0]},
                            [x](const Tensor& dy, const Wanted&) {
                              NoGradGuard guard;
                              return Gradients{ops::mul(Variable(dy), ops::scale(x[0], 2.001)).value()};
                            });
  };
  const GradcheckResult result = gradcheck(wrong_factor, {leaf({0.5, -0.25})});
  EXPECT_FALSE(result.ok);
  EXPECT_EQ(result.rules.size(), 1U);
  const auto missing_term = [](const std::vector<Variable>& x) { return ops::mul(x[0], x[0].detach()); };
  EXPECT_FALSE(gradcheck(missing_term, {leaf({0.5})}).ok);
  const auto right = [](const std::vector<Variable>& x) { return ops::mul(x[0], x[0]); };
  EXPECT_TRUE(gradcheck(right, {leaf({0.5, -0.25})}).ok);
}

TEST(RecomputeTest, SameBitsWithLessMemory) {
  const std::vector<float> start = testing::uniform_values(1 << 18, 1);
  const Variable weight(Tensor::of(testing::uniform_values(1 << 18, 2), {1 << 18}), true);
  const Segment segment = [&](const Variable& x) {
    Variable y = x;
    for (int i = 0; i < 6; ++i) y = ops::activation(ActivationKind::tanh, ops::mul(y, weight));
    return y;
  };
  std::vector<std::vector<float>> gradients;
  std::vector<std::size_t> kept;
  for (const bool checkpointed : {false, true}) {
    const Variable x(Tensor::of(start, {1 << 18}), true);
    weight.zero_grad();
    const std::size_t before = allocator(Device::cpu).live_bytes();
    const Variable y = checkpointed ? recompute(segment, x) : segment(x);
    kept.push_back(allocator(Device::cpu).live_bytes() - before);
    backward(ops::sum(y));
    for (const Variable& v : {x, weight}) {
      const auto values = v.grad().span<float>();
      gradients.emplace_back(values.begin(), values.end());
    }
  }
  testing::expect_same_bits(gradients[0], gradients[2], "gradient of the input");
  testing::expect_same_bits(gradients[1], gradients[3], "gradient of a parameter inside");
  EXPECT_LT(kept[1], kept[0] / 4);
}

TEST(RecomputeTest, RunningStatisticsAreUpdatedOnce) {
  const Tensor mean = filled({2}, 0, DType::f64);
  const Tensor variance = filled({2}, 1, DType::f64);
  const Variable x(Tensor::of(testing::widened(testing::uniform_values(12, 3)), {1, 2, 3, 2}), true);
  backward(ops::sum(
      recompute([&](const Variable& in) { return ops::batch_norm_train(in, {}, mean, variance, 0.5); }, x)));
  double sum = 0;
  for (int i = 0; i < 12; i += 2) sum += x.value().data<double>()[i];
  EXPECT_NEAR(mean.data<double>()[0], 0.5 * sum / 6, 1e-15);
}

TEST(ParameterArenaTest, ParametersBecomeSlicesAndKeepTheirValues) {
  const Variable a = leaf({1, 2, 3});
  const Variable b = leaf({4});
  const ParameterArena arena({{"a", a}, {"b", b}});
  EXPECT_EQ(arena.size(), 16);  // each rounded up to 64 bytes
  EXPECT_EQ(a.value().storage(), arena.values().storage());
  EXPECT_EQ(a.value().data<double>()[2], 3);
  EXPECT_EQ(b.value().data<double>()[0], 4);
  backward(ops::sum(ops::add(ops::mul(b, b), ops::sum(a).rank() == 0 ? ops::reshape(ops::sum(a), {1}) : b)));
  EXPECT_EQ(arena.grads().data<double>()[0], 1);
  EXPECT_EQ(arena.grads().data<double>()[8], 8);
  EXPECT_EQ(arena.grads().data<double>()[3], 0);  // the gap
  arena.zero_grad();
  EXPECT_EQ(b.grad().data<double>()[0], 0);
  EXPECT_EQ(arena.slice(arena.slices()[1], arena.make_state()).numel(), 1);
  EXPECT_NE(error_of([&] { b.zero_grad(); }).find("arena's zero_grad"), std::string::npos);
  EXPECT_NE(error_of([&] {
              ParameterArena again({{"a", a}});
            }).find("already in an arena"),
            std::string::npos);
}

TEST(ParameterArenaTest, AStepBetweenForwardAndBackwardIsAnError) {
  const Variable a = leaf({1, 2, 3});
  const ParameterArena arena({{"a", a}});
  const Variable loss = ops::sum(ops::mul(a, a));
  arena.values_changed("adam step");
  EXPECT_NE(error_of([&] { backward(loss); }).find("overwritten in place by adam step"), std::string::npos);
}

}  // namespace
}  // namespace mt
