#pragma once
// Blocks, warps and their paths of execution.
//
// The lanes of a warp that stand at the same instruction are a path. A branch that lanes take differently
// splits a path; the path at the lowest instruction runs first, and paths that meet there join. That is one
// of the orders that sm_70 and later allow. A warp runs as long as it can: until all of its paths wait for
// the block or have left.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/ptx/instruction.h"
#include "kernels/ptx/memory.h"
#include "kernels/ptx/types.h"

namespace mt::ptx {

class Block;

/// Copies of one warp into shared memory (cp.async), made when they are waited for and no earlier.
class AsyncCopies {
 public:
  struct Copy {
    Bytes target;
    Bytes source;
    int bytes;   // of the target,
    int filled;  // of them from the source; zeros follow
  };
  void add(int lane, const Copy& copy) { at(lane).pending.push_back({copy, at(lane).group}); }
  void commit(int lane) { ++at(lane).group; }
  /// Makes all copies of the lane's groups but the `pending` newest.
  void wait(int lane, uint64_t pending);
  /// Those that were not committed, too.
  void wait_all(int lane);
  bool any_left(int lane) const { return !lanes_[static_cast<std::size_t>(lane)].pending.empty(); }
  void clear();

 private:
  struct InGroup {
    Copy copy;
    uint64_t group;
  };
  struct Lane {
    std::vector<InGroup> pending;  // by group
    uint64_t group = 0;            // that copies are added to; as many were committed
  };
  Lane& at(int lane) { return lanes_[static_cast<std::size_t>(lane)]; }
  std::array<Lane, kLanes> lanes_;
};

enum class Wait : uint8_t { none, warp_operation, barrier };

struct Path {
  uint32_t at = 0;  // index of its next instruction
  LaneMask lanes = 0;
  Wait wait = Wait::none;
  // Of a barrier:
  uint32_t barrier = 0;
  uint32_t expected = 0;  // threads; 0: all of the block
};

class Warp {
 public:
  Warp(Block& block, const Kernel& kernel, int index);

  /// Begins anew for the next block.
  void start(LaneMask lanes);
  /// Runs every path until it waits for the block or has left. Throws Fault.
  void run();

  template <typename T>
  T* lanes(int32_t offset) {
    return reinterpret_cast<T*>(registers_ + offset);
  }
  LaneMask& predicate(int32_t offset) { return *reinterpret_cast<LaneMask*>(registers_ + offset); }
  Block& block() { return *block_; }
  const Kernel& kernel() const { return *kernel_; }
  std::vector<Path>& paths() { return paths_; }
  LaneMask left() const { return left_; }
  int index() const { return index_; }
  SmallMemory& local() { return local_; }
  AsyncCopies& copies() { return copies_; }
  const Instruction* current() const { return current_; }
  uint64_t executed() const { return executed_; }
  /// Address of a lane's local memory within local().
  uint64_t local_begin(int lane) const {
    return static_cast<uint64_t>(lane) * static_cast<uint64_t>(local_stride_);
  }

 private:
  void advance(Path path, uint32_t stop);
  void join_paths();
  void leave(LaneMask lanes);
  bool perform_warp_operation();
  [[noreturn]] void fail_warp_operation();

  Block* block_;
  const Kernel* kernel_;
  int index_;
  std::unique_ptr<std::byte[], void (*)(void*)> storage_;
  std::byte* registers_;  // offset 0
  SmallMemory local_;
  int64_t local_stride_;
  AsyncCopies copies_;
  std::vector<Path> paths_;
  LaneMask left_ = 0;
  const Instruction* current_ = nullptr;
  uint64_t executed_ = 0;
};

/// The order in which blocks of a grid and warps of a block run. Approximate instructions (ex2, rcp, …) are
/// rounded correctly in `ascending`, and moved to the far end of what the PTX ISA allows in `reversed`.
enum class Order : uint8_t { ascending, reversed };

struct Launch {
  const Kernel* kernel = nullptr;
  Extent3 grid;
  Extent3 block;
  std::vector<std::byte> parameters;
  int64_t dynamic_shared_bytes = 0;
  Order order = Order::ascending;
};

/// One block at a time of a launch; made once per thread that runs blocks.
class Block {
 public:
  explicit Block(const Launch& launch);

  /// Runs the block of this number, x fastest. Throws Error that names kernel, block, thread and instruction.
  void run(uint64_t number);
  uint64_t executed() const;

  SmallMemory& shared() { return shared_; }
  const GlobalMemory& global() const { return *global_; }
  const Launch& launch() const { return *launch_; }

 private:
  void start(uint64_t number);
  void run_warps();
  bool release_barriers();
  [[noreturn]] void fail_at(const Fault& fault, Warp* warp);

  const Launch* launch_;
  const GlobalMemory* global_;
  SmallMemory shared_;
  std::vector<std::unique_ptr<Warp>> warps_;
  Extent3 place_{0, 0, 0};
};

/// Runs the grid. Throws Error; the one of the lowest block where several fail. Returns the instructions that
/// warps executed.
uint64_t run(const Launch& launch);

/// Calls f(lane) for the lanes of the mask. Loops over a whole warp become vector instructions.
template <typename F>
inline void for_each_lane(LaneMask mask, F&& f) {
  if (mask == kAllLanes) {
#ifndef __clang__  // which vectorises without being told, and warns of the word
#pragma GCC ivdep
#endif
    for (int lane = 0; lane < kLanes; ++lane) f(lane);
  } else {
    for (int lane = 0; lane < kLanes; ++lane) {
      if (contains(mask, lane)) f(lane);
    }
  }
}

}  // namespace mt::ptx
