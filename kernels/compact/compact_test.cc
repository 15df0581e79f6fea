#include "kernels/compact/compact.h"

#include "tests/harness/error_of.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

template <typename T>
std::vector<int64_t> kept(const Compact<T>& op, const std::vector<T>& scores,
                          const std::vector<uint8_t>& mask, Threshold kind, double value,
                          Device device = Device::cpu) {
  Buffer<T> in(scores, device);
  Buffer<uint8_t> mask_in(mask, device);
  Buffer<int64_t> rows(static_cast<int64_t>(scores.size()), device);
  const int64_t count = op.indices(in.data(), mask.empty() ? nullptr : mask_in.data(),
                                   static_cast<int64_t>(scores.size()), kind, value, rows.data(), nullptr);
  auto all = rows.host();
  all.resize(static_cast<std::size_t>(count));
  return all;
}

std::vector<int64_t> kept_in_double(const std::vector<float>& scores, const std::vector<uint8_t>& mask,
                                    Threshold kind, double value) {
  return kept(compact<double>(Device::cpu), testing::widened(scores), mask, kind, value);
}

class CompactTest : public testing::KernelTest {
 protected:
  const Compact<float>& op() const { return version_of(compact<float>(device())); }
  std::vector<int64_t> kept_here(const std::vector<float>& scores, const std::vector<uint8_t>& mask,
                                 Threshold kind, double value) const {
    return kept(op(), scores, mask, kind, value, device());
  }
  /// Rows enough for several of the CPU's chunks, or of the GPU's blocks.
  int64_t many_rows() const { return device() == Device::simt ? 2500 : 200000; }

  void expect_agreement(const std::vector<float>& scores, const std::vector<uint8_t>& mask, double value) {
    for (const Threshold kind : {Threshold::at_least, Threshold::above}) {
      EXPECT_EQ(kept_here(scores, mask, kind, value), kept_in_double(scores, mask, kind, value))
          << scores.size() << " scores, threshold " << value;
    }
  }
};

TEST_P(CompactTest, AgreesWithReference) {
  std::vector<int64_t> sizes{0, 1, 17, 1023, 1024, 1025, many_rows()};
  if (device() == Device::cpu) sizes.insert(sizes.end(), {65535, 65536, 65537});
  for (const int64_t n : sizes) {
    const auto scores = testing::uniform_values(n, static_cast<uint64_t>(n), 0, 1);
    std::vector<uint8_t> mask(scores.size());
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 3 == 0 ? 0 : 255;
    expect_agreement(scores, {}, 0.3);
    expect_agreement(scores, mask, 0.9);
  }
}

TEST_P(CompactTest, ThresholdIsComparedExactly) {
  const float third = 1.0F / 3;
  const std::vector<float> scores{std::nextafter(third, 0.0F), third, std::nextafter(third, 1.0F), -0.0F,
                                  0.0F};
  const double below =
      std::nextafter(static_cast<double>(third), 0.0);  // no float: between the first and the second
  const double above = std::nextafter(static_cast<double>(third), 1.0);
  for (const double value : {static_cast<double>(third), below, above, 0.0, -0.0})
    expect_agreement(scores, {}, value);
  const float huge = std::numeric_limits<float>::max();
  for (const double value : {1e300, -1e300, static_cast<double>(huge), HUGE_VAL, -HUGE_VAL}) {
    expect_agreement({huge, -huge, HUGE_VALF, -HUGE_VALF, 0}, {}, value);
  }
}

TEST_P(CompactTest, TiesKeepTheirOrder) {
  EXPECT_EQ(kept_here({1, 2, 1, 2, 2}, {}, Threshold::at_least, 2), (std::vector<int64_t>{1, 3, 4}));
  EXPECT_EQ(kept_here({1, 2, 1, 2, 2}, {}, Threshold::above, 2), (std::vector<int64_t>{}));
}

TEST_P(CompactTest, NanIsAnErrorThatNamesTheFirstRow) {
  const auto n = static_cast<std::size_t>(many_rows());
  const std::size_t first = n * 7 / 10;
  std::vector<float> scores(n, 1);
  scores[n - 10] = scores[first] = NAN;
  EXPECT_EQ(error_of([&] { kept_here(scores, {}, Threshold::above, 0.5); }),
            fmt::format("compact: the score of row {} is NaN", first));
  std::vector<uint8_t> mask(n, 1);
  mask[n - 10] = mask[first] = 0;
  EXPECT_EQ(kept_here(scores, mask, Threshold::above, 0.5).size(), n - 2);
}

