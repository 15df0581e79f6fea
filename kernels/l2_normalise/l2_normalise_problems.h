#pragma once
// What rows of length 1 are tested with.

#include <algorithm>

#include "kernels/common/problem.h"
#include "kernels/l2_normalise/l2_normalise.h"

namespace mt {

inline void add_l2_normalise(ProblemSet<L2Normalise>& set, const std::string& name, int64_t rows,
                             int64_t columns, const std::vector<float>& x, bool large = false) {
  constexpr float kEps = static_cast<float>(kL2NormaliseEps);
  Problem<L2Normalise> forward = problem<L2Normalise>(
      "forward " + name, {{x}}, {{numbers(rows * columns)}, {numbers(rows)}},
      [=]<typename T>(const L2Normalise<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.forward(in[0], out[0], out[1], rows, columns, static_cast<T>(kEps), nullptr);
      });
  forward.bound = [](const Answer& a, std::size_t output, std::size_t i) {
    return (output == 0 ? 2.1 : 1.01) * kUnitRoundoff * std::abs(a.outputs[output][i]) + 0x1p-149;
  };
  forward.in_place = {{0, 0}};
  forward.large = large;

  std::vector<float> y(x.size()), norm(static_cast<std::size_t>(rows));  // about what forward gives
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < columns; ++c)
      squares += std::pow(static_cast<double>(x[static_cast<std::size_t>(r * columns + c)]), 2);
    norm[static_cast<std::size_t>(r)] = static_cast<float>(std::sqrt(squares));
    for (int64_t c = 0; c < columns; ++c) {
      const auto i = static_cast<std::size_t>(r * columns + c);
      y[i] = static_cast<float>(static_cast<double>(x[i]) / std::max(std::sqrt(squares), kL2NormaliseEps));
    }
  }
  Problem<L2Normalise> backward = problem<L2Normalise>(
      "backward " + name, {{y}, {norm}, {problem_values(rows * columns, 2)}}, {{numbers(rows * columns)}},
      [=]<typename T>(const L2Normalise<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.backward(in[0], in[1], in[2], out[0], rows, columns, static_cast<T>(kEps), nullptr);
      });
  backward.bound = [=](const Answer& a, std::size_t, std::size_t i) {
    const auto row = i / static_cast<std::size_t>(columns);
    double sizes = 0;  // Σ|y g|, an upper bound of |y·g|
    for (std::size_t j = row * static_cast<std::size_t>(columns);
         j < (row + 1) * static_cast<std::size_t>(columns); ++j) {
      sizes += std::abs(a.inputs[0][j] * a.inputs[2][j]);
    }
    return 4 * kUnitRoundoff * (std::abs(a.inputs[2][i]) + 2 * std::abs(a.inputs[0][i]) * sizes) /
           std::max(a.inputs[1][row], static_cast<double>(kEps));
  };
  backward.in_place = {{0, 0}, {0, 2}};
  backward.large = large;
  set.problems.push_back(forward);
  set.problems.push_back(backward);
}

inline ProblemSet<L2Normalise> l2_normalise_problems() {
  ProblemSet<L2Normalise> set;
  struct Shape {
    int64_t rows, columns;
    float range;
    const char* why;
  };
  for (const Shape& s : {Shape{1, 1, 1, "one element"},
                         {0, 8, 1, "empty"},
                         {3, 7, 4, "below 8 lanes"},
                         {2, 16, 1e25F, "squares that overflow float"},
                         {5, 33, 1e-25F, "squares that vanish in float; below eps"},
                         {4, 256, 1, "one step of a warp, rows on 16 bytes"},
                         {9, 130, 1, "more rows than warps in a block, rows off 16 bytes"},
                         {2, 1000, 1e-14F, "around eps"},
                         {2, 999, 1, "eight steps of a warp"},
                         {2, 1100, 1e25F, "a block a row"},
                         {1, 1026, 1, "a block a row off 16 bytes"},
                         {2, 1028, 1e-14F, "a block a row below eps"}}) {
    add_l2_normalise(set, std::to_string(s.rows) + "x" + std::to_string(s.columns) + ", " + s.why, s.rows,
                     s.columns, problem_values(s.rows * s.columns, 1, -s.range, s.range));
  }
  add_l2_normalise(set, "600x257, several tasks", 600, 257, problem_values(600 * 257, 3), /*large=*/true);
  add_l2_normalise(set, "a zero row, a row with NaN, one with infinity, one of 3 and 4", 4, 2,
                   {0, 0, NAN, 1, INFINITY, 1, 3, 4});

  for (const double eps : {1e-12, 100.0}) {  // the norm, or eps, divides
    const auto forward = [eps](const L2Normalise<double>& op, const std::vector<double>& x,
                               std::vector<double>& norm) {
      std::vector<double> y(12);
      norm.resize(3);
      op.forward(x.data(), y.data(), norm.data(), 3, 4, eps, nullptr);
      return y;
    };
    set.derivatives.push_back(
        {"eps " + std::to_string(eps), as_doubles(problem_values(12, 4)),
         [=](const L2Normalise<double>& op, const auto& x) {
           std::vector<double> norm;
           return forward(op, x, norm);
         },
         [=](const L2Normalise<double>& op, const auto& x, const auto& y, const auto& dy) {
           std::vector<double> norm, dx(12);
           forward(op, x, norm);
           op.backward(y.data(), norm.data(), dy.data(), dx.data(), 3, 4, eps, nullptr);
           return dx;
         }});
  }
  return set;
}

}  // namespace mt
