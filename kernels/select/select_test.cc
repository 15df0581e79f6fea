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
std::vector<double> quantiles(const Select<T>& op, const std::vector<T>& scores,
                              const std::vector<uint8_t>& mask, const std::vector<double>& levels,
                              Device device = Device::cpu) {
  Buffer<T> in(scores, device);
  Buffer<uint8_t> mask_in(mask, device);
  std::vector<double> values(levels.size());
  op.quantiles(in.data(), mask.empty() ? nullptr : mask_in.data(), static_cast<int64_t>(scores.size()),
               levels.data(), values.data(), static_cast<int64_t>(levels.size()), nullptr);
  return values;
}

template <typename T>
struct Top {
  int64_t found;
  std::vector<int64_t> indices;
  std::vector<T> values;
};

template <typename T>
Top<T> top_k(const Select<T>& op, const std::vector<T>& scores, const std::vector<uint8_t>& mask, int64_t k,
             Device device = Device::cpu) {
  Buffer<T> in(scores, device), values(k, device);
  Buffer<uint8_t> mask_in(mask, device);
  Buffer<int64_t> indices(k, device);
  const int64_t found =
      op.top_k(in.data(), mask.empty() ? nullptr : mask_in.data(), static_cast<int64_t>(scores.size()), k,
               indices.data(), values.data(), nullptr);
  Top<T> top{found, indices.host(), values.host()};
  top.indices.resize(static_cast<std::size_t>(found));
  top.values.resize(static_cast<std::size_t>(found));
  return top;
}

