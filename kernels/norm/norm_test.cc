#include "kernels/norm/norm.h"

#include <algorithm>

#include "kernels/pool/pool.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;
using testing::kRoundoff;
using testing::uniform_values;
using testing::widened;

constexpr double kEps = 1e-5;

struct Case {
  int64_t n;
  int64_t pixels;
  int64_t c;
  float offset;  // of all inputs, far from 0 where two-pass accuracy shows
  bool affine;
  bool residual;
  bool relu;
};

// One pixel; below, at and above 16 lanes and 64 channels; below and above 64-pixel blocks; several shards of
// 8 images; empty. On a GPU: strips of 32, 64 and 128 channels, segments of 128 and 256 pixels, each passed.
constexpr Case kCases[] = {
    {1, 1, 1, 0, true, true, true},        {2, 9, 3, 0, false, false, false},
    {3, 64, 16, 1000, true, false, true},  {2, 65, 17, -5, true, true, true},
    {1, 200, 64, 1000, false, true, true}, {2, 130, 80, 0, true, true, false},
    {19, 5, 5, 3, true, true, true},       {0, 4, 8, 0, true, true, true},
    {1, 49, 130, 0, false, false, true},   {2, 275, 68, 7, true, true, true},
    {9, 260, 4, -3, true, false, true},    {1, 137, 6, 50, true, true, false},
};

