#include "autograd/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/check.h"

namespace mt {

Schedule Schedule::constant(double base) {
  return {Kind::constant, base};
}

Schedule Schedule::cosine(double base, int64_t period, double minimum) {
  check(period > 0, "cosine schedule: period {}", period);
  Schedule schedule(Kind::cosine, base);
  schedule.period_ = period;
  schedule.minimum_ = minimum;
  return schedule;
}

Schedule Schedule::step(double base, int64_t every, double factor) {
  check(every > 0, "step schedule: every {} steps", every);
  Schedule schedule(Kind::step, base);
  schedule.period_ = every;
  schedule.factor_ = factor;
  return schedule;
}

Schedule Schedule::multistep(double base, std::vector<int64_t> milestones, double factor) {
  check(std::is_sorted(milestones.begin(), milestones.end()),
        "multistep schedule: the milestones do not ascend");
  Schedule schedule(Kind::multistep, base);
  schedule.milestones_ = std::move(milestones);
  schedule.factor_ = factor;
  return schedule;
}

Schedule Schedule::exponential(double base, double factor) {
  Schedule schedule(Kind::exponential, base);
  schedule.factor_ = factor;
  return schedule;
}

Schedule Schedule::linear_warmup(double base, double start_factor, int64_t steps) {
  check(start_factor > 0 && start_factor <= 1 && steps > 0, "linear warm-up: from {} of the rate in {} steps",
        start_factor, steps);
  Schedule schedule(Kind::linear_warmup, base);
  schedule.factor_ = start_factor;
  schedule.period_ = steps;
  return schedule;
}

Schedule Schedule::warm_restarts(double base, int64_t period, int64_t multiplier, double minimum) {
  check(period > 0 && multiplier > 0, "warm restarts: period {} times {}", period, multiplier);
  Schedule schedule(Kind::warm_restarts, base);
  schedule.period_ = period;
  schedule.multiplier_ = multiplier;
  schedule.minimum_ = minimum;
  return schedule;
}

double Schedule::rate(int64_t steps) const {
  check(steps >= 0, "schedule: {} steps", steps);
  if (kind_ == Kind::constant) return base_;
  if (kind_ == Kind::warm_restarts) return restarted(steps);
  double rate = kind_ == Kind::linear_warmup ? base_ * factor_ : base_;
  for (int64_t step = 1; step <= steps; ++step) rate = next(rate, step);
  return rate;
}

double Schedule::next(double previous, int64_t step) const {
  constexpr double kPi = std::numbers::pi;
  const auto period = static_cast<double>(period_);
  switch (kind_) {
    case Kind::cosine: {
      // At the trough the quotient below would be 0/0; torch adds the first rise there.
      if ((step - 1 - period_) % (2 * period_) == 0) {
        return previous + (base_ - minimum_) * (1 - std::cos(kPi / period)) / 2;
      }
      const double now = 1 + std::cos(kPi * static_cast<double>(step) / period);
      const double before = 1 + std::cos(kPi * static_cast<double>(step - 1) / period);
      return now / before * (previous - minimum_) + minimum_;
    }
    case Kind::step:
      return step % period_ == 0 ? previous * factor_ : previous;
    case Kind::multistep: {
      const auto times = std::count(milestones_.begin(), milestones_.end(), step);
      return times == 0 ? previous : previous * std::pow(factor_, static_cast<double>(times));
    }
    case Kind::exponential:
      return previous * factor_;
    case Kind::linear_warmup: {
      if (step > period_) return previous;
      const double rise = 1 - factor_;
      return previous * (1 + rise / (period * factor_ + static_cast<double>(step - 1) * rise));
    }
    case Kind::constant:
    case Kind::warm_restarts:
      break;
  }
  return previous;
}

double Schedule::restarted(int64_t steps) const {
  int64_t period = period_;
  while (steps >= period) {
    steps -= period;
    period *= multiplier_;
  }
  const double angle = std::numbers::pi * static_cast<double>(steps) / static_cast<double>(period);
  return minimum_ + (base_ - minimum_) * (1 + std::cos(angle)) / 2;
}

int64_t steps_from_epoch(int64_t epoch, int64_t first_epoch) {
  return std::max<int64_t>(epoch - first_epoch, 0);
}

double self_paced_ratio(int64_t epoch, int64_t warmup_epochs, int64_t epochs, double first, double last) {
  check(warmup_epochs < epochs, "self-paced ratio: {} warm-up epochs of {}", warmup_epochs, epochs);
  const double progress =
      static_cast<double>(epoch - warmup_epochs) / static_cast<double>(epochs - warmup_epochs);
  return first + (last - first) * std::clamp(progress, 0.0, 1.0);
}

}  // namespace mt
