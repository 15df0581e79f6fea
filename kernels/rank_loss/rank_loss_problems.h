#pragma once
// What the ranking hinge is tested with.

#include "kernels/common/problem.h"
#include "kernels/rank_loss/rank_loss.h"

namespace mt {

/// Forward and backward in one call: loss (pairs), selected (2·pairs,top), dlogits (all bags), for dloss 0.75.
inline Problem<RankLoss> rank_problem(const std::string& name, const std::vector<float>& logits,
                                      const std::vector<int64_t>& offsets, int64_t top) {
  const auto pairs = static_cast<int64_t>(offsets.size()) / 2;
  Problem<RankLoss> p = problem<RankLoss>(
      name + ", top " + std::to_string(top),
      {{logits}, on_host(offsets), {std::vector<float>(static_cast<std::size_t>(pairs), 0.75F)}},
      {{numbers(pairs)},
       {std::vector<int64_t>(static_cast<std::size_t>(2 * pairs * top))},
       {numbers(offsets.back())}},
      [=]<typename T>(const RankLoss<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        const auto* of_bags = in.template as<int64_t>(1);
        auto* selected = out.template as<int64_t>(1);
        op.forward(in[0], of_bags, pairs, top, out[0], selected, nullptr);
        op.backward(out[0], in[2], of_bags, selected, pairs, top, out[2], nullptr);
      });
  // rank_loss.md: the means are summed in double, the result is rounded once.
  p.bound = [](const Answer& a, std::size_t output, std::size_t i) {
    return kUnitRoundoff *
           (output == 0 ? 2 * (std::abs(a.outputs[0][i]) + 1) : std::abs(a.outputs[output][i]));
  };
  return p;
}

inline ProblemSet<RankLoss> rank_loss_problems() {
  ProblemSet<RankLoss> set;
  const auto add = [&](const Problem<RankLoss>& p) { set.problems.push_back(p); };
  const std::vector<int64_t> ragged{0, 1, 3, 40, 1040, 1057, 1067, 1077, 1100};  // bags of 1 to 1000
  for (const int64_t top : {1, 2, 10, 64, 2000})
    add(rank_problem("ragged bags", problem_values(1100, 1, -2, 2), ragged, top));
  add(rank_problem("no pairs", {}, {0}, 10));
  add(rank_problem("one instance each", {1, -0.5F}, {0, 1, 2}, 1));
  const auto integers = [](int64_t n, uint64_t seed, float limit) {
    std::vector<float> values = problem_values(n, seed, -limit, limit);
    for (float& value : values) value = std::round(value);
    return values;
  };
  add(rank_problem("ties prefer the smaller index", integers(500, 2, 2), {0, 300, 500}, 10));
  add(rank_problem("small bags use all they have", {2, 4, 3.5F}, {0, 2, 3}, 10));
  add(rank_problem("apart by the margin exactly: no gradient at the kink", {5, 4}, {0, 1, 2}, 10));
  // The GPU sorts up to 2,048 in shared memory.
  for (const int64_t top : {2048, 2049})
    add(rank_problem("any number of chosen ones", integers(2103, 3, 500), {0, 3, 2103}, top));
  std::vector<float> floats(300, 1e-45F);
  for (std::size_t i = 0; i < floats.size(); i += 3) floats[i] = i % 2 == 0 ? -0.0F : 0.0F;
  floats[250] = HUGE_VALF;
  floats[10] = -HUGE_VALF;
  add(rank_problem("any kind of float", floats, {0, 190, 200}, 150));
  add(rank_problem("infinite loss", floats, {0, 200, 300}, 190));
  std::vector<int64_t> many{0};
  for (int64_t bag = 0; bag < 40; ++bag) many.push_back(many.back() + 20 + bag % 7);
  add(rank_problem("forty bags, several tasks", problem_values(many.back(), 4), many, 10));
  add(rank_problem("large bags", problem_values(60000, 5), {0, 25000, 60000}, 10));
  set.problems.back().large = true;
  add(rank_problem("NaN", {1, 2, NAN, 3}, {0, 2, 4}, 10));
  set.problems.back().error = "rank_loss: the logit of row 2 is NaN";
  add(rank_problem("an empty bag", {1, 2}, {0, 2, 2}, 10));
  set.problems.back().error = "rank_loss: the bag that starts at row 2 is empty";
  add(rank_problem("top 0", {1, 2}, {0, 1, 2}, 0));
  set.problems.back().error = "rank_loss: top must be at least 1, not 0";

  static const std::vector<int64_t> offsets{0, 12, 30, 33, 37};
  set.derivatives.push_back(
      {"two pairs, top 4", as_doubles(problem_values(37, 5)),
       [](const RankLoss<double>& op, const std::vector<double>& x) {
         std::vector<double> loss(2);
         std::vector<int64_t> selected(16);
         op.forward(x.data(), offsets.data(), 2, 4, loss.data(), selected.data(), nullptr);
         return loss;
       },
       [](const RankLoss<double>& op, const auto& x, const auto&, const auto& dy) {
         std::vector<double> loss(2), dx(37);
         std::vector<int64_t> selected(16);
         op.forward(x.data(), offsets.data(), 2, 4, loss.data(), selected.data(), nullptr);
         op.backward(loss.data(), dy.data(), offsets.data(), selected.data(), 2, 4, dx.data(), nullptr);
         return dx;
       }});
  set.holes = {{"OutputsMayBeInputs", "rank_loss.h promises no aliasing"}};
  return set;
}

}  // namespace mt
