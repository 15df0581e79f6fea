// The cuda body of kernels/device, on the CUDA runtime. Built when the CUDA Toolkit is there; touches the
// driver only when first used, so a build with CUDA runs on machines without a GPU.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <mutex>

#include "kernels/device/device.h"
#include "kernels/device/memory_pool.h"
#include "kernels/device/queued_check.h"
#include "tensor/check.h"

// Linked with the PTX machine (kernels/ptx) in place of NVIDIA's runtime.
#ifndef MT_PTX_MACHINE
#define MT_PTX_MACHINE 0
#endif

namespace mt {
namespace {

void check_cuda(cudaError_t status, const char* what, std::size_t bytes = 0) {
  check(status == cudaSuccess, "cuda: {} ({} bytes): {}", what, bytes, cudaGetErrorString(status));
}

cudaStream_t native(Stream stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}
cudaEvent_t native(EventHandle event) {
  return reinterpret_cast<cudaEvent_t>(event);
}

class CudaMemory final : public MemorySource {
 public:
  void* allocate(std::size_t bytes) override {
    void* pointer = nullptr;
    const cudaError_t status = cudaMalloc(&pointer, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // clears it: the pool tries again or reports it
      return nullptr;
    }
    check_cuda(status, "cudaMalloc", bytes);
    return pointer;
  }
  void deallocate(void* pointer, std::size_t) noexcept override { cudaFree(pointer); }
};

/// Pinned memory for copies of a few KiB, used in turn: one waits only for its own last copy.
class StagingRing {
 public:
  void copy(void* target, const void* source, std::size_t bytes, cudaStream_t stream) {
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    check_cuda(cudaStreamIsCapturing(stream, &capture), "cudaStreamIsCapturing");
    check(capture == cudaStreamCaptureStatusNone, "cuda: a copy through staging memory cannot be recorded");
    const std::scoped_lock lock(mutex_);
    Slot& slot = slots_[next_++ % slots_.size()];
    if (slot.copied == nullptr) {
      check_cuda(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming), "cudaEventCreate");
    }
    check_cuda(cudaEventSynchronize(slot.copied), "copy, or work queued before it", slot.bytes);
    if (bytes > slot.bytes) grow(slot, bytes);
    std::memcpy(slot.memory, source, bytes);
    check_cuda(cudaMemcpyAsync(target, slot.memory, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync",
               bytes);
    check_cuda(cudaEventRecord(slot.copied, stream), "cudaEventRecord");
  }

 private:
  struct Slot {
    void* memory = nullptr;
    std::size_t bytes = 0;
    cudaEvent_t copied = nullptr;
  };
  static void grow(Slot& slot, std::size_t bytes) {
    cudaFreeHost(slot.memory);
    slot.memory = nullptr;
    slot.bytes = 0;
    const std::size_t size = std::bit_ceil(std::max<std::size_t>(bytes, 4096));
    check_cuda(cudaMallocHost(&slot.memory, size), "cudaMallocHost", size);
    slot.bytes = size;
  }