template <typename T>
std::vector<T> converted(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// The inputs of a case and what comes out of forward and backward, for float on a device or for the double
// reference.
struct Inputs {
  explicit Inputs(const Case& k)
      : x(uniform_values(k.n * k.pixels * k.c, 1)),
        residual(uniform_values(k.n * k.pixels * k.c, 2)),
        dy(uniform_values(k.n * k.pixels * k.c, 3)),
        gamma(uniform_values(k.c, 4, 0.5F, 1.5F)),
        beta(uniform_values(k.c, 5)),
        running_mean(uniform_values(k.c, 6)),
        running_var(uniform_values(k.c, 7, 0.1F, 2)) {
    for (float& value : x) value += k.offset;
    for (float& value : running_mean) value += k.offset;
  }
  std::vector<float> x, residual, dy, gamma, beta, running_mean, running_var;
};

template <typename T>
struct Results {
  std::vector<T> y, mean, inv_std, running_mean, running_var, dx, dresidual, dgamma, dbeta;
};

enum class Mode { instance, batch_train, batch_eval };

// Forward and backward; the ReLU's mask comes from `mask_y` when given, so that float and double take the
// same branch.
template <typename T>
Results<T> run(const Norm<T>& table, Mode mode, const Case& k, const Inputs& in, Device device,
               const std::vector<T>* mask_y = nullptr) {
  const int64_t elements = k.n * k.pixels * k.c;
  const int64_t statistics = mode == Mode::instance ? k.n * k.c : k.c;
  const T eps = static_cast<T>(static_cast<float>(kEps));
  const T momentum = static_cast<T>(0.1F);
  Buffer<T> x(converted<T>(in.x), device), residual(converted<T>(in.residual), device),
      dy(converted<T>(in.dy), device);
  Buffer<T> gamma(converted<T>(in.gamma), device), beta(converted<T>(in.beta), device);
  Buffer<T> running_mean(converted<T>(in.running_mean), device),
      running_var(converted<T>(in.running_var), device);
  Buffer<T> y(elements, device), mean(statistics, device), inv_std(statistics, device);
  Buffer<T> dx(elements, device), dresidual(elements, device), dgamma(k.c, device), dbeta(k.c, device);
  const T* g = k.affine ? gamma.data() : nullptr;
  const T* b = k.affine ? beta.data() : nullptr;
  const T* r = k.residual ? residual.data() : nullptr;
  if (mode == Mode::instance) {
    table.instance_forward(x.data(), g, b, r, k.relu, y.data(), mean.data(), inv_std.data(), k.n, k.pixels,
                           k.c, eps, nullptr);
  } else if (mode == Mode::batch_train) {
    table.batch_forward_train(x.data(), g, b, r, k.relu, y.data(), mean.data(), inv_std.data(),
                              running_mean.data(), running_var.data(), momentum, k.n, k.pixels, k.c, eps,
                              nullptr);
  } else {
    table.batch_forward_eval(x.data(), g, b, r, k.relu, running_mean.data(), running_var.data(), y.data(),
                             k.n, k.pixels, k.c, eps, nullptr);
  }
  Buffer<T> mask(mask_y != nullptr ? *mask_y : y.host(), device);
  const T* m = k.relu ? mask.data() : nullptr;
  if (mode == Mode::instance) {
    table.instance_backward(x.data(), m, dy.data(), g, mean.data(), inv_std.data(), k.relu, dx.data(),
                            dresidual.data(), dgamma.data(), dbeta.data(), k.n, k.pixels, k.c, nullptr);
  } else if (mode == Mode::batch_train) {
    table.batch_backward_train(x.data(), m, dy.data(), g, mean.data(), inv_std.data(), k.relu, dx.data(),
                               dresidual.data(), dgamma.data(), dbeta.data(), k.n, k.pixels, k.c, nullptr);
  } else {
    table.batch_backward_eval(x.data(), m, dy.data(), g, running_mean.data(), running_var.data(), k.relu,
                              dx.data(), dresidual.data(), dgamma.data(), dbeta.data(), k.n, k.pixels, k.c,
                              eps, nullptr);
  }
  return {y.host(),  mean.host(),      inv_std.host(), running_mean.host(), running_var.host(),
          dx.host(), dresidual.host(), dgamma.host(),  dbeta.host()};
}

// The error bounds of norm.md for one case, from the double results.
class Bounds {
 public:
  Bounds(Mode mode, const Case& k, const Inputs& in, const Results<double>& want)
      : mode_(mode), k_(k), in_(in), want_(want) {
    const double blocks = std::ceil(static_cast<double>(k.pixels) / 64);
    length_ = std::min<double>(64, static_cast<double>(k.pixels)) + blocks;
    // Inputs are offset + [-1, 1), so no element is further than 2 from its mean; pivots double that.
    mean_ = mode == Mode::batch_eval ? 0 : kRoundoff * (std::abs(k.offset) + 1 + 4 * (length_ + 4));
  }
  double mean() const { return mean_; }
  double inv_std(std::size_t i) const {
    const double s = want_.inv_std[i];
    return s * (kRoundoff * (2 * length_ + 16) + s * s * mean_ * mean_);
  }
  double statistic_scale(std::size_t i) const {  // inv_std of element i
    const auto ch = static_cast<int64_t>(i) % k_.c;
    if (mode_ == Mode::batch_eval) return 1 / std::sqrt(in_.running_var[static_cast<std::size_t>(ch)] + kEps);
    const int64_t image = static_cast<int64_t>(i) / (k_.pixels * k_.c);
    return want_.inv_std[static_cast<std::size_t>(mode_ == Mode::instance ? image * k_.c + ch : ch)];
  }
  double gamma(std::size_t i) const {
    return k_.affine ? in_.gamma[static_cast<std::size_t>(static_cast<int64_t>(i) % k_.c)] : 1;
  }
  double relative(std::size_t i) const {  // of x̂, through inv_std
    const double s = statistic_scale(i);
    return kRoundoff * (2 * length_ + 22) + (mode_ == Mode::batch_eval ? 0 : s * s * mean_ * mean_);
  }
  double y(std::size_t i) const {
    const double s = statistic_scale(i);
    const double largest = gamma(i) * s * (mode_ == Mode::batch_eval ? 3 : 2);  // |γ x̂|
    return gamma(i) * s * mean_ + relative(i) * largest + 4 * kRoundoff * (largest + 2);
  }
  // |dy| <= 1, |x̂| <= 2 s (eval: 3 s): every term of dx is at most γ s (1 + 1 + 4 s²).
  double dx(std::size_t i) const {
    const double s = statistic_scale(i);
    const double xhat = 2 * s;
    const double terms = gamma(i) * s * (2 + xhat * xhat);
    const double from_mean = gamma(i) * s * (2 * s * mean_ * xhat + s * mean_);
    return terms * (3 * relative(i) + kRoundoff * (length_ + 16)) + from_mean;
  }
  // Sums over n · pixels terms of at most 1 (dbeta) and |x̂| (dgamma).
  double parameter(std::size_t ch, bool times_xhat) const {
    const double count = static_cast<double>(k_.n * k_.pixels);
    double s = 0;
    for (int64_t image = 0; image < k_.n; ++image) {
      s = std::max(s, statistic_scale(static_cast<std::size_t>(image * k_.pixels * k_.c) + ch));
    }
    const double each = times_xhat
                            ? 3 * s * (kRoundoff * (3 * length_ + 30) + s * s * mean_ * mean_) + s * mean_
                            : kRoundoff * (length_ + 8);
    return count * each + 0x1p-126;
  }

 private:
  Mode mode_;
  Case k_;
  const Inputs& in_;
  const Results<double>& want_;
  double length_;
  double mean_;
};

class NormTest : public testing::KernelTest {
 protected:
  const Norm<float>& op() const { return version_of(norm<float>(device())); }
};

void compare(const Norm<float>& op, Mode mode, const Case& k, Device device) {
  SCOPED_TRACE(::testing::Message() << "mode " << static_cast<int>(mode) << " n " << k.n << " pixels "
                                    << k.pixels << " c " << k.c);
  const Inputs in(k);
  if (mode != Mode::instance && k.n * k.pixels < 2) return;  // no unbiased variance
  const Results<float> got = run<float>(op, mode, k, in, device);
  const auto mask = widened(got.y);
  const Results<double> want = run<double>(norm<double>(Device::cpu), mode, k, in, Device::cpu, &mask);
  const Bounds bound(mode, k, in, want);
  testing::expect_within(
      got.y, want.y, [&](std::size_t i) { return bound.y(i); }, "y");
  if (mode != Mode::batch_eval) {
    testing::expect_within(
        got.mean, want.mean, [&](std::size_t) { return bound.mean(); }, "mean");
    testing::expect_within(
        got.inv_std, want.inv_std, [&](std::size_t i) { return bound.inv_std(i); }, "inv_std");
    testing::expect_relative(got.running_mean, want.running_mean, 4, "running_mean",
                             bound.mean() / kRoundoff);
    // The variance is at most 1, its relative error twice inv_std's.
    testing::expect_within(
        got.running_var, want.running_var,
        [&](std::size_t i) {
          if (mode != Mode::batch_train) return 0.0;
          return 4 * kRoundoff + 4 * (bound.inv_std(i) / want.inv_std[i]);
        },
        "running_var");
  }
  testing::expect_within(
      got.dx, want.dx, [&](std::size_t i) { return bound.dx(i); }, "dx");
  testing::expect_within(
      got.dresidual, want.dresidual, [](std::size_t) { return 0.0; }, "dresidual");
  testing::expect_within(
      got.dgamma, want.dgamma, [&](std::size_t ch) { return bound.parameter(ch, true); }, "dgamma");
  testing::expect_within(
      got.dbeta, want.dbeta, [&](std::size_t ch) { return bound.parameter(ch, false); }, "dbeta");
}

TEST_P(NormTest, InstanceAgreesWithReference) {
  for (const Case& k : kCases) compare(op(), Mode::instance, k, device());
}

TEST_P(NormTest, BatchTrainAgreesWithReference) {
  for (const Case& k : kCases) compare(op(), Mode::batch_train, k, device());
}

TEST_P(NormTest, BatchEvalAgreesWithReference) {
  for (const Case& k : kCases) compare(op(), Mode::batch_eval, k, device());
}

/// The average of y of a case: from the entry that never writes y, and from the two entries one by one.
template <typename T>
struct Averages {
  std::vector<T> at_once, chained;
};

template <typename T>
Averages<T> run_averages(const Norm<T>& table, const Pool<T>& pooling, Mode mode, const Case& k,
                         const Inputs& in, Device device) {
  const T eps = static_cast<T>(static_cast<float>(kEps));
  Buffer<T> x(converted<T>(in.x), device), residual(converted<T>(in.residual), device);
  Buffer<T> gamma(converted<T>(in.gamma), device), beta(converted<T>(in.beta), device);
  Buffer<T> running_mean(converted<T>(in.running_mean), device),
      running_var(converted<T>(in.running_var), device);
  Buffer<T> y(k.n * k.pixels * k.c, device), mean(k.n * k.c, device), inv_std(k.n * k.c, device);
  Buffer<T> at_once(k.n * k.c, device), chained(k.n * k.c, device);
  const T* g = k.affine ? gamma.data() : nullptr;
  const T* b = k.affine ? beta.data() : nullptr;
  const T* r = k.residual ? residual.data() : nullptr;
  if (mode == Mode::instance) {
    table.instance_forward(x.data(), g, b, r, k.relu, y.data(), mean.data(), inv_std.data(), k.n, k.pixels,
                           k.c, eps, nullptr);
    table.instance_average(x.data(), g, b, r, k.relu, at_once.data(), k.n, k.pixels, k.c, eps, nullptr);
  } else {
    table.batch_forward_eval(x.data(), g, b, r, k.relu, running_mean.data(), running_var.data(), y.data(),
                             k.n, k.pixels, k.c, eps, nullptr);
    table.batch_average_eval(x.data(), g, b, r, k.relu, running_mean.data(), running_var.data(),
                             at_once.data(), k.n, k.pixels, k.c, eps, nullptr);
  }
  pooling.global_average_forward(y.data(), chained.data(), k.n, k.pixels, k.c, nullptr);
  return {at_once.host(), chained.host()};
}

TEST_P(NormTest, AverageHasTheBitsOfNormThenPool) {
  for (const Case& k : kCases) {
    const Inputs in(k);
    for (const Mode mode : {Mode::instance, Mode::batch_eval}) {
      const std::string what = fmt::format("mode {}, ({},{},{})", static_cast<int>(mode), k.n, k.pixels, k.c);
      const auto got = run_averages<float>(op(), version_of(pool<float>(device())), mode, k, in, device());
      testing::expect_same_bits(got.at_once, got.chained, what);

      const auto want = run_averages<double>(norm<double>(Device::cpu), pool<double>(Device::cpu), mode, k,
                                             in, Device::cpu);
      const Results<double> reference = run<double>(norm<double>(Device::cpu), mode, k, in, Device::cpu);
      const Bounds bound(mode, k, in, reference);
      const auto mean_of = [&](std::size_t i, const auto& term) {  // over the pixels of (image, channel) i
        double sum = 0;
        for (int64_t p = 0; p < k.pixels; ++p) {
          const int64_t image = static_cast<int64_t>(i) / k.c, ch = static_cast<int64_t>(i) % k.c;
          sum += term(static_cast<std::size_t>((image * k.pixels + p) * k.c + ch));
        }
        return sum / static_cast<double>(k.pixels);
      };
      const double length = 64 + std::ceil(static_cast<double>(k.pixels) / 64) + 1;
      testing::expect_within(
          got.at_once, want.at_once,
          [&](std::size_t i) {
            return mean_of(i, [&](std::size_t j) { return bound.y(j); }) +
                   length * kRoundoff * mean_of(i, [&](std::size_t j) { return std::abs(reference.y[j]); });
          },
          what);
      for (std::size_t i = 0; i < want.at_once.size(); ++i) {  // two references, written apart
        ASSERT_NEAR(want.at_once[i], want.chained[i], 1e-12) << what;
      }
    }
  }
}

TEST_P(NormTest, AverageStaysInItsGroupAndTakesAnyAlignment) {
  const Case k{2, 33, 8, 3, true, true, true};
  Inputs in(k);
  in.x[8 + 5] = NAN;  // image 0, pixel 1, channel 5
  std::vector<float> shifted(1, 0.0F);
  shifted.insert(shifted.end(), in.x.begin(), in.x.end());
  Buffer<float> x(shifted, device()), residual(in.residual, device()), gamma(in.gamma, device());
  Buffer<float> beta(in.beta, device()), average(16, device());
  op().instance_average(x.data() + 1, gamma.data(), beta.data(), residual.data(), true, average.data(), 2, 33,
                        8, static_cast<float>(kEps), nullptr);
  const auto aligned =
      run_averages<float>(op(), version_of(pool<float>(device())), Mode::instance, k, in, device());
  const auto out = average.host();
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(std::isnan(out[i]), i == 5) << i;
    if (i == 5) continue;
    EXPECT_NEAR(out[i], aligned.at_once[i], 1e-4F) << i;  // of order 1; bits may differ
  }
}

