#pragma once
// The memories of the machine. Each byte has a state beside it, so that every access is judged: nobody's,
// unwritten, written, read-only, or the target of a copy that nobody has waited for.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/ptx/types.h"

namespace mt::ptx {

/// What a kernel did that CUDA forbids. The launch adds kernel, block, thread and instruction.
class Fault : public std::runtime_error {
 public:
  explicit Fault(const std::string& what, int lane = -1) : std::runtime_error(what), lane_(lane) {}
  int lane() const { return lane_; }  // -1: the warp as a whole

 private:
  int lane_;
};

namespace state {
inline constexpr uint8_t kNobodys = 0;
inline constexpr uint8_t kUnwritten = 1;
inline constexpr uint8_t kWritten = 3;
inline constexpr uint8_t kPending = 5;  // an asynchronous copy is under way into it
inline constexpr uint8_t kReadOnly = 7;
}  // namespace state

/// Eight equal states.
constexpr uint64_t eight(uint8_t state) {
  return 0x0101010101010101U * state;
}

/// Bytes and their states.
struct Bytes {
  std::byte* data = nullptr;
  uint8_t* states = nullptr;

  bool all(std::size_t n, uint8_t wanted) const {
    uint64_t seen = 0;
    if (n == 4) {
      std::memcpy(&seen, states, 4);
      return seen == (eight(wanted) & 0xffffffffU);
    }
    if (n % 8 == 0) {
      for (std::size_t i = 0; i < n; i += 8) {
        std::memcpy(&seen, states + i, 8);
        if (seen != eight(wanted)) return false;
      }
      return true;
    }
    for (std::size_t i = 0; i < n; ++i) {
      if (states[i] != wanted) return false;
    }
    return true;
  }
  void set(std::size_t n, uint8_t to) const { std::memset(states, to, n); }
};

/// Whether an access that is not simply to written bytes is right all the same. Throws Fault where it is not.
void check_odd_read(Bytes bytes, std::size_t n, uint64_t used, const char* name, uint64_t address, int lane);
void check_odd_write(Bytes bytes, std::size_t n, const char* name, uint64_t address, int lane);

/// Throws Fault unless n bytes may be read; only bytes of `used` (bit i: byte i) must have been written.
/// `name` is of the memory: "global", "shared".
inline void check_read(Bytes bytes, std::size_t n, uint64_t used, const char* name, uint64_t address,
                       int lane) {
  if (bytes.data == nullptr || !bytes.all(n, state::kWritten)) [[unlikely]]
    check_odd_read(bytes, n, used, name, address, lane);
}
/// Throws Fault unless n bytes may be written.
inline void check_write(Bytes bytes, std::size_t n, const char* name, uint64_t address, int lane) {
  if (bytes.data == nullptr || !bytes.all(n, state::kWritten)) [[unlikely]]
    check_odd_write(bytes, n, name, address, lane);
}

/// Shared memory of a block, or local memory of a warp.
class SmallMemory {
 public:
  explicit SmallMemory(std::size_t bytes) : data_(bytes + kSlack), states_(bytes + kSlack) {}
  std::size_t size() const { return data_.size() - kSlack; }
  Bytes at(uint64_t address) { return {data_.data() + address, states_.data() + address}; }
  /// Makes [begin, begin + bytes) somebody's, unwritten, full of poison.
  void allot(std::size_t begin, std::size_t bytes) {
    std::memset(data_.data() + begin, 0xFF, bytes);
    std::memset(states_.data() + begin, state::kUnwritten, bytes);
  }

 private:
  static constexpr std::size_t kSlack = 64;  // accesses at the end may look this far
  std::vector<std::byte> data_;
  std::vector<uint8_t> states_;
};

/// Global memory. Addresses lie in a range that the host can't touch (SIGSEGV); contents and states lie
/// elsewhere. No address is given out twice, so that the use of freed memory is seen.
class GlobalMemory {
 public:
  static GlobalMemory& instance();

  /// An address that is a multiple of 256 and of no more; 0 when the limit is reached.
  uint64_t allocate(std::size_t bytes, uint8_t state = state::kUnwritten);
  /// False if nothing was allocated there.
  bool release(uint64_t address);
  /// Where the bytes at an address lie; data is null outside of the range. The caller checks states.
  Bytes at(uint64_t address, std::size_t bytes) const {
    const uint64_t offset = address - base_;
    const uint64_t end = open_end_.load(std::memory_order_relaxed);
    if (offset >= end || bytes > end - offset) return {};
    return {data_ + offset, states_ + offset};
  }
  /// Whether all bytes belong to one allocation.
  bool owns(uint64_t address, std::size_t bytes);
  /// Size of the allocation that starts here; 0: none does.
  std::size_t size_of(uint64_t address);
  std::size_t live_bytes() const { return live_; }
  std::size_t limit() const { return limit_; }

 private:
  GlobalMemory();
  /// Where the next block of this size goes, from base_; kRange if nowhere.
  uint64_t find_room(std::size_t bytes);
  static constexpr uint64_t kRange = uint64_t{1} << 38;

  std::mutex mutex_;
  uint64_t base_ = 0;
  std::byte* data_ = nullptr;
  uint8_t* states_ = nullptr;
  uint64_t next_ = 0;                      // where the next allocation is tried, from base_
  std::atomic<uint64_t> open_end_ = 0;     // of the pages that the machine may look at
  std::map<uint64_t, std::size_t> sizes_;  // by address
  std::size_t live_ = 0;
  std::size_t limit_ = 0;
};

}  // namespace mt::ptx