class SelectTest : public testing::KernelTest {
 protected:
  const Select<float>& op() const { return version_of(select<float>(device())); }
  std::vector<double> quantiles_here(const std::vector<float>& scores, const std::vector<uint8_t>& mask,
                                     const std::vector<double>& levels) const {
    return quantiles(op(), scores, mask, levels, device());
  }
  Top<float> top_here(const std::vector<float>& scores, const std::vector<uint8_t>& mask, int64_t k) const {
    return top_k(op(), scores, mask, k, device());
  }
  void expect_agreement(const std::vector<float>& scores, const std::vector<uint8_t>& mask,
                        const std::string& what) {
    const auto wide = testing::widened(scores);
    const auto& reference = select<double>(Device::cpu);
    const bool is_simt = device() == Device::simt;
    const std::vector<double> levels = is_simt ? std::vector<double>{0.1, 0.5, 1} : kLevels;
    const auto want = quantiles(reference, wide, mask, levels);
    const auto got = quantiles_here(scores, mask, levels);
    for (std::size_t l = 0; l < levels.size(); ++l) {
      // The order statistics are exact; the interpolation rounds in double.
      EXPECT_TRUE(got[l] == want[l] || std::abs(got[l] - want[l]) <= 4 * 0x1p-53 * std::abs(want[l]))
          << what << ", level " << levels[l] << ": got " << got[l] << ", want " << want[l];
    }
    const auto n = static_cast<int64_t>(scores.size());
    const auto top_sizes =
        is_simt ? std::vector<int64_t>{10, n / 2, n + 5} : std::vector<int64_t>{0, 1, 10, n / 2, n, n + 5};
    for (const int64_t k : top_sizes) {
      const auto want_top = top_k(reference, wide, mask, k);
      const auto got_top = top_here(scores, mask, k);
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
  for (const int64_t n : {1, 2, 3, 37, 500}) {
    const auto scores = testing::uniform_values(n, static_cast<uint64_t>(n), -3, 3);
    expect_agreement(scores, {}, fmt::format("{} scores", n));
    expect_agreement(scores, random_mask(scores.size(), 1), fmt::format("{} scores, masked", n));
  }
}

TEST_P(SelectTest, AgreesWithSortingOfManyScores) {
  if (skips_large_case()) return;
  const auto scores = testing::uniform_values(200000, 200000, -3, 3);
  expect_agreement(scores, {}, "200,000 scores");
  expect_agreement(scores, random_mask(scores.size(), 1), "200,000 scores, masked");
}

TEST_P(SelectTest, TopOfAnySize) {
  // The GPU sorts 2,048 in a block, and merges such blocks beyond; the scores fill several blocks of a
  // search.
  const auto scores = testing::integer_values(4503, 3, 2000);
  const auto wide = testing::widened(scores);
  for (const int64_t k : {2048, 4500}) {
    const auto want = top_k(select<double>(Device::cpu), wide, {}, k);
    const auto got = top_here(scores, {}, k);
    EXPECT_EQ(got.indices, want.indices) << "k " << k;
    EXPECT_EQ(testing::widened(got.values), want.values) << "k " << k;
  }
}

// The cpu brackets a rank by a sample. A sample that misleads costs it another read, and must cost no more.
TEST_P(SelectTest, ScoresThatMisleadASample) {
  if (skips_large_case()) return;
  const std::size_t n = 60000;
  std::vector<float> ascending(n), few_large(n, 0), two_values(n), steps(n), infinite(n);
  for (std::size_t i = 0; i < n; ++i) {
    ascending[i] = static_cast<float>(i);
    two_values[i] = i < n / 2 ? 1.0F : 2.0F;
    steps[i] = static_cast<float>(i / 10000);
    infinite[i] = i % 3 == 0 ? -HUGE_VALF : i % 3 == 1 ? HUGE_VALF : static_cast<float>(i);
    if (i >= n - 20) few_large[i] = static_cast<float>(i);  // that few are in no sample
  }
  std::vector<uint8_t> nearly_all_out(n, 0);
  for (std::size_t i = 0; i < n; i += 701) nearly_all_out[i] = 1;
  expect_agreement(ascending, {}, "ascending");
  expect_agreement(few_large, {}, "twenty large ones");
  expect_agreement(two_values, {}, "two values");
  expect_agreement(steps, {}, "steps");
  expect_agreement(infinite, {}, "two thirds infinite");
  expect_agreement(std::vector<float>(n, -1), {}, "one value");
  expect_agreement(ascending, nearly_all_out, "86 rows of 60,000");
  expect_agreement(infinite, random_mask(n, 4), "two thirds infinite, masked");
}

// The search keeps the scores that share a rank's first 11 bits (a quarter of a power of two), unless they
// are more than half, or more than a block has room for; 5,000 scores are two blocks' of alternating 1,024.
TEST_P(SelectTest, ScoresThatShareTheirFirstBits) {
  const auto close = testing::uniform_values(5000, 21, 1.0F, 1.0001F);  // these share 22: one lost is seen
  const auto apart = testing::uniform_values(5000, 22, 4, 1000);
  const auto mask = random_mask(5000, 23);
  const auto expect = [&](const std::vector<float>& scores, const std::string& what) {
    const std::vector<double> levels{0.05, 0.3};
    const auto wide = testing::widened(scores);
    for (const auto& used : {std::vector<uint8_t>{}, mask}) {
      const auto want = quantiles(select<double>(Device::cpu), wide, used, levels);
      const auto got = quantiles_here(scores, used, levels);
      for (std::size_t l = 0; l < levels.size(); ++l) {
        EXPECT_LE(std::abs(got[l] - want[l]), 4 * 0x1p-53 * want[l]) << what << ", level " << levels[l];
      }
    }
  };
  std::vector<float> some = apart, most = close, of_one_block = apart;
  for (std::size_t i = 0; i < 5000; ++i) {
    if (i % 3 == 0) some[i] = close[i];
    if (i % 10 == 0) most[i] = apart[i];
    if (i < 4096 && i / 1024 % 2 == 0) of_one_block[i] = close[i];
  }
  expect(some, "a third close");
  expect(most, "nine tenths close");
  expect(of_one_block, "close ones in one block's share");
}

TEST_P(SelectTest, ScoresAndMaskOfAnyAlignment) {
  const auto scores = testing::uniform_values(1030, 5);
  const auto mask = random_mask(scores.size(), 2);
  Buffer<float> in(scores, device());
  Buffer<uint8_t> mask_in(mask, device());
  for (const auto& [of_scores, of_mask] : {std::pair{1, 0}, {0, 1}, {3, 2}, {4, 4}}) {
    const int64_t n = 1021;
    const std::vector<double> levels{0.3, 0.9};
    std::vector<double> got(2);
    op().quantiles(in.data() + of_scores, mask_in.data() + of_mask, n, levels.data(), got.data(), 2, nullptr);
    EXPECT_EQ(got, quantiles(select<float>(Device::cpu),
                             {scores.begin() + of_scores, scores.begin() + of_scores + n},
                             {mask.begin() + of_mask, mask.begin() + of_mask + n}, levels));
  }
}

TEST_P(SelectTest, TiesPreferTheSmallerIndex) {
  expect_agreement(testing::integer_values(700, 4, 3), {}, "seven values");
  expect_agreement(std::vector<float>(100, 0.5F), {}, "one value");
  const auto got = top_here({1, 3, 3, 2, 3}, {}, 2);
  EXPECT_EQ(got.indices, (std::vector<int64_t>{1, 2}));
}

TEST_P(SelectTest, NegativeZeroEqualsZero) {
  const auto got = top_here({-0.0F, 0.0F, -0.0F, -1}, {}, 3);
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
  const std::size_t n = device() == Device::simt ? 5000 : 150000;
  const std::size_t first = n / 2;
  std::vector<float> scores(n, 0.5F);
  scores[n - 9] = scores[first] = NAN;
  const std::string error = fmt::format("select: the score of row {} is NaN", first);
  EXPECT_EQ(error_of([&] { quantiles_here(scores, {}, {0.5}); }), error);
  EXPECT_EQ(error_of([&] { top_here(scores, {}, 3); }), error);
  std::vector<uint8_t> mask(n, 1);
  mask[n - 9] = mask[first] = 0;
  EXPECT_EQ(quantiles_here(scores, mask, {0.5}).front(), 0.5);
}

TEST_P(SelectTest, NothingToSelectFromIsAnError) {
  EXPECT_EQ(error_of([&] { quantiles_here({}, {}, {0.5}); }), "select: the quantile of no scores");
  EXPECT_EQ(error_of([&] { quantiles_here({1, 2}, {0, 0}, {0.5}); }), "select: the quantile of no scores");
  EXPECT_EQ(error_of([&] {
              quantiles_here({1, 2}, {}, {1.5});
            }),
            "select: quantile level 1.5 lies outside of [0, 1]");
  EXPECT_EQ(top_here({}, {}, 3).found, 0);
}

TEST_P(SelectTest, SameResultForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const auto scores = testing::uniform_values(300000, 6);
  const auto& op = select<float>(Device::cpu);
  testing::expect_same_bits_for_any_threads([&] {
    const auto top = top_k(op, scores, {}, 1000);
    std::vector<float> all(top.indices.begin(), top.indices.end());
    for (const double value : quantiles(op, scores, {}, kLevels)) all.push_back(static_cast<float>(value));
    return all;
  });
}

MT_ON_EVERY_DEVICE(SelectTest, Select<float>);

TEST(SelectGoldenTest, QuantilesAndTopTen) {
  const auto& op = select<double>(Device::cpu);
  for (const std::string name : {"cont200", "ties200", "ties37", "ties5000", "cont20", "const30"}) {
    const auto scores = testing::golden_values<double>("metrics.npz", name + "_s");
    testing::expect_close(quantiles(op, scores, {}, kLevels),
                          testing::golden_values<double>("metrics.npz", name + "_quantiles"), name);
    EXPECT_EQ(top_k(op, scores, {}, 10).values,
              testing::golden_values<double>("metrics.npz", name + "_top10_values"))
        << name;
  }
}

}  // namespace
}  // namespace mt
