// Device memory, pinned memory and copies.

#include <cstdlib>
#include <cstring>
#include <map>

#include "kernels/ptx/runtime/state.h"

namespace {

using namespace mt::ptx;

std::map<uint64_t, std::size_t>& pinned_ranges() {
  static auto* ranges = new std::map<uint64_t, std::size_t>;
  return *ranges;
}
bool is_pinned(const void* pointer) {
  const auto address = reinterpret_cast<uint64_t>(pointer);
  auto next = pinned_ranges().upper_bound(address);
  return next != pinned_ranges().begin() && address < std::prev(next)->first + std::prev(next)->second;
}
bool is_device(const void* pointer) {
  return GlobalMemory::instance().at(reinterpret_cast<uint64_t>(pointer), 0).data != nullptr;
}

void refuse_under_global_capture(const char* what) {
  if (Runtime::instance().is_capturing(cudaStreamCaptureModeGlobal))
    fail_api(cudaErrorStreamCaptureUnsupported, "PTX machine: {} while a stream is captured", what);
}

Bytes device_bytes(const void* pointer, std::size_t bytes, const char* what) {
  GlobalMemory& memory = GlobalMemory::instance();
  const auto address = reinterpret_cast<uint64_t>(pointer);
  if (!memory.owns(address, bytes))
    fail_api(cudaErrorInvalidValue,
             "PTX machine: {} of {} bytes at 0x{:x}, which are not all in one allocation", what, bytes,
             address);
  return memory.at(address, bytes);
}

Task copy_task(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind, bool keeps_source) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const Bytes to = to_device ? device_bytes(target, bytes, "copy to device memory") : Bytes{};
  const Bytes from = from_device ? device_bytes(source, bytes, "copy from device memory") : Bytes{};
  if (!to_device && is_device(target))
    fail_api(cudaErrorInvalidValue, "PTX machine: a copy to the host whose target is device memory");
  if (!from_device && is_device(source))
    fail_api(cudaErrorInvalidValue, "PTX machine: a copy from the host whose source is device memory");
  if (to_device && from_device) {
    return [=] {
      std::memmove(to.data, from.data, bytes);
      std::memmove(to.states, from.states, bytes);
    };
  }
  if (to_device) {
    std::shared_ptr<std::vector<std::byte>> kept;
    if (keeps_source) {
      const auto* first = static_cast<const std::byte*>(source);
      kept = std::make_shared<std::vector<std::byte>>(first, first + bytes);
    }
    return [=] {
      std::memcpy(to.data, kept != nullptr ? kept->data() : source, bytes);
      to.set(bytes, state::kWritten);
    };
  }
  return [=] { std::memcpy(target, from_device ? from.data : source, bytes); };
}

cudaMemcpyKind resolved(cudaMemcpyKind kind, const void* target, const void* source) {
  if (kind != cudaMemcpyDefault) return kind;
  if (is_device(target)) return is_device(source) ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice;
  return is_device(source) ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost;
}

void copy_async(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                cudaStream_t handle) {
  if (bytes == 0) return;
  kind = resolved(kind, target, source);
  Stream& stream = Runtime::instance().stream(handle);
  // From memory that is not pinned the runtime takes a copy before it returns; into such memory it waits.
  const bool pageable_source = kind == cudaMemcpyHostToDevice && !is_pinned(source);
  stream.add(copy_task(target, source, bytes, kind, pageable_source && stream.capture == nullptr));
  const bool waits = kind == cudaMemcpyHostToHost || (kind == cudaMemcpyDeviceToHost && !is_pinned(target));
  if (waits && stream.capture == nullptr) stream.finish_all();
}

void set_bytes(void* target, int value, std::size_t bytes, cudaStream_t handle) {
  if (bytes == 0) return;
  const Bytes to = device_bytes(target, bytes, "cudaMemset");
  Runtime::instance().stream(handle).add([=] {
    std::memset(to.data, value, bytes);
    to.set(bytes, state::kWritten);
  });
}

