#include "tests/harness/kernel_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "kernels/device/device.h"
#include "kernels/simt/memory_guard.h"
#include "kernels/vendor/vendor.h"
#include "tensor/parallel.h"

namespace mt::testing {
namespace {

bool environment_is(const char* name, const char* value) {
  const char* text = std::getenv(name);
  return text != nullptr && std::string(text) == value;
}

bool checks_races() {
  return environment_is("MICROTOME_SIMT_SCHEDULES", "race");
}

/// MICROTOME_WITHOUT_BARRIER=softmax.cu:123 takes that barrier away.
void remove_barrier_by_name() {
  const char* place = std::getenv("MICROTOME_WITHOUT_BARRIER");
  if (place == nullptr) return;
  const std::string text = place;
  const std::size_t colon = text.rfind(':');
  simt_machine::remove_barrier(text.substr(0, colon).c_str(), std::stoi(text.substr(colon + 1)));
}

}  // namespace

void KernelTest::SetUp() {
  if (!device_is_present(device())) GTEST_SKIP() << "no NVIDIA GPU";
  if (GetParam().version.starts_with(kVendorVersion) && !vendor_missing().empty())
    GTEST_SKIP() << GetParam().version << ": " << vendor_missing();
  simt_machine::set_schedule(GetParam().schedule);
  if (checks_races()) simt_machine::set_race_check(true);
  // Launchers that touch the device's memory would crash on a GPU. Sanitizers need heap blocks instead.
  simt_machine::set_memory_guard(device() == Device::simt && !kSanitized);
  remove_barrier_by_name();
}

void KernelTest::TearDown() {
  simt_machine::set_schedule({});
  simt_machine::set_race_check(false);
  simt_machine::set_memory_guard(false);
}

bool KernelTest::skips_large_case() const {
  const bool naive_on_the_ptx_machine =
      GetParam().version == "naive" && device() == Device::cuda && memory_is_checked(device());
  const bool takes_minutes = device() == Device::simt || naive_on_the_ptx_machine;
  if (!takes_minutes || std::getenv("MICROTOME_SIMT_LARGE") != nullptr) return false;
  RecordProperty("hole", "minutes without a GPU: MICROTOME_SIMT_LARGE=1");
  [] { GTEST_SKIP() << "large case: MICROTOME_SIMT_LARGE=1 runs it without a GPU"; }();
  return true;
}

void KernelTest::expect_same_bits_always(const std::function<std::vector<float>()>& compute) const {
  const std::vector<float> first = compute();
  if (device() == Device::cpu) {
    for_thread_counts(
        [&](int threads) { expect_same_bits(first, compute(), fmt::format("threads {}", threads)); });
    return;
  }
  simt_machine::set_schedule({});  // ascending; means nothing to cuda
  expect_same_bits(first, compute(), "this order and ascending");
  simt_machine::set_schedule(GetParam().schedule);
}

void for_thread_counts(const std::function<void(int threads)>& run) {
  const int before = thread_count();
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    run(threads);
  }
  set_thread_count(before);
}

bool memory_is_checked(Device device) {
  if (device == Device::simt) return kAddressSanitizer;
  return device == Device::cuda && device_runtime(device).checks_memory();
}

void copy_to_device(void* target, const void* source, std::size_t bytes, Device device) {
  mt::copy_bytes(target, device, source, Device::cpu, bytes);
}

void copy_to_host(void* target, const void* source, std::size_t bytes, Device device) {
  mt::copy_bytes(target, Device::cpu, source, device, bytes);
}

std::vector<Setting> settings_for(Device device, const std::vector<std::string>& versions) {
  using simt_machine::Order;
  std::vector<simt_machine::Schedule> schedules{{}};
  if (device == Device::simt) {
    schedules = {{Order::ascending, 0}, {Order::reversed, 0}, {Order::unfair, 1}};
    if (checks_races()) schedules = {{Order::ascending, 1}, {Order::reversed, 2}};
    if (environment_is("MICROTOME_SIMT_SCHEDULES", "all")) {
      for (uint64_t seed = 1; seed <= 6; ++seed) {
        schedules.push_back({Order::fair, seed});
        if (seed > 1) schedules.push_back({Order::unfair, seed});
      }
    }
  }
  std::vector<Setting> settings;
  for (const std::string& version : versions) {
    for (const auto& schedule : schedules) settings.push_back({device, version, schedule});
  }
  return settings;
}

std::string setting_name(const ::testing::TestParamInfo<Setting>& info) {
  const Setting& s = info.param;
  std::string name = name_of(s.device);
  if (!s.version.empty()) name += "_" + s.version;
  if (s.device != Device::simt) return name;
  constexpr const char* kOrders[] = {"ascending", "reversed", "fair", "unfair"};
  name += std::string("_") + kOrders[static_cast<std::size_t>(s.schedule.order)];
  return s.schedule.seed == 0 ? name : name + "_" + std::to_string(s.schedule.seed);
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

/// Keeps the largest error over its bound of the running test as a property of its result: what
/// scripts/gpu_report.py compares devices by.
void record_worst(double error_over_bound) {
  static const ::testing::TestInfo* test = nullptr;
  static double worst = 0;
  const auto* running = ::testing::UnitTest::GetInstance()->current_test_info();
  if (running != test) worst = 0;
  test = running;
  worst = std::max(worst, error_over_bound);
  ::testing::Test::RecordProperty("worst_error_over_bound", fmt::format("{:.4g}", worst));
}

void expect_within(std::span<const float> got, std::span<const double> want,
                   const std::function<double(std::size_t)>& bound, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  std::size_t wrong = 0;
  double worst = 0;  // error over bound
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double value = got[i];
    if (std::isnan(want[i]) && std::isnan(value)) continue;
    if (std::isinf(want[i]) && value == want[i]) continue;
    const double error = std::abs(value - want[i]);
    const double allowed = bound(i);
    if (error > 0) worst = std::max(worst, error / allowed);
    if (!(error <= allowed) && ++wrong <= 5) {
      ADD_FAILURE() << what << "[" << i << "]: got " << value << ", want " << want[i] << ", error " << error
                    << " > bound " << allowed;
    }
  }
  record_worst(worst);
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

}  // namespace mt::testing
