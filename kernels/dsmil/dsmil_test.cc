#include "kernels/dsmil/dsmil.h"

#include <algorithm>
#include <array>

#include "kernels/device/device.h"
#include "tests/harness/error_of.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

constexpr double kU = testing::kRoundoff;

struct Bag {
  DsmilShape shape;
  std::vector<double> q, values;  // (N,Q), (N,V); hold floats
  std::vector<int64_t> critical;  // (C)
};

Bag random_bag(int64_t n, int64_t classes, int64_t query_width, int64_t value_width, float range = 1) {
  const auto seed = static_cast<uint64_t>(n + 7 * classes);
  Bag bag{{n, classes, query_width, value_width, 1 / std::sqrt(static_cast<double>(query_width))},
          testing::widened(testing::uniform_values(n * query_width, seed, -range, range)),
          testing::widened(testing::uniform_values(n * value_width, seed + 1)),
          {}};
  for (int64_t c = 0; c < classes; ++c)
    bag.critical.push_back(c / 2 * 37 % n);  // classes may share an instance
  return bag;
}

template <typename T>
std::vector<T> as(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

template <typename T>
struct Pooled {
  std::vector<T> attention, pooled;
};

template <typename T>
Pooled<T> forward(const Bag& bag, const Dsmil<T>& op = dsmil<T>(Device::cpu), Device device = Device::cpu) {
  const DsmilShape& s = bag.shape;
  Buffer<T> q(as<T>(bag.q), device), values(as<T>(bag.values), device);
  Buffer<int64_t> critical(bag.critical, device);
  Buffer<T> attention(s.instances * s.classes, device), pooled(s.classes * s.value_width, device);
  op.forward(s, q.data(), critical.data(), values.data(), attention.data(), pooled.data(), nullptr);
  return {attention.host(), pooled.host()};
}

struct Upstream {
  std::vector<double> pooled;     // (C,V)
  std::vector<double> attention;  // (N,C) or empty
};

Upstream random_upstream(const DsmilShape& s, bool with_attention) {
  return {testing::widened(testing::uniform_values(s.classes * s.value_width, 91)),
          with_attention ? testing::widened(testing::uniform_values(s.instances * s.classes, 92))
                         : std::vector<double>{}};
}

template <typename T>
struct Gradients {
  std::vector<T> dq, dvalues;
};

template <typename T>
Gradients<T> backward(const Bag& bag, const std::vector<double>& attention, const Upstream& upstream,
                      bool with_values, const Dsmil<T>& op = dsmil<T>(Device::cpu),
                      Device device = Device::cpu) {
  const DsmilShape& s = bag.shape;
  Buffer<T> q(as<T>(bag.q), device), values(as<T>(bag.values), device), a(as<T>(attention), device);
  Buffer<T> dpooled(as<T>(upstream.pooled), device), dattention(as<T>(upstream.attention), device);
  Buffer<int64_t> critical(bag.critical, device);
  Buffer<T> dq(s.instances * s.query_width, device),
      dvalues(with_values ? s.instances * s.value_width : 0, device);
  op.backward(s, q.data(), critical.data(), values.data(), a.data(), dpooled.data(),
              upstream.attention.empty() ? nullptr : dattention.data(), dq.data(),
              with_values ? dvalues.data() : nullptr, nullptr);
  return {dq.host(), dvalues.host()};
}

std::size_t at(int64_t row, int64_t width, int64_t column) {
  return static_cast<std::size_t>(row * width + column);
}

/// Largest error of an attention weight relative to itself (dsmil.md): twice that of a logit, and the
/// exponential's.
double attention_error(const Bag& bag, int64_t c) {
  const DsmilShape& s = bag.shape;
  double logit_error = 0;
  double largest = -HUGE_VAL;
  double smallest = HUGE_VAL;
  for (int64_t n = 0; n < s.instances; ++n) {
    double sum = 0;
    double magnitude = 0;
    for (int64_t k = 0; k < s.query_width; ++k) {
      const double term = s.scale * bag.q[at(n, s.query_width, k)] *
                          bag.q[at(bag.critical[static_cast<std::size_t>(c)], s.query_width, k)];
      sum += term;
      magnitude += std::abs(term);
    }
    logit_error = std::max(logit_error, kU * (static_cast<double>(s.query_width) / 16 + 7) * magnitude);
    largest = std::max(largest, sum);
    smallest = std::min(smallest, sum);
  }
  return 2 * logit_error + kU * (2 * (largest - smallest) + 16);
}

struct Sizes;

class DsmilTest : public testing::KernelTest {
 protected:
  const Dsmil<float>& op() const { return version_of(dsmil<float>(device())); }
  void expect_forward(const Bag& bag, const std::string& what) {
    const DsmilShape& s = bag.shape;
    const auto want = forward<double>(bag);
    const auto got = forward<float>(bag, op(), device());
    std::vector<double> errors;
    for (int64_t c = 0; c < s.classes; ++c) errors.push_back(attention_error(bag, c));
    testing::expect_within(
        got.attention, want.attention,
        [&](std::size_t i) { return errors[i % errors.size()] * want.attention[i] + 0x1p-126; },
        what + " attention");
    std::vector<double> scale(want.pooled.size(), 0.0);  // sum of A |values|
    for (int64_t n = 0; n < s.instances; ++n) {
      for (std::size_t i = 0; i < scale.size(); ++i) {
        const int64_t c = static_cast<int64_t>(i) / s.value_width;
        scale[i] += want.attention[at(n, s.classes, c)] *
                    std::abs(bag.values[at(n, s.value_width, static_cast<int64_t>(i) % s.value_width)]);
      }
    }
    testing::expect_within(
        got.pooled, want.pooled,
        [&](std::size_t i) {
          return (errors[i / static_cast<std::size_t>(s.value_width)] + 520 * kU) * scale[i];
        },
        what + " pooled");
  }

  void expect_backward(const Bag& bag, bool with_attention, bool with_values, const std::string& what);
  void expect_sizes(const std::vector<Sizes>& all);
};

/// The backward in double, with an error bound for each number that the float version forms (dsmil.md).
struct BackwardBound {
  BackwardBound(const Bag& bag, const std::vector<double>& attention, const Upstream& upstream)
      : dq(bag.q.size(), 0.0), dvalues(bag.values.size(), 0.0) {
    const DsmilShape& s = bag.shape;
    for (int64_t c = 0; c < s.classes; ++c) {
      std::vector<double> d(static_cast<std::size_t>(s.instances)), d_error(d.size());
      double mean = 0;
      double mean_error = 0;
      for (int64_t n = 0; n < s.instances; ++n) {
        double magnitude = 0;
        for (int64_t v = 0; v < s.value_width; ++v) {
          const double term = bag.values[at(n, s.value_width, v)] * upstream.pooled[at(c, s.value_width, v)];
          d[static_cast<std::size_t>(n)] += term;
          magnitude += std::abs(term);
        }
        if (!upstream.attention.empty()) {
          d[static_cast<std::size_t>(n)] += upstream.attention[at(n, s.classes, c)];
          magnitude += std::abs(upstream.attention[at(n, s.classes, c)]);
        }
        d_error[static_cast<std::size_t>(n)] = kU * (static_cast<double>(s.value_width) / 16 + 7) * magnitude;
        mean += attention[at(n, s.classes, c)] * d[static_cast<std::size_t>(n)];
        mean_error += attention[at(n, s.classes, c)] * d_error[static_cast<std::size_t>(n)];
      }
      mean_error += kU * std::abs(mean);
      const int64_t critical = bag.critical[static_cast<std::size_t>(c)];
      for (int64_t n = 0; n < s.instances; ++n) {
        const double a = attention[at(n, s.classes, c)];
        const double dlogit = s.scale * a * std::abs(d[static_cast<std::size_t>(n)] - mean);
        const double error =
            s.scale * a * (d_error[static_cast<std::size_t>(n)] + mean_error) + 6 * kU * dlogit;
        for (int64_t k = 0; k < s.query_width; ++k) {
          const double of_critical = std::abs(bag.q[at(critical, s.query_width, k)]);
          const double of_own = std::abs(bag.q[at(n, s.query_width, k)]);
          dq[at(n, s.query_width, k)] += (error + 8 * kU * dlogit) * of_critical;
          dq[at(critical, s.query_width, k)] += (error + 520 * kU * dlogit) * of_own;
        }
        for (int64_t v = 0; v < s.value_width; ++v) {
          dvalues[at(n, s.value_width, v)] += 4 * kU * a * std::abs(upstream.pooled[at(c, s.value_width, v)]);
        }
      }
    }
  }
  std::vector<double> dq, dvalues;
};

void DsmilTest::expect_backward(const Bag& bag, bool with_attention, bool with_values,
                                const std::string& what) {
  const Upstream upstream = random_upstream(bag.shape, with_attention);
  const std::vector<double> attention =
      as<double>(testing::widened(as<float>(forward<double>(bag).attention)));
  const auto want = backward<double>(bag, attention, upstream, with_values);
  const auto got = backward<float>(bag, attention, upstream, with_values, op(), device());
  const BackwardBound bound(bag, attention, upstream);
  testing::expect_within(
      got.dq, want.dq, [&](std::size_t i) { return bound.dq[i] + 0x1p-126; }, what + " dq");
  testing::expect_within(
      got.dvalues, want.dvalues, [&](std::size_t i) { return bound.dvalues[i] + 0x1p-126; },
      what + " dvalues");
}

struct Sizes {
  int64_t instances, classes, query_width, value_width;
};

void DsmilTest::expect_sizes(const std::vector<Sizes>& all) {
  for (const Sizes& k : all) {
    const Bag bag = random_bag(k.instances, k.classes, k.query_width, k.value_width);
    const std::string what = fmt::format("{} instances, {} classes", k.instances, k.classes);
    expect_forward(bag, what);
    expect_backward(bag, false, true, what);
    expect_backward(bag, true, false, what + ", attention too");
  }
}

// Around the GPU's tiles of 128 instances, one to five classes, two of them with the same critical instance;
// widths that are and are not multiples of a vector, and wider than a warp's columns. The last has two blocks
// of rows in the softmax.
TEST_P(DsmilTest, AgreesWithReference) {
  expect_sizes(
      {{1, 1, 1, 1}, {5, 2, 16, 33}, {128, 2, 36, 4}, {130, 5, 140, 132}, {300, 3, 15, 17}, {1100, 1, 3, 4}});
}

// Around the cpu's chunks of 512.
TEST_P(DsmilTest, AgreesWithReferenceInLargerBags) {
  if (skips_large_case()) return;
  expect_sizes({{511, 1, 128, 20}, {512, 3, 15, 17}, {513, 1, 32, 64}, {1500, 2, 40, 16}});
}

TEST_P(DsmilTest, LargeLogitsDoNotOverflow) {
  expect_forward(random_bag(device() == Device::cpu ? 700 : 150, 2, 16, 8, 20), "logits up to 1600");
}

TEST_P(DsmilTest, CriticalInstanceIsTheFirstMaximum) {
  std::vector<float> logits(2 * 40000, -1);
  logits[2 * 20000] = logits[2 * 100] = logits[2 * 39999] = 5;  // class 0
  logits[2 * 17000 + 1] = -0.5F;                                // class 1
  Buffer<float> in(logits, device());
  Buffer<int64_t> critical(2, device());
  op().critical_instances(in.data(), critical.data(), 40000, 2, nullptr);
  EXPECT_EQ(critical.host(), (std::vector<int64_t>{100, 17000}));
  std::vector<int64_t> want(2);
  dsmil<double>(Device::cpu)
      .critical_instances(testing::widened(logits).data(), want.data(), 40000, 2, nullptr);
  EXPECT_EQ(critical.host(), want);
}

TEST_P(DsmilTest, NanIsAnErrorThatNamesTheRow) {
  std::vector<float> logits(2 * 30000, 0);
  logits[2 * 29000] = logits[2 * 20000 + 1] = NAN;
  Buffer<float> in(logits, device());
  Buffer<int64_t> critical(2, device());
  EXPECT_EQ(error_of([&] {
              op().critical_instances(in.data(), critical.data(), 30000, 2, nullptr);
              synchronize(device());
            }),
            "dsmil: the logit of instance 20000 and class 1 is NaN");
  // A class of NaN alone: what follows is computed, of a row that is there, before the error is said.
  Buffer<float> all_nan(std::vector<float>(4, NAN), device());
  EXPECT_EQ(error_of([&] {
              op().critical_instances(all_nan.data(), critical.data(), 2, 2, nullptr);
              synchronize(device());
            }),
            "dsmil: the logit of instance 0 and class 0 is NaN");
  // Behind the first of the cpu's chunks of 512, and of the GPU's tiles of 128.
  const int64_t first = device() == Device::cpu ? 900 : 140;
  Bag bag = random_bag(first + 300, 1, 8, 4);
  bag.q[at(first + 200, 8, 0)] = bag.q[at(first, 8, 3)] = NAN;
  EXPECT_EQ(error_of([&] { forward<float>(bag, op(), device()); }),
            fmt::format("dsmil: the attention logit of instance {} is NaN", first));
  EXPECT_EQ(error_of([&] { op().critical_instances(in.data(), critical.data(), 0, 2, nullptr); }),
            "dsmil: the bag is empty");
}

TEST_P(DsmilTest, RowsThatAreNotAlignedToVectors) {
  const Bag bag = random_bag(150, 1, 8, 12);
  const DsmilShape& s = bag.shape;
  auto q_values = as<float>(bag.q);
  auto values_values = as<float>(bag.values);
  q_values.insert(q_values.begin(), NAN);
  values_values.insert(values_values.begin(), NAN);
  Buffer<float> q(q_values, device()), values(values_values, device());
  Buffer<int64_t> critical(bag.critical, device());
  Buffer<float> attention(s.instances, device()), pooled(s.value_width, device());
  op().forward(s, q.data() + 1, critical.data(), values.data() + 1, attention.data(), pooled.data(), nullptr);
  const auto aligned = forward<float>(bag, op(), device());
  const auto got = pooled.host();
  const double error = attention_error(bag, 0) + 520 * kU;  // of each of the two; |values| <= 1
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], aligned.pooled[i], 2 * error);
}