// The first 64 pixels, which give the pivot, are 10^4 away from the others: a shifted single pass would lose
// the variance.
TEST_P(NormTest, VarianceSurvivesAnUnluckyPivot) {
  const Case k{1, 4096, 16, 0, false, false, false};
  Inputs in(k);
  for (std::size_t i = 0; i < 64 * 16; ++i) in.x[i] += 1e4F;
  const auto got = run<float>(op(), Mode::instance, k, in, device());
  const auto want = run<double>(norm<double>(Device::cpu), Mode::instance, k, in, Device::cpu);
  // norm.md with K = 64 + 64 and the group's own deviation of 1e4 · √(64 · 4032) / 4096 as scale.
  testing::expect_relative(got.inv_std, want.inv_std, 2 * 128 + 16, "inv_std");
}

TEST_P(NormTest, ConstantGroupIsZeroAndNanStaysInItsGroup) {
  Buffer<float> x({7, 1, 7, NAN, 7, 2, /* second image */ 1, 1, 2, 2, 3, 3}, device());  // (2,3,2)
  Buffer<float> y(12, device()), mean(4, device()), inv_std(4, device());
  op().instance_forward(x.data(), nullptr, nullptr, nullptr, true, y.data(), mean.data(), inv_std.data(), 2,
                        3, 2, 1e-5F, nullptr);
  const auto out = y.host();
  for (const std::size_t i : {0U, 2U, 4U}) EXPECT_EQ(out[i], 0.0F);
  for (const std::size_t i : {1U, 3U, 5U}) EXPECT_TRUE(std::isnan(out[i])) << i;
  for (std::size_t i = 6; i < 12; ++i) EXPECT_FALSE(std::isnan(out[i])) << i;
}

