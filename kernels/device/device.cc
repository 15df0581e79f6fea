#include "kernels/device/device.h"

#include <array>
#include <cstdlib>
#include <sstream>
#include <vector>

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

/// Of a list with commas.
std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words;
  std::istringstream text(list);
  for (std::string word; std::getline(text, word, ',');) words.push_back(word);
  return words;
}

/// What may hide a GPU from the driver.
std::string hidden() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible == nullptr ? "" : fmt::format(" (--gpu or CUDA_VISIBLE_DEVICES asks for '{}')", visible);
}

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
        "--device {}: no NVIDIA GPU with a working driver found{}; use --device cpu", name_of(device),
        hidden());
}

void choose_gpu(int64_t number) {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  std::string chosen = std::to_string(number);
  if (visible != nullptr) {
    const std::vector<std::string> names = words_of(visible);
    if (number < 0 || number >= static_cast<int64_t>(names.size())) {
      throw UsageError(fmt::format("--gpu {}: CUDA_VISIBLE_DEVICES={} names {} of them, counted from 0",
                                   number, visible, names.size()));
    }
    chosen = names[static_cast<std::size_t>(number)];
  } else {
    if (number < 0) throw UsageError(fmt::format("--gpu {}: GPUs are counted from 0", number));
    setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 0);  // the order of nvidia-smi, not the fastest first
  }
  setenv("CUDA_VISIBLE_DEVICES", chosen.c_str(), 1);
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

void queue_copy_to_device(Device device, void* target, const void* source, std::size_t bytes, Stream stream) {
  if (bytes > 0) device_runtime(device).copy_to_device_staged(target, source, bytes, stream);
}

void synchronize(Device device, Stream stream) {
  device_runtime(device).synchronize(stream);
}

void settle(Device device, Stream stream) noexcept {
  try {
    synchronize(device, stream);
  } catch (const std::exception&) {  // an error of the device stays: the next launch or copy throws it
  }
}

}  // namespace mt
