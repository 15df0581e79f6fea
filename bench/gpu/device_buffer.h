#pragma once
// Device memory of benchmarks, of which there can be many copies: a benchmark that takes the next one each
// time finds nothing of its own in the L2 cache.

#include <cstdint>
#include <vector>

#include "kernels/device/device.h"
#include "tensor/allocator.h"

namespace mt::bench {

/// Memory that takes part in the rotation.
class RotatingMemory {
 public:
  RotatingMemory(std::size_t bytes, Device device);
  ~RotatingMemory();
  RotatingMemory(const RotatingMemory&) = delete;
  RotatingMemory& operator=(const RotatingMemory&) = delete;

  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  /// The copy whose turn it is.
  void* data() const;
  /// Gives `count` copies the content of the first.
  void replicate(int64_t count);

 private:
  void release();

  std::size_t bytes_;
  std::size_t stride_;  // from copy to copy
  int64_t copies_ = 1;
  Device device_;
  std::byte* data_;
};

/// Bytes of one copy of everything alive.
std::size_t rotating_bytes();
/// Copies that make all memory alive together more than any L2 cache holds, at most `most`.
int64_t copies_beyond_l2(int64_t most);
void replicate_all(int64_t count);
/// Whose turn it is from now on: copy `turn` modulo the number of copies.
void set_turn(int64_t turn);

/// n elements of device memory.
template <typename T>
class DeviceBuffer {
 public:
  DeviceBuffer(int64_t n, Device device) : memory_(static_cast<std::size_t>(n) * sizeof(T), device) {}
  DeviceBuffer(const std::vector<T>& values, Device device)
      : DeviceBuffer(static_cast<int64_t>(values.size()), device) {
    copy_bytes(data(), device, values.data(), Device::cpu, memory_.bytes());
  }

  /// Asked for in each run, as it changes with the turn.
  T* data() const { return static_cast<T*>(memory_.data()); }
  std::vector<T> host() const {
    std::vector<T> values(memory_.bytes() / sizeof(T));
    copy_bytes(values.data(), Device::cpu, data(), memory_.device(), memory_.bytes());
    return values;
  }

 private:
  RotatingMemory memory_;
};

}  // namespace mt::bench
