#pragma once
// What quantiles and top-K are tested with.

#include <limits>

#include "kernels/common/problem.h"
#include "kernels/select/select.h"

namespace mt {

inline Problem<Select> quantile_problem(const std::string& name, const std::vector<float>& scores,
                                        const std::vector<uint8_t>& mask, const std::vector<double>& levels) {
  const auto n = static_cast<int64_t>(scores.size());
  const bool masked = !mask.empty();
  Problem<Select> p = problem<Select>(
      "quantiles of " + name, {{scores}, {mask}, on_host(levels)},
      {on_host(std::vector<double>(levels.size()))},
      [=]<typename T>(const Select<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.quantiles(in[0], masked ? in.template as<uint8_t>(1) : nullptr, n, in.template as<double>(2),
                     out.template as<double>(0), std::ssize(levels), nullptr);
      });
  // The order statistics are exact; the interpolation rounds in double.
  p.bound = [](const Answer& a, std::size_t, std::size_t i) {
    return 4 * 0x1p-53 * std::abs(a.outputs[0][i]);
  };
  return p;
}

inline Problem<Select> top_problem(const std::string& name, const std::vector<float>& scores,
                                   const std::vector<uint8_t>& mask, int64_t k) {
  const auto n = static_cast<int64_t>(scores.size());
  const bool masked = !mask.empty();
  return problem<Select>(
      "the " + std::to_string(k) + " largest of " + name, {{scores}, {mask}},
      {{std::vector<int64_t>(static_cast<std::size_t>(k))}, {numbers(k)}, on_host(std::vector<int64_t>(1))},
      [=]<typename T>(const Select<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        *out.template as<int64_t>(2) = op.top_k(in[0], masked ? in.template as<uint8_t>(1) : nullptr, n, k,
                                                out.template as<int64_t>(0), out[1], nullptr);
      });
}

inline std::vector<uint8_t> selection_mask(std::size_t n, uint64_t seed) {
  RandomStream random(seed, Purpose::test, 3);
  std::vector<uint8_t> mask(n);
  for (uint8_t& value : mask) value = random.chance(0.4F) ? 2 : 0;
  if (n > 0) mask.front() = 1;
  return mask;
}

inline void add_select(ProblemSet<Select>& set, const std::string& name, const std::vector<float>& scores,
                       const std::vector<uint8_t>& mask, const std::vector<double>& levels,
                       const std::vector<int64_t>& ks, bool large = false) {
  set.problems.push_back(quantile_problem(name, scores, mask, levels));
  set.problems.back().large = large;
  for (const int64_t k : ks) {
    set.problems.push_back(top_problem(name, scores, mask, k));
    set.problems.back().large = large;
  }
}

/// Scores that mislead a sample (the cpu brackets a rank by one; that costs it another read, and must cost no more).
inline void add_misleading(ProblemSet<Select>& set) {
  const std::size_t n = 60000;
  std::vector<float> ascending(n), few_large(n, 0), two_values(n), steps(n), infinite(n);
  std::vector<uint8_t> nearly_all_out(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    ascending[i] = static_cast<float>(i);
    two_values[i] = i < n / 2 ? 1.0F : 2.0F;
    steps[i] = static_cast<float>(i / 10000);
    infinite[i] = i % 3 == 0 ? -HUGE_VALF : i % 3 == 1 ? HUGE_VALF : static_cast<float>(i);
    if (i >= n - 20) few_large[i] = static_cast<float>(i);  // that few are in no sample
    if (i % 701 == 0) nearly_all_out[i] = 1;
  }
  const auto add = [&](const std::string& name, const std::vector<float>& scores,
                       const std::vector<uint8_t>& mask) {
    add_select(set, name, scores, mask, {0, 0.1, 0.2, 0.25, 0.5, 0.8, 0.9, 1},
               {0, 1, 10, 30000, 60000, 60005}, /*large=*/true);
  };
  add("ascending scores", ascending, {});
  add("zeros and twenty large ones", few_large, {});
  add("two values", two_values, {});
  add("steps", steps, {});
  add("scores two thirds infinite", infinite, {});
  add("one value", std::vector<float>(n, -1), {});
  add("86 rows of 60,000", ascending, nearly_all_out);
  add("scores two thirds infinite, masked", infinite, selection_mask(n, 4));
  add("uniform scores", problem_values(200000, 200000, -3, 3), {});
  add("uniform scores, masked", problem_values(200000, 200000, -3, 3), selection_mask(200000, 1));
}

/// The search keeps the scores that share a rank's first 11 bits (a quarter of a power of two), unless they are more than half, or more
/// than a block has room for; 5,000 scores are two blocks' of alternating 1,024.
inline void add_close_scores(ProblemSet<Select>& set) {
  const auto close = problem_values(5000, 21, 1.0F, 1.0001F);  // these share 22: one lost is seen
  const auto apart = problem_values(5000, 22, 4, 1000);
  const auto mask = selection_mask(5000, 23);
  std::vector<float> some = apart, most = close, of_one_block = apart;
  for (std::size_t i = 0; i < 5000; ++i) {
    if (i % 3 == 0) some[i] = close[i];
    if (i % 10 == 0) most[i] = apart[i];
    if (i < 4096 && i / 1024 % 2 == 0) of_one_block[i] = close[i];
  }
  add_select(set, "scores a third close", some, {}, {0.05, 0.3}, {});
  add_select(set, "scores nine tenths close, masked", most, mask, {0.05, 0.3}, {});
  add_select(set, "scores with close ones in one block's share", of_one_block, {}, {0.05, 0.3}, {});
}

inline ProblemSet<Select> select_problems() {
  ProblemSet<Select> set;
  for (const int64_t n : {1, 2, 3, 37, 500}) {
    const auto scores = problem_values(n, static_cast<uint64_t>(n), -3, 3);
    const std::string name = std::to_string(n) + " scores";
    add_select(set, name, scores, {}, {0, 0.1, 1}, {n == 3 ? 0 : 10, n + 5});
    add_select(set, name + ", masked", scores, selection_mask(scores.size(), 1), {0.25, 0.8}, {n / 2});
  }
  const auto integers = [](int64_t n, uint64_t seed, float limit) {
    std::vector<float> values = problem_values(n, seed, -limit, limit);
    for (float& value : values) value = std::round(value);
    return values;
  };
  // The GPU sorts 2,048 in a block, and merges such blocks beyond; the scores fill several blocks of a search.
  add_select(set, "4503 integers", integers(4503, 3, 2000), {}, {0.7}, {2048, 4500});
  add_select(set, "700 scores of seven values", integers(700, 4, 3), {}, {0.3}, {10, 350});
  add_select(set, "one value", std::vector<float>(100, 0.5F), {}, {0, 1}, {3});
  add_select(set, "ties", {1, 3, 3, 2, 3}, {}, {0.5}, {2});
  add_select(set, "zeros of both signs", {-0.0F, 0.0F, -0.0F, -1}, {}, {0.5}, {3});
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float huge = std::numeric_limits<float>::max();
  add_select(set, "all kinds of floats",
             {0, tiny, -tiny, huge, -huge, HUGE_VALF, -HUGE_VALF, 1, -1, 1e-30F, std::nextafter(1.0F, 2.0F)},
             {}, {0.1, 0.5, 1}, {10});
  add_close_scores(set);
  add_misleading(set);
  set.problems.push_back(top_problem("no scores", {}, {}, 3));

  const auto add_error = [&](Problem<Select> p, const std::string& error, bool large = false) {
    p.error = error;
    p.large = large;
    set.problems.push_back(std::move(p));
  };
  for (const std::size_t n : {std::size_t{5000}, std::size_t{150000}}) {
    std::vector<float> scores(n, 0.5F);
    scores[n - 9] = scores[n / 2] = NAN;
    const std::string error = "select: the score of row " + std::to_string(n / 2) + " is NaN";
    add_error(quantile_problem("NaN", scores, {}, {0.5}), error, n > 10000);
    add_error(top_problem("NaN", scores, {}, 3), error, n > 10000);
    std::vector<uint8_t> mask(n, 1);
    mask[n - 9] = mask[n / 2] = 0;
    add_select(set, "NaN in rows that take no part", scores, mask, {0.5}, {}, n > 10000);
  }
  add_error(quantile_problem("nothing", {}, {}, {0.5}), "select: the quantile of no scores");
  add_error(quantile_problem("nothing, masked", {1, 2}, {0, 0}, {0.5}), "select: the quantile of no scores");
  add_error(quantile_problem("a level beyond 1", {1, 2}, {}, {1.5}),
            "select: quantile level 1.5 lies outside of [0, 1]");
  set.holes = {{"JacobianIsTheDerivative", "what is selected is taken as constant"},
               {"OutputsMayBeInputs", "select.h promises no aliasing"}};
  return set;
}

}  // namespace mt
