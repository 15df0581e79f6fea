#pragma once
// What binary cross-entropy is tested with.

#include <algorithm>

#include "kernels/bce/bce.h"
#include "kernels/common/problem.h"

namespace mt {

/// Most are 0 or 1.
inline std::vector<float> bce_targets(int64_t n, uint64_t seed) {
  std::vector<float> targets = problem_values(n, seed, 0, 1);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (i % 3 != 0) targets[i] = i % 3 == 1 ? 1.0F : 0.0F;
  }
  return targets;
}

inline void add_bce(ProblemSet<Bce>& set, const std::string& name, const std::vector<float>& logits,
                    const std::vector<float>& targets, double pos_weight, bool large = false) {
  const auto n = static_cast<int64_t>(logits.size());
  // bce.md; 2^-126 (1 + w) for what lies below float's normal range.
  const double floor = kSmallestNormal * (1 + pos_weight);
  const double of_mean = kUnitRoundoff * (12 + std::min<double>(static_cast<double>(n) / 16, 256));
  const auto slope_terms = [=](const Answer& a, std::size_t i) {
    const double x = a.inputs[0][i];
    const double y = a.inputs[1][i];
    const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    return (1 - y) * sigmoid(x) + pos_weight * y * sigmoid(-x);
  };
  Problem<Bce> mean =
      problem<Bce>("mean_forward " + name, {{logits}, {targets}}, {{numbers(1)}},
                   [=]<typename T>(const Bce<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
                     op.mean_forward(in[0], in[1], pos_weight, out[0], n, nullptr);
                   });
  mean.bound = [=](const Answer& a, std::size_t, std::size_t) { return of_mean * a.outputs[0][0] + floor; };
  Problem<Bce> slopes =
      problem<Bce>("mean_with_slopes " + name, {{logits}, {targets}}, {{numbers(1)}, {numbers(n)}},
                   [=]<typename T>(const Bce<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
                     op.mean_with_slopes(in[0], in[1], pos_weight, out[0], out[1], n, nullptr);
                   });
  slopes.bound = [=](const Answer& a, std::size_t output, std::size_t i) {
    return output == 0 ? of_mean * a.outputs[0][0] + floor : 12 * kUnitRoundoff * slope_terms(a, i) + floor;
  };
  slopes.in_place = {{1, 0}};
  mean.large = slopes.large = large;
  set.problems.push_back(mean);
  set.problems.push_back(slopes);
}

inline ProblemSet<Bce> bce_problems() {
  ProblemSet<Bce> set;
  struct Shape {
    int64_t n;
    double pos_weight;
    float range;
  };
  // Around 16 lanes; one block of the GPU's 2,048, and three; from nearly linear to deep in the tails.
  for (const Shape& s : {Shape{1, 1, 20},
                         {15, 1.75, 1},
                         {16, 0.2, 100},
                         {17, 1, 20},
                         {1000, 1, 1},
                         {1000, 1.75, 20},
                         {1000, 0.2, 100},
                         {4097, 1.75, 20}}) {
    add_bce(set,
            std::to_string(s.n) + ", weight " + std::to_string(s.pos_weight) + ", range " +
                std::to_string(s.range),
            problem_values(s.n, 3, -s.range, s.range), bce_targets(s.n, 4), s.pos_weight);
  }
  add_bce(set, "50000", problem_values(50000, 7, -8, 8), bce_targets(50000, 8), 3, /*large=*/true);
  for (const auto& [x, y] : {std::pair{3e38F, 1.0F}, {-3e38F, 1.0F}, {3e38F, 0.0F}, {-3e38F, 0.0F}}) {
    add_bce(set, "a huge logit", {x}, {y}, 1);
  }
  add_bce(set, "NaN goes into the mean and its slope", {1, NAN, 2}, {1, 1, 0}, 1);
  for (const int64_t n : {0, 1, 17, 1030, 50000}) {
    Problem<Bce> p = problem<Bce>(
        "mean_slopes_backward " + std::to_string(n), {{problem_values(n, 5)}, {std::vector<float>{0.7F}}},
        {{numbers(n)}}, [=]<typename T>(const Bce<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
          op.mean_slopes_backward(in[0], in[1], out[0], n, nullptr);
        });
    p.bound = relative_bound(2);
    p.in_place = {{0, 0}};
    p.large = n > 10000;
    set.problems.push_back(p);
  }
  for (const bool with_slopes : {false, true}) {
    Problem<Bce> p =
        problem<Bce>("of nothing", {{numbers(0)}, {numbers(0)}}, {{numbers(1)}, {numbers(0)}},
                     [=]<typename T>(const Bce<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
                       with_slopes ? op.mean_with_slopes(in[0], in[1], 1, out[0], out[1], 0, nullptr)
                                   : op.mean_forward(in[0], in[1], 1, out[0], 0, nullptr);
                     });
    p.error = "bce: the mean of no elements";
    set.problems.push_back(p);
  }
  set.derivatives.push_back({"of 20", as_doubles(problem_values(20, 8, -4, 4)),
                             [](const Bce<double>& op, const std::vector<double>& x) {
                               std::vector<double> loss(1);
                               op.mean_forward(x.data(), as_doubles(bce_targets(20, 9)).data(), 1.75,
                                               loss.data(), 20, nullptr);
                               return loss;
                             },
                             [](const Bce<double>& op, const auto& x, const auto&, const auto& dy) {
                               double loss = 0;
                               std::vector<double> dx(20);
                               op.mean_with_slopes(x.data(), as_doubles(bce_targets(20, 9)).data(), 1.75,
                                                   &loss, dx.data(), 20, nullptr);
                               op.mean_slopes_backward(dx.data(), dy.data(), dx.data(), 20, nullptr);
                               return dx;
                             }});
  set.holes = {
      {"infinity", "an infinite logit makes its loss NaN in float, and log1p(exp) of it a number in double"}};
  return set;
}

}  // namespace mt
