#pragma once
// Figures of merit of binary scores, with the values of scikit-learn 1.2.1. Labels are 0 or 1; any finite
// scores, higher means more positive; equal scores form one step of every curve. All functions throw Error on
// lengths that differ, other labels, and NaN. What needs both classes (or a positive) and has not got them is
// std::nullopt, never a made-up number.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace mt::train {

/// Points from (0,0) to (1,1); thresholds descend, the first is max(scores) + 1 (nothing is called positive).
struct RocCurve {
  std::vector<double> false_positive_rate;
  std::vector<double> true_positive_rate;
  std::vector<double> thresholds;
};
/// `drop_intermediate` leaves out points in the middle of straight pieces. Needs both classes.
std::optional<RocCurve> roc_curve(std::span<const int> labels, std::span<const double> scores,
                                  bool drop_intermediate = true);

/// Area under the ROC curve: the probability that a positive scores above a negative, ties counted half. From
/// exact integer counts. Needs both classes.
std::optional<double> auc(std::span<const int> labels, std::span<const double> scores);

/// One point per distinct score, thresholds ascending, then (precision 1, recall 0) without threshold.
struct PrecisionRecallCurve {
  std::vector<double> precision;
  std::vector<double> recall;
  std::vector<double> thresholds;
};
/// Needs a positive.
std::optional<PrecisionRecallCurve> precision_recall_curve(std::span<const int> labels,
                                                           std::span<const double> scores);
/// Sum of precision times the step in recall; needs a positive.
std::optional<double> average_precision(std::span<const int> labels, std::span<const double> scores);
/// Area under the precision-recall curve by trapezoids (too kind to sparse curves; for comparison). Needs a
/// positive.
std::optional<double> trapezoid_auprc(std::span<const int> labels, std::span<const double> scores);

/// Counts at a threshold.
struct Confusion {
  int64_t true_negative = 0;
  int64_t false_positive = 0;
  int64_t false_negative = 0;
  int64_t true_positive = 0;

  int64_t total() const { return true_negative + false_positive + false_negative + true_positive; }
  // Where a denominator is 0 the value is 0, as scikit-learn's zero_division.
  double accuracy() const;
  double precision() const;
  double recall() const;
  double specificity() const;
  double balanced_accuracy() const { return (recall() + specificity()) / 2; }
  double f1() const;
};
/// A score at or above the threshold is called positive.
Confusion confusion_at(std::span<const int> labels, std::span<const double> scores, double threshold);

struct OperatingPoint {
  double false_positive_rate = 0;
  double true_positive_rate = 0;
  double threshold = 0;
};
/// The first point of the (dropped) ROC curve with the greatest tpr - fpr (Youden's J), as the public code of
/// DSMIL and HNM-WSI chooses it. Needs both classes.
std::optional<OperatingPoint> youden_threshold(std::span<const int> labels, std::span<const double> scores);

struct F1Point {
  double threshold = 0;
  double f1 = 0;
  double precision = 0;
  double recall = 0;
};
/// The lowest threshold with the greatest 2PR/(P+R+1e-10). Needs a positive.
std::optional<F1Point> max_f1_threshold(std::span<const int> labels, std::span<const double> scores);

/// The public code's five scores, at youden_threshold *of the same data*: optimistic when that data is the
/// test set.
struct FiveScores {
  double accuracy = 0;
  double auc = 0;
  double precision = 0;
  double recall = 0;
  double f1 = 0;
  double threshold = 0;
};
std::optional<FiveScores> five_scores(std::span<const int> labels, std::span<const double> scores);

/// Linear between two order statistics, as numpy's default; 0 <= q <= 1; throws on no values or NaN.
double quantile(std::vector<double> values, double q);

}  // namespace mt::train
