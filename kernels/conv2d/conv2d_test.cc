#include "kernels/conv2d/conv2d.h"

#include <algorithm>

#include "kernels/conv2d/conv2d_cases.h"
#include "tensor/check.h"
#include "tensor/io/npz.h"
#include "tensor/parallel.h"
#include "tests/harness/places.h"
#include "tests/harness/product_test.h"

namespace mt {
namespace {

using testing::Buffer;

// Shapes of ResNet in small (3x3 and 1x1 of stride 1 and 2, the 7x7 stem, few and odd channels, several
// shards of images), filters that reach past the image, strides beyond the filter, rectangular filters,
// strides that leave a rest, and nothing at all. For the GPU, whose tiles are 128 x 64 in steps of 16 or 32
// terms, and which splits shards of 256 pixels or more: several tiles in each direction in each of the three
// products, in whole vectors of channels and without; more shards than one launch takes (32).
constexpr Conv2dShape kCases[] = {
    {.n = 1, .h = 1, .w = 1, .c = 1, .k = 1},
    {.n = 2, .h = 9, .w = 11, .c = 5, .k = 7, .r = 3, .s = 3, .stride = 1, .padding = 1},
    {.n = 2, .h = 9, .w = 8, .c = 16, .k = 16, .r = 3, .s = 3, .stride = 2, .padding = 1},
    {.n = 1, .h = 23, .w = 21, .c = 3, .k = 10, .r = 7, .s = 7, .stride = 2, .padding = 3},
    {.n = 3, .h = 6, .w = 7, .c = 9, .k = 33, .r = 1, .s = 1},
    {.n = 3, .h = 7, .w = 6, .c = 16, .k = 40, .r = 1, .s = 1, .stride = 2},
    {.n = 19, .h = 4, .w = 4, .c = 8, .k = 10, .r = 3, .s = 3, .stride = 1, .padding = 1},
    {.n = 17, .h = 2, .w = 2, .c = 48, .k = 24, .r = 3, .s = 3, .stride = 2, .padding = 1},
    {.n = 1, .h = 6, .w = 5, .c = 68, .k = 132, .r = 1, .s = 2, .stride = 1, .padding = 1},
    {.n = 1, .h = 3, .w = 4, .c = 66, .k = 131, .r = 2, .s = 1, .stride = 1, .padding = 0},
    {.n = 9, .h = 8, .w = 9, .c = 4, .k = 8, .r = 3, .s = 3, .stride = 2, .padding = 1},
    {.n = 2, .h = 8, .w = 9, .c = 4, .k = 6, .r = 3, .s = 3, .stride = 1, .padding = 0},
    {.n = 1, .h = 5, .w = 6, .c = 3, .k = 4, .r = 3, .s = 3, .stride = 1, .padding = 4},
    {.n = 1, .h = 11, .w = 10, .c = 3, .k = 4, .r = 2, .s = 5, .stride = 3, .padding = 2},
    {.n = 2, .h = 10, .w = 13, .c = 2, .k = 3, .r = 2, .s = 1, .stride = 4, .padding = 1},
    {.n = 260, .h = 1, .w = 1, .c = 2, .k = 3, .r = 1, .s = 1, .stride = 2},
    {.n = 0, .h = 4, .w = 4, .c = 3, .k = 2, .r = 3, .s = 3, .stride = 1, .padding = 1},
    {.n = 2, .h = 4, .w = 4, .c = 0, .k = 2, .r = 3, .s = 3, .stride = 1, .padding = 1},
    {.n = 2, .h = 4, .w = 4, .c = 3, .k = 0, .r = 3, .s = 3, .stride = 1, .padding = 1},
};

constexpr Conv2dShape kLargeCase{
    .n = 1, .h = 14, .w = 14, .c = 64, .k = 70, .r = 3, .s = 3, .stride = 1, .padding = 1};

template <typename T>
struct Operands {
  std::vector<T> x;
  std::vector<T> w;
  std::vector<T> dy;
};

template <typename T>
struct Results {
  std::vector<T> y;
  std::vector<T> dx;
  std::vector<T> dw;
};

template <typename Values>
Operands<float> operands_of(const Conv2dShape& d, const Values& values) {
  return {values(x_size(d), 21), values(w_size(d), 22), values(y_size(d), 23)};
}

Operands<double> widened(const Operands<float>& o) {
  return {testing::widened(o.x), testing::widened(o.w), testing::widened(o.dy)};
}

Operands<double> absolute(Operands<double> o) {
  for (auto* values : {&o.x, &o.w, &o.dy}) {
    for (double& value : *values) value = std::abs(value);
  }
  return o;
}

Results<float> results_on(Device device, const Conv2d<float>& table, const Conv2dShape& d,
                          const Operands<float>& o) {
  Buffer<float> x(o.x, device);
  Buffer<float> w(o.w, device);
  Buffer<float> dy(o.dy, device);
  Buffer<float> y(y_size(d), device);
  Buffer<float> dx(x_size(d), device);
  Buffer<float> dw(w_size(d), device);
  table.forward(x.data(), w.data(), y.data(), d, nullptr);
  table.backward_data(dy.data(), w.data(), dx.data(), d, nullptr);
  table.backward_weights(x.data(), dy.data(), dw.data(), d, nullptr);
  return {y.host(), dx.host(), dw.host()};
}

Results<double> reference(const Conv2dShape& d, const Operands<double>& o) {
  Results<double> out{std::vector<double>(static_cast<std::size_t>(y_size(d))),
                      std::vector<double>(o.x.size()), std::vector<double>(o.w.size())};
  conv2d<double>(Device::cpu).forward(o.x.data(), o.w.data(), out.y.data(), d, nullptr);
  conv2d<double>(Device::cpu).backward_data(o.dy.data(), o.w.data(), out.dx.data(), d, nullptr);
  conv2d<double>(Device::cpu).backward_weights(o.x.data(), o.dy.data(), out.dw.data(), d, nullptr);
  return out;
}

std::vector<float> narrowed(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

class Conv2dTest : public testing::ProductTest {
 protected:
  const Conv2d<float>& table() const { return version_of(conv2d<float>(device())); }

  Results<float> results(const Conv2dShape& d, const Operands<float>& o) const {
    return results_on(device(), table(), d, o);
  }

  void expect_exact(const Conv2dShape& d) const {
    const auto o =
        operands_of(d, [](int64_t n, uint64_t seed) { return testing::integer_values(n, seed, 8); });
    const Results<float> got = results(d, o);
    const Results<double> want = reference(d, widened(o));
    testing::expect_same_bits(got.y, narrowed(want.y), "y of " + name_of_case(d));
    testing::expect_same_bits(got.dx, narrowed(want.dx), "dx of " + name_of_case(d));
    testing::expect_same_bits(got.dw, narrowed(want.dw), "dw of " + name_of_case(d));
  }

  void expect_rounding(const Conv2dShape& d) const {
    const auto o = operands_of(d, [](int64_t n, uint64_t seed) { return testing::uniform_values(n, seed); });
    const Results<float> got = results(d, o);
    const Results<double> want = reference(d, widened(o));
    const Results<double> magnitudes = reference(d, absolute(widened(o)));
    expect_bound(got.y, want.y, magnitudes.y, d.r * d.s * d.c, "y of " + name_of_case(d));
    expect_bound(got.dx, want.dx, magnitudes.dx, d.r * d.s * d.k, "dx of " + name_of_case(d));
    const int64_t shards = d.n / kConv2dShardImages + 1;
    const int64_t shard_terms = std::min(d.n, kConv2dShardImages) * d.out_h() * d.out_w();
    expect_bound(got.dw, want.dw, magnitudes.dw, shard_terms + shards, "dw of " + name_of_case(d));
  }

 private:
  void expect_bound(const std::vector<float>& got, const std::vector<double>& want,
                    const std::vector<double>& magnitudes, int64_t terms, const std::string& what) const {
    const double bound = relative_bound(terms, 0);  // conv2d.md
    testing::expect_within(
        got, want, [&](std::size_t i) { return bound * magnitudes[i]; }, what);
  }
};

TEST_P(Conv2dTest, ExactForSmallIntegers) {
  for (const Conv2dShape& d : kCases) expect_exact(d);
}
TEST_P(Conv2dTest, ExactForSmallIntegersInALargeShape) {
  if (skips_large_case()) return;
  expect_exact(kLargeCase);
}

TEST_P(Conv2dTest, WithinTheRoundingOfTheSum) {
  // The longest sums in the SIMT machine: which element goes where is for the test above.
  for (const Conv2dShape& d : kCases) {
    if (device() != Device::simt || d.r * d.s * d.c > 64 || d.n * d.h * d.w > 256) expect_rounding(d);
  }
}
TEST_P(Conv2dTest, WithinTheRoundingOfTheSumInALargeShape) {
  if (skips_large_case()) return;
  expect_rounding(kLargeCase);
}

// A version that computes in another precision than it says would pass the bounds above.
TEST_P(Conv2dTest, RoundsItsInputsAsItsNameSays) {
  if (is_vendor()) GTEST_SKIP() << "the library chooses";
  const Conv2dShape d{.n = 1, .h = 1, .w = 2, .c = 1, .k = 1, .r = 1, .s = 2};
  for (const float value : {1 + 0x1p-12F, 1 + 0x1p-9F}) {
    EXPECT_EQ(results(d, {{value, 0}, {1, 1}, {1}}).y[0], rounded(value));
    EXPECT_EQ(results(d, {{1, 0}, {1, 1}, {value}}).dx[0], rounded(value));
    EXPECT_EQ(results(d, {{value, 0}, {1, 1}, {1}}).dw[0], rounded(value));
  }
}

// So that a batch may be computed in chunks of any size.
TEST_P(Conv2dTest, AnImageHasTheSameBitsHoweverManyImagesThereAre) {
  if (is_vendor()) GTEST_SKIP() << "the library chooses";
  const Conv2dShape all{.n = 3, .h = 7, .w = 6, .c = 8, .k = 12, .r = 3, .s = 3, .stride = 2, .padding = 1};
  const Conv2dShape one{.n = 1, .h = 7, .w = 6, .c = 8, .k = 12, .r = 3, .s = 3, .stride = 2, .padding = 1};
  auto o = operands_of(all, [](int64_t n, uint64_t seed) { return testing::uniform_values(n, seed); });
  Results<float> whole = results(all, o);
  o.x.resize(o.x.size() / 3);
  o.dy.resize(o.dy.size() / 3);
  const Results<float> first = results(one, o);
  whole.y.resize(first.y.size());
  whole.dx.resize(first.dx.size());
  testing::expect_same_bits(whole.y, first.y, "y");
  testing::expect_same_bits(whole.dx, first.dx, "dx");
}

// The contract of backward_weights: shards of 8 images, summed from zero and added in order. A caller that
// adds up the gradients of the shards by itself must find the same bits.
TEST_P(Conv2dTest, WeightGradientsAreTheOrderedSumOfShards) {
  if (is_vendor()) GTEST_SKIP() << "the library chooses";
  const Conv2dShape d{.n = 21, .h = 6, .w = 5, .c = 6, .k = 9, .r = 3, .s = 3, .stride = 1, .padding = 1};
  const auto o = operands_of(d, [](int64_t n, uint64_t seed) { return testing::uniform_values(n, seed); });
  const std::vector<float> whole = results(d, o).dw;
  std::vector<float> sum(whole.size(), 0.0F);
  for (int64_t first = 0; first < d.n; first += kConv2dShardImages) {
    Conv2dShape shard = d;
    shard.n = std::min(kConv2dShardImages, d.n - first);
    Operands<float> part = o;
    part.x.assign(o.x.begin() + first * (x_size(d) / d.n),
                  o.x.begin() + (first + shard.n) * (x_size(d) / d.n));
    part.dy.assign(o.dy.begin() + first * (y_size(d) / d.n),
                   o.dy.begin() + (first + shard.n) * (y_size(d) / d.n));
    const std::vector<float> dw = results(shard, part).dw;
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += dw[i];
  }
  testing::expect_same_bits(whole, sum, "dw");
}

TEST_P(Conv2dTest, SameBitsAlways) {
  const std::vector<Conv2dShape> shapes =
      device() == Device::cpu
          ? std::vector<
                Conv2dShape>{{.n = 10,
                              .h = 15,
                              .w = 14,
                              .c = 16,
                              .k = 40,
                              .r = 3,
                              .s = 3,
                              .stride = 1,
                              .padding = 1},
                             {.n = 3,
                              .h = 30,
                              .w = 31,
                              .c = 3,
                              .k = 16,
                              .r = 7,
                              .s = 7,
                              .stride = 2,
                              .padding = 3},
                             {.n = 9, .h = 16, .w = 16, .c = 16, .k = 32, .r = 1, .s = 1, .stride = 2}}
          : std::vector<Conv2dShape>{
                {.n = 2, .h = 9, .w = 7, .c = 8, .k = 12, .r = 3, .s = 3, .stride = 1, .padding = 1}};
  for (const Conv2dShape& d : shapes) {
    const auto o = operands_of(d, [](int64_t n, uint64_t seed) { return testing::uniform_values(n, seed); });
    SCOPED_TRACE(name_of_case(d));
    expect_same_bits_always([&] {
      const auto results = results_on(device(), table(), d, o);
      std::vector<float> all = results.y;
      all.insert(all.end(), results.dx.begin(), results.dx.end());
      all.insert(all.end(), results.dw.begin(), results.dw.end());
      return all;
    });
  }
}

TEST_P(Conv2dTest, WrongSizesAreErrorsThatNameThem) {
  const auto message = [&](const Conv2dShape& d) -> std::string {
    try {
      table().forward(nullptr, nullptr, nullptr, d, nullptr);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_NE(message({.n = 1, .h = 2, .w = 9, .c = 1, .k = 1, .r = 5, .s = 3, .stride = 1, .padding = 1})
                .find("2x9"),
            std::string::npos);
  EXPECT_NE(message({.n = 1, .h = 8, .w = 8, .c = 1, .k = 1, .r = 3, .s = 3, .stride = 0}).find("stride 0"),
            std::string::npos);
  EXPECT_NE(message({.n = -1, .h = 8, .w = 8, .c = 1, .k = 1}).find("(-1,8,8,1)"), std::string::npos);
}

/// (N,C,H,W) as stored in the golden files to (N,H,W,C).
std::vector<double> channels_last(const Tensor& t) {
  const int64_t n = t.dim(0);
  const int64_t c = t.dim(1);
  const int64_t pixels = t.dim(2) * t.dim(3);
  std::vector<double> out(static_cast<std::size_t>(t.numel()));
  for (int64_t i = 0; i < t.numel(); ++i) {
    const double value =
        t.dtype() == DType::f64 ? t.data<double>()[i] : static_cast<double>(t.data<float>()[i]);
    out[static_cast<std::size_t>((i / (c * pixels) * pixels + i % pixels) * c + i / pixels % c)] = value;
  }
  EXPECT_GE(n, 1);
  return out;
}

void expect_close(const std::vector<double>& got, const std::vector<double>& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double largest = 0;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::abs(got[i] - want[i]) <= 1e-9 * largest)
        << what << "[" << i << "]: " << got[i] << ", want " << want[i];
  }
}

TEST(Conv2dReferenceTest, AgreesWithPyTorchsConvolutions) {
  const NpzFile golden(testing::golden_path("layers.npz"));
  for (const std::string name : {"c7s2", "c3s1", "c3s2", "c1s1", "c1s2", "c5d"}) {
    const Tensor x = golden[name + "_x"];
    const Tensor w = golden[name + "_w"];
    const Tensor stride_padding = golden[name + "_stride_pad"];
    const Conv2dShape d{.n = x.dim(0),
                        .h = x.dim(2),
                        .w = x.dim(3),
                        .c = x.dim(1),
                        .k = w.dim(0),
                        .r = w.dim(2),
                        .s = w.dim(3),
                        .stride = stride_padding.data<int64_t>()[0],
                        .padding = stride_padding.data<int64_t>()[1]};
    Results<double> got =
        reference(d, {channels_last(x), channels_last(w), channels_last(golden[name + "_dy"])});
    const Tensor bias = golden[name + "_b"];
    for (std::size_t i = 0; i < got.y.size(); ++i)
      got.y[i] += static_cast<double>(bias.data<float>()[static_cast<int64_t>(i) % d.k]);
    expect_close(got.y, channels_last(golden[name + "_y"]), name + " y");
    expect_close(got.dx, channels_last(golden[name + "_dx"]), name + " dx");
    expect_close(got.dw, channels_last(golden[name + "_dw"]), name + " dw");
  }
}

MT_ON_EVERY_DEVICE(Conv2dTest, Conv2d<float>);

}  // namespace
}  // namespace mt
