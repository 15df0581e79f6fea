#pragma once
// What stable compaction is tested with.

#include <limits>

#include "kernels/common/problem.h"
#include "kernels/compact/compact.h"

namespace mt {

/// indices, and how many; with slides and patches beside the scores also the triples.
inline void add_compact(ProblemSet<Compact>& set, const std::string& name, const std::vector<float>& scores,
                        const std::vector<uint8_t>& mask, double value, bool large = false,
                        const std::string& error = {}) {
  const auto n = static_cast<int64_t>(scores.size());
  const bool masked = !mask.empty();
  std::vector<int32_t> slides(scores.size());
  std::vector<int64_t> patches(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    slides[i] = static_cast<int32_t>(i / 1000);
    patches[i] = static_cast<int64_t>(i % 1000) + (int64_t{1} << 40);
  }
  for (const Threshold kind : {Threshold::at_least, Threshold::above}) {
    const std::string what = std::string(kind == Threshold::above ? " above " : " at least ") +
                             std::to_string(value) + ", " + name;
    Problem<Compact> indices = problem<Compact>(
        "indices" + what, {{scores}, {mask}}, {{patches}, on_host(std::vector<int64_t>(1))},
        [=]<typename T>(const Compact<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
          *out.template as<int64_t>(1) = op.indices(in[0], masked ? in.template as<uint8_t>(1) : nullptr, n,
                                                    kind, value, out.template as<int64_t>(0), nullptr);
        });
    Problem<Compact> triples = problem<Compact>(
        "triples" + what, {{scores}, {mask}, {slides}, {patches}},
        {{slides}, {patches}, {numbers(n)}, on_host(std::vector<int64_t>(1))},
        [=]<typename T>(const Compact<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
          *out.template as<int64_t>(3) =
              op.triples(in.template as<int32_t>(2), in.template as<int64_t>(3), in[0],
                         masked ? in.template as<uint8_t>(1) : nullptr, n, kind, value,
                         out.template as<int32_t>(0), out.template as<int64_t>(1), out[2], nullptr);
        });
    for (Problem<Compact>* p : {&indices, &triples}) {
      if (p == &triples && kind == Threshold::above && n > 100)
        continue;  // the rows are those of the indices
      p->large = large;
      p->error = error;
      set.problems.push_back(*p);
    }
  }
}

inline ProblemSet<Compact> compact_problems() {
  ProblemSet<Compact> set;
  const auto mask_of = [](std::size_t n, std::size_t step) {
    std::vector<uint8_t> mask(n);
    for (std::size_t i = 0; i < n; ++i) mask[i] = i % step == 0 ? 0 : 255;
    return mask;
  };
  for (const int64_t n : {0, 1, 17, 1023, 1024, 1025, 2500, 65535, 65537,
                          200000}) {  // chunks of the CPU's 65,536; several of the GPU's blocks
    const auto scores = problem_values(n, static_cast<uint64_t>(n), 0, 1);
    if (n != 1025) add_compact(set, std::to_string(n), scores, {}, 0.3, n > 10000);
    add_compact(set, std::to_string(n) + " masked", scores, mask_of(scores.size(), 3), 0.9, n > 10000);
  }
  const float third = 1.0F / 3;
  const std::vector<float> close{std::nextafter(third, 0.0F), third, std::nextafter(third, 1.0F), -0.0F,
                                 0.0F};
  const auto wide = static_cast<double>(third);
  for (const double value : {wide, std::nextafter(wide, 0.0), std::nextafter(wide, 1.0), 0.0, -0.0}) {
    add_compact(set, "compared exactly", close, {}, value);
  }
  const float huge = std::numeric_limits<float>::max();
  for (const double value : {1e300, -1e300, static_cast<double>(huge), HUGE_VAL, -HUGE_VAL}) {
    add_compact(set, "huge", {huge, -huge, HUGE_VALF, -HUGE_VALF, 0}, {}, value);
  }
  add_compact(set, "ties keep their order", {1, 2, 1, 2, 2}, {}, 2);
  for (const std::size_t n : {std::size_t{2500}, std::size_t{70000}}) {
    std::vector<float> scores(n, 1);
    scores[n - 10] = scores[n * 7 / 10] = NAN;
    add_compact(set, "NaN is an error that names the first row", scores, {}, 0.5, n > 10000,
                "compact: the score of row " + std::to_string(n * 7 / 10) + " is NaN");
    std::vector<uint8_t> mask(n, 1);
    mask[n - 10] = mask[n * 7 / 10] = 0;
    add_compact(set, "NaN in rows that take no part", scores, mask, 0.5, n > 10000);
  }
  set.holes = {
      {"JacobianIsTheDerivative", "indices have no gradient"},
      {"OutputsMayBeInputs", "triples go onto themselves all three together: TriplesOntoThemselves"}};
  return set;
}

}  // namespace mt
