#pragma once
// What the tests of the PTX machine share: kernels as PTX text, so that they run where no nvcc is.

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "kernels/ptx/machine.h"
#include "kernels/ptx/memory.h"
#include "kernels/ptx/module.h"

namespace mt::ptx::testing {

/// A module with one kernel `k` of `parameters` 64-bit parameters p0, p1, … `declarations` stand before it.
/// Registers: %p<16>, %rs<16> .b16, %r<64> .b32, %f<64> .f32, %rd<64> .b64, %fd<16> .f64.
std::string kernel_text(int parameters, const std::string& body, const std::string& declarations = "");

/// n values in global memory.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    const Bytes bytes = memory();
    std::memcpy(bytes.data, values.data(), size_ * sizeof(T));
    bytes.set(size_ * sizeof(T), state::kWritten);
  }
  /// Unwritten.
  explicit DeviceArray(std::size_t size)
      : size_(size), address_(GlobalMemory::instance().allocate(size * sizeof(T))) {}
  ~DeviceArray() { release(); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  uint64_t address() const { return address_; }
  void release() { GlobalMemory::instance().release(address_); }
  std::vector<T> values() const {
    std::vector<T> values(size_);
    std::memcpy(values.data(), memory().data, size_ * sizeof(T));
    return values;
  }

 private:
  Bytes memory() const { return GlobalMemory::instance().at(address_, size_ * sizeof(T)); }
  std::size_t size_;
  uint64_t address_;
};

struct Configuration {
  Extent3 grid{1, 1, 1};
  Extent3 block{32, 1, 1};
  int64_t dynamic_shared_bytes = 0;
  Order order = Order::ascending;
};

/// Runs kernel `k` of the text. Throws Error.
void run_text(const std::string& text, const std::vector<uint64_t>& arguments,
              const Configuration& configuration = {});

}  // namespace mt::ptx::testing
