// Convolutions with an epilogue, and of 8-bit pixels: against the chain of the operations that they stand for
// (the same bits) and against the double reference.

#include <algorithm>
#include <cmath>

#include "kernels/activation/activation.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/conv2d_cases.h"
#include "kernels/elementwise/elementwise.h"
#include "tensor/check.h"
#include "tensor/parallel.h"
#include "tests/harness/error_of.h"
#include "tests/harness/product_test.h"

namespace mt {
namespace {

using testing::Buffer;
using testing::widened;

// Several images; for the GPU several tiles (128 pixels x 64 channels) of an image in each direction, with
// and without whole vectors of channels; matrix products; images smaller than a warp's part of a tile.
constexpr Conv2dShape kCases[] = {
    {.n = 2, .h = 5, .w = 4, .c = 4, .k = 8, .r = 3, .s = 3, .stride = 1, .padding = 1},
    {.n = 2, .h = 12, .w = 13, .c = 2, .k = 5, .r = 2, .s = 1, .stride = 1, .padding = 1},
    {.n = 3, .h = 3, .w = 2, .c = 4, .k = 68, .r = 1, .s = 1},
    {.n = 1, .h = 4, .w = 33, .c = 3, .k = 67, .r = 1, .s = 1},
    {.n = 2, .h = 9, .w = 7, .c = 4, .k = 12, .r = 3, .s = 3, .stride = 2, .padding = 1},
};

// The stem in small (two tiles of pixels, two of channels), tails, padding and strides beyond the filter, and
// a matrix product.
constexpr Conv2dShape kPixelCases[] = {
    {.n = 2, .h = 23, .w = 21, .c = 3, .k = 10, .r = 7, .s = 7, .stride = 2, .padding = 3},
    {.n = 1, .h = 5, .w = 6, .c = 3, .k = 68, .r = 3, .s = 3, .stride = 1, .padding = 4},
    {.n = 3, .h = 8, .w = 7, .c = 3, .k = 4, .r = 2, .s = 1, .stride = 3, .padding = 0},
    {.n = 2, .h = 4, .w = 3, .c = 3, .k = 5, .r = 1, .s = 1},
};

constexpr ImageScaling kScaling{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}, false};
constexpr ImageScaling kSwapped{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}, true};

/// Which parts of the epilogue are there.
struct Parts {
  bool bias = false;
  bool residual = false;
  bool relu = false;
  bool sums = false;
  bool square_sums = false;
};
constexpr Parts kAll{true, true, true, true, true};
constexpr Parts kAllButRelu{true, true, false, true, true};

template <typename T>
struct Operands {
  std::vector<T> x;
  std::vector<T> w;
  std::vector<T> bias;
  std::vector<T> residual;
};
template <typename T>
struct Results {
  std::vector<T> y;
  std::vector<T> sums;
  std::vector<T> square_sums;
};

template <typename Values>
Operands<float> operands_of(const Conv2dShape& d, const Values& values) {
  return {values(x_size(d), 31), values(w_size(d), 32), values(d.k, 33), values(y_size(d), 34)};
}
Operands<float> uniform_operands(const Conv2dShape& d) {
  return operands_of(d, [](int64_t n, uint64_t seed) { return testing::uniform_values(n, seed); });
}
std::vector<uint8_t> bytes_of(const Conv2dShape& d) {
  std::vector<uint8_t> bytes(static_cast<std::size_t>(x_size(d)));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37 + i / 256);
  return bytes;
}

Operands<double> widened(const Operands<float>& o) {
  return {widened(o.x), widened(o.w), widened(o.bias), widened(o.residual)};
}
Operands<double> absolute(Operands<double> o) {
  for (auto* values : {&o.x, &o.w, &o.bias, &o.residual}) {
    for (double& value : *values) value = std::abs(value);
  }
  return o;
}

Results<double> reference(const Conv2dShape& d, const Operands<double>& o, const Parts& parts) {
  const auto images = static_cast<std::size_t>(d.n * d.k);
  Results<double> out{std::vector<double>(static_cast<std::size_t>(y_size(d))), std::vector<double>(images),
                      std::vector<double>(images)};
  const Conv2dEpilogue<double> epilogue{parts.bias ? o.bias.data() : nullptr,
                                        parts.residual ? o.residual.data() : nullptr, out.sums.data(),
                                        out.square_sums.data(), parts.relu};
  conv2d<double>(Device::cpu).forward_fused(o.x.data(), o.w.data(), out.y.data(), d, epilogue, nullptr);
  return out;
}