TEST_P(NormTest, WorksInPlaceAndWithoutOptionalOutputs) {
  const Case k{2, 33, 20, 0, true, true, true};
  const Inputs in(k);
  const auto want = run<float>(op(), Mode::instance, k, in, device());
  Buffer<float> x(in.x, device()), y(in.residual, device()), dy(in.dy, device()), gamma(in.gamma, device());
  Buffer<float> beta(in.beta, device()), mean(40, device()), inv_std(40, device());
  op().instance_forward(x.data(), gamma.data(), beta.data(), y.data(), true, y.data(), mean.data(),
                        inv_std.data(), 2, 33, 20, static_cast<float>(kEps), nullptr);
  testing::expect_same_bits(y.host(), want.y, "y written over the residual");
  op().instance_backward(x.data(), y.data(), dy.data(), gamma.data(), mean.data(), inv_std.data(), true,
                         dy.data(), nullptr, nullptr, nullptr, 2, 33, 20, nullptr);
  testing::expect_same_bits(dy.host(), want.dx, "dx written over dy");
}

TEST_P(NormTest, SameBitsAlways) {
  const Case k = device() == Device::cpu ? Case{10, 70, 200, 3, true, true, true}
                                         : Case{3, 150, 68, 3, true, true, true};
  const Inputs in(k);
  for (const Mode mode : {Mode::instance, Mode::batch_train, Mode::batch_eval}) {
    expect_same_bits_always([&] {
      auto results = run<float>(op(), mode, k, in, device());
      auto& all = results.y;
      for (const auto* part :
           {&results.dx, &results.dresidual, &results.dgamma, &results.dbeta, &results.running_var}) {
        all.insert(all.end(), part->begin(), part->end());
      }
      return all;
    });
  }
  expect_same_bits_always([&] {
    return run_averages<float>(op(), version_of(pool<float>(device())), Mode::instance, k, in, device())
        .at_once;
  });
}

