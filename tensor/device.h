#pragma once
// Where a tensor lives and which backend computes on it.

#include <cstdint>
#include <string_view>

namespace mt {

/// cpu: SIMD kernels. cuda: the .cu kernels on an NVIDIA GPU. simt: the same .cu kernels on the SIMT machine
/// (kernels/simt).
enum class Device : uint8_t { cpu, cuda, simt };

const char* name_of(Device device);
/// Parses "cpu", "cuda" or "simt"; throws UsageError otherwise.
Device parse_device(std::string_view name);

}  // namespace mt
