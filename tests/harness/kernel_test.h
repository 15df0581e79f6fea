#pragma once
// What every OP_test.cc uses: the devices to run on, guarded buffers, seeded inputs, and comparison by error
// bound.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/tables.h"
#include "kernels/simt/machine.h"
#include "tensor/allocator.h"
#include "tensor/device.h"
#include "tensor/rng.h"
#include "tensor/sanitizers.h"

namespace mt::testing {

/// Unit roundoff of float.
inline constexpr double kRoundoff = 0x1p-24;

/// Where a test runs: a device, one of its versions of the operation ("" is the one that the front door
/// gives), and on simt the order in which the machine runs threads and blocks.
struct Setting {
  Device device;
  std::string version;
  simt_machine::Schedule schedule;
};

/// A test that runs once per setting. Instantiate with MT_ON_EVERY_DEVICE(SoftmaxTest, mt::Softmax<float>).
class KernelTest : public ::testing::TestWithParam<Setting> {
 protected:
  void SetUp() override;
  void TearDown() override;
  Device device() const { return GetParam().device; }
  /// The setting's version of an operation, where `front_door` is softmax<float>(device()), say.
  template <typename Table>
  const Table& version_of(const Table& front_door) const {
    const std::string& version = GetParam().version;
    return version.empty() ? front_door : device_table<Table>(device(), "this test", version);
  }
  /// `if (skips_large_case()) return;` stands first in a test whose shapes would take the SIMT machine
  /// minutes, and the naive version the PTX machine: the test is skipped there by name, unless
  /// MICROTOME_SIMT_LARGE is set.
  bool skips_large_case() const;
  /// What compute() gives has the same bits always: on simt in the setting's order of threads and blocks and in the ascending one, on the
  /// cpu for 1, 2 and 3 threads, on cuda in two runs.
  void expect_same_bits_always(const std::function<std::vector<float>()>& compute) const;
};

/// Calls run(threads) with 1, 2 and 3 threads set; afterwards there are as many as before.
void for_thread_counts(const std::function<void(int threads)>& run);

/// Whether each access of a kernel is checked to the byte: by ASan on simt, by the PTX machine on cuda.
bool memory_is_checked(Device device);

/// Copies between host memory and a device buffer, in either direction.
void copy_to_device(void* target, const void* source, std::size_t bytes, Device device);
void copy_to_host(void* target, const void* source, std::size_t bytes, Device device);

/// Device memory of n elements between two guard zones, filled with NaN (or 0xFF bytes). The destructor fails
/// the test when a guard was written. Under ASan simt has no guards, and cuda none on the PTX machine: they
/// see reads too.
template <typename T>
class Buffer {
 public:
  Buffer(int64_t n, Device device)
      : n_(n),
        device_(device),
        guard_(memory_is_checked(device) ? 0 : 64),
        host_(static_cast<std::size_t>(n) + 2 * guard_) {
    if (!host_.empty()) std::memset(host_.data(), 0xFF, host_.size() * sizeof(T));
    raw_ = static_cast<T*>(allocator(device).allocate(host_.size() * sizeof(T)));
    copy_to_device(raw_, host_.data(), host_.size() * sizeof(T), device);
  }
  Buffer(const std::vector<T>& values, Device device) : Buffer(static_cast<int64_t>(values.size()), device) {
    copy_to_device(raw_ + guard_, values.data(), values.size() * sizeof(T), device);
  }
  ~Buffer() {
    try {  // a kernel's fault fails this test, and does not end the others
      copy_to_host(host_.data(), raw_, host_.size() * sizeof(T), device_);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    for (std::size_t i = 0; i < guard_; ++i) {
      EXPECT_TRUE(untouched(host_[i]) && untouched(host_[host_.size() - 1 - i]))
          << "a kernel wrote outside of its output";
    }
    allocator(device_).deallocate(raw_, host_.size() * sizeof(T));
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() { return raw_ + guard_; }
  std::vector<T> host() const {
    std::vector<T> values(static_cast<std::size_t>(n_));
    copy_to_host(values.data(), raw_ + guard_, values.size() * sizeof(T), device_);
    return values;
  }

 private:
  static bool untouched(const T& value) {
    unsigned char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    for (const unsigned char byte : bytes) {
      if (byte != 0xFF) return false;
    }
    return true;
  }
  int64_t n_;
  Device device_;
  std::size_t guard_;  // elements; keeps data() aligned to 64 bytes
  T* raw_ = nullptr;
  std::vector<T> host_;
};

/// n floats uniform in [low, high), the same for the same seed for ever.
std::vector<float> uniform_values(int64_t n, uint64_t seed, float low = -1.0F, float high = 1.0F);
/// n small integers in [-limit, limit] as floats: their sums and products are exact.
std::vector<float> integer_values(int64_t n, uint64_t seed, int limit);
std::vector<double> widened(const std::vector<float>& values);

/// Checks |got − want| <= bound(i) for every element with `!(err <= bound)`, so that NaN fails (NaN where the
/// reference has NaN, and equal infinities, pass). Bounds come from roundoff, reduction length and
/// conditioning, never from tuning.
void expect_within(std::span<const float> got, std::span<const double> want,
                   const std::function<double(std::size_t)>& bound, const std::string& what);
/// The same with one relative bound, in units of roundoff, on each element's own magnitude plus `floor`.
void expect_relative(std::span<const float> got, std::span<const double> want, double roundoffs,
                     const std::string& what, double floor = 0);
/// Bitwise equality.
void expect_same_bits(std::span<const float> a, std::span<const float> b, const std::string& what);

/// Devices that may run a test, with every version registered for them. On simt: ascending, reversed and an
/// unfair schedule; with MICROTOME_SIMT_SCHEDULES=all six fair and six unfair ones; with =race two orders
/// under racecheck. cuda is there when it was built; without a GPU its tests are skipped by name.
std::vector<Setting> settings_for(Device device, const std::vector<std::string>& versions);

template <typename Table>
std::vector<Setting> settings_with() {
  std::vector<Setting> settings = settings_for(Device::cpu, {""});
  register_device_operations();
  for (const Device device : {Device::simt, Device::cuda}) {
    std::vector<std::string> versions;
    for (const Version<Table>& version : device_versions<Table>(device)) versions.emplace_back(version.name);
    const auto more = settings_for(device, versions);
    settings.insert(settings.end(), more.begin(), more.end());
  }
  return settings;
}

/// "simt_naive_unfair_2".
std::string setting_name(const ::testing::TestParamInfo<Setting>& info);

}  // namespace mt::testing

#define MT_ON_EVERY_DEVICE(suite, ...)                                                                     \
  INSTANTIATE_TEST_SUITE_P(Devices, suite, ::testing::ValuesIn(mt::testing::settings_with<__VA_ARGS__>()), \
                           mt::testing::setting_name)
