#pragma once
// What ordered sums are tested with.

#include "kernels/common/problem.h"
#include "kernels/reduce/reduce.h"

namespace mt {

/// Bounds of reduce.md in roundoffs of Σ|x|; sums of small integers are exact whatever the order, so that a lost or doubled element cannot
/// hide in a bound.
inline void add_reduce(ProblemSet<Reduce>& set, const std::string& name, int64_t rows, int64_t columns,
                       const std::vector<float>& x, bool exact = false, bool large = false) {
  const auto add = [&](const std::string& what, int64_t size, double roundoffs, auto magnitude, auto call) {
    Problem<Reduce> p = problem<Reduce>(what + name, {{x}}, {{numbers(size)}}, call);
    p.bound = [=](const Answer& a, std::size_t, std::size_t i) {
      return exact ? 0.0 : roundoffs * kUnitRoundoff * magnitude(a.inputs[0], i);
    };
    p.large = large;
    set.problems.push_back(p);
  };
  const auto of_column = [rows, columns](const std::vector<double>& values, std::size_t c) {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += std::abs(values[static_cast<std::size_t>(r * columns) + c]);
    return sum;
  };
  const auto of_all = [](const std::vector<double>& values, std::size_t) {
    double sum = 0;
    for (const double value : values) sum += std::abs(value);
    return sum;
  };
  add("column_sum ", columns, 25, of_column,
      [=]<typename T>(const Reduce<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.column_sum(in[0], out[0], rows, columns, nullptr);
      });
  add("sum ", 1, 69, of_all,
      [=]<typename T>(const Reduce<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.sum(in[0], out[0], rows * columns, nullptr);
      });
  if (rows > 0 && !exact) {
    add(
        "column_mean ", columns, 26,
        [=](const std::vector<double>& values, std::size_t c) {
          return of_column(values, c) / static_cast<double>(rows);
        },
        [=]<typename T>(const Reduce<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
          op.column_mean(in[0], out[0], rows, columns, nullptr);
        });
  }
}

inline void add_all_finite(ProblemSet<Reduce>& set, const std::string& name, const std::vector<float>& x) {
  set.problems.push_back(problem<Reduce>(
      "all_finite " + name, {{x}}, {{std::vector<uint8_t>(1)}},
      [n = std::ssize(x)]<typename T>(const Reduce<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.all_finite(in[0], out.template as<uint8_t>(0), n, nullptr);
      }));
}

inline ProblemSet<Reduce> reduce_problems() {
  ProblemSet<Reduce> set;
  const auto name = [](int64_t rows, int64_t columns) {
    return std::to_string(rows) + "x" + std::to_string(columns);
  };
  // One row or column; leaves of 8 rows, blocks of 1,024, 16 lanes, a CUDA block's segment of 64 rows and its chunk of 4,096 elements,
  // each passed by a little; empty.
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1},
                                      {8, 3},
                                      {9, 16},
                                      {1, 1023},
                                      {1, 1025},
                                      {0, 4},
                                      {4, 0},
                                      {77, 33},
                                      {130, 36},
                                      {3, 4103},
                                      {300, 2}}) {
    add_reduce(set, name(rows, columns), rows, columns, problem_values(rows * columns, 1));
  }
  // Segments of 4,096 rows on the CPU.
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{4097, 17}, {9000, 2}, {3, 50000}}) {
    add_reduce(set, name(rows, columns), rows, columns, problem_values(rows * columns, 1), false,
               /*large=*/true);
  }
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{12, 40}, {700, 37}}) {
    std::vector<float> integers = problem_values(rows * columns, 3, -8, 8);
    for (float& value : integers) value = std::round(value);
    add_reduce(set, name(rows, columns) + " integers", rows, columns, integers, /*exact=*/true);
  }
  add_reduce(set, "NaN and infinities go into their sums", 2, 4,
             {1, NAN, INFINITY, INFINITY, 2, 3, 4, -INFINITY});
  for (const int64_t n : {0, 1, 16, 17, 5001}) {
    const std::vector<float> finite(static_cast<std::size_t>(n), 3e38F);  // though their sum is not
    add_all_finite(set, std::to_string(n), finite);
    for (const auto& [where, bad] :
         {std::pair<int64_t, float>{0, NAN}, {n / 2, INFINITY}, {n - 1, -INFINITY}, {n - 1, NAN}}) {
      if (n == 0) continue;
      std::vector<float> x = finite;
      x[static_cast<std::size_t>(where)] = bad;
      add_all_finite(set, std::to_string(n) + ", " + std::to_string(bad) + " at " + std::to_string(where), x);
    }
  }
  set.holes = {{"OutputsMayBeInputs", "reduce.h: no aliasing"},
               {"JacobianIsTheDerivative",
                "no backward of its own: gradcheck tests the rules of autograd that use sums"}};
  return set;
}

}  // namespace mt
