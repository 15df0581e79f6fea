#include "train/figures/intervals.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "tensor/check.h"
#include "tensor/parallel.h"
#include "tensor/rng.h"
#include "train/figures/metrics.h"

namespace mt::train {
namespace {

using Indices = std::vector<std::size_t>;

// What is drawn together: an item, or all items of a case. Units with a positive item are drawn apart from
// the others.
struct Strata {
  std::vector<Indices> with_positive;
  std::vector<Indices> without_positive;
  int64_t mixed = 0;  // units of the first kind that hold a negative too
};

Strata strata_of(std::span<const int> labels, std::span<const std::string> case_ids) {
  check(case_ids.empty() || case_ids.size() == labels.size(), "interval: {} case ids for {} items",
        case_ids.size(), labels.size());
  std::vector<Indices> units;
  std::map<std::string, std::size_t> unit_of_case;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const bool joins = !case_ids.empty() && !unit_of_case.emplace(case_ids[i], units.size()).second;
    if (joins) {
      units[unit_of_case[case_ids[i]]].push_back(i);
    } else {
      units.push_back({i});
    }
  }
  Strata strata;
  for (Indices& unit : units) {
    const auto positives =
        std::count_if(unit.begin(), unit.end(), [&](std::size_t i) { return labels[i] == 1; });
    if (positives != 0 && positives < static_cast<std::ptrdiff_t>(unit.size())) ++strata.mixed;
    (positives != 0 ? strata.with_positive : strata.without_positive).push_back(std::move(unit));
  }
  return strata;
}

// Calls take(item) for every item of a resample: as many units of each stratum as there are, with
// replacement.
template <typename Take>
void resample(const Strata& strata, uint64_t seed, int64_t number, Take take) {
  RandomStream random(seed, Purpose::bootstrap, 0, static_cast<uint64_t>(number));
  for (const auto* stratum : {&strata.with_positive, &strata.without_positive}) {
    for (std::size_t draw = 0; draw < stratum->size(); ++draw) {
      for (const std::size_t item : (*stratum)[random.below(stratum->size())]) take(item);
    }
  }
}

// The rank of each score among the distinct scores.
std::vector<std::size_t> tie_groups(std::span<const double> scores, std::size_t& count) {
  std::vector<double> distinct(scores.begin(), scores.end());
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  count = distinct.size();
  std::vector<std::size_t> groups;
  groups.reserve(scores.size());
  for (const double score : scores) {
    groups.push_back(static_cast<std::size_t>(std::lower_bound(distinct.begin(), distinct.end(), score) -
                                              distinct.begin()));
  }
  return groups;
}

// AUC from the numbers of positives and negatives in each tie group, ascending; linear in the groups.
std::optional<double> auc_of_counts(std::span<const int64_t> positives, std::span<const int64_t> negatives) {
  double twice_wins = 0;
  int64_t positives_total = 0;
  int64_t negatives_below = 0;
  for (std::size_t g = 0; g < positives.size(); ++g) {
    twice_wins += static_cast<double>(positives[g]) * static_cast<double>(2 * negatives_below + negatives[g]);
    positives_total += positives[g];
    negatives_below += negatives[g];
  }
  if (positives_total == 0 || negatives_below == 0) return std::nullopt;
  return twice_wins / (2 * static_cast<double>(positives_total) * static_cast<double>(negatives_below));
}

std::string bootstrap_name(const BootstrapOptions& options, bool clustered) {
  return fmt::format("{}stratified bootstrap, {} resamples, seed {}", clustered ? "case-clustered " : "",
                     options.resamples, options.seed);
}

// 2.5 % and 97.5 % of the values that are defined.
std::optional<Interval> percentile_interval(const std::vector<std::optional<double>>& values,
                                            std::string method) {
  std::vector<double> defined;
  for (const auto& value : values) {
    if (value) defined.push_back(*value);
  }
  if (2 * defined.size() < values.size() || defined.empty()) return std::nullopt;
  Interval interval{quantile(defined, 0.025), quantile(defined, 0.975), std::move(method)};
  const auto [least, most] = std::minmax_element(defined.begin(), defined.end());
  if (*least == *most) interval.method += "; collapsed: every resample gives the same value";
  return interval;
}

// The most disjoint pairs of a unit that gives a positive and another that gives a negative.
int64_t independent_pairs(const Strata& strata) {
  const auto positive = static_cast<int64_t>(strata.with_positive.size());
  const auto negative = static_cast<int64_t>(strata.without_positive.size()) + strata.mixed;
  return std::min({positive, negative, (positive + negative - strata.mixed) / 2});
}

Interval one_sided_bound(double value, int64_t pairs) {
  const double bound = pairs == 0 ? 0.0 : std::pow(0.05, 1.0 / static_cast<double>(pairs));
  return {value == 1 ? bound : 0.0, value == 1 ? 1.0 : 1 - bound,
          fmt::format(
              "exact one-sided 95 % bound from {} independent pairs (the bootstrap collapses at AUC {:.0f})",
              pairs, value)};
}

}  // namespace

