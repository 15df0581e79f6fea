#include "tensor/allocator.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "tensor/check.h"
#include "tensor/sanitizers.h"

namespace mt {
namespace {

void raise_to(std::atomic<std::size_t>& maximum, std::size_t value) {
  std::size_t held = maximum.load();
  while (value > held && !maximum.compare_exchange_weak(held, value)) {
  }
}

// Blocks above 64 KiB are rounded up to an eighth of a power of two and kept for reuse: training asks for the
// same sizes every step, and fresh pages from the kernel cost more than the arithmetic done on them. Live and
// kept blocks together never take more than the live ones alone once did: where sizes keep changing (the last
// batch of each slide) kept blocks are given back, the largest first, before the kernel is asked for more.
class CpuAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override {
    const std::size_t size = rounded(bytes);
    if (const std::size_t limit = limit_.load(); limit != 0 && live_.load() + size > limit) refuse(bytes);
    void* pointer = take_cached(size);
    if (pointer == nullptr) {
      release_kept_above(std::max(most_live_.load(), live_.load() + size), size);
      pointer = std::aligned_alloc(64, size);
    }
    if (pointer == nullptr) {
      release_kept_above(0, size);
      pointer = std::aligned_alloc(64, size);
    }
    if (pointer == nullptr) refuse(bytes);
    const std::size_t live = live_.fetch_add(size) + size;
    raise_to(peak_, live);
    raise_to(most_live_, live);
    return pointer;
  }

  void deallocate(void* pointer, std::size_t bytes) noexcept override {
    const std::size_t size = rounded(bytes);
    live_.fetch_sub(size);
    // Under ASan nothing is kept: a cache would hide uses after the free.
    if (!kAddressSanitizer && size >= kCachedFrom) {
      const std::lock_guard lock(mutex_);
      if (cached_bytes_ + size <= kCacheLimit) {
        bucket(size).push_back({pointer, size});
        cached_bytes_ += size;
        return;
      }
    }
    std::free(pointer);
  }

  std::size_t live_bytes() const override { return live_.load(); }
  std::size_t cached_bytes() const override {
    const std::lock_guard lock(mutex_);
    return cached_bytes_;
  }
  std::size_t peak_bytes() const override { return peak_.load(); }
  void reset_peak() override { peak_.store(live_.load()); }
  void set_limit(std::size_t bytes) override { limit_.store(bytes); }

 private:
  struct Block {
    void* pointer;
    std::size_t size;
  };

  [[noreturn]] void refuse(std::size_t bytes) const {
    throw OutOfMemory(fmt::format("out of memory: {:.1f} MiB asked for with {:.1f} MiB in use",
                                  static_cast<double>(bytes) / 0x1p20,
                                  static_cast<double>(live_.load()) / 0x1p20));
  }

  static constexpr std::size_t kCachedFrom = std::size_t{1} << 16;
  static constexpr std::size_t kCacheLimit = std::size_t{1} << 30;

  static std::size_t rounded(std::size_t bytes) {
    if (bytes < kCachedFrom) return (bytes + 64) / 64 * 64;
    const std::size_t step = std::bit_floor(bytes) / 8;
    return (bytes + step - 1) / step * step;
  }

  std::vector<Block>& bucket(std::size_t size) {
    const std::size_t power = static_cast<std::size_t>(std::bit_width(size));
    return buckets_[power * 8 + (size >> (power - 4) & 7U)];
  }

  void* take_cached(std::size_t size) {
    if (size < kCachedFrom) return nullptr;
    const std::lock_guard lock(mutex_);
    auto& blocks = bucket(size);
    if (blocks.empty()) return nullptr;
    void* pointer = blocks.back().pointer;
    blocks.pop_back();
    cached_bytes_ -= size;
    return pointer;
  }

  /// Gives kept blocks back to the system, until `size` bytes more would leave at most `limit` held.
  void release_kept_above(std::size_t limit, std::size_t size) {
    const std::lock_guard lock(mutex_);
    for (auto blocks = buckets_.rbegin(); blocks != buckets_.rend(); ++blocks) {
      while (!blocks->empty() && live_.load() + cached_bytes_ + size > limit) {
        std::free(blocks->back().pointer);
        cached_bytes_ -= blocks->back().size;
        blocks->pop_back();
      }
    }
  }

  mutable std::mutex mutex_;
  std::array<std::vector<Block>, 65 * 8> buckets_;  // by size, rising
  std::size_t cached_bytes_ = 0;
  std::atomic<std::size_t> live_{0};
  std::atomic<std::size_t> limit_{0};
  std::atomic<std::size_t> peak_{0};
  std::atomic<std::size_t> most_live_{0};  // peak_ that nobody resets
};

std::array<Allocator*, 3>& registry() {
  static auto* cpu = new CpuAllocator;  // outlives every static tensor
  static std::array<Allocator*, 3> allocators{cpu, nullptr, nullptr};
  return allocators;
}

}  // namespace

Allocator& allocator(Device device) {
  Allocator* found = registry()[static_cast<std::size_t>(device)];
  check(found != nullptr, "device {}: not part of this build", name_of(device));
  return *found;
}

void register_allocator(Device device, Allocator* allocator) {
  registry()[static_cast<std::size_t>(device)] = allocator;
}

}  // namespace mt
