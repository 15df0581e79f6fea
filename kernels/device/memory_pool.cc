#include "kernels/device/memory_pool.h"

#include <algorithm>
#include <bit>

#include "tensor/check.h"

namespace mt {

// To 512 bytes, and from 1 MiB on to an eighth of a power of two: a few sizes that repeat, at most an eighth
// wasted.
std::size_t CachingPool::rounded(std::size_t bytes) const {
  if (!caching_) return std::max<std::size_t>(bytes, 1);
  const std::size_t step =
      std::max<std::size_t>(512, bytes < (std::size_t{1} << 20) ? 512 : std::bit_floor(bytes) / 8);
  return std::max(step, (bytes + step - 1) / step * step);
}

void* CachingPool::allocate(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  void* pointer = nullptr;
  if (limit_ == 0 || live_ + size <= limit_) {
    pointer = take_cached(size);
    if (pointer == nullptr) pointer = source_.allocate(size);
    if (pointer == nullptr) {
      release_cache();
      pointer = source_.allocate(size);
    }
  }
  if (pointer == nullptr) {
    throw OutOfMemory(fmt::format("{}: out of memory: {:.1f} MiB asked for with {:.1f} MiB in use",
                                  name_of(device_), static_cast<double>(bytes) / 0x1p20,
                                  static_cast<double>(live_) / 0x1p20));
  }
  live_ += size;
  peak_ = std::max(peak_, live_);
  source_.prepare(pointer, size);
  return pointer;
}

void CachingPool::deallocate(void* pointer, std::size_t bytes) noexcept {
  if (pointer == nullptr) return;
  const std::size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  live_ -= size;
  if (!caching_) return source_.deallocate(pointer, size);
  kept_[size].push_back(pointer);
  cached_ += size;
}

void* CachingPool::take_cached(std::size_t size) {
  const auto found = kept_.find(size);
  if (found == kept_.end() || found->second.empty()) return nullptr;
  void* pointer = found->second.back();
  found->second.pop_back();
  cached_ -= size;
  return pointer;
}

void CachingPool::release_cache() noexcept {
  for (auto& [size, blocks] : kept_) {
    for (void* pointer : blocks) source_.deallocate(pointer, size);
  }
  kept_.clear();
  cached_ = 0;
}

std::size_t CachingPool::live_bytes() const {
  const std::lock_guard lock(mutex_);
  return live_;
}

std::size_t CachingPool::peak_bytes() const {
  const std::lock_guard lock(mutex_);
  return peak_;
}

std::size_t CachingPool::cached_bytes() const {
  const std::lock_guard lock(mutex_);
  return cached_;
}

void CachingPool::set_limit(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = bytes;
}

void CachingPool::reset_peak() {
  const std::lock_guard lock(mutex_);
  peak_ = live_;
}

}  // namespace mt