/// The reference's own scaling of the bytes.
std::vector<double> scaled(const std::vector<uint8_t>& bytes, const ImageScaling& scaling) {
  std::vector<double> x(bytes.size());
  copy<double>(Device::cpu)
      .image_to_float(bytes.data(), x.data(), 1, static_cast<int64_t>(bytes.size()) / 3, scaling, nullptr);
  return x;
}

class Conv2dFusedTest : public testing::ProductTest {
 protected:
  void SetUp() override {
    ProductTest::SetUp();
    if (!IsSkipped() && is_vendor()) GTEST_SKIP() << "the project's own kernels compute these";
  }
  const Conv2d<float>& table() const { return version_of(conv2d<float>(device())); }

  /// run(y, epilogue) with the parts of the epilogue on the device.
  template <typename Run>
  Results<float> with_epilogue(const Conv2dShape& d, const Operands<float>& o, const Parts& parts,
                               const Run& run) const {
    Buffer<float> bias(o.bias, device());
    Buffer<float> residual(o.residual, device());
    Buffer<float> y(y_size(d), device());
    Buffer<float> sums(d.n * d.k, device());
    Buffer<float> square_sums(d.n * d.k, device());
    run(y.data(),
        Conv2dEpilogue<float>{parts.bias ? bias.data() : nullptr, parts.residual ? residual.data() : nullptr,
                              parts.sums ? sums.data() : nullptr,
                              parts.square_sums ? square_sums.data() : nullptr, parts.relu});
    return {y.host(), sums.host(), square_sums.host()};
  }

  Results<float> fused(const Conv2dShape& d, const Operands<float>& o, const Parts& parts) const {
    Buffer<float> x(o.x, device());
    Buffer<float> w(o.w, device());
    return with_epilogue(d, o, parts, [&](float* y, const Conv2dEpilogue<float>& epilogue) {
      table().forward_fused(x.data(), w.data(), y, d, epilogue, nullptr);
    });
  }
  /// o.x is not read.
  Results<float> of_pixels(const Conv2dShape& d, const std::vector<uint8_t>& bytes,
                           const ImageScaling& scaling, const Operands<float>& o, const Parts& parts) const {
    Buffer<uint8_t> pixels(bytes, device());
    Buffer<float> w(o.w, device());
    return with_epilogue(d, o, parts, [&](float* y, const Conv2dEpilogue<float>& epilogue) {
      table().forward_pixels(pixels.data(), scaling, w.data(), y, d, epilogue, nullptr);
    });
  }

  /// What forward_fused stands for.
  std::vector<float> chain(const Conv2dShape& d, const Operands<float>& o, const Parts& parts) const {
    Buffer<float> x(o.x, device());
    Buffer<float> w(o.w, device());
    Buffer<float> bias(o.bias, device());
    Buffer<float> residual(o.residual, device());
    Buffer<float> y(y_size(d), device());
    table().forward(x.data(), w.data(), y.data(), d, nullptr);
    const Elementwise<float>& arithmetic = elementwise<float>(device());
    if (parts.bias) arithmetic.add_row(y.data(), bias.data(), y.data(), y_size(d) / d.k, d.k, nullptr);
    if (parts.residual) arithmetic.add(y.data(), residual.data(), y.data(), y_size(d), nullptr);
    if (parts.relu)
      activation<float>(device()).forward(ActivationKind::relu, y.data(), y.data(), y_size(d), nullptr);
    return y.host();
  }