void allocate_pinned(void** pointer, std::size_t bytes) {
  constexpr std::size_t kPage = 4096;
  *pointer = std::aligned_alloc(kPage, (bytes / kPage + 1) * kPage);
  if (*pointer == nullptr)
    fail_api(cudaErrorMemoryAllocation, "PTX machine: no pinned memory for {} bytes", bytes);
  std::memset(*pointer, 0xFF, bytes);
  pinned_ranges()[reinterpret_cast<uint64_t>(*pointer)] = bytes;
}

void free_memory(void* pointer) {
  if (pointer == nullptr) return;
  refuse_under_global_capture("cudaFree");
  Runtime::instance().synchronize_device();
  if (!GlobalMemory::instance().release(reinterpret_cast<uint64_t>(pointer)))
    fail_api(cudaErrorInvalidValue,
             "PTX machine: cudaFree of an address that cudaMalloc did not give, or gave back");
}

void allocate(void** pointer, std::size_t bytes) {
  refuse_under_global_capture("cudaMalloc");
  *pointer = nullptr;
  if (bytes == 0) return;
  const uint64_t address = GlobalMemory::instance().allocate(bytes);
  if (address == 0) fail_api(cudaErrorMemoryAllocation, "out of memory");
  *pointer = reinterpret_cast<void*>(address);
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return api([&] { allocate(pointer, bytes); });
}
cudaError_t cudaFree(void* pointer) {
  return api([&] { free_memory(pointer); });
}
cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t) {
  return api([&] { allocate(pointer, bytes); });
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) {
  return api([&] { free_memory(pointer); });
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return api([&] { allocate_pinned(pointer, bytes); });
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  return api([&] { allocate_pinned(pointer, bytes); });
}
cudaError_t cudaFreeHost(void* pointer) {
  return api([&] {
    if (pointer == nullptr) return;
    Runtime::instance().synchronize_device();
    if (pinned_ranges().erase(reinterpret_cast<uint64_t>(pointer)) == 0)
      fail_api(cudaErrorInvalidValue, "PTX machine: cudaFreeHost of an address that is not pinned");
    std::free(pointer);
  });
}
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  return api([&] {
    *total_bytes = GlobalMemory::instance().limit();
    *free_bytes = *total_bytes - GlobalMemory::instance().live_bytes();
  });
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return api([&] { copy_async(target, source, bytes, kind, stream); });
}
cudaError_t cudaMemcpy(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind) {
  return api([&] {
    refuse_under_global_capture("cudaMemcpy");
    copy_async(target, source, bytes, kind, nullptr);
    Runtime::instance().stream(nullptr).finish_all();
  });
}
cudaError_t cudaMemsetAsync(void* target, int value, std::size_t bytes, cudaStream_t stream) {
  return api([&] { set_bytes(target, value, bytes, stream); });
}
cudaError_t cudaMemset(void* target, int value, std::size_t bytes) {
  return api([&] { set_bytes(target, value, bytes, nullptr); });
}

cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  return api([&] { *pointer = reinterpret_cast<void*>(Runtime::instance().variable(symbol).first); });
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* source, std::size_t bytes,
                                    std::size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
  return api([&] {
    const auto [address, size] = Runtime::instance().variable(symbol);
    if (offset > size || bytes > size - offset)
      fail_api(cudaErrorInvalidValue, "PTX machine: a copy past a symbol's end");
    const Bytes to = GlobalMemory::instance().at(address + offset, bytes);
    if (kind != cudaMemcpyHostToDevice)
      fail_api(cudaErrorNotSupported, "PTX machine: symbols are copied from the host");
    const auto* first = static_cast<const std::byte*>(source);
    Runtime::instance().stream(stream).add([to, kept = std::vector<std::byte>(first, first + bytes)] {
      std::memcpy(to.data, kept.data(), kept.size());  // constants stay read-only to kernels
    });
  });
}
cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* source, std::size_t bytes, std::size_t offset,
                               cudaMemcpyKind kind) {
  const cudaError_t status = cudaMemcpyToSymbolAsync(symbol, source, bytes, offset, kind, nullptr);
  return status != cudaSuccess ? status : cudaStreamSynchronize(nullptr);
}

}  // extern "C"
