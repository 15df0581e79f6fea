#pragma once
// Where memory comes from. The CPU's allocator stands here; kernels/device registers those of cuda and simt.

#include <cstddef>
#include <cstdint>

#include "tensor/device.h"

namespace mt {

class Allocator {
 public:
  virtual ~Allocator() = default;
  /// At least `bytes` bytes, aligned to 64; never null. Throws OutOfMemory, naming the size, when there is no
  /// memory or more than the limit would be in use.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void deallocate(void* pointer, std::size_t bytes) noexcept = 0;
  /// Bytes handed out now, and the most since the last reset_peak(). Blocks kept for reuse are not counted.
  virtual std::size_t live_bytes() const = 0;
  virtual std::size_t peak_bytes() const = 0;
  virtual void reset_peak() = 0;
  /// From now on live_bytes() stays at or below this; 0: as far as the memory reaches.
  virtual void set_limit(std::size_t bytes) = 0;
  /// Bytes kept for reuse, on top of live_bytes().
  virtual std::size_t cached_bytes() const = 0;
};

/// The allocator of a device. Throws when none is registered (a build without CUDA, say).
Allocator& allocator(Device device);
void register_allocator(Device device, Allocator* allocator);

}  // namespace mt
