// The simt body of kernels/device: host memory, poisoned so that reads of what nobody wrote show.

#include <cstdlib>
#include <cstring>

#include "kernels/device/host_runtime.h"
#include "kernels/device/pool.h"
#include "tensor/sanitizers.h"

namespace mt {
namespace {

class HostMemory final : public MemorySource {
 public:
  void* allocate(std::size_t bytes) override {
    void* pointer = nullptr;  // 256-byte alignment is what cudaMalloc promises
    return posix_memalign(&pointer, 256, bytes) == 0 ? pointer : nullptr;
  }
  void deallocate(void* pointer, std::size_t) noexcept override { std::free(pointer); }
  void prepare(void* pointer, std::size_t bytes) override {
    std::memset(pointer, 0xFF, bytes);
  }  // NaN in every float type
};

}  // namespace

void register_simt_device() {
  static HostRuntime runtime("the SIMT machine");
  static HostMemory memory;
  static auto* pool = new CachingPool(Device::simt, memory, !kAddressSanitizer);  // outlives static tensors
  register_device(Device::simt, &runtime);
  register_allocator(Device::simt, pool);
}

}  // namespace mt
