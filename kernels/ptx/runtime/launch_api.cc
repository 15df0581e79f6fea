// Registration and launches: what nvcc's start-up code and <<<…>>> call.

#include <chrono>
#include <cstring>
#include <vector>

#include "kernels/ptx/execution_log.h"
#include "kernels/ptx/launch_limits.h"
#include "kernels/ptx/runtime/state.h"

namespace {

using namespace mt::ptx;

struct CallConfiguration {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes;
  cudaStream_t stream;
};
thread_local std::vector<CallConfiguration> configurations;

Extent3 extent(dim3 size) {
  return {size.x, size.y, size.z};
}

void launch_kernel(const void* host, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes,
                   cudaStream_t stream) {
  Runtime& runtime = Runtime::instance();
  Function& function = runtime.function(host);
  const Kernel* kernel = nullptr;
  try {
    kernel = &runtime.kernel(function);
  } catch (const ApiError&) {
    throw;
  } catch (const mt::Error& error) {  // an instruction that the machine does not know
    fail_api(cudaErrorNotSupported, "{}", error.what());
  }
  Launch launch{kernel, extent(grid), extent(block), {}, static_cast<int64_t>(shared_bytes), runtime.order()};
  try {
    check_launch(launch, runtime.architecture(), function.granted_shared_bytes);
  } catch (const mt::Error& error) {
    fail_api(cudaErrorInvalidConfiguration, "{}", error.what());
  }
  launch.parameters.resize(static_cast<std::size_t>(kernel->parameter_bytes));
  for (std::size_t i = 0; i < kernel->parameters.size(); ++i) {
    const auto [offset, bytes] = kernel->parameters[i];
    std::memcpy(launch.parameters.data() + offset, arguments[i], static_cast<std::size_t>(bytes));
  }
  runtime.stream(stream).add([launch = std::move(launch)] {
    const double start = now();
    const uint64_t instructions = run(launch);
    ExecutionLog::instance().add_launch(launch.kernel->name, instructions, now() - start);
  });
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  return reinterpret_cast<void**>(&Runtime::instance().add_binary(wrapper));
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}

void __cudaRegisterFunction(void** binary, const char* host, char*, const char* name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  Runtime::instance().add_function(host, *reinterpret_cast<Binary*>(binary), name);
}
void __cudaRegisterVar(void** binary, char* host, char*, const char* name, int, std::size_t, int, int) {
  Runtime::instance().add_variable(host, *reinterpret_cast<Binary*>(binary), name);
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared_bytes, CUstream_st* stream) {
  configurations.push_back({grid, block, shared_bytes, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared_bytes, void* stream) {
  const CallConfiguration top = configurations.back();
  configurations.pop_back();
  *grid = top.grid;
  *block = top.block;
  *shared_bytes = top.shared_bytes;
  *static_cast<cudaStream_t*>(stream) = top.stream;
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(host));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               std::size_t shared_bytes, cudaStream_t stream) {
  return api([&] { launch_kernel(kernel, grid, block, arguments, shared_bytes, stream); });
}

cudaError_t cudaLaunchKernel(const void* host, dim3 grid, dim3 block, void** arguments,
                             std::size_t shared_bytes, cudaStream_t stream) {
  return api([&] { launch_kernel(host, grid, block, arguments, shared_bytes, stream); });
}

cudaError_t cudaFuncSetAttribute(const void* host, cudaFuncAttribute attribute, int value) {
  return api([&] {
    Runtime& runtime = Runtime::instance();
    Function& function = runtime.function(host);
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
      fail_api(cudaErrorInvalidValue, "PTX machine: function attribute {} is unknown",
               static_cast<int>(attribute));
    const int64_t shared = runtime.kernel(function).static_shared_bytes;
    if (value < 0 || shared + value > most_shared_bytes(runtime.architecture()))
      fail_api(cudaErrorInvalidValue,
               "PTX machine: {} + {} bytes of shared memory are more than sm_{} has for a block", shared,
               value, runtime.architecture());
    function.granted_shared_bytes = value;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* host) {
  return api([&] {
    Runtime& runtime = Runtime::instance();
    Function& function = runtime.function(host);
    const Kernel& kernel = runtime.kernel(function);
    *attributes = {};
    attributes->sharedSizeBytes = static_cast<std::size_t>(kernel.static_shared_bytes);
    attributes->localSizeBytes = static_cast<std::size_t>(kernel.local_bytes);
    attributes->maxThreadsPerBlock = static_cast<int>(kernel.max_threads);
    attributes->ptxVersion = runtime.architecture();
    attributes->binaryVersion = runtime.architecture();
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(function.granted_shared_bytes);
  });
}

cudaError_t cudaGetLastError() {
  return Runtime::instance().take_last_error();
}
cudaError_t cudaPeekAtLastError() {
  return Runtime::instance().last_error();
}
const char* cudaGetErrorString(cudaError_t error) {
  return Runtime::instance().text(error);
}
const char* cudaGetErrorName(cudaError_t error) {
  return Runtime::instance().text(error);
}

}  // extern "C"
