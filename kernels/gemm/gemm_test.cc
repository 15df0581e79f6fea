#include "kernels/gemm/gemm.h"

#include <algorithm>

#include "kernels/gemm/product_choice.h"
#include "tensor/parallel.h"
#include "tests/harness/product_test.h"

namespace mt {
namespace {

using testing::Buffer;

struct Case {
  int64_t m;
  int64_t n;
  int64_t k;
  bool transpose_a = false;
  bool transpose_b = false;
  float beta = 0;
  bool with_bias = false;
  GemmActivation activation = GemmActivation::none;
  int64_t slack = 0;  // added to each leading dimension
};

/// Both transposes of both operands, with and without the epilogue; leading dimensions slack_unit * variant
/// beyond the size.
void add_variants(std::vector<Case>& all, int64_t m, int64_t n, int64_t k, int64_t slack_unit) {
  for (int variant = 0; variant < 4; ++variant) {
    Case c{m, n, k};
    c.transpose_a = (variant & 1) != 0;
    c.transpose_b = (variant & 2) != 0;
    c.beta = variant == 1 ? 1.0F : variant == 2 ? 2.0F : 0.0F;
    c.with_bias = variant >= 2;
    c.activation = variant == 3 ? GemmActivation::relu : GemmActivation::none;
    c.slack = slack_unit * variant;
    all.push_back(c);
  }
}

// Empty sums and outputs; one row or column; more rows than a tile of the GPU's (128 x 64), steps of 16 or 32
// terms, and sums of 256 terms or more, which it splits: several tiles, steps and splits, each with and
// without a rest, in whole vectors (the last three) and without.
std::vector<Case> cases() {
  std::vector<Case> all;
  const int64_t sizes[][3] = {{1, 1, 1},   {0, 3, 2},   {3, 0, 2},   {5, 7, 0},    {2, 65, 17},
                              {3, 5, 300}, {40, 1, 33}, {29, 47, 3}, {225, 33, 9}, {13, 100, 257}};
  for (const auto& s : sizes) add_variants(all, s[0], s[1], s[2], 1);
  add_variants(all, 132, 68, 52, 4);
  add_variants(all, 12, 72, 260, 4);
  add_variants(all, 128, 64, 32, 8);
  all.push_back({20, 70, 30, false, true, 0.5F, true, GemmActivation::tanh, 3});
  all.push_back({20, 72, 32, false, true, 0.5F, true, GemmActivation::tanh, 4});
  all.push_back({1, 70, 30, false, true, 0.5F, true, GemmActivation::tanh, 3});
  all.push_back({70, 2, 30, false, false, 0.5F, true, GemmActivation::tanh, 3});
  return all;
}

// Below, at and above the CPU's register tiles (14 x 32, 6 x 16, 8 lanes), the depth of its cache block
// (256), its rows (224) and columns (256); on a GPU all of them are one tile.
std::vector<Case> cpu_tile_cases() {
  std::vector<Case> all;
  const int64_t sizes[][3] = {{1, 40, 33},  {65, 3, 17},  {4, 33, 5}, {6, 16, 8},
                              {14, 32, 16}, {15, 31, 15}, {7, 300, 4}};
  for (const auto& s : sizes) add_variants(all, s[0], s[1], s[2], 1);
  return all;
}

// Rows 512 floats apart, which the CPU copies; several of its cache blocks in each direction.
std::vector<Case> large_cases() {
  std::vector<Case> all;
  add_variants(all, 33, 70, 512, 1);
  add_variants(all, 230, 270, 258, 1);
  return all;
}

std::string name_of_case(const Case& c) {
  return fmt::format("C({},{}) = {}({} terms){} * {}, beta {}", c.m, c.n, c.transpose_a ? "A^T" : "A", c.k,
                     c.with_bias ? " + bias" : "", c.transpose_b ? "B^T" : "B", c.beta);
}

struct Operands {
  int64_t lda;
  int64_t ldb;
  int64_t ldc;
  std::vector<float> a;
  std::vector<float> b;
  std::vector<float> c;
  std::vector<float> bias;
};

template <typename Values>
Operands operands_of(const Case& c, const Values& values) {
  Operands o{(c.transpose_a ? c.m : c.k) + c.slack,
             (c.transpose_b ? c.k : c.n) + c.slack,
             c.n + c.slack,
             {},
             {},
             {},
             {}};
  o.a = values((c.transpose_a ? c.k : c.m) * o.lda, 11);
  o.b = values((c.transpose_b ? c.n : c.k) * o.ldb, 12);
  o.c = values(c.m * o.ldc, 13);
  o.bias = values(c.n, 14);
  return o;
}

std::vector<float> product(const Case& c, const Operands& o, Device device, const Gemm<float>& table) {
  Buffer<float> a(o.a, device);
  Buffer<float> b(o.b, device);
  Buffer<float> out(o.c, device);
  Buffer<float> bias(o.bias, device);
  table.multiply(c.transpose_a, c.transpose_b, c.m, c.n, c.k, a.data(), o.lda, b.data(), o.ldb, c.beta,
                 out.data(), o.ldc, {c.with_bias ? bias.data() : nullptr, c.activation}, nullptr);
  return out.host();
}

std::vector<double> absolute(std::vector<double> values) {
  for (double& value : values) value = std::abs(value);
  return values;
}

/// The reference's C; with `magnitudes`, the sum of the absolute terms of each element instead.
std::vector<double> reference(const Case& c, const Operands& o, bool magnitudes = false) {
  const auto take = [&](const std::vector<float>& v) {
    return magnitudes ? absolute(testing::widened(v)) : testing::widened(v);
  };
  const auto a = take(o.a);
  const auto b = take(o.b);
  const auto bias = take(o.bias);
  auto out = take(o.c);
  gemm<double>(Device::cpu)
      .multiply(c.transpose_a, c.transpose_b, c.m, c.n, c.k, a.data(), o.lda, b.data(), o.ldb,
                magnitudes ? std::abs(c.beta) : c.beta, out.data(), o.ldc,
                {c.with_bias ? bias.data() : nullptr, magnitudes ? GemmActivation::none : c.activation},
                nullptr);
  return out;
}

class GemmTest : public testing::ProductTest {
 protected:
  std::vector<float> product(const Case& c, const Operands& o) const {
    return mt::product(c, o, device(), version_of(gemm<float>(device())));
  }

