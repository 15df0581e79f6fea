#include "kernels/select/select.h"

#include "tests/harness/error_of.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

const std::vector<double> kLevels{0, 0.1, 0.2, 0.25, 0.5, 0.8, 0.9, 1};

template <typename T>
std::vector<double> quantiles(const std::vector<T>& scores, const std::vector<uint8_t>& mask,
                              const std::vector<double>& levels, Device device = Device::cpu) {
  Buffer<T> in(scores, device);
  Buffer<uint8_t> mask_in(mask, device);
  std::vector<double> values(levels.size());
  select<T>(device).quantiles(in.data(), mask.empty() ? nullptr : mask_in.data(),
                              static_cast<int64_t>(scores.size()), levels.data(), values.data(),
                              static_cast<int64_t>(levels.size()), nullptr);
  return values;
}

template <typename T>
struct Top {
  int64_t found;
  std::vector<int64_t> indices;
  std::vector<T> values;
};

template <typename T>
Top<T> top_k(const std::vector<T>& scores, const std::vector<uint8_t>& mask, int64_t k,
             Device device = Device::cpu) {
  Buffer<T> in(scores, device), values(k, device);
  Buffer<uint8_t> mask_in(mask, device);
  Buffer<int64_t> indices(k, device);
  const int64_t found =
      select<T>(device).top_k(in.data(), mask.empty() ? nullptr : mask_in.data(),
                              static_cast<int64_t>(scores.size()), k, indices.data(), values.data(), nullptr);
  Top<T> top{found, indices.host(), values.host()};
  top.indices.resize(static_cast<std::size_t>(found));
  top.values.resize(static_cast<std::size_t>(found));
  return top;
}

class SelectTest : public testing::KernelTest {
 protected:
  void expect_agreement(const std::vector<float>& scores, const std::vector<uint8_t>& mask,
                        const std::string& what) {
    const auto wide = testing::widened(scores);
    const auto want = quantiles(wide, mask, kLevels);
    const auto got = quantiles(scores, mask, kLevels, device());
    for (std::size_t l = 0; l < kLevels.size(); ++l) {
      // The order statistics are exact; the interpolation rounds in double.
      EXPECT_TRUE(got[l] == want[l] || std::abs(got[l] - want[l]) <= 4 * 0x1p-53 * std::abs(want[l]))
          << what << ", level " << kLevels[l] << ": got " << got[l] << ", want " << want[l];
    }
    const auto n = static_cast<int64_t>(scores.size());
    for (const int64_t k : {int64_t{0}, int64_t{1}, int64_t{10}, n / 2, n, n + 5}) {
      const auto want_top = top_k(wide, mask, k);
      const auto got_top = top_k(scores, mask, k, device());
      EXPECT_EQ(got_top.found, want_top.found) << what << ", k " << k;
      EXPECT_EQ(got_top.indices, want_top.indices) << what << ", k " << k;
      EXPECT_EQ(testing::widened(got_top.values), want_top.values) << what << ", k " << k;
    }
  }
};

std::vector<uint8_t> random_mask(std::size_t n, uint64_t seed) {
  RandomStream random(seed, Purpose::test, 3);
  std::vector<uint8_t> mask(n);
  for (uint8_t& value : mask) value = random.chance(0.4F) ? 2 : 0;
  mask.front() = 1;
  return mask;
}

TEST_P(SelectTest, AgreesWithSorting) {
  for (const int64_t n : {1, 2, 3, 10, 37, 1000, 200000}) {
    const auto scores = testing::uniform_values(n, static_cast<uint64_t>(n), -3, 3);
    expect_agreement(scores, {}, fmt::format("{} scores", n));
    expect_agreement(scores, random_mask(scores.size(), 1), fmt::format("{} scores, masked", n));
  }
}

TEST_P(SelectTest, TiesPreferTheSmallerIndex) {
  expect_agreement(testing::integer_values(5000, 4, 3), {}, "seven values");
  expect_agreement(std::vector<float>(100, 0.5F), {}, "one value");
  const auto got = top_k<float>({1, 3, 3, 2, 3}, {}, 2, device());
  EXPECT_EQ(got.indices, (std::vector<int64_t>{1, 2}));
}

TEST_P(SelectTest, NegativeZeroEqualsZero) {
  const auto got = top_k<float>({-0.0F, 0.0F, -0.0F, -1}, {}, 3, device());
  EXPECT_EQ(got.indices, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_TRUE(std::signbit(got.values[0]));  // values are the scores as they are
}

TEST_P(SelectTest, AllKindsOfFloatsAreOrdered) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float huge = std::numeric_limits<float>::max();
  const std::vector<float> scores{
      0, tiny, -tiny, huge, -huge, HUGE_VALF, -HUGE_VALF, 1, -1, 1e-30F, std::nextafter(1.0F, 2.0F)};
  expect_agreement(scores, {}, "kinds");
}

TEST_P(SelectTest, NanIsAnErrorThatNamesTheFirstRow) {
  std::vector<float> scores(150000, 0.5F);
  scores[140000] = scores[70001] = NAN;
  EXPECT_EQ(error_of([&] { quantiles(scores, {}, {0.5}, device()); }),
            "select: the score of row 70001 is NaN");
  EXPECT_EQ(error_of([&] { top_k(scores, {}, 3, device()); }), "select: the score of row 70001 is NaN");
  std::vector<uint8_t> mask(scores.size(), 1);
  mask[70001] = mask[140000] = 0;
  EXPECT_EQ(quantiles(scores, mask, {0.5}, device()).front(), 0.5);
}

TEST_P(SelectTest, NothingToSelectFromIsAnError) {
  EXPECT_EQ(error_of([&] { quantiles<float>({}, {}, {0.5}, device()); }),
            "select: the quantile of no scores");
  EXPECT_EQ(error_of([&] {
              quantiles<float>({1, 2}, {0, 0}, {0.5}, device());
            }),
            "select: the quantile of no scores");
  EXPECT_EQ(error_of([&] {
              quantiles<float>({1, 2}, {}, {1.5}, device());
            }),
            "select: quantile level 1.5 lies outside of [0, 1]");
  EXPECT_EQ(top_k<float>({}, {}, 3, device()).found, 0);
}

TEST_P(SelectTest, SameResultForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const auto scores = testing::uniform_values(300000, 6);
  testing::expect_same_bits_for_any_threads([&] {
    const auto top = top_k(scores, {}, 1000);
    std::vector<float> all(top.indices.begin(), top.indices.end());
    for (const double value : quantiles(scores, {}, kLevels)) all.push_back(static_cast<float>(value));
    return all;
  });
}

MT_ON_EVERY_DEVICE(SelectTest, Select<float>);

TEST(SelectGoldenTest, QuantilesAndTopTen) {
  for (const std::string name : {"cont200", "ties200", "ties37", "ties5000", "cont20", "const30"}) {
    const auto scores = testing::golden_values<double>("metrics.npz", name + "_s");
    testing::expect_close(quantiles(scores, {}, kLevels),
                          testing::golden_values<double>("metrics.npz", name + "_quantiles"), name);
    EXPECT_EQ(top_k(scores, {}, 10).values,
              testing::golden_values<double>("metrics.npz", name + "_top10_values"))
        << name;
  }
}

}  // namespace
}  // namespace mt
