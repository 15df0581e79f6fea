#pragma once
// What every OP_test.cc uses: the devices to run on, guarded buffers, seeded inputs, and comparison by error
// bound.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tensor/allocator.h"
#include "tensor/device.h"
#include "tensor/rng.h"

namespace mt::testing {

/// Unit roundoff of float.
inline constexpr double kRoundoff = 0x1p-24;

/// A test that runs once per device. Instantiate with MT_ON_EVERY_DEVICE(SoftmaxTest, mt::Softmax<float>).
class KernelTest : public ::testing::TestWithParam<Device> {
 protected:
  Device device() const { return GetParam(); }
};

/// Copies between host memory and a device buffer; plain memcpy for cpu and simt.
void copy_bytes(void* target, const void* source, std::size_t bytes, Device device);

/// Device memory of n elements between two guard zones, filled with NaN (or 0xFF bytes). The destructor fails
/// the test when a guard was written.
template <typename T>
class Buffer {
 public:
  Buffer(int64_t n, Device device) : n_(n), device_(device), host_(static_cast<std::size_t>(n) + 2 * kGuard) {
    std::memset(host_.data(), 0xFF, host_.size() * sizeof(T));
    raw_ = static_cast<T*>(allocator(device).allocate(host_.size() * sizeof(T)));
    copy_bytes(raw_, host_.data(), host_.size() * sizeof(T), device);
  }
  Buffer(const std::vector<T>& values, Device device) : Buffer(static_cast<int64_t>(values.size()), device) {
    copy_bytes(raw_ + kGuard, values.data(), values.size() * sizeof(T), device);
  }
  ~Buffer() {
    copy_bytes(host_.data(), raw_, host_.size() * sizeof(T), device_);
    for (std::size_t i = 0; i < kGuard; ++i) {
      EXPECT_TRUE(untouched(host_[i]) && untouched(host_[host_.size() - 1 - i]))
          << "a kernel wrote outside of its output";
    }
    allocator(device_).deallocate(raw_, host_.size() * sizeof(T));
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() { return raw_ + kGuard; }
  std::vector<T> host() const {
    std::vector<T> values(static_cast<std::size_t>(n_));
    copy_bytes(values.data(), raw_ + kGuard, values.size() * sizeof(T), device_);
    return values;
  }

 private:
  static constexpr std::size_t kGuard = 64;  // elements; keeps data() aligned to 64 bytes
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

/// Devices with a table for this operation: always cpu; simt and cuda where built (and present).
template <typename Table>
std::vector<Device> devices_with();

std::string device_test_name(const ::testing::TestParamInfo<Device>& info);

}  // namespace mt::testing

#include "kernels/common/tables.h"

namespace mt::testing {

template <typename Table>
std::vector<Device> devices_with() {
  std::vector<Device> devices{Device::cpu};
  if (has_device_table<Table>(Device::simt)) devices.push_back(Device::simt);
  return devices;
}

}  // namespace mt::testing

#define MT_ON_EVERY_DEVICE(suite, ...)                                                                    \
  INSTANTIATE_TEST_SUITE_P(Devices, suite, ::testing::ValuesIn(mt::testing::devices_with<__VA_ARGS__>()), \
                           mt::testing::device_test_name)
