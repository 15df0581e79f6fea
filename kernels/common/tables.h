#pragma once
// How the tables of the cuda and simt copies of an operation are found: each OP.cu has a function
// register_OP() in its backend's namespace, and register_device_operations(), written by kernels/meson.build
// from the list of .cu files, calls them all. The front door of the operation (in OP_cpu.cc) asks here for
// every device but the cpu. Included by .cu files: no heavy headers.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tensor/device.h"
#ifndef __CUDACC__  // nvcc cannot read libfmt; host code gets check() with the tables
#include "tensor/check.h"
#endif

namespace mt {

/// A backend's ways to compute an operation. The one named "" is what the front door gives; others ("naive",
/// say) are there to be read, tested and measured beside it.
template <typename Table>
struct Version {
  std::string_view name;
  const Table* table;
  bool (*is_there)();  // asked when the version is looked for; null: always there
};

template <typename Table>
std::vector<Version<Table>>& device_versions(Device device) {
  static std::array<std::vector<Version<Table>>, 3> versions;
  return versions[static_cast<std::size_t>(device)];
}

/// Makes a backend's table known; called by register_OP() in OP.cu.
template <typename Table>
void register_table(Device device, const Table& table, std::string_view version = "",
                    bool (*is_there)() = nullptr) {
  device_versions<Table>(device).push_back({version, &table, is_there});
}

/// Registers every table of this build's .cu files; only the first call does anything.
void register_device_operations();

/// null when there is none, or when it is registered but not there on this machine.
template <typename Table>
const Table* find_device_table(Device device, std::string_view version = "") {
  register_device_operations();
  for (const Version<Table>& v : device_versions<Table>(device)) {
    if (v.name == version) return v.is_there == nullptr || v.is_there() ? v.table : nullptr;
  }
  return nullptr;
}

template <typename Table>
bool has_device_table(Device device) {
  return find_device_table<Table>(device) != nullptr;
}

/// The version that NVIDIA's libraries compute (kernels/vendor/).
inline constexpr std::string_view kVendorVersion = "vendor";

/// Whose kernels the front doors of gemm and conv2d give on cuda: `--kernels`. automatic: the vendor's where
/// their module loads. Everywhere else the project's own compute whatever is chosen.
enum class KernelChoice : uint8_t { own, vendor, automatic };
void set_kernel_choice(KernelChoice choice);
KernelChoice kernel_choice();
/// Takes --kernels own|vendor|auto for a device. Throws UsageError for another word and for vendor kernels on
/// a device that is not cuda, Error where they do not load. auto: where they do not, one note says why.
void choose_kernels(std::string_view word, Device device);

[[noreturn]] void fail_no_table(const char* operation, Device device, std::string_view version);

/// Throws Error when this build has no such table.
template <typename Table>
const Table& device_table(Device device, const char* operation, std::string_view version = "") {
  const Table* table = find_device_table<Table>(device, version);
  if (table == nullptr) fail_no_table(operation, device, version);
  return *table;
}

/// device_table() under kernel_choice().
template <typename Table>
const Table& chosen_table(Device device, const char* operation) {
  if (device == Device::cuda && kernel_choice() != KernelChoice::own) {
    const Table* vendor = find_device_table<Table>(device, kVendorVersion);
    if (vendor != nullptr) return *vendor;
    if (kernel_choice() == KernelChoice::vendor) fail_no_table(operation, device, kVendorVersion);
  }
  return device_table<Table>(device, operation);
}

}  // namespace mt
