#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <map>
#include <mutex>

#include "kernels/ptx/decoder.h"
#include "kernels/ptx/machine.h"
#include "tensor/check.h"
#include "tensor/parallel.h"

namespace mt::ptx {

Block::Block(const Launch& launch)
    : launch_(&launch), global_(&GlobalMemory::instance()), shared_(kSharedWindowBytes) {
  const int warps = static_cast<int>((launch.block.count() + kLanes - 1) / kLanes);
  for (int i = 0; i < warps; ++i) warps_.push_back(std::make_unique<Warp>(*this, *launch.kernel, i));
}

uint64_t Block::executed() const {
  uint64_t sum = 0;
  for (const auto& warp : warps_) sum += warp->executed();
  return sum;
}

void Block::start(uint64_t number) {
  const Extent3& grid = launch_->grid;
  const Extent3& threads = launch_->block;
  const Kernel& kernel = *launch_->kernel;
  place_ = {static_cast<uint32_t>(number % grid.x), static_cast<uint32_t>(number / grid.x % grid.y),
            static_cast<uint32_t>(number / grid.x / grid.y)};
  for (const SharedArray& array : kernel.shared_arrays) shared_.allot(array.address, array.bytes);
  if (kernel.dynamic_shared_address != 0)
    shared_.allot(kernel.dynamic_shared_address, static_cast<std::size_t>(launch_->dynamic_shared_bytes));
  const uint32_t places[3] = {place_.x, place_.y, place_.z};
  const uint32_t blocks[3] = {grid.x, grid.y, grid.z};
  const uint32_t extents[3] = {threads.x, threads.y, threads.z};
  for (const auto& warp : warps_) {
    LaneMask lanes = 0;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      const uint32_t thread = static_cast<uint32_t>(warp->index()) * kLanes + lane;
      if (thread < threads.count()) lanes |= 1U << lane;
      const uint32_t indices[3] = {thread % threads.x, thread / threads.x % threads.y,
                                   thread / threads.x / threads.y};
      for (int i = 0; i < 3; ++i) {
        warp->lanes<uint32_t>(kernel.thread[i])[lane] = indices[i];
        warp->lanes<uint32_t>(kernel.threads[i])[lane] = extents[i];
        warp->lanes<uint32_t>(kernel.block[i])[lane] = places[i];
        warp->lanes<uint32_t>(kernel.blocks[i])[lane] = blocks[i];
      }
      warp->lanes<uint32_t>(kernel.lane)[lane] = lane;
      warp->lanes<uint32_t>(kernel.warp)[lane] = static_cast<uint32_t>(warp->index());
    }
    warp->start(lanes);
  }
}

void Block::run(uint64_t number) {
  start(number);
  while (true) {
    run_warps();
    const bool all_left =
        std::all_of(warps_.begin(), warps_.end(), [](const auto& warp) { return warp->paths().empty(); });
    if (all_left) return;
    Warp* waiting = nullptr;
    try {
      if (release_barriers()) continue;
      std::string where;
      for (const auto& warp : warps_) {
        for (const Path& path : warp->paths()) {
          if (waiting == nullptr) waiting = warp.get();
          if (where.size() < 200)
            where += fmt::format("{}lanes 0x{:08x} of warp {} at `{}`", where.empty() ? "" : ", ", path.lanes,
                                 warp->index(), launch_->kernel->code[path.at].text);
        }
      }
      throw Fault("deadlock: everybody waits: " + where);
    } catch (const Fault& fault) {
      fail_at(fault, waiting);
    }
  }
}

void Block::run_warps() {
  const std::size_t count = warps_.size();
  for (std::size_t i = 0; i < count; ++i) {
    Warp& warp = *warps_[launch_->order == Order::ascending ? i : count - 1 - i];
    try {
      warp.run();
    } catch (const Fault& fault) {
      fail_at(fault, &warp);
    }
  }
}