TEST_P(DsmilTest, SameBitsAlways) {
  const Bag bag = random_bag(device() == Device::cpu ? 3000 : 140, 3, 20, 40);
  const Upstream upstream = random_upstream(bag.shape, true);
  expect_same_bits_always([&] {
    const auto pooled = forward<float>(bag, op(), device());
    auto all = backward<float>(bag, testing::widened(pooled.attention), upstream, true, op(), device());
    all.dq.insert(all.dq.end(), all.dvalues.begin(), all.dvalues.end());
    all.dq.insert(all.dq.end(), pooled.pooled.begin(), pooled.pooled.end());
    return all.dq;
  });
}

MT_ON_EVERY_DEVICE(DsmilTest, Dsmil<float>);

TEST(DsmilReferenceTest, BackwardAgreesWithFiniteDifferences) {
  Bag bag = random_bag(7, 3, 5, 4);
  const Upstream upstream = random_upstream(bag.shape, true);
  const auto loss_of = [&](const Bag& moved) {
    const auto out = forward<double>(moved);
    return testing::dot(out.pooled, upstream.pooled) + testing::dot(out.attention, upstream.attention);
  };
  const auto gradients = backward<double>(bag, forward<double>(bag).attention, upstream, true);
  const auto of_q = [&](const std::vector<double>& q) {
    Bag moved = bag;
    moved.q = q;
    return loss_of(moved);
  };
  const auto of_values = [&](const std::vector<double>& values) {
    Bag moved = bag;
    moved.values = values;
    return loss_of(moved);
  };
  testing::expect_gradient(of_q, bag.q, gradients.dq, "dq");
  testing::expect_gradient(of_values, bag.values, gradients.dvalues, "dvalues");
}

