#include "kernels/device/device.h"

#include <array>

#include "kernels/device/host_runtime.h"
#include "tensor/check.h"

namespace mt {

void register_simt_device();
void register_cuda_device();

namespace {

std::array<DeviceRuntime*, 3>& registry() {
  static HostRuntime cpu("the CPU");
  static std::array<DeviceRuntime*, 3> runtimes{&cpu, nullptr, nullptr};
  return runtimes;
}

// At start-up, because allocator() must know them. This file is linked wherever an operation is: its tables
// lead here.
[[maybe_unused]] const bool kDevicesAreRegistered = [] {
  register_simt_device();
#if MT_WITH_CUDA
  register_cuda_device();
#endif
  return true;
}();

}  // namespace

void register_device(Device device, DeviceRuntime* runtime) {
  registry()[static_cast<std::size_t>(device)] = runtime;
}

DeviceRuntime& device_runtime(Device device) {
  DeviceRuntime* found = registry()[static_cast<std::size_t>(device)];
  check(found != nullptr, "--device {}: not part of this build; use --device cpu", name_of(device));
  return *found;
}

bool device_is_present(Device device) {
  DeviceRuntime* found = registry()[static_cast<std::size_t>(device)];
  return found != nullptr && found->present();
}

void require_device(Device device) {
  check(device_runtime(device).present(),
        "--device {}: no NVIDIA GPU with a working driver found; use --device cpu", name_of(device));
}

void copy_bytes(void* target, Device target_device, const void* source, Device source_device,
                std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  if (source_device == target_device) {
    device_runtime(target_device).copy_on_device(target, source, bytes, stream);
  } else if (source_device == Device::cpu) {
    device_runtime(target_device).copy_to_device(target, source, bytes, stream);
  } else {
    check(target_device == Device::cpu, "copy from {} to {}: goes through the cpu only",
          name_of(source_device), name_of(target_device));
    device_runtime(source_device).copy_to_host(target, source, bytes, stream);
  }
}

void synchronize(Device device, Stream stream) {
  device_runtime(device).synchronize(stream);
}

}  // namespace mt
