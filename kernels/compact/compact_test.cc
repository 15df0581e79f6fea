#include "kernels/compact/compact.h"

#include "tests/harness/error_of.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

template <typename T>
std::vector<int64_t> kept(const std::vector<T>& scores, const std::vector<uint8_t>& mask, Threshold kind,
                          double value, Device device = Device::cpu) {
  Buffer<T> in(scores, device);
  Buffer<uint8_t> mask_in(mask, device);
  Buffer<int64_t> rows(static_cast<int64_t>(scores.size()), device);
  const int64_t count =
      compact<T>(device).indices(in.data(), mask.empty() ? nullptr : mask_in.data(),
                                 static_cast<int64_t>(scores.size()), kind, value, rows.data(), nullptr);
  auto all = rows.host();
  all.resize(static_cast<std::size_t>(count));
  return all;
}

class CompactTest : public testing::KernelTest {
 protected:
  void expect_agreement(const std::vector<float>& scores, const std::vector<uint8_t>& mask, double value) {
    for (const Threshold kind : {Threshold::at_least, Threshold::above}) {
      EXPECT_EQ(kept(scores, mask, kind, value, device()), kept(testing::widened(scores), mask, kind, value))
          << scores.size() << " scores, threshold " << value;
    }
  }
};

TEST_P(CompactTest, AgreesWithReference) {
  for (const int64_t n : {0, 1, 17, 65535, 65536, 65537, 200000}) {
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
  EXPECT_EQ(kept<float>({1, 2, 1, 2, 2}, {}, Threshold::at_least, 2, device()),
            (std::vector<int64_t>{1, 3, 4}));
  EXPECT_EQ(kept<float>({1, 2, 1, 2, 2}, {}, Threshold::above, 2, device()), (std::vector<int64_t>{}));
}

TEST_P(CompactTest, NanIsAnErrorThatNamesTheFirstRow) {
  std::vector<float> scores(100000, 1);
  scores[90000] = scores[70000] = NAN;
  EXPECT_EQ(error_of([&] { kept(scores, {}, Threshold::above, 0.5, device()); }),
            "compact: the score of row 70000 is NaN");
  std::vector<uint8_t> mask(scores.size(), 1);
  mask[90000] = mask[70000] = 0;
  EXPECT_EQ(kept(scores, mask, Threshold::above, 0.5, device()).size(), 99998U);
}

TEST_P(CompactTest, TriplesInPlace) {
  const auto scores = testing::uniform_values(70000, 3, 0, 1);
  std::vector<int32_t> slides(scores.size());
  std::vector<int64_t> patches(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    slides[i] = static_cast<int32_t>(i / 1000);
    patches[i] = static_cast<int64_t>(i % 1000) + (int64_t{1} << 40);
  }
  Buffer<float> score_buffer(scores, device());
  Buffer<int32_t> slide_buffer(slides, device());
  Buffer<int64_t> patch_buffer(patches, device());
  const int64_t count = compact<float>(device()).triples(
      slide_buffer.data(), patch_buffer.data(), score_buffer.data(), nullptr, 70000, Threshold::at_least, 0.8,
      slide_buffer.data(), patch_buffer.data(), score_buffer.data(), nullptr);
  const auto rows = kept(testing::widened(scores), {}, Threshold::at_least, 0.8);
  ASSERT_EQ(count, static_cast<int64_t>(rows.size()));
  const auto got_scores = score_buffer.host();
  const auto got_slides = slide_buffer.host();
  const auto got_patches = patch_buffer.host();
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const auto row = static_cast<std::size_t>(rows[k]);
    ASSERT_EQ(got_scores[k], scores[row]);
    ASSERT_EQ(got_slides[k], slides[row]);
    ASSERT_EQ(got_patches[k], patches[row]);
  }
}

TEST_P(CompactTest, SameRowsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const auto scores = testing::uniform_values(400000, 6);
  testing::expect_same_bits_for_any_threads([&] {
    const auto rows = kept(scores, {}, Threshold::above, 0.1);
    return std::vector<float>(rows.begin(), rows.end());
  });
}

MT_ON_EVERY_DEVICE(CompactTest, Compact<float>);

}  // namespace
}  // namespace mt
