#include "kernels/ptx/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "tensor/check.h"

namespace mt::ptx {
namespace {

std::size_t page_size() {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

std::byte* reserve(std::size_t bytes) {
  void* pointer = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  check(pointer != MAP_FAILED, "PTX machine: no address space for {} bytes of device memory", bytes);
  return static_cast<std::byte*>(pointer);
}

/// Pages that hold [begin, begin + bytes) of `memory`.
void open_pages(std::byte* memory, std::size_t begin, std::size_t bytes) {
  const std::size_t page = page_size();
  const std::size_t first = begin / page * page;
  check(::mprotect(memory + first, begin + bytes - first, PROT_READ | PROT_WRITE) == 0,
        "PTX machine: the host has no memory for {} bytes", bytes);
}

/// Gives whole pages back. What lies on their edges stays.
void drop_pages(std::byte* memory, std::size_t begin, std::size_t bytes) {
  const std::size_t page = page_size();
  const std::size_t first = (begin + page - 1) / page * page;
  const std::size_t last = (begin + bytes) / page * page;
  if (first < last) ::madvise(memory + first, last - first, MADV_DONTNEED);
}

std::size_t limit_from_environment() {
  const char* text = std::getenv("MICROTOME_PTX_MEMORY");
  const std::size_t mebibytes = text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
  return (mebibytes == 0 ? std::size_t{65536} : mebibytes) << 20;
}

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kGap = 256;  // nobody's, between allocations

}  // namespace

void check_odd_read(Bytes bytes, std::size_t n, uint64_t used, const char* name, uint64_t address, int lane) {
  for (std::size_t i = 0; i < n; ++i) {
    const uint8_t found = bytes.data == nullptr ? state::kNobodys : bytes.states[i];
    // nvcc reads a struct of 12 bytes by 16 where its alignment allows that: the rest may be nobody's.
    if (bytes.data != nullptr && i < 64 && (used >> i & 1) == 0) continue;
    if (found == state::kNobodys) {
      throw Fault(fmt::format("{} memory out of bounds: read of {} bytes at 0x{:x}", name, n, address), lane);
    }
    if (found == state::kUnwritten)
      throw Fault(fmt::format("read of {} memory that nobody wrote: {} bytes at 0x{:x}", name, n, address),
                  lane);
    if (found == state::kPending)
      throw Fault(
          fmt::format("read of {} memory before its asynchronous copy was waited for: {} bytes at 0x{:x}",
                      name, n, address),
          lane);
  }
}

void check_odd_write(Bytes bytes, std::size_t n, const char* name, uint64_t address, int lane) {
  for (std::size_t i = 0; i < n; ++i) {
    const uint8_t found = bytes.data == nullptr ? state::kNobodys : bytes.states[i];
    if (found == state::kNobodys)
      throw Fault(fmt::format("{} memory out of bounds: write of {} bytes at 0x{:x}", name, n, address),
                  lane);
    if (found == state::kReadOnly)
      throw Fault(fmt::format("write to constant memory: {} bytes at 0x{:x}", n, address), lane);
    if (found == state::kPending)
      throw Fault(
          fmt::format(
              "write to {} memory that an asynchronous copy nobody waited for writes, too: {} bytes at "
              "0x{:x}",
              name, n, address),
          lane);
  }
}

GlobalMemory& GlobalMemory::instance() {
  static auto* memory = new GlobalMemory;  // outlives static tensors
  return *memory;
}

GlobalMemory::GlobalMemory()
    : base_(reinterpret_cast<uint64_t>(reserve(kRange))),
      data_(reserve(kRange)),
      states_(reinterpret_cast<uint8_t*>(reserve(kRange))),
      limit_(limit_from_environment()) {}

uint64_t GlobalMemory::find_room(std::size_t bytes) {
  for (const bool from_the_start : {false, true}) {
    uint64_t begin = from_the_start ? 0 : next_;
    while (true) {
      begin = (begin + kGap + 2 * kAlignment - 1) / (2 * kAlignment) * (2 * kAlignment) + kAlignment;
      if (begin + bytes + kGap > kRange) break;
      const auto after = sizes_.lower_bound(base_ + begin);
      if (after == sizes_.end() || base_ + begin + bytes + kGap <= after->first) return begin;
      begin = after->first - base_ + after->second;
    }
  }
  return kRange;
}

uint64_t GlobalMemory::allocate(std::size_t bytes, uint8_t state) {
  const std::lock_guard lock(mutex_);
  if (bytes > limit_ - std::min(limit_, live_)) return 0;
  const uint64_t begin = find_room(bytes);
  if (begin == kRange) return 0;
  // States of the gap are looked at, too.
  open_pages(data_, begin - kGap, bytes + 2 * kGap);
  open_pages(reinterpret_cast<std::byte*>(states_), begin - kGap, bytes + 2 * kGap);
  std::memset(data_ + begin, state == state::kUnwritten ? 0xFF : 0, bytes);
  std::memset(states_ + begin, state, bytes);
  next_ = begin + bytes;
  open_end_ = std::max<uint64_t>(open_end_, next_ + kGap);
  live_ += bytes;
  sizes_[base_ + begin] = bytes;
  return base_ + begin;
}

bool GlobalMemory::release(uint64_t address) {
  const std::lock_guard lock(mutex_);
  const auto found = sizes_.find(address);
  if (found == sizes_.end()) return false;
  const std::size_t begin = address - base_;
  const std::size_t bytes = found->second;
  std::memset(states_ + begin, state::kNobodys, bytes);
  drop_pages(data_, begin, bytes);
  drop_pages(reinterpret_cast<std::byte*>(states_), begin, bytes);
  live_ -= bytes;
  sizes_.erase(found);
  return true;
}

bool GlobalMemory::owns(uint64_t address, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  auto next = sizes_.upper_bound(address);
  if (next == sizes_.begin()) return false;
  --next;
  return address >= next->first && address + bytes <= next->first + next->second;
}

std::size_t GlobalMemory::size_of(uint64_t address) {
  const std::lock_guard lock(mutex_);
  const auto found = sizes_.find(address);
  return found == sizes_.end() ? 0 : found->second;
}

}  // namespace mt::ptx