std::optional<Interval> auc_interval(std::span<const int> labels, std::span<const double> scores,
                                     const BootstrapOptions& options, std::span<const std::string> case_ids) {
  const auto value = auc(labels, scores);
  if (!value) return std::nullopt;
  check(options.resamples > 0, "interval: {} resamples", options.resamples);
  const Strata strata = strata_of(labels, case_ids);
  if (*value == 0 || *value == 1) return one_sided_bound(*value, independent_pairs(strata));
  std::size_t group_count = 0;
  const std::vector<std::size_t> groups = tie_groups(scores, group_count);
  std::vector<std::optional<double>> values(static_cast<std::size_t>(options.resamples));
  parallel_for(options.resamples, 64, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> positives(group_count);
    std::vector<int64_t> negatives(group_count);
    for (int64_t r = begin; r < end; ++r) {
      std::fill(positives.begin(), positives.end(), 0);
      std::fill(negatives.begin(), negatives.end(), 0);
      resample(strata, options.seed, r,
               [&](std::size_t item) { ++(labels[item] == 1 ? positives : negatives)[groups[item]]; });
      values[static_cast<std::size_t>(r)] = auc_of_counts(positives, negatives);
    }
  });
  return percentile_interval(values, bootstrap_name(options, !case_ids.empty()));
}

std::optional<Interval> bootstrap_interval(std::span<const int> labels, std::span<const double> scores,
                                           const Statistic& statistic, const BootstrapOptions& options,
                                           std::span<const std::string> case_ids) {
  check(labels.size() == scores.size(), "interval: {} labels for {} scores", labels.size(), scores.size());
  check(options.resamples > 0, "interval: {} resamples", options.resamples);
  if (!statistic(labels, scores)) return std::nullopt;
  const Strata strata = strata_of(labels, case_ids);
  std::vector<std::optional<double>> values(static_cast<std::size_t>(options.resamples));
  parallel_for(options.resamples, 16, [&](int64_t begin, int64_t end) {
    std::vector<int> drawn_labels;
    std::vector<double> drawn_scores;
    for (int64_t r = begin; r < end; ++r) {
      drawn_labels.clear();
      drawn_scores.clear();
      resample(strata, options.seed, r, [&](std::size_t item) {
        drawn_labels.push_back(labels[item]);
        drawn_scores.push_back(scores[item]);
      });
      values[static_cast<std::size_t>(r)] = statistic(drawn_labels, drawn_scores);
    }
  });
  return percentile_interval(values, bootstrap_name(options, !case_ids.empty()));
}

std::optional<Interval> proportion_interval(int64_t successes, int64_t trials) {
  check(successes >= 0 && successes <= trials, "interval: {} successes of {} trials", successes, trials);
  if (trials == 0) return std::nullopt;
  constexpr double kZ = 1.959963984540054;  // 97.5 % of the standard normal
  const auto n = static_cast<double>(trials);
  const double share = static_cast<double>(successes) / n;
  const double scale = 1 + kZ * kZ / n;
  const double centre = (share + kZ * kZ / (2 * n)) / scale;
  const double half = kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n)) / scale;
  return Interval{successes == 0 ? 0 : std::max(0.0, centre - half),
                  successes == trials ? 1 : std::min(1.0, centre + half), "Wilson score interval"};
}

}  // namespace mt::train
