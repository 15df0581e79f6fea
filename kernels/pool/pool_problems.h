#pragma once
// What pooling is tested with.

#include <algorithm>
#include <array>

#include "kernels/common/problem.h"
#include "kernels/pool/pool.h"

namespace mt {

struct PoolCase {
  int64_t n, h, w, c;
  PoolWindow window;
  const char* why;
  int64_t inputs() const { return n * h * w * c; }
  int64_t outputs() const { return n * window.pooled(h) * window.pooled(w) * c; }
};

inline void add_max_pool(ProblemSet<Pool>& set, const PoolCase& k, const std::vector<float>& x,
                         bool large = false) {
  const auto bytes = [](int64_t count) { return std::vector<uint8_t>(static_cast<std::size_t>(count)); };
  Problem<Pool> forward = problem<Pool>(  // exact
      std::string("max_forward, ") + k.why, {{x}}, {{numbers(k.outputs())}, {bytes(k.outputs())}},
      [k]<typename T>(const Pool<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.max_forward(in[0], out[0], out.template as<uint8_t>(1), k.n, k.h, k.w, k.c, k.window, nullptr);
      });
  Problem<Pool> alone =
      problem<Pool>(std::string("max_forward without arg-max, ") + k.why, {{x}}, {{numbers(k.outputs())}},
                    [k]<typename T>(const Pool<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
                      op.max_forward(in[0], out[0], nullptr, k.n, k.h, k.w, k.c, k.window, nullptr);
                    });
  std::vector<float> y(static_cast<std::size_t>(k.outputs()));
  std::vector<double> wide(y.size());
  std::vector<uint8_t> argmax = bytes(k.outputs());
  pool<double>(Device::cpu)
      .max_forward(as_doubles(x).data(), wide.data(), argmax.data(), k.n, k.h, k.w, k.c, k.window, nullptr);
  Problem<Pool> backward = problem<Pool>(
      std::string("max_backward, ") + k.why, {{problem_values(k.outputs(), 3)}, {argmax}},
      {{numbers(k.inputs())}},
      [k]<typename T>(const Pool<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.max_backward(in[0], in.template as<uint8_t>(1), out[0], k.n, k.h, k.w, k.c, k.window, nullptr);
      });
  // At most window² values of at most 1.
  const double taps = static_cast<double>(k.window.window * k.window.window);
  backward.bound = [taps](const Answer&, std::size_t, std::size_t) { return kUnitRoundoff * taps * taps; };
  for (Problem<Pool>* p : {&forward, &alone, &backward}) {
    p->large = large;
    set.problems.push_back(*p);
  }
}

inline void add_global_average(ProblemSet<Pool>& set, int64_t n, int64_t pixels, int64_t c,
                               const std::vector<float>& x, bool large = false) {
  const std::string name = std::to_string(n) + "x" + std::to_string(pixels) + "x" + std::to_string(c);
  Problem<Pool> forward =
      problem<Pool>("global_average_forward " + name, {{x}}, {{numbers(n * c)}},
                    [=]<typename T>(const Pool<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
                      op.global_average_forward(in[0], out[0], n, pixels, c, nullptr);
                    });
  forward.bound = relative_bound(64 + std::ceil(static_cast<double>(pixels) / 64) + 1);  // all x are positive
  forward.large = large;
  Problem<Pool> backward = problem<Pool>(
      "global_average_backward " + name, {{problem_values(n * c, 7)}}, {{numbers(n * pixels * c)}},
      [=]<typename T>(const Pool<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.global_average_backward(in[0], out[0], n, pixels, c, nullptr);
      });
  backward.bound = relative_bound(1);
  backward.large = large;
  set.problems.push_back(forward);
  set.problems.push_back(backward);
}

inline ProblemSet<Pool> pool_problems() {
  ProblemSet<Pool> set;
  for (const PoolCase& k : {PoolCase{2, 11, 10, 3, {3, 2, 1}, "ResNet's window"},
                            {1, 1, 1, 1, {1, 1, 0}, "one pixel"},
                            {2, 7, 9, 16, {3, 1, 1}, "overlapping windows, 16 channels"},
                            {1, 9, 9, 37, {2, 3, 0}, "gaps between windows"},
                            {3, 5, 6, 19, {5, 2, 2}, "more padding than image on one side"},
                            {1, 7, 7, 20, {7, 1, 0}, "a window of the whole image"},
                            {0, 4, 4, 2, {2, 2, 0}, "empty"},
                            {1, 16, 3, 5, {15, 1, 7}, "the largest window"},
                            {1, 5, 5, 8, {3, 2, 1}, "channels in fours"}}) {
    add_max_pool(set, k, problem_values(k.inputs(), 1));
    std::vector<float> ties =
        problem_values(k.inputs(), 2, -2, 2);  // few integers: the first maximum must win on every device
    for (float& value : ties) value = std::round(value);
    add_max_pool(set, k, ties);
  }
  add_max_pool(set, {3, 40, 40, 24, {3, 2, 1}, "several tasks"}, problem_values(3 * 40 * 40 * 24, 8),
               /*large=*/true);
  // The first NaN wins and later numbers do not replace it; −inf in the whole window is a maximum like any other.
  add_max_pool(set, {2, 2, 2, 1, {2, 2, 0}, "NaN and −inf"},
               {1, NAN, 5, NAN, -INFINITY, -INFINITY, -INFINITY, -INFINITY});
  for (const auto& [n, pixels, c] :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 49, 33}, {2, 130, 16}, {0, 5, 4}, {1, 1000, 70}, {2, 37, 140}}) {
    add_global_average(set, n, pixels, c, problem_values(n * pixels * c, 6, 0, 1));
  }
  add_global_average(set, 3, 1600, 24, problem_values(3 * 1600 * 24, 9, 0, 1), /*large=*/true);
  for (const auto& [side, window, text] :
       {std::tuple<int64_t, PoolWindow, const char*>{
            1, {3, 1, 0}, "pool: an image of 1 x 1 is smaller than the window of 3"},
        {9,
         {3, 1, 2},
         "pool: window 3 stride 1 padding 2: the window is 1 to 15, the padding at most its half"},
        {99,
         {16, 1, 0},
         "pool: window 16 stride 1 padding 0: the window is 1 to 15, the padding at most its half"}}) {
    set.problems.push_back(
        problem<Pool>(std::string("refused: ") + text, {{numbers(side * side)}}, {{numbers(side * side)}},
                      [side = side, window = window]<typename T>(const Pool<T>& op, const Arguments<T>& in,
                                                                 const Arguments<T>& out) {
                        op.max_forward(in[0], out[0], nullptr, 1, side, side, 1, window, nullptr);
                      }));
    set.problems.back().error = text;
  }
  set.derivatives.push_back(
      {"max", as_doubles(problem_values(80, 9)),
       [](const Pool<double>& op, const std::vector<double>& x) {
         std::vector<double> y(24);
         op.max_forward(x.data(), y.data(), nullptr, 2, 5, 4, 2, {3, 2, 1}, nullptr);
         return y;
       },
       [](const Pool<double>& op, const auto& x, const auto&, const auto& dy) {
         std::vector<double> y(24), dx(80);
         std::vector<uint8_t> argmax(24);
         op.max_forward(x.data(), y.data(), argmax.data(), 2, 5, 4, 2, {3, 2, 1}, nullptr);
         op.max_backward(dy.data(), argmax.data(), dx.data(), 2, 5, 4, 2, {3, 2, 1}, nullptr);
         return dx;
       }});
  set.derivatives.push_back({"global average", as_doubles(problem_values(80, 9)),
                             [](const Pool<double>& op, const std::vector<double>& x) {
                               std::vector<double> y(4);
                               op.global_average_forward(x.data(), y.data(), 2, 20, 2, nullptr);
                               return y;
                             },
                             [](const Pool<double>& op, const auto&, const auto&, const auto& dy) {
                               std::vector<double> dx(80);
                               op.global_average_backward(dy.data(), dx.data(), 2, 20, 2, nullptr);
                               return dx;
                             }});
  set.holes = {{"OutputsMayBeInputs", "pool.h: no output may alias an input"}};
  return set;
}

}  // namespace mt
