#include "kernels/optimizer/optimizer.h"

#include <variant>

#include "kernels/device/device.h"
#include "tests/harness/error_of.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

constexpr double kU = testing::kRoundoff;

/// Parameters and everything that an optimizer keeps of them.
template <typename T>
struct Arena {
  std::vector<T> parameters, first, second, largest;  // SGD's velocity is `first`
  template <typename U>
  Arena<U> as() const {
    return {{parameters.begin(), parameters.end()},
            {first.begin(), first.end()},
            {second.begin(), second.end()},
            {largest.begin(), largest.end()}};
  }
};

template <typename T>
Arena<T> arena_of(const std::vector<T>& parameters) {
  const std::vector<T> zeros(parameters.size(), T{0});
  return {parameters, zeros, zeros, zeros};
}

using Rule = std::variant<SgdRule, AdamRule>;

template <typename T>
void step(const Optimizer<T>& op, const Rule& rule, Arena<T>& arena, const std::vector<T>& gradients,
          int64_t number, double scale, Device device = Device::cpu) {
  const auto n = static_cast<int64_t>(gradients.size());
  Buffer<T> p(arena.parameters, device), g(gradients, device), first(arena.first, device);
  Buffer<T> second(arena.second, device), largest(arena.largest, device);
  if (const auto* sgd = std::get_if<SgdRule>(&rule)) {
    T* velocity = sgd->momentum == 0 ? nullptr : first.data();
    op.sgd(p.data(), g.data(), velocity, n, number, scale, *sgd, nullptr);
  } else {
    const auto& adam = std::get<AdamRule>(rule);
    op.adam(p.data(), g.data(), first.data(), second.data(), adam.amsgrad ? largest.data() : nullptr, n,
            number, scale, adam, nullptr);
  }
  arena = {p.host(), first.host(), second.host(), largest.host()};
}

/// The cases of tests/golden/README.md, by the names of torch.optim's arguments.
const std::vector<std::pair<std::string, Rule>>& cases() {
  static const std::vector<std::pair<std::string, Rule>> all{
      {"sgd", SgdRule{0.01}},
      {"sgd_wd", SgdRule{0.01, 0, 0, 1e-4}},
      {"sgd_mom", SgdRule{0.1, 0.9, 0, 1e-4}},
      {"sgd_nesterov", SgdRule{0.1, 0.9, 0, 1e-2, true}},
      {"sgd_damp", SgdRule{0.1, 0.9, 0.3}},
      {"adam", AdamRule{}},
      {"adam_mil", AdamRule{2e-4, 0.9, 0.999, 1e-8, 1e-4}},
      {"adam_wd", AdamRule{1e-2, 0.8, 0.95, 1e-6, 0.1}},
      {"adam_amsgrad", AdamRule{.learning_rate = 1e-2, .amsgrad = true}},
      {"adamw", AdamRule{.weight_decay = 1e-2, .decoupled = true}},
      {"adamw_wd", AdamRule{.learning_rate = 1e-2, .weight_decay = 0.3, .decoupled = true}},
      {"adamw_amsgrad",
       AdamRule{.learning_rate = 1e-2, .weight_decay = 0.1, .decoupled = true, .amsgrad = true}},
  };
  return all;
}

/// What one float step may miss, element i, from the same float state (optimizer.md).
double sgd_bound(const SgdRule& rule, const Arena<double>& before, double gradient, std::size_t i) {
  const double direction = std::abs(gradient) + rule.weight_decay * std::abs(before.parameters[i]);
  const double velocity = std::abs(before.first[i]) * rule.momentum;
  return kU * (std::abs(before.parameters[i]) + 8 * rule.learning_rate * (2 * direction + velocity));
}

double adam_bound(const AdamRule& rule, const Arena<double>& before, const Arena<double>& after,
                  double gradient, int64_t number, std::size_t i) {
  const double correction1 = 1 - std::pow(rule.beta1, static_cast<double>(number));
  const double correction2 = 1 - std::pow(rule.beta2, static_cast<double>(number));
  const double decayed =
      std::abs(gradient) + (rule.decoupled ? 0 : rule.weight_decay * std::abs(before.parameters[i]));
  const double moment =
      rule.beta1 * std::abs(before.first[i]) + (1 - rule.beta1) * decayed;  // without cancellation
  const double spread =
      std::sqrt((rule.amsgrad ? after.largest : after.second)[i] / correction2) + rule.epsilon;
  return kU * (3 * std::abs(before.parameters[i]) + 16 * rule.learning_rate / correction1 * moment / spread);
}

