#pragma once
// Working memory that a thread keeps between calls, so that a kernel does not ask the system for pages each
// time.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace mt {

/// Declare as `thread_local Scratch name;` and name each use differently: reserve() forgets what was there.
class Scratch {
 public:
  /// Room for n floats, aligned to 64 bytes, with any content. Valid until the next reserve() of this object.
  float* reserve(int64_t n) {
    const auto floats = static_cast<std::size_t>(n);
    if (floats > size_) {
      memory_.reset();
      size_ = 0;
      memory_.reset(static_cast<float*>(::operator new (floats * sizeof(float), std::align_val_t{64})));
      size_ = floats;
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(float* memory) const { ::operator delete (memory, std::align_val_t{64}); }
  };
  std::unique_ptr<float, Free> memory_;
  std::size_t size_ = 0;
};

}  // namespace mt