  /// An element misses at most relative_bound() of the sum of its absolute terms (conv2d.md): e. Then a sum
  /// of v misses Σe, one of v² Σ(2|v|e + e²), and both what their own additions round: at most kSumRoundings
  /// each.
  void expect_bounds(const Conv2dShape& d, const Results<float>& got, const Operands<double>& o,
                     const Parts& parts, double roundoffs) const {
    const std::string name = name_of_case(d);
    const double bound = relative_bound(d.r * d.s * d.c, 0, roundoffs);
    const Results<double> want = reference(d, o, parts);
    const Results<double> linear = reference(d, o, {parts.bias, parts.residual});
    const Results<double> magnitudes = reference(d, absolute(o), {parts.bias, parts.residual});
    testing::expect_within(
        got.y, want.y, [&](std::size_t i) { return bound * magnitudes.y[i]; }, "y of " + name);
    constexpr double kSumRoundings = 67;  // 64 additions, a square, the last rounding, and some of v's own
    const double gamma = kSumRoundings * testing::kRoundoff / (1 - kSumRoundings * testing::kRoundoff);
    std::vector<double> sum_bound(want.sums.size(), 0);
    std::vector<double> square_bound(want.sums.size(), 0);
    for (std::size_t i = 0; i < want.y.size(); ++i) {
      const auto channel = static_cast<int64_t>(i) % d.k;
      const auto image = static_cast<int64_t>(i) / (y_size(d) / d.n);
      const auto place = static_cast<std::size_t>(image * d.k + channel);
      const double v = std::abs(linear.y[i]);
      const double e = bound * magnitudes.y[i];
      sum_bound[place] += e + gamma * (v + e);
      square_bound[place] += 2 * v * e + e * e + gamma * (v + e) * (v + e);
    }
    testing::expect_within(
        got.sums, want.sums, [&](std::size_t i) { return sum_bound[i]; }, "sums of " + name);
    testing::expect_within(
        got.square_sums, want.square_sums, [&](std::size_t i) { return square_bound[i]; },
        "square sums of " + name);
  }
};

TEST_P(Conv2dFusedTest, HasTheBitsOfTheChainOfItsParts) {
  for (const Conv2dShape& d : kCases) {
    const auto o = uniform_operands(d);
    testing::expect_same_bits(fused(d, o, kAll).y, chain(d, o, kAll), name_of_case(d));
  }
}

TEST_P(Conv2dFusedTest, EachCombinationOfPartsIsThatChain) {
  for (const Conv2dShape& d :
       {Conv2dShape{.n = 1, .h = 3, .w = 2, .c = 2, .k = 3, .r = 2, .s = 1, .stride = 1, .padding = 0},
        Conv2dShape{.n = 1, .h = 3, .w = 3, .c = 4, .k = 4, .r = 1, .s = 1}}) {
    const auto o = uniform_operands(d);
    const Results<float> all = fused(d, o, kAll);
    for (int word = 0; word < 8; ++word) {
      const Parts parts{(word & 1) != 0, (word & 2) != 0, (word & 4) != 0};
      Parts with_sums = parts;
      with_sums.sums = with_sums.square_sums = true;
      const std::string what = fmt::format("y of {} parts {:03b}", name_of_case(d), word);
      const std::vector<float> want = chain(d, o, parts);
      testing::expect_same_bits(fused(d, o, parts).y, want, what);
      testing::expect_same_bits(fused(d, o, with_sums).y, want, what + " with sums");
    }
    const std::string what = name_of_case(d);
    testing::expect_same_bits(fused(d, o, kAllButRelu).sums, all.sums, "sums without ReLU of " + what);
    testing::expect_same_bits(fused(d, o, {true, true, true, true, false}).sums, all.sums, "sums alone");
    testing::expect_same_bits(fused(d, o, {true, true, true, false, true}).square_sums, all.square_sums,
                              "square sums alone of " + what);
  }
}

TEST_P(Conv2dFusedTest, ExactForSmallIntegers) {
  for (const Conv2dShape& d : kCases) {
    const auto o =
        operands_of(d, [](int64_t n, uint64_t seed) { return testing::integer_values(n, seed, 2); });
    const Results<double> want = reference(d, widened(o), kAll);
    ASSERT_LT(*std::max_element(want.square_sums.begin(), want.square_sums.end()), 0x1p24);
    const Results<float> got = fused(d, o, kAll);
    const auto narrowed = [](const std::vector<double>& v) { return std::vector<float>(v.begin(), v.end()); };
    testing::expect_same_bits(got.y, narrowed(want.y), "y of " + name_of_case(d));
    testing::expect_same_bits(got.sums, narrowed(want.sums), "sums of " + name_of_case(d));
    testing::expect_same_bits(got.square_sums, narrowed(want.square_sums), "squares of " + name_of_case(d));
  }
}