class OptimizerTest : public testing::KernelTest {
 protected:
  const Optimizer<float>& op() const { return version_of(optimizer<float>(device())); }

  void expect_one_step(const std::string& name, const Rule& rule, Arena<float>& arena,
                       const std::vector<float>& gradients, int64_t number, double scale) {
    const Arena<double> before = arena.as<double>();
    Arena<double> want = before;
    step(optimizer<double>(Device::cpu), rule, want, testing::widened(gradients), number, scale);
    step(op(), rule, arena, gradients, number, scale, device());
    const auto bound = [&](std::size_t i) {
      const double gradient = scale * static_cast<double>(gradients[i]);
      if (const auto* sgd = std::get_if<SgdRule>(&rule)) return sgd_bound(*sgd, before, gradient, i);
      return adam_bound(std::get<AdamRule>(rule), before, want, gradient, number, i);
    };
    testing::expect_within(arena.parameters, want.parameters, bound, name + " parameters");
    const auto state_bound = [&](const std::vector<double>& old, std::size_t i, double power) {
      const double g = std::abs(scale * static_cast<double>(gradients[i])) + std::abs(before.parameters[i]);
      return kU * 6 * (std::abs(old[i]) + std::pow(g, power)) + 0x1p-126;
    };
    testing::expect_within(
        arena.first, want.first, [&](std::size_t i) { return state_bound(before.first, i, 1); },
        name + " first");
    testing::expect_within(
        arena.second, want.second, [&](std::size_t i) { return state_bound(before.second, i, 2); },
        name + " second");
    testing::expect_within(
        arena.largest, want.largest, [&](std::size_t i) { return state_bound(before.largest, i, 2); },
        name + " largest");
  }
};

TEST_P(OptimizerTest, EachStepAgreesWithReference) {
  for (const auto& [name, rule] : cases()) {
    for (const int64_t n : {0, 1, 15, 33, 1027}) {
      Arena<float> arena = arena_of(testing::uniform_values(n, 1));
      for (int64_t number = 1; number <= 4; ++number) {
        const auto gradients = testing::uniform_values(n, 10 + static_cast<uint64_t>(number), -2, 2);
        expect_one_step(name, rule, arena, gradients, number, number == 3 ? 0.25 : 1);
      }
    }
  }
}

TEST_P(OptimizerTest, LargeArenas) {
  if (skips_large_case()) return;
  for (const auto& [name, rule] : cases()) {
    Arena<float> arena = arena_of(testing::uniform_values(40001, 1));
    expect_one_step(name, rule, arena, testing::uniform_values(40001, 2, -2, 2), 1, 1);
  }
}

TEST_P(OptimizerTest, AnyAlignment) {
  const auto p = testing::uniform_values(42, 1), g = testing::uniform_values(42, 2);
  for (const int64_t offset : {1, 2, 3}) {
    Buffer<float> p_aligned(std::vector<float>(p.begin() + offset, p.begin() + offset + 39), device());
    Buffer<float> p_shifted(p, device()), g_shifted(g, device());
    Buffer<float> g_aligned(std::vector<float>(g.begin() + offset, g.begin() + offset + 39), device());
    op().sgd(p_aligned.data(), g_aligned.data(), nullptr, 39, 1, 1, SgdRule{}, nullptr);
    op().sgd(p_shifted.data() + offset, g_shifted.data() + offset, nullptr, 39, 1, 1, SgdRule{}, nullptr);
    const auto shifted = p_shifted.host();
    testing::expect_same_bits(std::vector<float>(shifted.begin() + offset, shifted.begin() + offset + 39),
                              p_aligned.host(), "p");
    EXPECT_EQ(shifted[static_cast<std::size_t>(offset) - 1], p[static_cast<std::size_t>(offset) - 1]);
  }
}

TEST_P(OptimizerTest, FirstVelocityIsWrittenNotRead) {
  Arena<float> arena = arena_of(std::vector<float>{1, 2, 3});
  arena.first.assign(3, NAN);
  step<float>(op(), SgdRule{0.1, 0.9, 0.3}, arena, {1, 1, 1}, 1, 1, device());
  EXPECT_EQ(arena.first, (std::vector<float>{1, 1, 1}));
  EXPECT_FLOAT_EQ(arena.parameters[0], 0.9F);
}

