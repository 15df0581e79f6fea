#pragma once
// Checks of a double reference: against golden arrays, and its backward against finite differences of its
// forward.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tensor/parallel.h"

namespace mt::testing {

/// |got − want| <= relative · (|want| + largest |want|): golden _f64 arrays differ in the order of sums only.
inline void expect_close(const std::vector<double>& got, const std::vector<double>& want,
                         const std::string& what, double relative = 1e-9) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double largest = 0;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::abs(got[i] - want[i]) <= relative * (std::abs(want[i]) + largest))
        << what << "[" << i << "]: got " << got[i] << ", want " << want[i];
  }
}

/// Compares `gradient` with central differences of the scalar function `loss` at x. The step 1e-5 leaves
/// about 1e-10 of truncation and 1e-11 of roundoff for functions of size 1 with derivatives of size 1: the
/// tolerance is 1e-7.
inline void expect_gradient(const std::function<double(const std::vector<double>&)>& loss,
                            std::vector<double> x, const std::vector<double>& gradient,
                            const std::string& what, double tolerance = 1e-7) {
  constexpr double kStep = 1e-5;
  ASSERT_EQ(x.size(), gradient.size()) << what;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double middle = x[i];
    x[i] = middle + kStep;
    const double above = loss(x);
    x[i] = middle - kStep;
    const double below = loss(x);
    x[i] = middle;
    const double want = (above - below) / (2 * kStep);
    EXPECT_TRUE(std::abs(gradient[i] - want) <= tolerance * (1 + std::abs(want)))
        << what << "[" << i << "]: gradient " << gradient[i] << ", finite difference " << want;
  }
}

/// Σ a·b: turns an array into a scalar loss whose gradient with respect to a is b.
inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Runs `compute` with 1, 2 and 3 threads and expects the same bits.
inline void expect_same_bits_for_any_threads(const std::function<std::vector<float>()>& compute) {
  const int before = thread_count();
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    results.push_back(compute());
  }
  set_thread_count(before);
  for (std::size_t t = 1; t < results.size(); ++t) {
    ASSERT_EQ(results[t].size(), results[0].size());
    EXPECT_EQ(std::memcmp(results[t].data(), results[0].data(), results[0].size() * sizeof(float)), 0)
        << "1 and " << t + 1 << " threads differ";
  }
}

}  // namespace mt::testing