// Addresses that are no multiple of 16 bytes take other paths.
TEST_P(NormTest, AnyAlignment) {
  const Case k{2, 33, 8, 3, true, true, true};
  const Inputs in(k);
  const auto want = run<float>(op(), Mode::instance, k, in, device());
  const auto mask = widened(want.y);
  const auto reference = run<double>(norm<double>(Device::cpu), Mode::instance, k, in, Device::cpu, &mask);
  const Bounds bound(Mode::instance, k, in, reference);
  std::vector<float> shifted(1, 0.0F);
  shifted.insert(shifted.end(), in.x.begin(), in.x.end());
  Buffer<float> x(shifted, device()), residual(in.residual, device()), gamma(in.gamma, device());
  Buffer<float> beta(in.beta, device()), y(528, device()), mean(16, device()), inv_std(16, device());
  Buffer<float> dy(in.dy, device()), dx(528, device());
  op().instance_forward(x.data() + 1, gamma.data(), beta.data(), residual.data(), true, y.data(), mean.data(),
                        inv_std.data(), 2, 33, 8, static_cast<float>(kEps), nullptr);
  testing::expect_within(
      y.host(), reference.y, [&](std::size_t i) { return bound.y(i); }, "y");
  op().instance_backward(x.data() + 1, y.data(), dy.data(), gamma.data(), mean.data(), inv_std.data(), true,
                         dx.data(), nullptr, nullptr, nullptr, 2, 33, 8, nullptr);
  testing::expect_within(
      dx.host(), reference.dx, [&](std::size_t i) { return bound.dx(i); }, "dx");
}