  std::mutex mutex_;
  std::array<Slot, 32> slots_;
  std::size_t next_ = 0;
};

StagingRing& staging_ring() {
  static auto* ring = new StagingRing;  // lives as long as the process: the driver may be gone before statics
  return *ring;
}

class CudaRuntime final : public DeviceRuntime {
 public:
  bool present() override {
    int count = 0;
    const bool found = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
    if (!found) cudaGetLastError();
    return found;
  }
  std::string description() override {
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
    return fmt::format("{}, sm_{}{}", properties.name, properties.major, properties.minor);
  }
  bool checks_memory() override { return MT_PTX_MACHINE != 0; }
  int architecture() override {
    int major = 0;
    int minor = 0;
    check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0),
               "cudaDeviceGetAttribute");
    check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0),
               "cudaDeviceGetAttribute");
    return 10 * major + minor;
  }
  void copy_to_device(void* target, const void* source, std::size_t bytes, Stream stream) override {
    copy(target, source, bytes, cudaMemcpyHostToDevice, stream);
  }
  void copy_to_host(void* target, const void* source, std::size_t bytes, Stream stream) override {
    check_cuda(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToHost, native(stream)),
               "cudaMemcpyAsync", bytes);
    wait_and_read_checks(stream, "copy, or work queued before it", bytes);
  }
  void copy_on_device(void* target, const void* source, std::size_t bytes, Stream stream) override {
    check_cuda(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, native(stream)),
               "cudaMemcpyAsync", bytes);
  }
  void copy_to_device_async(void* target, const void* source, std::size_t bytes, Stream stream) override {
    check_cuda(cudaMemcpyAsync(target, source, bytes, cudaMemcpyHostToDevice, native(stream)),
               "cudaMemcpyAsync", bytes);
  }
  void copy_to_device_staged(void* target, const void* source, std::size_t bytes, Stream stream) override {
    staging_ring().copy(target, source, bytes, native(stream));
  }
  void* allocate_pinned(std::size_t bytes) override {
    void* pointer = nullptr;
    const cudaError_t status = cudaMallocHost(&pointer, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      throw OutOfMemory(fmt::format("cuda: out of pinned memory: {} bytes asked for", bytes));
    }
    check_cuda(status, "cudaMallocHost", bytes);
    return pointer;
  }
  void deallocate_pinned(void* pointer) noexcept override { cudaFreeHost(pointer); }
  Stream create_stream() override {
    cudaStream_t stream = nullptr;
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    return reinterpret_cast<Stream>(stream);
  }
  void destroy_stream(Stream stream) noexcept override {
    forget_failures(stream);
    cudaStreamDestroy(native(stream));
  }
  void synchronize(Stream stream) override { wait_and_read_checks(stream, "cudaStreamSynchronize", 0); }
  EventHandle create_event() override {
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreate(&event), "cudaEventCreate");
    return reinterpret_cast<EventHandle>(event);
  }
  void destroy_event(EventHandle event) noexcept override { cudaEventDestroy(native(event)); }
  void record_event(EventHandle event, Stream stream) override {
    check_cuda(cudaEventRecord(native(event), native(stream)), "cudaEventRecord");
  }
  void let_wait(Stream stream, EventHandle event) override {
    check_cuda(cudaStreamWaitEvent(native(stream), native(event), 0), "cudaStreamWaitEvent");
  }
  void wait(EventHandle event) override {
    check_cuda(cudaEventSynchronize(native(event)), "cudaEventSynchronize");
  }
  double seconds_between(EventHandle start, EventHandle stop) override {
    check_cuda(cudaEventSynchronize(native(stop)), "cudaEventSynchronize");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, native(start), native(stop)), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e-3;
  }
  GraphHandle record_graph(Stream stream, const std::function<void()>& body) override {
    if (cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
      cudaGetLastError();
      return nullptr;
    }
    bool complete = true;
    try {
      body();
    } catch (const Error&) {  // of what cannot be recorded; anything else is thrown when it is run instead
      complete = false;
    }
    cudaGraph_t graph = nullptr;
    complete = cudaStreamEndCapture(native(stream), &graph) == cudaSuccess && complete;
    std::size_t nodes = 0;
    complete = complete && cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess && nodes > 0;
    cudaGraphExec_t executable = nullptr;
    complete = complete && cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess;
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();  // clears what a refusal left
    return complete ? reinterpret_cast<GraphHandle>(executable) : nullptr;
  }
  void replay_graph(GraphHandle graph, Stream stream) override {
    check_cuda(cudaGraphLaunch(reinterpret_cast<cudaGraphExec_t>(graph), native(stream)), "cudaGraphLaunch");
  }
  void destroy_graph(GraphHandle graph) noexcept override {
    cudaGraphExecDestroy(reinterpret_cast<cudaGraphExec_t>(graph));
  }

 private:
  /// The stream's word of failed checks comes with what is waited for.
  static void wait_and_read_checks(Stream stream, const char* what, std::size_t bytes) {
    FailureBits seen = kNoFailure;
    const UnreadChecks unread = unread_checks(stream);
    if (unread.count > 0) {
      check_cuda(cudaMemcpyAsync(&seen, unread.word, sizeof(seen), cudaMemcpyDeviceToHost, native(stream)),
                 "cudaMemcpyAsync", sizeof(seen));
    }
    check_cuda(cudaStreamSynchronize(native(stream)), what, bytes);
    if (unread.count == 0) return;
    if (seen != kNoFailure) {
      check_cuda(cudaMemsetAsync(unread.word, 0xFF, sizeof(seen), native(stream)), "cudaMemsetAsync",
                 sizeof(seen));
    }
    throw_failures(stream, unread, seen);
  }
  static void copy(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind, Stream stream) {
    check_cuda(cudaMemcpyAsync(target, source, bytes, kind, native(stream)), "cudaMemcpyAsync", bytes);
    check_cuda(cudaStreamSynchronize(native(stream)), "copy, or work queued before it", bytes);
  }
};

}  // namespace

void register_cuda_device() {
  static CudaRuntime runtime;
  static CudaMemory memory;
  static auto* pool =
      new CachingPool(Device::cuda, memory, !runtime.checks_memory());  // outlives static tensors
  register_device(Device::cuda, &runtime);
  register_allocator(Device::cuda, pool);
}

}  // namespace mt
