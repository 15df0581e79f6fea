// The device that is played: its number, name and properties.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/ptx/memory.h"
#include "kernels/ptx/runtime/state.h"

namespace {

using namespace mt::ptx;

thread_local int current_device = 0;

/// MICROTOME_PTX_DEVICES: how many GPUs there seem to be. They share one memory.
int device_count() {
  const char* text = std::getenv("MICROTOME_PTX_DEVICES");
  return text == nullptr ? 1 : std::atoi(text);
}
void check_device(int device) {
  if (device < 0 || device >= device_count())
    fail_api(cudaErrorInvalidDevice, "PTX machine: no device {}; there are {}", device, device_count());
}

constexpr int kMultiprocessors = 132;

int attribute_of(cudaDeviceAttr attribute, int architecture) {
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      return architecture / 10;
    case cudaDevAttrComputeCapabilityMinor:
      return architecture % 10;
    case cudaDevAttrMultiProcessorCount:
      return kMultiprocessors;
    case cudaDevAttrWarpSize:
      return kLanes;
    case cudaDevAttrMaxThreadsPerBlock:
      return 1024;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return 2048;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return 48 << 10;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return 227 << 10;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return 228 << 10;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return 65536;
    case cudaDevAttrL2CacheSize:
      return 50 << 20;
    case cudaDevAttrUnifiedAddressing:
      return 1;
    default:
      fail_api(cudaErrorInvalidValue, "PTX machine: device attribute {} is unknown",
               static_cast<int>(attribute));
  }
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  return query([&] { *count = device_count(); });
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return query([&] {
    check_device(device);
    current_device = device;
  });
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return query([&] {
    check_device(device);
    const int architecture = Runtime::instance().architecture();
    *properties = {};
    std::snprintf(properties->name, sizeof(properties->name), "PTX machine (no GPU)");
    properties->major = architecture / 10;
    properties->minor = architecture % 10;
    properties->totalGlobalMem = GlobalMemory::instance().limit();
    properties->multiProcessorCount = kMultiprocessors;
    properties->warpSize = kLanes;
    properties->maxThreadsPerBlock = 1024;
    properties->sharedMemPerBlock = 48 << 10;
    properties->sharedMemPerBlockOptin = 227 << 10;
    properties->l2CacheSize = 50 << 20;
    properties->regsPerBlock = 65536;
  });
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return query([&] {
    check_device(device);
    *value = attribute_of(attribute, Runtime::instance().architecture());
  });
}
cudaError_t cudaDeviceSynchronize() {
  return api([] {
    if (Runtime::instance().is_capturing(cudaStreamCaptureModeGlobal))
      fail_api(cudaErrorStreamCaptureUnsupported,
               "PTX machine: cudaDeviceSynchronize while a stream is captured");
    Runtime::instance().synchronize_device();
  });
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaProfilerStart() {
  return cudaSuccess;
}
cudaError_t cudaProfilerStop() {
  return cudaSuccess;
}

}  // extern "C"
