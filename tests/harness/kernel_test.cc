#include "tests/harness/kernel_test.h"

#include <bit>

namespace mt::testing {

void copy_bytes(void* target, const void* source, std::size_t bytes, Device) {
  if (bytes != 0) std::memcpy(target, source, bytes);
}

std::vector<float> uniform_values(int64_t n, uint64_t seed, float low, float high) {
  RandomStream random(seed, Purpose::test);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = random.uniform(low, high);
  return values;
}

std::vector<float> integer_values(int64_t n, uint64_t seed, int limit) {
  RandomStream random(seed, Purpose::test);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) {
    value =
        static_cast<float>(static_cast<int64_t>(random.below(2 * static_cast<uint64_t>(limit) + 1)) - limit);
  }
  return values;
}

std::vector<double> widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

void expect_within(std::span<const float> got, std::span<const double> want,
                   const std::function<double(std::size_t)>& bound, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double value = got[i];
    if (std::isnan(want[i]) && std::isnan(value)) continue;
    if (std::isinf(want[i]) && value == want[i]) continue;
    const double error = std::abs(value - want[i]);
    if (!(error <= bound(i)) && ++wrong <= 5) {
      ADD_FAILURE() << what << "[" << i << "]: got " << value << ", want " << want[i] << ", error " << error
                    << " > bound " << bound(i);
    }
  }
  EXPECT_EQ(wrong, 0U) << what << ": " << wrong << " of " << got.size()
                       << " elements are outside of the bound";
}

void expect_relative(std::span<const float> got, std::span<const double> want, double roundoffs,
                     const std::string& what, double floor) {
  expect_within(
      got, want, [&](std::size_t i) { return kRoundoff * roundoffs * (std::abs(want[i]) + floor); }, what);
}

void expect_same_bits(std::span<const float> a, std::span<const float> b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(a[i]), std::bit_cast<uint32_t>(b[i]))
        << what << "[" << i << "]: " << a[i] << " and " << b[i];
  }
}

std::string device_test_name(const ::testing::TestParamInfo<Device>& info) {
  return name_of(info.param);
}

}  // namespace mt::testing
