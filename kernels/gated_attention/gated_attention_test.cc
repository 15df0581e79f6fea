#include "kernels/gated_attention/gated_attention.h"

#include <algorithm>
#include <array>

#include "tests/harness/error_of.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

constexpr double kU = testing::kRoundoff;

struct Bag {
  GatedAttentionShape shape;
  std::vector<double> gate_v, gate_u, w, h;  // (N,K), (N,K), (K), (N,L); hold floats
};

Bag random_bag(int64_t n, int64_t gate_width, int64_t width, float range) {
  const auto seed = static_cast<uint64_t>(n);
  return {{n, gate_width, width},
          testing::widened(testing::uniform_values(n * gate_width, seed, -range, range)),
          testing::widened(testing::uniform_values(n * gate_width, seed + 1, -range, range)),
          testing::widened(testing::uniform_values(gate_width, seed + 2)),
          testing::widened(testing::uniform_values(n * width, seed + 3))};
}

template <typename T>
std::vector<T> as(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

template <typename T>
struct Pooled {
  std::vector<T> logits, attention, pooled;
};

template <typename T>
Pooled<T> forward(const Bag& bag, const GatedAttention<T>& op = gated_attention<T>(Device::cpu),
                  Device device = Device::cpu) {
  const auto& s = bag.shape;
  Buffer<T> v(as<T>(bag.gate_v), device), u(as<T>(bag.gate_u), device), w(as<T>(bag.w), device),
      h(as<T>(bag.h), device);
  Buffer<T> logits(s.instances, device), attention(s.instances, device), pooled(s.width, device);
  op.forward(s, v.data(), u.data(), w.data(), h.data(), logits.data(), attention.data(), pooled.data(),
             nullptr);
  return {logits.host(), attention.host(), pooled.host()};
}

struct Upstream {
  std::vector<double> pooled;     // (L)
  std::vector<double> attention;  // (N) or empty
};

template <typename T>
struct Gradients {
  std::vector<T> dgate_v, dgate_u, dw, dh;
};

template <typename T>
Gradients<T> backward(const Bag& bag, const std::vector<double>& attention, const Upstream& upstream,
                      bool with_h, const GatedAttention<T>& op = gated_attention<T>(Device::cpu),
                      Device device = Device::cpu) {
  const auto& s = bag.shape;
  Buffer<T> v(as<T>(bag.gate_v), device), u(as<T>(bag.gate_u), device), w(as<T>(bag.w), device),
      h(as<T>(bag.h), device);
  Buffer<T> a(as<T>(attention), device), dpooled(as<T>(upstream.pooled), device);
  Buffer<T> dattention(as<T>(upstream.attention), device);
  Buffer<T> dv(s.instances * s.gate_width, device), du(s.instances * s.gate_width, device),
      dw(s.gate_width, device);
  Buffer<T> dh(with_h ? s.instances * s.width : 0, device);
  op.backward(s, v.data(), u.data(), w.data(), h.data(), a.data(), dpooled.data(),
              upstream.attention.empty() ? nullptr : dattention.data(), dv.data(), du.data(), dw.data(),
              with_h ? dh.data() : nullptr, nullptr);
  return {dv.host(), du.host(), dw.host(), dh.host()};
}

std::size_t at(int64_t row, int64_t width, int64_t column) {
  return static_cast<std::size_t>(row * width + column);
}

double sum_of_magnitudes(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += std::abs(value);
  return sum;
}

struct Sizes {
  int64_t instances, gate_width, width;
};

class GatedAttentionTest : public testing::KernelTest {
 protected:
  const GatedAttention<float>& op() const { return version_of(gated_attention<float>(device())); }

  void expect_forward(const Bag& bag, const std::string& what) {
    const auto want = forward<double>(bag);
    const auto got = forward<float>(bag, op(), device());
    // gated_attention.md
    const double logit_error =
        kU * (static_cast<double>(bag.shape.gate_width) / 16 + 24) * sum_of_magnitudes(bag.w) + 0x1p-126;
    const auto [smallest, largest] = std::minmax_element(want.logits.begin(), want.logits.end());
    const double error = 2 * logit_error + kU * (2 * (*largest - *smallest) + 16);
    testing::expect_within(
        got.logits, want.logits, [&](std::size_t) { return logit_error; }, what + " logits");
    testing::expect_within(
        got.attention, want.attention, [&](std::size_t i) { return error * want.attention[i] + 0x1p-126; },
        what + " attention");
    std::vector<double> scale(want.pooled.size(), 0.0);  // sum of A |h|
    for (int64_t n = 0; n < bag.shape.instances; ++n) {
      for (int64_t l = 0; l < bag.shape.width; ++l) {
        scale[static_cast<std::size_t>(l)] +=
            want.attention[static_cast<std::size_t>(n)] * std::abs(bag.h[at(n, bag.shape.width, l)]);
      }
    }
    testing::expect_within(
        got.pooled, want.pooled, [&](std::size_t i) { return (error + 520 * kU) * scale[i]; },
        what + " pooled");
  }

  void expect_backward(const Bag& bag, bool with_attention, bool with_h, const std::string& what) {
    const auto& s = bag.shape;
    const Upstream upstream{
        testing::widened(testing::uniform_values(s.width, 91)),
        with_attention ? testing::widened(testing::uniform_values(s.instances, 92)) : std::vector<double>{}};
    const auto attention = testing::widened(as<float>(forward<double>(bag).attention));
    const auto want = backward<double>(bag, attention, upstream, with_h);
    const auto got = backward<float>(bag, attention, upstream, with_h, op(), device());
    // d_n = h_n·dpooled + dattention_n is off by at most e_d, its mean by the same and its rounding.
    const double largest_d = sum_of_magnitudes(upstream.pooled) + (with_attention ? 1 : 0);  // |h| < 1
    const double e_d = kU * (static_cast<double>(s.width) / 16 + 8) * largest_d;
    std::vector<double> dw_bound(static_cast<std::size_t>(s.gate_width), 0.0);
    const auto dlogit_error = [&](std::size_t n) {
      return attention[n] * (2 * e_d + 6 * kU * 2 * largest_d);
    };
    const auto gate_bound =
        [&](std::size_t i) {  // gates and slopes are at most 1, and within 24 u of themselves or of 1
          const std::size_t n = i / static_cast<std::size_t>(s.gate_width);
          const double w = std::abs(bag.w[i % static_cast<std::size_t>(s.gate_width)]);
          return w * (dlogit_error(n) + 32 * kU * attention[n] * 2 * largest_d) + 0x1p-126;
        };
    for (std::size_t n = 0; n < attention.size(); ++n) {
      for (double& bound : dw_bound)
        bound += dlogit_error(n) + (512 + 32) * kU * attention[n] * 2 * largest_d;
    }
    testing::expect_within(got.dgate_v, want.dgate_v, gate_bound, what + " dgate_v");
    testing::expect_within(got.dgate_u, want.dgate_u, gate_bound, what + " dgate_u");
    testing::expect_within(
        got.dw, want.dw, [&](std::size_t k) { return dw_bound[k]; }, what + " dw");
    testing::expect_relative(got.dh, want.dh, 1, what + " dh", 0x1p-100);
  }

  void expect_sizes(const std::vector<Sizes>& all) {
    for (const Sizes& k : all) {
      for (const float range : {1.0F, 12.0F}) {
        const Bag bag = random_bag(k.instances, k.gate_width, k.width, range);
        const std::string what =
            fmt::format("{} instances, {} gates, range {}", k.instances, k.gate_width, range);
        expect_forward(bag, what);
        expect_backward(bag, false, true, what);
        expect_backward(bag, true, false, what + ", attention too");
      }
    }
  }
};

// Around the GPU's tiles of 128 instances; widths that are and are not multiples of a vector, and wider than
// a warp's columns. The last has two blocks of rows in the softmax.
TEST_P(GatedAttentionTest, AgreesWithReference) {
  expect_sizes({{1, 1, 1}, {5, 16, 33}, {128, 20, 7}, {130, 140, 132}, {300, 33, 16}, {1100, 4, 3}});
}

// Around the cpu's chunks of 512.
TEST_P(GatedAttentionTest, AgreesWithReferenceInLargerBags) {
  if (skips_large_case()) return;
  expect_sizes({{511, 20, 7}, {512, 33, 16}, {513, 128, 64}, {1500, 15, 17}});
}

TEST_P(GatedAttentionTest, SameBitsAlways) {
  const Bag bag = random_bag(device() == Device::cpu ? 3000 : 140, 24, 40, 2);
  const Upstream upstream{testing::widened(testing::uniform_values(40, 1)), {}};
  expect_same_bits_always([&] {
    const auto pooled = forward<float>(bag, op(), device());
    auto all = pooled.pooled;
    const auto gradients =
        backward<float>(bag, testing::widened(pooled.attention), upstream, true, op(), device());
    for (const auto& part : {gradients.dgate_v, gradients.dgate_u, gradients.dw, gradients.dh}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  });
}

TEST_P(GatedAttentionTest, SaturatedGatesStayFinite) {
  Bag bag = random_bag(6, 3, 2, 1);
  bag.gate_v = {200, -200, 3e38, HUGE_VAL, -HUGE_VAL, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  bag.gate_u = {200, -200, 3e38, HUGE_VAL, -HUGE_VAL, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  expect_forward(bag, "saturated");
  expect_backward(bag, true, true, "saturated");
}

TEST_P(GatedAttentionTest, NanIsAnErrorThatNamesTheRow) {
  for (const bool in_v : {true, false}) {
    // Behind the first of the cpu's chunks of 512, and of the GPU's tiles of 128.
    const int64_t first = device() == Device::cpu ? 900 : 140;
    Bag bag = random_bag(first + 300, 4, 2, 1);
    auto& gate = in_v ? bag.gate_v : bag.gate_u;
    gate[at(first + 200, 4, 0)] = gate[at(first, 4, 3)] = NAN;
    EXPECT_EQ(error_of([&] { forward<float>(bag, op(), device()); }),
              fmt::format("gated_attention: the attention logit of instance {} is NaN", first));
  }
  EXPECT_EQ(error_of([&] { forward<float>(random_bag(0, 4, 2, 1), op(), device()); }),
            "gated_attention: the bag is empty");
}

MT_ON_EVERY_DEVICE(GatedAttentionTest, GatedAttention<float>);

TEST(GatedAttentionReferenceTest, BackwardAgreesWithFiniteDifferences) {
  const Bag bag = random_bag(7, 5, 4, 2);
  const Upstream upstream{testing::widened(testing::uniform_values(4, 1)),
                          testing::widened(testing::uniform_values(7, 2))};
  const auto gradients = backward<double>(bag, forward<double>(bag).attention, upstream, true);
  const auto check_part = [&](std::vector<double> Bag::*part, const std::vector<double>& gradient,
                              const std::string& what) {
    const auto loss = [&](const std::vector<double>& values) {
      Bag moved = bag;
      moved.*part = values;
      const auto out = forward<double>(moved);
      return testing::dot(out.pooled, upstream.pooled) + testing::dot(out.attention, upstream.attention);
    };
    testing::expect_gradient(loss, bag.*part, gradient, what);
  };
  check_part(&Bag::gate_v, gradients.dgate_v, "dgate_v");
  check_part(&Bag::gate_u, gradients.dgate_u, "dgate_u");
  check_part(&Bag::w, gradients.dw, "dw");
  check_part(&Bag::h, gradients.dh, "dh");
}

// ---- golden/abmil_gated.npz ----

constexpr const char* kGolden = "abmil_gated.npz";

/// x Wᵀ + b; x: (N, in), weight: (out, in)
std::vector<double> linear(const std::vector<double>& x, const std::string& name) {
  const auto weight = testing::golden_values<float>(kGolden, "w." + name + ".weight");
  const auto bias = testing::golden_values<float>(kGolden, "w." + name + ".bias");
  const std::size_t width = weight.size() / bias.size();
  std::vector<double> y;
  for (std::size_t row = 0; row < x.size(); row += width) {
    for (std::size_t out = 0; out < bias.size(); ++out) {
      double sum = static_cast<double>(bias[out]);
      for (std::size_t k = 0; k < width; ++k)
        sum += x[row + k] * static_cast<double>(weight[out * width + k]);
      y.push_back(sum);
    }
  }
  return y;
}

TEST(GatedAttentionGoldenTest, AttentionAndGradients) {
  const auto x = testing::golden_values<float>(kGolden, "x");
  auto h = linear({x.begin(), x.end()}, "fc.0");
  for (double& value : h) value = std::max(value, 0.0);
  Bag bag{{43, 16, 32},
          linear(h, "V"),
          linear(h, "U"),
          testing::widened(testing::golden_values<float>(kGolden, "w.w.weight")),
          h};
  auto got = forward<double>(bag);
  const double bias = static_cast<double>(testing::golden_values<float>(kGolden, "w.w.bias")[0]);
  for (double& logit : got.logits) logit += bias;
  testing::expect_close(got.logits, testing::golden_values<double>(kGolden, "a_f64"), "logits");
  testing::expect_close(got.attention, testing::golden_values<double>(kGolden, "A_f64"), "attention");
  testing::expect_close(got.pooled, testing::golden_values<double>(kGolden, "z_f64"), "pooled");

  // The loss is BCE with target 1 on the classifier's logit: its slope is sigmoid(logit) − 1.
  const double slope = 1 / (1 + std::exp(-testing::golden_values<double>(kGolden, "logit_f64")[0])) - 1;
  Upstream upstream{testing::widened(testing::golden_values<float>(kGolden, "w.cls.weight")), {}};
  for (double& value : upstream.pooled) value *= slope;
  const auto gradients = backward<double>(bag, got.attention, upstream, true);
  testing::expect_close(gradients.dw, testing::golden_values<double>(kGolden, "g.w.weight_f64"), "dw");
  const auto expect_linear_gradients = [&](const std::vector<double>& dgate, const std::string& name) {
    std::vector<double> dbias(16, 0.0), dweight(16 * 32, 0.0);
    for (std::size_t i = 0; i < dgate.size(); ++i) {
      dbias[i % 16] += dgate[i];
      for (std::size_t l = 0; l < 32; ++l) dweight[i % 16 * 32 + l] += dgate[i] * h[i / 16 * 32 + l];
    }
    testing::expect_close(dbias, testing::golden_values<double>(kGolden, "g." + name + ".bias_f64"),
                          name + " bias");
    testing::expect_close(dweight, testing::golden_values<double>(kGolden, "g." + name + ".weight_f64"),
                          name + " weight");
  };
  expect_linear_gradients(gradients.dgate_v, "V");
  expect_linear_gradients(gradients.dgate_u, "U");
}

}  // namespace
}  // namespace mt
