#pragma once
// What the selection of rows is tested with.

#include <array>

#include "kernels/common/problem.h"
#include "kernels/gather/gather.h"

namespace mt {

inline std::vector<int64_t> random_indices(int64_t count, int64_t rows, uint64_t seed) {
  RandomStream random(seed, Purpose::test);
  std::vector<int64_t> indices(static_cast<std::size_t>(count));
  for (auto& index : indices) index = static_cast<int64_t>(random.below(static_cast<uint64_t>(rows)));
  return indices;
}

inline ProblemSet<Gather> gather_problems() {
  ProblemSet<Gather> set;
  const auto add = [&](const std::string& name, int64_t rows, int64_t columns,
                       const std::vector<int64_t>& indices, const std::vector<float>& x,
                       const std::vector<float>& terms, bool large = false) {
    const auto count = static_cast<int64_t>(indices.size());
    Problem<Gather> gathered = problem<Gather>(
        "rows " + name, {{x}, {indices}}, {{numbers(count * columns)}},
        [=]<typename T>(const Gather<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
          op.rows(in[0], in.template as<int64_t>(1), out[0], rows, columns, count, nullptr);
        });
    gathered.large = large;
    Problem<Gather> scattered = problem<Gather>(
        "scatter_add_rows " + name, {{terms}, {indices}, {x}}, {{numbers(rows * columns)}},
        [=]<typename T>(const Gather<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
          op.scatter_add_rows(in[0], in.template as<int64_t>(1), out[0], rows, columns, count, nullptr);
        });
    scattered.updated = {{0, 2}};
    // gather.md: k u (|x| + Σ|y|) with k <= count, and both sums at most 1 + count.
    scattered.bound = [count](const Answer&, std::size_t, std::size_t) {
      return kUnitRoundoff * static_cast<double>(count) * (1 + static_cast<double>(count));
    };
    scattered.large = large;
    set.problems.push_back(gathered);
    set.problems.push_back(scattered);
  };
  // {rows, columns, count}: one; few; many sources for a row; none; several blocks; rows without columns; more than one row to an owner
  // of the CUDA version and a last owner with fewer; columns beyond one strip of its threads.
  for (const auto& [rows, columns, count] : {std::array<int64_t, 3>{1, 1, 1},
                                             {5, 7, 3},
                                             {4, 16, 50},
                                             {10, 3, 0},
                                             {90, 33, 1000},
                                             {3, 0, 4},
                                             {520, 3, 530},
                                             {7, 520, 30},
                                             {2, 130, 9}}) {
    add(std::to_string(rows) + "x" + std::to_string(columns) + " by " + std::to_string(count), rows, columns,
        random_indices(count, rows, 2), problem_values(rows * columns, 1),
        problem_values(count * columns, 3));
  }
  add("100x300 by 2000", 100, 300, random_indices(2000, 100, 7), problem_values(100 * 300, 4),
      problem_values(2000 * 300, 6), /*large=*/true);
  add("with NaN and infinities", 2, 3, {1, 0, 1}, {NAN, 1, INFINITY, 2, 3, 4},
      {NAN, 1, 2, 3, 4, 5, 6, -INFINITY, INFINITY});
  set.derivatives.push_back({"4x3 by 6", as_doubles(problem_values(12, 8)),
                             [](const Gather<double>& op, const auto& x) {
                               const std::vector<int64_t> indices{3, 0, 0, 2, 3, 0};
                               std::vector<double> y(18);
                               op.rows(x.data(), indices.data(), y.data(), 4, 3, 6, nullptr);
                               return y;
                             },
                             [](const Gather<double>& op, const auto&, const auto&, const auto& dy) {
                               const std::vector<int64_t> indices{3, 0, 0, 2, 3, 0};
                               std::vector<double> dx(12);
                               op.scatter_add_rows(dy.data(), indices.data(), dx.data(), 4, 3, 6, nullptr);
                               return dx;
                             }});
  set.holes = {{"OutputsMayBeInputs", "gather.h: no aliasing"}};
  return set;
}

}  // namespace mt
