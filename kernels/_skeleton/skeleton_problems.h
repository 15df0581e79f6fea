#pragma once
// What the operation is tested with. The harness makes the tests of every device, version and order of threads from this list.

#include "kernels/_skeleton/skeleton.h"
#include "kernels/common/problem.h"

namespace mt {

inline void add_skeleton(ProblemSet<Skeleton>& set, const std::string& name, const std::vector<float>& x,
                         bool large = false) {
  constexpr float kScale = -1.75F;
  constexpr float kShift = 0.3F;
  const auto n = static_cast<int64_t>(x.size());
  // Written once, for float on a device and for the reference in double.
  Problem<Skeleton> forward = problem<Skeleton>(
      "forward " + name, {{x}}, {{numbers(n)}},
      [n]<typename T>(const Skeleton<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.forward(in[0], out[0], n, T{kScale}, T{kShift}, nullptr);
      });
  // skeleton.md: u (2|a x| + |b|)(1 + u).
  forward.bound = [](const Answer& a, std::size_t, std::size_t i) {
    return kUnitRoundoff * (1 + kUnitRoundoff) * (2 * std::abs(kScale * a.inputs[0][i]) + kShift);
  };
  forward.in_place = {{0, 0}};  // as the header promises: output 0 may be input 0
  forward.large = large;
  Problem<Skeleton> backward = problem<Skeleton>(
      "backward " + name, {{x}}, {{numbers(n)}},
      [n]<typename T>(const Skeleton<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.backward(in[0], out[0], n, T{kScale}, nullptr);
      });
  backward.bound = relative_bound(1);
  backward.in_place = {{0, 0}};
  backward.large = large;
  set.problems.push_back(forward);
  set.problems.push_back(backward);
}

inline ProblemSet<Skeleton> skeleton_problems() {
  ProblemSet<Skeleton> set;
  // Empty, one element, below, at and above 16 lanes, and several CUDA blocks with a tail that is no multiple of four.
  for (const int64_t n : {0, 1, 15, 16, 33, 1030})
    add_skeleton(set, "of " + std::to_string(n), problem_values(n, 1, -10, 10));
  add_skeleton(set, "of 50000, several tasks of the CPU", problem_values(50000, 4), /*large=*/true);
  add_skeleton(set, "NaN and infinities stay in their elements", {1, NAN, 2, INFINITY, -INFINITY, -0.0F, 3});
  set.derivatives.push_back({"of 3",
                             {0.7, -2, 0},
                             [](const Skeleton<double>& op, const std::vector<double>& x) {
                               std::vector<double> y(x.size());
                               op.forward(x.data(), y.data(), std::ssize(x), -1.75, 0.3, nullptr);
                               return y;
                             },
                             [](const Skeleton<double>& op, const auto& x, const auto&, const auto& dy) {
                               std::vector<double> dx(x.size());
                               op.backward(dy.data(), dx.data(), std::ssize(x), -1.75, nullptr);
                               return dx;
                             }});
  return set;
}

}  // namespace mt
