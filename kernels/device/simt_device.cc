// The simt body of kernels/device: host memory, poisoned so that reads of what nobody wrote show.

#include <cstdlib>
#include <cstring>

#include "kernels/device/host_runtime.h"
#include "kernels/device/memory_pool.h"
#include "kernels/simt/memory_guard.h"
#include "tensor/sanitizers.h"

namespace mt {
namespace {

class HostMemory final : public MemorySource {
 public:
  void* allocate(std::size_t bytes) override {
    if (!kSanitized || simt_machine::memory_guard_is_on()) return simt_machine::allocate_guarded(bytes);
    void* pointer = nullptr;  // a heap block of exactly this size, for the sanitizers; 256-byte alignment is
                              // what cudaMalloc promises
    return posix_memalign(&pointer, 256, bytes) == 0 ? pointer : nullptr;
  }
  void deallocate(void* pointer, std::size_t bytes) noexcept override {
    if (!simt_machine::deallocate_guarded(pointer, bytes)) std::free(pointer);
  }
  void prepare(void* pointer, std::size_t bytes) override {
    const simt_machine::OpenMemory open;
    std::memset(pointer, 0xFF, bytes);  // NaN in every float type
  }
};

/// The host's runtime with copies that may touch guarded memory.
class SimtRuntime final : public HostRuntime {
 public:
  using HostRuntime::HostRuntime;
  void copy_to_device(void* target, const void* source, std::size_t bytes, Stream stream) override {
    const simt_machine::OpenMemory open;
    HostRuntime::copy_to_device(target, source, bytes, stream);
  }
  void copy_to_host(void* target, const void* source, std::size_t bytes, Stream stream) override {
    const simt_machine::OpenMemory open;
    HostRuntime::copy_to_host(target, source, bytes, stream);
  }
  void copy_on_device(void* target, const void* source, std::size_t bytes, Stream stream) override {
    const simt_machine::OpenMemory open;
    HostRuntime::copy_on_device(target, source, bytes, stream);
  }
};

}  // namespace

void register_simt_device() {
  static SimtRuntime runtime("the SIMT machine");
  static HostMemory memory;
  // Nothing is kept: ASan sees each end, and the guard has few pages to open and close at each launch.
  static auto* pool = new CachingPool(Device::simt, memory, /*caching=*/false);  // outlives static tensors
  register_device(Device::simt, &runtime);
  register_allocator(Device::simt, pool);
}

}  // namespace mt