  void expect_exact(const std::vector<Case>& wanted) const {
    for (const Case& c : wanted) {
      if (c.activation == GemmActivation::tanh) continue;
      const Operands o =
          operands_of(c, [](int64_t n, uint64_t seed) { return testing::integer_values(n, seed, 8); });
      const auto want = reference(c, o);
      // Includes the slack between rows, which must stay as it was.
      testing::expect_same_bits(product(c, o), std::vector<float>(want.begin(), want.end()), name_of_case(c));
    }
  }

  void expect_rounding(const std::vector<Case>& wanted) const {
    for (const Case& c : wanted) {
      const Operands o =
          operands_of(c, [](int64_t n, uint64_t seed) { return testing::uniform_values(n, seed); });
      const auto magnitudes = reference(c, o, true);
      testing::expect_within(
          product(c, o), reference(c, o), [&](std::size_t i) { return bound(c) * magnitudes[i]; },
          name_of_case(c));
    }
  }

  double bound(const Case& c) const {
    return relative_bound(c.k, 3, c.activation == GemmActivation::tanh ? 8 : 0);  // 4 ulp of the tanh
  }
};

TEST_P(GemmTest, ExactForSmallIntegers) {
  expect_exact(cases());
}
TEST_P(GemmTest, ExactForSmallIntegersInTilesOfTheCpu) {
  if (skips_large_case()) return;
  expect_exact(cpu_tile_cases());
}
TEST_P(GemmTest, ExactForSmallIntegersInLargeShapes) {
  if (skips_large_case()) return;
  expect_exact(large_cases());
}

TEST_P(GemmTest, WithinTheRoundingOfASumOfKTerms) {
  // Each size in one variant in the SIMT machine: which element goes where is for the test above.
  std::vector<Case> some;
  const auto all = cases();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (device() != Device::simt || i % 4 == i / 4 % 4 || all[i].activation == GemmActivation::tanh)
      some.push_back(all[i]);
  }
  expect_rounding(some);
}
TEST_P(GemmTest, WithinTheRoundingInTilesOfTheCpu) {
  if (skips_large_case()) return;
  expect_rounding(cpu_tile_cases());
}
TEST_P(GemmTest, WithinTheRoundingOfASumOfKTermsInLargeShapes) {
  if (skips_large_case()) return;
  expect_rounding(large_cases());
}

// A version that computes in another precision than it says would pass the bounds above.
TEST_P(GemmTest, RoundsItsInputsAsItsNameSays) {
  if (is_vendor()) GTEST_SKIP() << "the library chooses";
  const Case c{1, 1, 1};
  for (const float value : {1 + 0x1p-12F, 1 + 0x1p-9F})
    EXPECT_EQ(product(c, {1, 1, 1, {value}, {1.0F}, {0.0F}, {0.0F}})[0], rounded(value));
}

// A chunk of a batch gives the bits of the whole batch, as long as the batch is not what the sum runs over.
// (The CPU takes up to 3 rows as dot products, in another order.)
TEST_P(GemmTest, ARowHasTheSameBitsHoweverManyRowsThereAre) {
  if (is_vendor()) GTEST_SKIP() << "the library chooses";
  for (const bool transpose_b : {false, true}) {
    const Case whole{70, 36, 260, false, transpose_b};
    Operands o =
        operands_of(whole, [](int64_t n, uint64_t seed) { return testing::uniform_values(n, seed); });
    const std::vector<float> all = product(whole, o);
    const Case part{4, 36, 260, false, transpose_b};
    o.a.resize(static_cast<std::size_t>(part.m * o.lda));
    o.c.resize(static_cast<std::size_t>(part.m * o.ldc));
    testing::expect_same_bits(product(part, o), std::vector<float>(all.begin(), all.begin() + part.m * o.ldc),
                              name_of_case(part));
  }
}

TEST_P(GemmTest, ZeroBetaNeverReadsTheOldResult) {
  for (const int64_t k : {0, 1, 300}) {
    for (const int64_t m : {1, 20}) {
      const Case c{m, 40, k};
      Operands o =
          operands_of(c, [](int64_t n, uint64_t seed) { return testing::integer_values(n, seed, 3); });
      std::fill(o.c.begin(), o.c.end(), NAN);
      for (const float value : product(c, o)) ASSERT_FALSE(std::isnan(value)) << "k = " << k << ", m = " << m;
    }
  }
}

TEST_P(GemmTest, NanStaysInItsRowAndPassesRelu) {
  Case c{20, 40, 30};
  c.activation = GemmActivation::relu;
  Operands o = operands_of(c, [](int64_t n, uint64_t seed) { return testing::uniform_values(n, seed); });
  o.a[static_cast<std::size_t>(7 * o.lda + 3)] = NAN;
  const auto out = product(c, o);
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isnan(out[i]), i / 40 == 7) << i;
}