// ---- golden/dsmil.npz: the published model ----

/// activation(x Wᵀ + b); x: (N, in), weight: (out, in)
std::vector<double> linear(const std::vector<double>& x, const std::string& name,
                           double (*activation)(double)) {
  const auto weight = testing::golden_values<float>("dsmil.npz", name + ".weight");
  const auto bias = testing::golden_values<float>("dsmil.npz", name + ".bias");
  const std::size_t width = weight.size() / bias.size();
  std::vector<double> y;
  for (std::size_t row = 0; row < x.size(); row += width) {
    for (std::size_t out = 0; out < bias.size(); ++out) {
      double sum = static_cast<double>(bias[out]);
      for (std::size_t k = 0; k < width; ++k)
        sum += x[row + k] * static_cast<double>(weight[out * width + k]);
      y.push_back(activation(sum));
    }
  }
  return y;
}

double identity(double x) {
  return x;
}
double relu(double x) {
  return std::max(x, 0.0);
}
double hyperbolic_tangent(double x) {
  return std::tanh(x);
}

/// Critical instances, attention and bag vector of one golden bag; the map v comes before the pooling, and
/// after it.
void expect_golden_bag(const std::string& features, const std::string& weights, const std::string& logits,
                       const std::string& attention, const std::string& bag_vector) {
  const auto floats = testing::golden_values<float>("dsmil.npz", features);
  const auto u = linear({floats.begin(), floats.end()}, weights + "b_classifier.lin.0", relu);
  const auto scores = testing::golden_values<double>("dsmil.npz", logits);
  const auto want = testing::golden_values<double>("dsmil.npz", attention);
  const int64_t instances = testing::golden("dsmil.npz", features).dim(0);
  const int64_t classes = static_cast<int64_t>(scores.size()) / instances;
  Bag bag{{instances, classes, 128, 32,
           1 / static_cast<double>(std::sqrt(128.0F))},  // as the published code divides
          linear(u, weights + "b_classifier.q.0", hyperbolic_tangent),
          linear(u, weights + "b_classifier.v.1", identity),
          std::vector<int64_t>(static_cast<std::size_t>(classes))};
  dsmil<double>(Device::cpu)
      .critical_instances(scores.data(), bag.critical.data(), instances, classes, nullptr);
  const auto got = forward<double>(bag);
  testing::expect_close(got.attention, want, attention);
  const auto want_vector = testing::golden_values<double>("dsmil.npz", bag_vector);
  testing::expect_close(got.pooled, want_vector, bag_vector);
  bag.values = u;
  testing::expect_close(linear(forward<double>(bag).pooled, weights + "b_classifier.v.1", identity),
                        want_vector, bag_vector + ", v after pooling");
}

TEST(DsmilGoldenTest, AttentionAndBagVector) {
  expect_golden_bag("small_pos_feats", "small_w.", "small_pos_ins_f64", "small_pos_A_f64", "small_pos_B_f64");
  expect_golden_bag("small_neg_feats", "small_w.", "small_neg_ins_f64", "small_neg_A_f64", "small_neg_B_f64");
}

TEST(DsmilGoldenTest, ThreeClasses) {
  expect_golden_bag("mc3_feats", "mc3_w.", "mc3_classes", "mc3_A", "mc3_B");
}

}  // namespace
}  // namespace mt
