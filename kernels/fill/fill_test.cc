#include "kernels/fill/fill_problems.h"
#include "tests/harness/problem_test.h"

namespace mt {
namespace {

MT_PROBLEM_TESTS(Fill, fill, fill_problems());

TEST_P(FillProblems, EveryElementGetsTheBitsOfTheValue) {
  for (const float value : {-0.0F, std::nanf("7"), 1e-45F}) {
    testing::Buffer<float> y(100, device());
    op().constant(y.data(), value, 100, nullptr);
    testing::expect_same_bits(y.host(), std::vector<float>(100, value), "y");
  }
}

}  // namespace
}  // namespace mt
