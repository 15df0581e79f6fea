#include "kernels/compact/compact_problems.h"
#include "tests/harness/problem_test.h"

namespace mt {
namespace {

using testing::Buffer;

MT_PROBLEM_TESTS(Compact, compact, compact_problems());

TEST_P(CompactProblems, TriplesOntoThemselves) {
  const int64_t n = device() == Device::cpu ? 70000 : 2100;
  const auto scores = problem_values(n, 3, 0, 1);
  for (const double value : {0.8, 2.0}) {  // a fifth pass, and none
    std::vector<float> kept_scores;
    std::vector<int32_t> slides, kept_slides;
    std::vector<int64_t> patches, kept_patches;
    for (int64_t i = 0; i < n; ++i) {
      slides.push_back(static_cast<int32_t>(i / 1000));
      patches.push_back(i % 1000 + (int64_t{1} << 40));
      const float score = scores[static_cast<std::size_t>(i)];
      if (static_cast<double>(score) < value) continue;
      kept_scores.push_back(score);
      kept_slides.push_back(slides.back());
      kept_patches.push_back(patches.back());
    }
    Buffer<float> score_buffer(scores, device());
    Buffer<int32_t> slide_buffer(slides, device());
    Buffer<int64_t> patch_buffer(patches, device());
    const int64_t count = op().triples(slide_buffer.data(), patch_buffer.data(), score_buffer.data(), nullptr,
                                       n, Threshold::at_least, value, slide_buffer.data(),
                                       patch_buffer.data(), score_buffer.data(), nullptr);
    const auto first = [&](auto values) {
      values.resize(static_cast<std::size_t>(count));
      return values;
    };
    EXPECT_EQ(first(score_buffer.host()), kept_scores);
    EXPECT_EQ(first(slide_buffer.host()), kept_slides);
    EXPECT_EQ(first(patch_buffer.host()), kept_patches);
  }
}

}  // namespace
}  // namespace mt
