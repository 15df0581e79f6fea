#pragma once
// What pointwise arithmetic is tested with.

#include "kernels/common/problem.h"
#include "kernels/elementwise/elementwise.h"

namespace mt {

inline ProblemSet<Elementwise> elementwise_problems() {
  ProblemSet<Elementwise> set;
  const auto add = [&](Problem<Elementwise> p, std::vector<InPlace> in_place, bool large) {
    p.bound = relative_bound(1);  // rounded once
    p.in_place = std::move(in_place);
    p.large = large;
    set.problems.push_back(std::move(p));
  };
  const auto pointwise = [&](const std::string& name, const std::vector<float>& a,
                             const std::vector<float>& b, bool large) {
    const auto n = static_cast<int64_t>(a.size());
    const auto pair = [&](const char* what, auto call) {
      add(problem<Elementwise>(what + name, {{a}, {b}}, {{numbers(n)}}, call), {{0, 0}, {0, 1}}, large);
    };
    pair("add", [n]<typename T>(const Elementwise<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
      op.add(in[0], in[1], out[0], n, nullptr);
    });
    pair("sub", [n]<typename T>(const Elementwise<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
      op.sub(in[0], in[1], out[0], n, nullptr);
    });
    pair("mul", [n]<typename T>(const Elementwise<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
      op.mul(in[0], in[1], out[0], n, nullptr);
    });
    add(problem<Elementwise>(
            "scale" + name, {{a}}, {{numbers(n)}},
            [n]<typename T>(const Elementwise<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
              op.scale(in[0], static_cast<T>(0.3F), out[0], n, nullptr);
            }),
        {{0, 0}}, large);
  };
  // Around 16 lanes; three of the 1,024 elements of a CUDA block, and a tail.
  for (const int64_t n : {0, 1, 15, 16, 17, 33, 3075}) {
    pointwise(" of " + std::to_string(n), problem_values(n, 1), problem_values(n, 2), false);
  }
  pointwise(" of 100003", problem_values(100003, 7), problem_values(100003, 8), true);
  pointwise(" as IEEE says", {NAN, 1, INFINITY, INFINITY, -INFINITY, 0, -0.0F},
            {1, NAN, 1, INFINITY, INFINITY, INFINITY, 0}, false);

  const auto add_row = [&](int64_t rows, int64_t columns, bool large) {
    add(problem<Elementwise>(
            "add_row " + std::to_string(rows) + "x" + std::to_string(columns),
            {{problem_values(rows * columns, 5)}, {problem_values(columns, 6)}}, {{numbers(rows * columns)}},
            [=]<typename T>(const Elementwise<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
              op.add_row(in[0], in[1], out[0], rows, columns, nullptr);
            }),
        {{0, 0}}, large);
  };
  // Columns in blocks of 128 threads and of 512, rows in sixteens; few columns; none.
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{3, 5}, {1, 1}, {0, 4}, {4, 0}, {37, 65}, {18, 516}, {1, 64}}) {
    add_row(rows, columns, false);
  }
  add_row(700, 1000, true);
  set.holes = {{"JacobianIsTheDerivative",
                "no backward of its own: the rules of autograd use the functions themselves, and gradcheck "
                "tests those"}};
  return set;
}

}  // namespace mt