TEST_P(Conv2dFusedTest, WithinTheRoundingOfTheSum) {
  for (const Conv2dShape& d : kCases) {
    const auto o = uniform_operands(d);
    expect_bounds(d, fused(d, o, kAll), widened(o), kAll, 2);
  }
}

// Tighter than the bounds above where products are rounded: the sums are of the very values that y holds.
TEST_P(Conv2dFusedTest, StatisticsAreThoseOfTheValuesBeforeTheRelu) {
  for (const Conv2dShape& d : kCases) {
    const Results<float> got = fused(d, uniform_operands(d), kAllButRelu);
    const int64_t pixels = d.out_h() * d.out_w();
    for (int64_t i = 0; i < d.n * d.k; ++i) {
      double sum = 0, magnitude = 0, square_sum = 0;
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        const auto v =
            static_cast<double>(got.y[static_cast<std::size_t>((i / d.k * pixels + pixel) * d.k + i % d.k)]);
        sum += v;
        magnitude += std::abs(v);
        square_sum += v * v;
      }
      const auto place = static_cast<std::size_t>(i);
      constexpr double kRoundings = 67 * testing::kRoundoff * 1.001;
      ASSERT_TRUE(std::abs(static_cast<double>(got.sums[place]) - sum) <= kRoundings * magnitude)
          << name_of_case(d) << " at " << i << ": " << got.sums[place] << ", want " << sum;
      ASSERT_TRUE(std::abs(static_cast<double>(got.square_sums[place]) - square_sum) <=
                  kRoundings * square_sum)
          << name_of_case(d) << " at " << i << ": " << got.square_sums[place] << ", want " << square_sum;
    }
  }
}

TEST_P(Conv2dFusedTest, AnImageHasTheSameStatisticsHoweverManyImagesThereAre) {
  const Conv2dShape all{.n = 3, .h = 7, .w = 6, .c = 4, .k = 12, .r = 3, .s = 3, .stride = 1, .padding = 1};
  auto o = uniform_operands(all);
  const Results<float> whole = fused(all, o, kAll);
  Conv2dShape one = all;
  one.n = 1;
  o.x.erase(o.x.begin(), o.x.end() - x_size(one));  // the last image
  o.residual.erase(o.residual.begin(), o.residual.end() - y_size(one));
  const Results<float> last = fused(one, o, kAll);
  const auto tail = [](const std::vector<float>& v, int64_t n) {
    return std::vector<float>(v.end() - n, v.end());
  };
  testing::expect_same_bits(tail(whole.y, y_size(one)), last.y, "y");
  testing::expect_same_bits(tail(whole.sums, one.k), last.sums, "sums");
  testing::expect_same_bits(tail(whole.square_sums, one.k), last.square_sums, "square sums");
}

// On a GPU at most 64 images are summed in a launch.
TEST_P(Conv2dFusedTest, MoreImagesThanALaunchTakes) {
  const Conv2dShape d{.n = 65, .h = 1, .w = 2, .c = 3, .k = 2, .r = 1, .s = 1, .stride = 2};
  const auto bytes = bytes_of(d);
  const auto o = uniform_operands(d);
  auto wide = widened(o);
  wide.x = scaled(bytes, kScaling);
  expect_bounds(d, of_pixels(d, bytes, kScaling, o, kAll), wide, kAll, 3);
}

TEST_P(Conv2dFusedTest, PixelsHaveTheBitsOfTheirScaledCopy) {
  for (std::size_t i = 0; i < std::size(kPixelCases); ++i) {
    const Conv2dShape& d = kPixelCases[i];
    const ImageScaling& scaling = i % 2 == 0 ? kSwapped : kScaling;
    const Parts parts = i / 2 == 0 ? Parts{} : kAll;
    const auto bytes = bytes_of(d);
    auto o = uniform_operands(d);
    Buffer<uint8_t> pixels(bytes, device());
    Buffer<float> x(x_size(d), device());
    copy<float>(device()).image_to_float(pixels.data(), x.data(), d.n, d.h * d.w, scaling, nullptr);
    o.x = x.host();
    const Results<float> want = fused(d, o, parts);
    const Results<float> got = of_pixels(d, bytes, scaling, o, parts);
    testing::expect_same_bits(got.y, want.y, "y of " + name_of_case(d));
    testing::expect_same_bits(got.sums, want.sums, "sums of " + name_of_case(d));  // NaN where there are none
    testing::expect_same_bits(got.square_sums, want.square_sums, "square sums of " + name_of_case(d));
  }
}