/// Lets those go on whose barrier is complete. CUDA demands that all threads of a block come to the same
/// barrier: whoever left before, or waits at another one, is a fault even where hardware would go on.
bool Block::release_barriers() {
  struct Arrivals {
    uint32_t threads = 0;
    uint32_t expected = 0;
    uint32_t at = 0;
    bool same_place = true;
    std::vector<Path*> waiting;
  };
  std::map<uint32_t, Arrivals> barriers;  // by number
  uint32_t left = 0;
  for (const auto& warp : warps_) {
    left += static_cast<uint32_t>(std::popcount(warp->left()));
    for (Path& path : warp->paths()) {
      Arrivals& arrivals = barriers[path.barrier];
      if (arrivals.threads == 0) arrivals.at = path.at;
      if (path.expected == 0 && arrivals.at != path.at) arrivals.same_place = false;
      arrivals.threads += static_cast<uint32_t>(std::popcount(path.lanes));
      arrivals.expected = path.expected;
      arrivals.waiting.push_back(&path);
    }
  }
  const auto all = static_cast<uint32_t>(launch_->block.count());
  bool released = false;
  for (auto& [number, arrivals] : barriers) {
    const uint32_t expected = arrivals.expected == 0 ? all : arrivals.expected;
    const std::string& text = launch_->kernel->code[arrivals.at].text;
    if (arrivals.expected == 0 && left > 0)
      throw Fault(fmt::format("barrier divergence: {} threads wait at `{}`, {} have left", arrivals.threads,
                              text, left));
    if (arrivals.threads == expected && !arrivals.same_place) {
      throw Fault(fmt::format("barrier divergence: threads wait at different places: `{}` and `{}`", text,
                              launch_->kernel->code[arrivals.waiting.back()->at].text));
    }
    if (arrivals.threads != expected) continue;
    for (Path* path : arrivals.waiting) {
      path->wait = Wait::none;
      ++path->at;
    }
    released = true;
  }
  return released;
}

void Block::fail_at(const Fault& fault, Warp* warp) {
  std::string thread;
  if (warp != nullptr && fault.lane() >= 0) {
    const Kernel& kernel = *launch_->kernel;
    const auto index = [&](int i) { return warp->lanes<uint32_t>(kernel.thread[i])[fault.lane()]; };
    thread = fmt::format(", thread ({},{},{})", index(0), index(1), index(2));
  } else if (warp != nullptr) {
    thread = fmt::format(", warp {}", warp->index());
  }
  const bool at_instruction = warp != nullptr && warp->current() != nullptr;
  fail("{}: block ({},{},{}){}: {}{}", launch_->kernel->pretty, place_.x, place_.y, place_.z, thread,
       fault.what(), at_instruction ? fmt::format(" at `{}`", warp->current()->text) : "");
}

uint64_t run(const Launch& launch) {
  const auto blocks = static_cast<int64_t>(launch.grid.count());
  std::mutex mutex;
  std::string error;
  int64_t failed = std::numeric_limits<int64_t>::max();  // position in the order, of the first that failed
  std::atomic<uint64_t> executed = 0;
  const auto run_range = [&](int64_t begin, int64_t end) {
    Block block(launch);
    for (int64_t i = begin; i < end; ++i) {
      {
        const std::lock_guard lock(mutex);
        if (failed < i) break;
      }
      try {
        block.run(static_cast<uint64_t>(launch.order == Order::ascending ? i : blocks - 1 - i));
      } catch (const Error& caught) {
        const std::lock_guard lock(mutex);
        if (i < failed) {
          failed = i;
          error = caught.what();
        }
        break;
      }
    }
    executed += block.executed();
  };
  // Blocks share nothing but global memory and integer atomics on it, whose sums do not depend on the order.
  const int64_t grain = std::max<int64_t>(1, blocks / (8 * thread_count()));
  parallel_for(blocks, grain, run_range);
  check(failed == std::numeric_limits<int64_t>::max(), "{}", error);
  return executed;
}

}  // namespace mt::ptx
