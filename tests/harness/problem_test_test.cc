// The checks that are made from problems must find what they are for: each fault below is named, and its faultless twin passes.

#include <gtest/gtest-spi.h>

#include "tests/harness/problem_test.h"

namespace mt::testing {
namespace {

using Floats = std::vector<float>;

std::vector<Values> answers(const std::function<void(float* in, float* out)>& call, std::size_t offset = 0,
                            const std::vector<InPlace>& in_place = {}) {
  const PlacedCall placed(
      {{Floats{1, 2, 3}}}, {{Floats(3)}}, Device::cpu, [=](std::size_t) { return offset; }, in_place);
  call(placed.inputs<float>()[0], placed.outputs<float>()[0]);
  return placed.answers();
}

void doubled(const float* in, float* out) {
  for (int i = 0; i < 3; ++i) out[i] = 2 * in[i];
}

const std::vector<Values> kWant{Values(std::vector<double>{2, 4, 6})};
double exact(std::size_t, std::size_t) {
  return 0;
}

/// The messages of the checks that fail in `run`.
std::string failures_of(const std::function<void()>& run) {
  ::testing::TestPartResultArray results;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    run();
  }
  std::string all;
  for (int i = 0; i < results.size(); ++i) all += results.GetTestPartResult(i).message();
  return all;
}

void expect_found(const std::function<void()>& run, const std::string& fault) {
  EXPECT_NE(failures_of(run).find(fault), std::string::npos) << failures_of(run);
}

TEST(ProblemTestTest, AWrongElementIsFound) {
  expect_answers(answers(doubled), kWant, exact, "faultless");
  const auto wrong = answers([](float* in, float* out) {
    doubled(in, out);
    out[1] = 4.5F;
  });
  expect_found([&] { expect_answers(wrong, kWant, exact, "faulty"); }, "faulty, output 0");
  expect_found([&] { expect_equal_answers(wrong, answers(doubled), "two runs"); },
               "two runs: output 0 differs");
}

TEST(ProblemTestTest, AnElementThatWasNotWrittenIsFound) {
  const auto wrong = answers([](float* in, float* out) { out[0] = 2 * in[0]; });
  expect_found([&] { expect_answers(wrong, kWant, exact, "faulty"); },
               "2 of 3 elements are outside of the bound");
}

TEST(ProblemTestTest, WritesInFrontOfAnOutputAndBehindItAreFound) {
  for (const int at : {-1, 3}) {
    const auto run = [at] {
      answers(
          [at](float* in, float* out) {
            doubled(in, out);
            out[at] = 0;
          },
          2);
    };
    expect_found(run, "a kernel wrote");
  }
}

TEST(ProblemTestTest, ACallThatReadsWhatItHasWrittenDiffersInPlace) {
  const auto reversed = [](const float* in, float* out) {
    for (int i = 0; i < 3; ++i) out[i] = in[2 - i];
  };
  expect_equal_answers(answers(doubled, 0, {{0, 0}}), answers(doubled), "faultless");
  const auto apart = answers(reversed);
  const auto in_place = answers(reversed, 0, {{0, 0}});
  expect_found([&] { expect_equal_answers(in_place, apart, "in place"); }, "differs");
}

TEST(ProblemTestTest, AWrongDerivativeIsFound) {
  const auto square = [](const std::vector<double>& x) { return std::vector<double>{x[0] * x[0]}; };
  expect_jacobian(
      square, [](const auto&, const auto& dy) { return std::vector<double>{2 * 3 * dy[0]}; }, {3},
      "faultless");
  const auto check_wrong = [&] {
    expect_jacobian(
        square, [](const auto&, const auto& dy) { return std::vector<double>{6.001 * dy[0]}; }, {3},
        "faulty");
  };
  expect_found(check_wrong, "faulty: dy0/dx0");
}

}  // namespace
}  // namespace mt::testing