TEST_P(CompactTest, ScoresAndMaskOfAnyAlignment) {
  const auto scores = testing::uniform_values(2050, 5, 0, 1);
  std::vector<uint8_t> mask(scores.size());
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 5 == 0 ? 0 : 1;
  Buffer<float> score_buffer(scores, device());
  Buffer<uint8_t> mask_buffer(mask, device());
  Buffer<int64_t> rows(2050, device());
  for (const auto& [of_scores, of_mask] : {std::pair{1, 0}, {0, 1}, {3, 2}, {4, 4}}) {
    const int64_t n = 2040;
    const int64_t count = op().indices(score_buffer.data() + of_scores, mask_buffer.data() + of_mask, n,
                                       Threshold::at_least, 0.5, rows.data(), nullptr);
    auto got = rows.host();
    got.resize(static_cast<std::size_t>(count));
    EXPECT_EQ(got,
              kept_in_double({scores.begin() + of_scores, scores.begin() + of_scores + n},
                             {mask.begin() + of_mask, mask.begin() + of_mask + n}, Threshold::at_least, 0.5));
  }
}

TEST_P(CompactTest, TriplesIntoOthersAndInPlace) {
  const int64_t n = device() == Device::simt ? 2100 : 70000;
  const auto scores = testing::uniform_values(n, 3, 0, 1);
  std::vector<int32_t> slides(scores.size());
  std::vector<int64_t> patches(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    slides[i] = static_cast<int32_t>(i / 1000);
    patches[i] = static_cast<int64_t>(i % 1000) + (int64_t{1} << 40);
  }
  const auto rows = kept_in_double(scores, {}, Threshold::at_least, 0.8);
  Buffer<float> score_buffer(scores, device()), other_scores(n, device());
  Buffer<int32_t> slide_buffer(slides, device()), other_slides(n, device());
  Buffer<int64_t> patch_buffer(patches, device()), other_patches(n, device());
  const auto expect_kept = [&](Buffer<int32_t>& kept_slides, Buffer<int64_t>& kept_patches,
                               Buffer<float>& kept_scores) {
    const int64_t count = op().triples(slide_buffer.data(), patch_buffer.data(), score_buffer.data(), nullptr,
                                       n, Threshold::at_least, 0.8, kept_slides.data(), kept_patches.data(),
                                       kept_scores.data(), nullptr);
    ASSERT_EQ(count, static_cast<int64_t>(rows.size()));
    const auto got_scores = kept_scores.host();
    const auto got_slides = kept_slides.host();
    const auto got_patches = kept_patches.host();
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const auto row = static_cast<std::size_t>(rows[k]);
      ASSERT_EQ(got_scores[k], scores[row]);
      ASSERT_EQ(got_slides[k], slides[row]);
      ASSERT_EQ(got_patches[k], patches[row]);
    }
  };
  expect_kept(other_slides, other_patches, other_scores);
  expect_kept(slide_buffer, patch_buffer, score_buffer);
}

TEST_P(CompactTest, NothingPassesInPlace) {
  Buffer<float> scores(std::vector<float>{1, 2}, device());
  Buffer<int32_t> slides(std::vector<int32_t>{1, 2}, device());
  Buffer<int64_t> patches(std::vector<int64_t>{1, 2}, device());
  EXPECT_EQ(op().triples(slides.data(), patches.data(), scores.data(), nullptr, 2, Threshold::above, 2,
                         slides.data(), patches.data(), scores.data(), nullptr),
            0);
  EXPECT_EQ(slides.host(), (std::vector<int32_t>{1, 2}));
}

TEST_P(CompactTest, SameRowsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const auto scores = testing::uniform_values(400000, 6);
  testing::expect_same_bits_for_any_threads([&] {
    const auto rows = kept(compact<float>(Device::cpu), scores, {}, Threshold::above, 0.1);
    return std::vector<float>(rows.begin(), rows.end());
  });
}

MT_ON_EVERY_DEVICE(CompactTest, Compact<float>);

}  // namespace
}  // namespace mt
