#pragma once
// A caching allocator over a device's own allocate and free, which are slow (cudaMalloc waits for the whole
// device).

#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

#include "tensor/allocator.h"

namespace mt {

/// What lies under the pool.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  /// null when there is no memory.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void deallocate(void* pointer, std::size_t bytes) noexcept = 0;
  /// Called for each block handed out, new or used before.
  virtual void prepare(void*, std::size_t) {}
};

/// Freed blocks are kept by size and handed out again; when the source has none left, all kept blocks go back
/// to it and the request is tried once more. live_bytes() and peak_bytes() count what callers asked for,
/// rounded as below. A block freed while a kernel still uses it must not be handed to another stream: the
/// project computes in one stream per device; a program with several streams synchronizes before it frees.
class CachingPool final : public Allocator {
 public:
  /// caching = false hands every block back at once and asks for exact sizes, so that ASan sees each end and
  /// each free.
  CachingPool(Device device, MemorySource& source, bool caching)
      : device_(device), source_(source), caching_(caching) {}
  ~CachingPool() override { release_cache(); }
  CachingPool(const CachingPool&) = delete;
  CachingPool& operator=(const CachingPool&) = delete;

  void* allocate(std::size_t bytes) override;
  void deallocate(void* pointer, std::size_t bytes) noexcept override;
  std::size_t live_bytes() const override;
  std::size_t peak_bytes() const override;
  void reset_peak() override;
  void set_limit(std::size_t bytes) override;
  std::size_t cached_bytes() const override;

 private:
  std::size_t rounded(std::size_t bytes) const;
  void* take_cached(std::size_t size);
  void release_cache() noexcept;

  Device device_;
  MemorySource& source_;
  bool caching_;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> kept_;  // by size
  std::size_t cached_ = 0;
  std::size_t live_ = 0;
  std::size_t peak_ = 0;
  std::size_t limit_ = 0;  // 0: none
};

}  // namespace mt
