#pragma once
// Learning rates as a function of the steps that the schedule has made, and the self-paced ratio.

#include <cstdint>
#include <vector>

namespace mt {

/// A learning-rate schedule with the values of torch.optim.lr_scheduler, to the last bit where torch computes
/// by recursion. It holds no state: rate(n) can be asked in any order, so a resumed run needs only its step
/// count.
class Schedule {
 public:
  static Schedule constant(double base);
  /// CosineAnnealingLR in torch's recursive form; it rises again after `period` steps.
  static Schedule cosine(double base, int64_t period, double minimum = 0);
  /// StepLR: times `factor` every `every` steps.
  static Schedule step(double base, int64_t every, double factor);
  /// MultiStepLR: times `factor` at each of the (ascending) milestones.
  static Schedule multistep(double base, std::vector<int64_t> milestones, double factor);
  /// ExponentialLR.
  static Schedule exponential(double base, double factor);
  /// LinearLR from start_factor * base to base in `steps` steps.
  static Schedule linear_warmup(double base, double start_factor, int64_t steps);
  /// CosineAnnealingWarmRestarts: the first period, each next one `multiplier` times as long.
  static Schedule warm_restarts(double base, int64_t period, int64_t multiplier = 1, double minimum = 0);

  /// The rate after `steps` calls of the scheduler's step(); steps >= 0.
  double rate(int64_t steps) const;

 private:
  enum class Kind { constant, cosine, step, multistep, exponential, linear_warmup, warm_restarts };
  Schedule(Kind kind, double base) : kind_(kind), base_(base) {}
  /// The rate after step number `step`, given the one before it.
  double next(double previous, int64_t step) const;
  double restarted(int64_t steps) const;

  Kind kind_;
  double base_;
  int64_t period_ = 1;
  double factor_ = 1;
  double minimum_ = 0;
  int64_t multiplier_ = 1;
  std::vector<int64_t> milestones_;
};

/// Scheduler steps made before `epoch` when the trainer steps once after each epoch from `first_epoch` on, as
/// the fine-tuning of the paper's code does with first_epoch = 10: such a cosine of period 100 never reaches
/// 0 in 100 epochs.
int64_t steps_from_epoch(int64_t epoch, int64_t first_epoch);

/// Share r of the positives that are used in `epoch`: grows linearly from `first` at the end of warm-up
/// towards `last`, which it would reach at `epochs` (self-paced learning; ItS2CLR, Liu et al. 2023).
double self_paced_ratio(int64_t epoch, int64_t warmup_epochs, int64_t epochs, double first = 0.2,
                        double last = 0.8);

}  // namespace mt
