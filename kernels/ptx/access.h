#pragma once
// From an address in an instruction to the bytes that it means.

#include <cstdint>

#include "kernels/ptx/decoder.h"
#include "kernels/ptx/machine.h"
#include "kernels/ptx/memory.h"

namespace mt::ptx {

struct Located {
  Bytes bytes;  // data is null where there is nothing
  const char* name;
};

inline Located locate_shared(Warp& warp, uint64_t address, std::size_t n) {
  SmallMemory& shared = warp.block().shared();
  const bool inside = address < shared.size() && n <= shared.size() - address;
  return {inside ? shared.at(address) : Bytes{}, "shared"};
}
inline Located locate_local(Warp& warp, uint64_t address, std::size_t n, int lane) {
  const auto size = static_cast<uint64_t>(warp.kernel().local_bytes);
  const bool inside = address < size && n <= size - address;
  return {inside ? warp.local().at(warp.local_begin(lane) + address) : Bytes{}, "local"};
}

template <Space kSpace>
Located locate(Warp& warp, uint64_t address, std::size_t n, int lane) {
  if constexpr (kSpace == Space::shared) {
    return locate_shared(warp, address, n);
  } else if constexpr (kSpace == Space::local) {
    return locate_local(warp, address, n, lane);
  } else if constexpr (kSpace == Space::generic) {
    if (address - kSharedWindow < kSharedWindowBytes) return locate_shared(warp, address - kSharedWindow, n);
    if (address - kLocalWindow < kLocalWindowBytes)
      return locate_local(warp, address - kLocalWindow, n, lane);
    return {warp.block().global().at(address, n), "global"};
  } else {
    return {warp.block().global().at(address, n), "global"};
  }
}

/// The same for a space that is known when the machine runs only.
inline Located locate(Space space, Warp& warp, uint64_t address, std::size_t n, int lane) {
  switch (space) {
    case Space::shared:
      return locate<Space::shared>(warp, address, n, lane);
    case Space::local:
      return locate<Space::local>(warp, address, n, lane);
    case Space::global:
      return locate<Space::global>(warp, address, n, lane);
    default:
      return locate<Space::generic>(warp, address, n, lane);
  }
}

/// [a + immediate] of a lane.
inline uint64_t address_of(Warp& warp, const Instruction& in, int lane) {
  const uint64_t base = in.wide_address ? warp.lanes<uint64_t>(in.a)[lane] : warp.lanes<uint32_t>(in.a)[lane];
  return base + static_cast<uint64_t>(in.immediate);
}

[[noreturn]] void fail_misaligned(const char* what, uint64_t address, std::size_t alignment, int lane);
inline void check_aligned(const char* what, uint64_t address, std::size_t alignment, int lane) {
  if (address % alignment != 0) [[unlikely]]
    fail_misaligned(what, address, alignment, lane);
}

inline uint64_t read_register(Warp& warp, Place place, int lane) {
  return place.wide ? warp.lanes<uint64_t>(place.offset)[lane] : warp.lanes<uint32_t>(place.offset)[lane];
}
inline void write_register(Warp& warp, Place place, int lane, uint64_t value) {
  if (place.wide) {
    warp.lanes<uint64_t>(place.offset)[lane] = value;
  } else {
    warp.lanes<uint32_t>(place.offset)[lane] = static_cast<uint32_t>(value);
  }
}

}  // namespace mt::ptx
