#include "kernels/elementwise/elementwise_problems.h"
#include "tests/harness/problem_test.h"

namespace mt {
namespace {

MT_PROBLEM_TESTS(Elementwise, elementwise, elementwise_problems());

}  // namespace
}  // namespace mt
