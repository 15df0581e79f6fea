#pragma once
// What softmax is tested and measured with.

#include "kernels/common/problem.h"
#include "kernels/softmax/softmax.h"

namespace mt {

inline ProblemSet<Softmax> softmax_problems() {
  ProblemSet<Softmax> set;
  const auto forward = [&](const std::string& name, int64_t rows, int64_t columns, std::vector<float> x,
                           float range) {
    Problem<Softmax> p = problem<Softmax>(
        "forward " + name, {{std::move(x)}}, {{numbers(rows * columns)}},
        [=]<typename T>(const Softmax<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
          op.forward(in[0], out[0], rows, columns, nullptr);
        });
    // softmax.md: relative error u (8 + C + 2 max|x − m|); results below float's range may flush to 0.
    const double relative = kUnitRoundoff * (8 + static_cast<double>(columns) + 4 * range);
    p.bound = [=](const Answer& a, std::size_t, std::size_t i) {
      return a.outputs[0][i] * relative + kSmallestNormal;
    };
    p.in_place = {{0, 0}};
    set.problems.push_back(p);
  };
  const auto backward = [&](const std::string& name, int64_t rows, int64_t columns, std::vector<float> y) {
    Problem<Softmax> p = problem<Softmax>(
        "backward " + name, {{std::move(y)}, {problem_values(rows * columns, 3)}},
        {{numbers(rows * columns)}},
        [=]<typename T>(const Softmax<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
          op.backward(in[0], in[1], out[0], rows, columns, nullptr);
        });
    // |dy| <= 1 and the y of a row sum to about 1, so the sum of |dy y| is at most 1.
    p.bound = [=](const Answer& a, std::size_t, std::size_t i) {
      return kUnitRoundoff * a.inputs[0][i] * (static_cast<double>(columns) + 5) + kSmallestNormal;
    };
    p.in_place = {{0, 0}, {0, 1}};
    set.problems.push_back(p);
  };

  struct Shape {
    int64_t rows, columns;
    float range;  // inputs lie in [−range, range)
    const char* why;
  };
  for (const Shape& s : {Shape{1, 1, 1, "one element"},
                         {0, 8, 1, "empty"},
                         {3, 5, 4, "below 16 lanes"},
                         {2, 16, 1, "16 lanes"},
                         {4, 33, 20, "above 32 lanes"},
                         {5, 64, 2, "two columns a lane of a warp"},
                         {6, 100, 2, "eight columns a lane, with a tail and idle warps"},
                         {7, 257, 3, "32 columns a lane"},
                         {2, 1000, 300, "far beyond exp's range"},
                         {1, 1024, 9, "the longest row of a warp"},
                         {2, 1307, 50, "a block a row"}}) {
    const std::string name = std::to_string(s.rows) + "x" + std::to_string(s.columns) + ", " + s.why;
    forward(name, s.rows, s.columns, problem_values(s.rows * s.columns, 1, -s.range, s.range), s.range);
    std::vector<float> y = problem_values(s.rows * s.columns, 2, 0, 2 / static_cast<float>(s.columns));
    backward(name, s.rows, s.columns, std::move(y));
  }
  forward("3e38 and −3e38", 2, 3, {3e38F, -3e38F, 3e38F, 0, 1e-30F, -88}, 44);
  forward("NaN stays in its row", 2, 3, {1, NAN, 2, 1, 1, 1}, 1);
  for (const int64_t columns : {3, 100, 1100}) {
    std::vector<float> x(static_cast<std::size_t>(3 * columns), -INFINITY);  // row 0: only −inf gives NaN
    x[static_cast<std::size_t>(2 * columns - 1)] = 7;                        // row 1: all weight on the last
    x[static_cast<std::size_t>(2 * columns)] = INFINITY;                     // row 2: +inf gives NaN
    forward("infinities in rows of " + std::to_string(columns), 3, columns, std::move(x), 7);
  }
  forward("64x700, several tasks", 64, 700, problem_values(64 * 700, 4, -5, 5), 5);
  set.problems.back().large = true;

  set.derivatives.push_back({"3x5", as_doubles(problem_values(15, 5, -2, 2)),
                             [](const Softmax<double>& op, const std::vector<double>& x) {
                               std::vector<double> y(15);
                               op.forward(x.data(), y.data(), 3, 5, nullptr);
                               return y;
                             },
                             [](const Softmax<double>& op, const auto&, const auto& y, const auto& dy) {
                               std::vector<double> dx(15);
                               op.backward(y.data(), dy.data(), dx.data(), 3, 5, nullptr);
                               return dx;
                             }});
  return set;
}

}  // namespace mt
