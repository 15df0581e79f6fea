#include "train/figures/metrics.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"
#include "train/figures/ranking.h"

namespace mt::train {
namespace {

// Of each distinct score, descending.
struct CumulativeCounts {
  std::vector<int64_t> false_positives;
  std::vector<int64_t> true_positives;
  std::vector<double> thresholds;
  int64_t negatives() const { return false_positives.empty() ? 0 : false_positives.back(); }
  int64_t positives() const { return true_positives.empty() ? 0 : true_positives.back(); }
};

CumulativeCounts cumulative_counts(std::span<const int> labels, std::span<const double> scores) {
  CumulativeCounts counts;
  Ranking(labels, scores).for_each_step([&](double score, int64_t true_positives, int64_t false_positives) {
    counts.true_positives.push_back(true_positives);
    counts.false_positives.push_back(false_positives);
    counts.thresholds.push_back(score);
  });
  return counts;
}

double ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Whether point i of the counts lies in the middle of a straight piece, where both second differences vanish.
bool is_intermediate(const CumulativeCounts& counts, std::size_t i) {
  if (i == 0 || i + 1 == counts.thresholds.size()) return false;
  const auto bend = [i](const std::vector<int64_t>& values) {
    return values[i + 1] - 2 * values[i] + values[i - 1];
  };
  return bend(counts.false_positives) == 0 && bend(counts.true_positives) == 0;
}

double trapezoids(std::span<const double> y, std::span<const double> x) {
  double area = 0;
  for (std::size_t i = 1; i < x.size(); ++i) area += (x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2;
  return area;
}

}  // namespace

std::optional<RocCurve> roc_curve(std::span<const int> labels, std::span<const double> scores,
                                  bool drop_intermediate) {
  const CumulativeCounts counts = cumulative_counts(labels, scores);
  if (counts.negatives() == 0 || counts.positives() == 0) return std::nullopt;
  RocCurve curve{{0.0}, {0.0}, {counts.thresholds.front() + 1}};
  for (std::size_t i = 0; i < counts.thresholds.size(); ++i) {
    if (drop_intermediate && is_intermediate(counts, i)) continue;
    curve.false_positive_rate.push_back(ratio(counts.false_positives[i], counts.negatives()));
    curve.true_positive_rate.push_back(ratio(counts.true_positives[i], counts.positives()));
    curve.thresholds.push_back(counts.thresholds[i]);
  }
  return curve;
}

std::optional<double> auc(std::span<const int> labels, std::span<const double> scores) {
  const Ranking ranking(labels, scores);
  if (ranking.negatives() == 0 || ranking.positives() == 0) return std::nullopt;
  // A negative loses against every positive above it and half against those that tie with it.
  double twice_wins = 0;
  int64_t positives_above = 0;
  int64_t negatives_above = 0;
  ranking.for_each_step([&](double, int64_t true_positives, int64_t false_positives) {
    twice_wins += static_cast<double>(false_positives - negatives_above) *
                  static_cast<double>(positives_above + true_positives);
    positives_above = true_positives;
    negatives_above = false_positives;
  });
  return twice_wins /
         (2 * static_cast<double>(ranking.positives()) * static_cast<double>(ranking.negatives()));
}

std::optional<PrecisionRecallCurve> precision_recall_curve(std::span<const int> labels,
                                                           std::span<const double> scores) {
  const CumulativeCounts counts = cumulative_counts(labels, scores);
  if (counts.positives() == 0) return std::nullopt;
  PrecisionRecallCurve curve;
  for (std::size_t i = counts.thresholds.size(); i-- > 0;) {
    const int64_t called = counts.true_positives[i] + counts.false_positives[i];
    curve.precision.push_back(ratio(counts.true_positives[i], called));
    curve.recall.push_back(ratio(counts.true_positives[i], counts.positives()));
    curve.thresholds.push_back(counts.thresholds[i]);
  }
  curve.precision.push_back(1);
  curve.recall.push_back(0);
  return curve;
}

std::optional<double> average_precision(std::span<const int> labels, std::span<const double> scores) {
  const Ranking ranking(labels, scores);
  if (ranking.positives() == 0) return std::nullopt;
  double area = 0;
  double recall_above = 0;
  ranking.for_each_step([&](double, int64_t true_positives, int64_t false_positives) {
    const double recall = ratio(true_positives, ranking.positives());
    area += (recall - recall_above) * ratio(true_positives, true_positives + false_positives);
    recall_above = recall;
  });
  return area;
}

std::optional<double> trapezoid_auprc(std::span<const int> labels, std::span<const double> scores) {
  const auto curve = precision_recall_curve(labels, scores);
  if (!curve) return std::nullopt;
  return -trapezoids(curve->precision, curve->recall);  // recall descends
}

double Confusion::accuracy() const {
  return ratio(true_negative + true_positive, total());
}
double Confusion::precision() const {
  return ratio(true_positive, true_positive + false_positive);
}
double Confusion::recall() const {
  return ratio(true_positive, true_positive + false_negative);
}
double Confusion::specificity() const {
  return ratio(true_negative, true_negative + false_positive);
}
double Confusion::f1() const {
  return ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative);
}

Confusion confusion_at(std::span<const int> labels, std::span<const double> scores, double threshold) {
  check_labels_and_scores(labels, scores);
  Confusion counts;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const bool called = scores[i] >= threshold;
    if (labels[i] == 1) {
      ++(called ? counts.true_positive : counts.false_negative);
    } else {
      ++(called ? counts.false_positive : counts.true_negative);
    }
  }
  return counts;
}

