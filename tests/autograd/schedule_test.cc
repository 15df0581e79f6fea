#include "autograd/schedule.h"

#include <gtest/gtest.h>

#include "tensor/io/npz.h"
#include "tests/harness/places.h"

namespace mt {
namespace {

// Recursions repeat one rounding per step; torch and we differ at most in the last bit of each.
constexpr double kBitsPerStep = 4 * 0x1p-53;

void expect_golden(const char* name, const std::function<double(int64_t)>& rate, int64_t first_epoch = 0) {
  SCOPED_TRACE(name);
  const NpzFile golden(testing::golden_path("lr_schedules.npz"));
  const Tensor expected = golden[name];  // (epochs)
  for (int64_t i = 0; i < expected.numel(); ++i) {
    const double value = expected.data<double>()[i];
    const double actual = rate(first_epoch + i);
    ASSERT_TRUE(std::abs(actual - value) <= kBitsPerStep * static_cast<double>(i + 1) * value)
        << "epoch " << first_epoch + i << ": " << actual << " instead of " << value;
  }
}

TEST(ScheduleTest, MatchesTorch) {
  const auto rate_of = [](const Schedule& schedule) {
    return [schedule](int64_t epoch) { return schedule.rate(epoch); };
  };
  expect_golden("cosine_T100_lr0.01_120", rate_of(Schedule::cosine(0.01, 100)));
  expect_golden("cosine_T50_min1e-4", rate_of(Schedule::cosine(0.1, 50, 1e-4)));
  expect_golden("steplr75_0.5_every1", rate_of(Schedule::step(2e-4, 75, 0.5)));
  expect_golden("multistep_30_60_90", rate_of(Schedule::multistep(0.1, {30, 60, 90}, 0.1)));
  expect_golden("exp_0.97", rate_of(Schedule::exponential(0.01, 0.97)));
  expect_golden("linear_warm5", rate_of(Schedule::linear_warmup(0.01, 0.1, 5)));
  expect_golden("warmrestarts_T10_mult2", rate_of(Schedule::warm_restarts(0.01, 10, 2)));
}

TEST(ScheduleTest, MatchesTheReferenceTrainer) {
  const Schedule halving = Schedule::step(2e-4, 75, 0.5);
  expect_golden("steplr75_0.5_every2", [&](int64_t epoch) { return halving.rate(2 * epoch); });
  const Schedule cosine = Schedule::cosine(0.01, 100);
  expect_golden("trainer_cosine_from10",
                [&](int64_t epoch) { return cosine.rate(steps_from_epoch(epoch, 10)); });
  expect_golden(
      "spl_ratio", [](int64_t epoch) { return self_paced_ratio(epoch, 5, 100); }, 5);
}

TEST(ScheduleTest, RefusesWhatHasNoMeaning) {
  EXPECT_THROW(Schedule::cosine(0.1, 0), Error);
  EXPECT_THROW(Schedule::multistep(0.1, {30, 10}, 0.1), Error);
  EXPECT_THROW(Schedule::constant(0.1).rate(-1), Error);
  EXPECT_THROW(self_paced_ratio(3, 5, 5), Error);
}

}  // namespace
}  // namespace mt
