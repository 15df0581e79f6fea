#include "kernels/reduce/reduce_problems.h"
#include "tests/harness/problem_test.h"

namespace mt {
namespace {

MT_PROBLEM_TESTS(Reduce, reduce, reduce_problems());

}  // namespace
}  // namespace mt