std::optional<OperatingPoint> youden_threshold(std::span<const int> labels, std::span<const double> scores) {
  const auto curve = roc_curve(labels, scores);
  if (!curve) return std::nullopt;
  std::size_t best = 0;
  const auto loss = [&](std::size_t i) {
    return curve->false_positive_rate[i] - curve->true_positive_rate[i];
  };
  for (std::size_t i = 1; i < curve->thresholds.size(); ++i) {
    if (loss(i) < loss(best)) best = i;
  }
  return OperatingPoint{curve->false_positive_rate[best], curve->true_positive_rate[best],
                        curve->thresholds[best]};
}

std::optional<F1Point> max_f1_threshold(std::span<const int> labels, std::span<const double> scores) {
  const auto curve = precision_recall_curve(labels, scores);
  if (!curve) return std::nullopt;
  F1Point best{.threshold = curve->thresholds.front(), .f1 = -1};
  for (std::size_t i = 0; i < curve->thresholds.size(); ++i) {
    const double precision = curve->precision[i];
    const double recall = curve->recall[i];
    const double f1 = 2 * precision * recall / (precision + recall + 1e-10);
    if (f1 > best.f1) best = {curve->thresholds[i], f1, precision, recall};
  }
  return best;
}

std::optional<FiveScores> five_scores(std::span<const int> labels, std::span<const double> scores) {
  const auto point = youden_threshold(labels, scores);
  if (!point) return std::nullopt;
  const Confusion counts = confusion_at(labels, scores, point->threshold);
  return FiveScores{counts.accuracy(), *auc(labels, scores), counts.precision(),
                    counts.recall(),   counts.f1(),          point->threshold};
}

double quantile(std::vector<double> values, double q) {
  check(!values.empty() && q >= 0 && q <= 1, "quantile: {} of {} values", q, values.size());
  for (const double value : values) check(!std::isnan(value), "quantile: a value is NaN");
  const double position = q * static_cast<double>(values.size() - 1);
  const auto lower = static_cast<std::size_t>(position);
  const auto below = values.begin() + static_cast<std::ptrdiff_t>(lower);
  std::nth_element(values.begin(), below, values.end());
  if (lower + 1 == values.size()) return *below;
  const double above = *std::min_element(below + 1, values.end());
  return *below + (above - *below) * (position - static_cast<double>(lower));
}

}  // namespace mt::train