TEST_P(Conv2dFusedTest, PixelsAreWithinTheRoundingOfTheSum) {
  for (std::size_t i = 0; i < std::size(kPixelCases); ++i) {
    const Conv2dShape& d = kPixelCases[i];
    const ImageScaling& scaling = i % 2 == 0 ? kScaling : kSwapped;
    const auto bytes = bytes_of(d);
    const auto o = uniform_operands(d);
    auto wide = widened(o);
    wide.x = scaled(bytes, scaling);
    expect_bounds(d, of_pixels(d, bytes, scaling, o, kAll), wide, kAll, 3);  // one more: the scaling's
  }
}

TEST_P(Conv2dFusedTest, EmptySumsAreBiasAndResidual) {
  const Conv2dShape d{.n = 2, .h = 4, .w = 3, .c = 0, .k = 3, .r = 3, .s = 3, .stride = 1, .padding = 1};
  const auto o = uniform_operands(d);
  expect_bounds(d, fused(d, o, kAll), widened(o), kAll, 2);
  Conv2dShape none = d;
  none.c = 3;
  none.n = 0;
  EXPECT_TRUE(fused(none, uniform_operands(none), kAll).y.empty());
  EXPECT_TRUE(of_pixels(none, {}, kScaling, uniform_operands(none), kAll).y.empty());
  Conv2dShape no_filters = d;
  no_filters.c = 3;
  no_filters.k = 0;
  EXPECT_TRUE(fused(no_filters, uniform_operands(no_filters), kAll).y.empty());
  EXPECT_TRUE(
      of_pixels(no_filters, bytes_of(no_filters), kScaling, uniform_operands(no_filters), kAll).y.empty());
}

TEST_P(Conv2dFusedTest, ReluKeepsNaN) {
  const Conv2dShape d{.n = 1, .h = 2, .w = 3, .c = 4, .k = 4, .r = 1, .s = 2};
  auto o = uniform_operands(d);
  o.residual[5] = NAN;
  o.bias[3] = -INFINITY;
  const Results<float> got = fused(d, o, kAll);
  EXPECT_TRUE(std::isnan(got.y[5]));
  EXPECT_TRUE(std::isnan(got.sums[1]));
  EXPECT_EQ(got.y[3], 0);
  EXPECT_EQ(got.sums[3], -INFINITY);
}

TEST_P(Conv2dFusedTest, SameBitsAlways) {
  const bool small = device() != Device::cpu;
  const Conv2dShape d{.n = small ? 2 : 9,
                      .h = small ? 12 : 34,
                      .w = 31,
                      .c = 3,
                      .k = 24,
                      .r = 7,
                      .s = 7,
                      .stride = 2,
                      .padding = 3};
  const auto o = uniform_operands(d);
  expect_same_bits_always([&] {
    std::vector<float> all;
    for (const Results<float>& results : {fused(d, o, kAll), of_pixels(d, bytes_of(d), kScaling, o, kAll)}) {
      for (const auto* part : {&results.y, &results.sums, &results.square_sums})
        all.insert(all.end(), part->begin(), part->end());
    }
    return all;
  });
}

TEST_P(Conv2dFusedTest, PixelsHaveThreeChannels) {
  const auto message = error_of([&] {
    table().forward_pixels(nullptr, {}, nullptr, nullptr, {.n = 1, .h = 2, .w = 2, .c = 4, .k = 1}, {},
                           nullptr);
  });
  EXPECT_EQ(message, "conv2d: pixels have 3 channels, not 4");
}

MT_ON_EVERY_DEVICE(Conv2dFusedTest, Conv2d<float>);

}  // namespace
}  // namespace mt