TEST(ProductChoiceTest, FollowsTheTable) {
  EXPECT_EQ(predicted_version(90, 17), ProductVersion::tf32x3);
  EXPECT_EQ(predicted_version(90, 16), ProductVersion::fp32);
  for (const int without_fast_tf32 : {75, 86, 89, 120})
    EXPECT_EQ(predicted_version(without_fast_tf32, 4096), ProductVersion::fp32) << without_fast_tf32;
  for (const int architecture : {75, 80, 86, 90, 100}) {
    for (const int64_t terms : {0, 1, 16, 17, 147, 4608, 1 << 20}) {
      const ProductVersion version = predicted_version(architecture, terms);
      EXPECT_TRUE(version == ProductVersion::fp32 || version == ProductVersion::tf32x3)
          << "a shape must not cost accuracy: sm_" << architecture << ", " << terms << " terms";
    }
  }
}

TEST(ProductChoiceTest, TheEnvironmentOverridesAndRefusesOtherWords) {
  for (std::size_t i = 0; i < kProductVersionNames.size(); ++i) {
    setenv("MICROTOME_PRODUCTS", std::string(kProductVersionNames[i]).c_str(), 1);
    EXPECT_EQ(chosen_version(90, 1), static_cast<ProductVersion>(i));
  }
  setenv("MICROTOME_PRODUCTS", "fp16", 1);
  try {
    chosen_version(90, 1);
    ADD_FAILURE() << "fp16 was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("MICROTOME_PRODUCTS is 'fp16'"), std::string::npos);
  }
  setenv("MICROTOME_PRODUCTS", "", 1);
  EXPECT_EQ(chosen_version(90, 100), predicted_version(90, 100));
  unsetenv("MICROTOME_PRODUCTS");
}

TEST_P(GemmTest, SameBitsAlways) {
  const std::vector<Case> cases = device() == Device::cpu
                                      ? std::vector<Case>{Case{500, 300, 300}, Case{1, 500, 300, false, true},
                                                          Case{500, 1, 300}, Case{5, 900, 40}}
                                      : std::vector<Case>{Case{70, 130, 40}, Case{3, 65, 300, false, true}};
  for (const Case& c : cases) {
    const Operands o =
        operands_of(c, [](int64_t n, uint64_t seed) { return testing::uniform_values(n, seed); });
    SCOPED_TRACE(name_of_case(c));
    expect_same_bits_always([&] { return product(c, o); });
  }
}

MT_ON_EVERY_DEVICE(GemmTest, Gemm<float>);

}  // namespace
}  // namespace mt