TEST_P(NormTest, FrozenBackwardWithoutParametersIsAScaledMask) {
  const Case k{1, 20, 4, 0, true, false, true};
  const Inputs in(k);
  const auto want = run<float>(op(), Mode::batch_eval, k, in, device());
  Buffer<float> x(in.x, device()), y(want.y, device()), dy(in.dy, device()), gamma(in.gamma, device());
  Buffer<float> mean(in.running_mean, device()), var(in.running_var, device()), dx(80, device());
  op().batch_backward_eval(x.data(), y.data(), dy.data(), gamma.data(), mean.data(), var.data(), true,
                           dx.data(), nullptr, nullptr, nullptr, 1, 20, 4, static_cast<float>(kEps), nullptr);
  testing::expect_same_bits(dx.host(), want.dx, "dx");
}

TEST(NormReferenceTest, BackwardIsTheGradient) {
  for (const Mode mode : {Mode::instance, Mode::batch_train, Mode::batch_eval}) {
    for (const bool relu : {false, true}) {
      const Case k{3, 5, 2, 0, true, true, relu};
      Inputs in(k);
      const auto at = run<double>(norm<double>(Device::cpu), mode, k, in, Device::cpu);
      for (const double y : at.y) ASSERT_TRUE(!relu || y == 0 || y > 1e-3) << "a kink within the step";
      const auto weights = widened(in.dy);
      const Norm<double>& table = norm<double>(Device::cpu);
      const auto loss = [&](const std::vector<double>& x, const std::vector<double>& gamma,
                            const std::vector<double>& beta, const std::vector<double>& residual) {
        std::vector<double> y(x.size()), mean(6), inv_std(6);
        auto running_mean = widened(in.running_mean);
        auto running_var = widened(in.running_var);
        const double eps = static_cast<float>(kEps);
        if (mode == Mode::instance) {
          table.instance_forward(x.data(), gamma.data(), beta.data(), residual.data(), relu, y.data(),
                                 mean.data(), inv_std.data(), 3, 5, 2, eps, nullptr);
        } else if (mode == Mode::batch_train) {
          table.batch_forward_train(x.data(), gamma.data(), beta.data(), residual.data(), relu, y.data(),
                                    mean.data(), inv_std.data(), nullptr, nullptr, 0.1, 3, 5, 2, eps,
                                    nullptr);
        } else {
          table.batch_forward_eval(x.data(), gamma.data(), beta.data(), residual.data(), relu,
                                   running_mean.data(), running_var.data(), y.data(), 3, 5, 2, eps, nullptr);
        }
        return testing::dot(y, weights);
      };
      const auto x = widened(in.x), gamma = widened(in.gamma), beta = widened(in.beta),
                 r = widened(in.residual);
      using V = std::vector<double>;
      testing::expect_gradient([&](const V& v) { return loss(v, gamma, beta, r); }, x, at.dx, "dx");
      testing::expect_gradient([&](const V& v) { return loss(x, v, beta, r); }, gamma, at.dgamma, "dgamma");
      testing::expect_gradient([&](const V& v) { return loss(x, gamma, v, r); }, beta, at.dbeta, "dbeta");
      testing::expect_gradient([&](const V& v) { return loss(x, gamma, beta, v); }, r, at.dresidual,
                               "dresidual");
    }
  }
}

