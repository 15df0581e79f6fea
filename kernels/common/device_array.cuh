#pragma once
// Device memory that a launcher owns for a while. Included by .cu files only.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/device/device.h"
#include "kernels/device/kernel.h"
#include "tensor/allocator.h"

namespace mt::MT_BACKEND {

/// n elements from the caching pool, with any content. May be destroyed while kernels of its stream still use
/// it: the pool hands it on within the same stream only.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t n) : bytes_(static_cast<std::size_t>(n) * sizeof(T)) {
    if (n > 0) data_ = static_cast<T*>(allocator(kDevice).allocate(bytes_));
  }
  /// A copy of n elements of host memory, which may change at once. Does not wait.
  DeviceArray(const T* host, int64_t n, Stream stream) : DeviceArray(n) {
    queue_copy_to_device(kDevice, data_, host, bytes_, stream);
  }
  DeviceArray(const std::vector<T>& host, Stream stream)
      : DeviceArray(host.data(), static_cast<int64_t>(host.size()), stream) {}
  ~DeviceArray() {
    if (data_ != nullptr) allocator(kDevice).deallocate(data_, bytes_);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }

 private:
  std::size_t bytes_;
  T* data_ = nullptr;
};

/// One value from device memory; waits for the stream.
template <typename T>
T value_on_host(const T* device_value, Stream stream) {
  T value;
  copy_bytes(&value, Device::cpu, device_value, kDevice, sizeof(T), stream);
  return value;
}

}  // namespace mt::MT_BACKEND