TEST_P(OptimizerTest, WhatIsNotFiniteIsTheCallersError) {
  std::vector<float> gradients(40000, 3e38F);
  const auto error = [&] {
    Buffer<float> in(gradients, device());
    return error_of([&] {
      op().require_finite(in.data(), 40000, "diverged at step 3", nullptr);
      synchronize(device());
    });
  };
  EXPECT_EQ(error(), "no error");
  for (const float bad : {NAN, HUGE_VALF, -HUGE_VALF}) {
    gradients[39999] = bad;
    EXPECT_EQ(error(), "diverged at step 3") << bad;
  }
  EXPECT_EQ(error_of([&] { op().require_finite(nullptr, 0, "no gradient", nullptr); }), "no error");
}

TEST_P(OptimizerTest, RefusesMissingState) {
  float p = 0;
  EXPECT_EQ(error_of([&] {
              op().sgd(&p, &p, nullptr, 1, 1, 1, SgdRule{0.1, 0.9}, nullptr);
            }),
            "optimizer: momentum needs room for the velocity");
  EXPECT_EQ(error_of([&] {
              op().sgd(&p, &p, &p, 1, 1, 1, SgdRule{0.1, 0.9, 0.5, 0, true}, nullptr);
            }),
            "optimizer: Nesterov momentum needs a momentum above 0 and no dampening");
  EXPECT_EQ(
      error_of([&] { op().adam(&p, &p, &p, &p, nullptr, 1, 1, 1, AdamRule{.amsgrad = true}, nullptr); }),
      "optimizer: amsgrad needs room for the largest second moment");
}

TEST_P(OptimizerTest, SameBitsAlways) {
  const int64_t n = device() == Device::cpu ? 100000 : 2100;
  const auto gradients = testing::uniform_values(n, 5);
  expect_same_bits_always([&] {
    Arena<float> arena = arena_of(testing::uniform_values(n, 6));
    step<float>(op(), AdamRule{}, arena, gradients, 1, 1, device());
    step<float>(op(), SgdRule{0.1, 0.9, 0.3}, arena, gradients, 1, 1, device());
    return arena.parameters;
  });
}

MT_ON_EVERY_DEVICE(OptimizerTest, Optimizer<float>);

/// Where a golden case begins. The generating script's float32 runs updated the arrays w0 and b0 in place, so
/// that the file holds their end; each case begins where the float32 run of the case before it ended, and the
/// first one (plain SGD, rate 0.01) at the float that its first step came from.
std::vector<double> golden_start(std::size_t index, const std::string& array,
                                 const std::vector<double>& gradients) {
  const std::string file = "optimizers.npz";
  const auto n = static_cast<std::ptrdiff_t>(gradients.size() / 5);
  if (index > 0) {
    const auto before = testing::golden_values<float>(file, cases()[index - 1].first + "_" + array + "_f32");
    return {before.end() - n, before.end()};
  }
  std::vector<double> start = testing::golden_values<double>(file, "sgd_" + array + "_f64");
  start.resize(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < start.size(); ++i) {
    start[i] = static_cast<double>(static_cast<float>(start[i] + 0.01 * gradients[i]));
  }
  return start;
}

TEST(OptimizerGoldenTest, TrajectoriesOfTorch) {
  const std::string file = "optimizers.npz";
  for (const std::string array : {"w", "b"}) {
    const auto gradients = testing::widened(testing::golden_values<float>(file, "g" + array));  // (5, n)
    const auto n = static_cast<int64_t>(gradients.size()) / 5;
    for (std::size_t index = 0; index < cases().size(); ++index) {
      const auto& [name, rule] = cases()[index];
      const auto want = testing::golden_values<double>(file, name + "_" + array + "_f64");  // (5, n)
      Arena<double> arena = arena_of(golden_start(index, array, gradients));
      for (int64_t t = 0; t < 5; ++t) {
        step(optimizer<double>(Device::cpu), rule, arena,
             {gradients.begin() + t * n, gradients.begin() + (t + 1) * n}, t + 1, 1);
        testing::expect_close(arena.parameters, {want.begin() + t * n, want.begin() + (t + 1) * n},
                              fmt::format("{} {} step {}", name, array, t + 1));
      }
    }
  }
}

}  // namespace
}  // namespace mt
