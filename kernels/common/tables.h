#pragma once
// How the tables of the cuda and simt copies of an operation are found. The .cu file registers its table when
// it is linked in; the front door of the operation (in OP_cpu.cc) asks here for every device but the cpu.

#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/check.h"
#include "tensor/device.h"

namespace mt {

template <typename Table>
std::array<const Table*, 3>& device_tables() {
  static std::array<const Table*, 3> tables{};
  return tables;
}

/// Puts a backend's table in its place; used once, by a static object in each .cu file.
template <typename Table>
struct RegisterTable {
  RegisterTable(Device device, const Table& table) {
    device_tables<Table>()[static_cast<std::size_t>(device)] = &table;
  }
};

template <typename Table>
bool has_device_table(Device device) {
  return device_tables<Table>()[static_cast<std::size_t>(device)] != nullptr;
}

template <typename Table>
const Table& device_table(Device device, const char* operation) {
  const Table* table = device_tables<Table>()[static_cast<std::size_t>(device)];
  check(table != nullptr, "{}: this build has no {} version; use --device cpu", operation, name_of(device));
  return *table;
}

}  // namespace mt
