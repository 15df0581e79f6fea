#pragma once
// 95 % intervals. Every interval says how it was made, because the honest method depends on the data.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

namespace mt::train {

struct Interval {
  double low = 0;
  double high = 1;
  std::string method;
};

struct BootstrapOptions {
  int64_t resamples = 2000;
  uint64_t seed = 0;
};

/// Interval of the AUC by the percentile bootstrap: positives and negatives are resampled apart, so that
/// every resample has both classes. Where `case_ids` (one per item) is given, whole cases are resampled,
/// those with a positive item apart from the others: slides of one patient are not independent. At AUC 1 (or
/// 0) every resample gives the same AUC. Then the bound is exact and one-sided: m disjoint pairs of a
/// positive and a negative were all in order, which has probability AUC^m, so AUC >= 0.05^(1/m) with 95 %
/// confidence; m is the largest number of such pairs (of different cases). std::nullopt when only one class
/// is there. The same for any number of threads.
std::optional<Interval> auc_interval(std::span<const int> labels, std::span<const double> scores,
                                     const BootstrapOptions& options = {},
                                     std::span<const std::string> case_ids = {});

/// A figure of labels and scores that may be undefined.
using Statistic = std::function<std::optional<double>(std::span<const int>, std::span<const double>)>;

/// The same bootstrap for any statistic (average precision, F1 at a fixed threshold, …). Where all resamples
/// give one value, the method says that the bootstrap collapsed. std::nullopt when the statistic is
/// undefined, or undefined in more than half of the resamples. `statistic` is called from several threads.
std::optional<Interval> bootstrap_interval(std::span<const int> labels, std::span<const double> scores,
                                           const Statistic& statistic, const BootstrapOptions& options = {},
                                           std::span<const std::string> case_ids = {});

/// Wilson's score interval of a proportion of independent trials (accuracy, recall, specificity, …); it does
/// not collapse at 0 or 1. E. B. Wilson, J. Am. Stat. Assoc. 22 (1927). std::nullopt without trials.
std::optional<Interval> proportion_interval(int64_t successes, int64_t trials);

}  // namespace mt::train
