#include "kernels/_skeleton/skeleton_problems.h"
#include "tests/harness/problem_test.h"

namespace mt {
namespace {

MT_PROBLEM_TESTS(Skeleton, skeleton, skeleton_problems());

// What only this operation promises is tested here: TEST_P(SkeletonProblems, …) runs for every device, version and order of threads.
TEST_P(SkeletonProblems, OneAndZeroCopyEveryBit) {
  const std::vector<float> x{0, -1.5F, 3e38F, 1e-45F};
  testing::Buffer<float> in(x, device()), out(4, device());
  op().forward(in.data(), out.data(), 4, 1.0F, 0.0F, nullptr);
  testing::expect_same_bits(out.host(), x, "y");
}

}  // namespace
}  // namespace mt