// torch's layers in float64: x (2,3,11,10), eps 1e-5, momentum 0.1.
TEST(NormReferenceTest, AgreesWithGoldenInstanceNorm) {
  const auto load = [](const char* name) {
    const Tensor t = testing::golden("layers.npz", name);
    std::vector<double> values(static_cast<std::size_t>(t.numel()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = t.dtype() == DType::f64 ? t.span<double>()[i] : static_cast<double>(t.span<float>()[i]);
    }
    return testing::channels_last(values, 2, 3, 110);
  };
  const auto x = load("instnorm_x");
  const auto dy = load("instnorm_dy");
  std::vector<double> y(660), mean(6), inv_std(6), dx(660);
  const Norm<double>& table = norm<double>(Device::cpu);
  table.instance_forward(x.data(), nullptr, nullptr, nullptr, false, y.data(), mean.data(), inv_std.data(), 2,
                         110, 3, kEps, nullptr);
  table.instance_backward(x.data(), nullptr, dy.data(), nullptr, mean.data(), inv_std.data(), false,
                          dx.data(), nullptr, nullptr, nullptr, 2, 110, 3, nullptr);
  testing::expect_close(y, load("instnorm_y"), "y");
  testing::expect_close(dx, load("instnorm_dx"), "dx");
}

TEST(NormReferenceTest, AgreesWithGoldenBatchNorm) {
  const auto wide = [](const char* name) {
    return widened(testing::golden_values<float>("layers.npz", name));
  };
  const auto want = [](const char* name) { return testing::golden_values<double>("layers.npz", name); };
  const auto x = testing::channels_last(wide("batchnorm_x"), 2, 3, 110);
  const auto dy = testing::channels_last(wide("batchnorm_dy"), 2, 3, 110);
  const auto gamma = wide("batchnorm_w");
  const auto beta = wide("batchnorm_b");
  std::vector<double> y(660), mean(3), inv_std(3), dx(660), dgamma(3), dbeta(3), running_mean(3, 0.0),
      running_var(3, 1.0);
  const Norm<double>& table = norm<double>(Device::cpu);
  table.batch_forward_train(x.data(), gamma.data(), beta.data(), nullptr, false, y.data(), mean.data(),
                            inv_std.data(), running_mean.data(), running_var.data(), 0.1, 2, 110, 3, kEps,
                            nullptr);
  table.batch_backward_train(x.data(), nullptr, dy.data(), gamma.data(), mean.data(), inv_std.data(), false,
                             dx.data(), nullptr, dgamma.data(), dbeta.data(), 2, 110, 3, nullptr);
  testing::expect_close(y, testing::channels_last(want("batchnorm_y"), 2, 3, 110), "y");
  testing::expect_close(dx, testing::channels_last(want("batchnorm_dx"), 2, 3, 110), "dx");
  testing::expect_close(dgamma, want("batchnorm_dw"), "dgamma");
  testing::expect_close(dbeta, want("batchnorm_db"), "dbeta");
  testing::expect_close(running_mean, want("batchnorm_running_mean"), "running_mean");
  testing::expect_close(running_var, want("batchnorm_running_var"), "running_var");
}

MT_ON_EVERY_DEVICE(NormTest, Norm<float>);

}  // namespace
}  // namespace mt
