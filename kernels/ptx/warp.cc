#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels/ptx/machine.h"
#include "tensor/check.h"

namespace mt::ptx {
namespace {

constexpr std::size_t kAlignment = 64;

std::byte* aligned(std::size_t bytes) {
  void* pointer = std::aligned_alloc(kAlignment, (bytes / kAlignment + 1) * kAlignment);
  if (pointer == nullptr) throw std::bad_alloc();
  return static_cast<std::byte*>(pointer);
}

void make(const AsyncCopies::Copy& copy) {
  std::memset(copy.target.data, 0, static_cast<std::size_t>(copy.bytes));
  if (copy.filled > 0) std::memcpy(copy.target.data, copy.source.data, static_cast<std::size_t>(copy.filled));
  copy.target.set(static_cast<std::size_t>(copy.bytes), state::kWritten);
}

}  // namespace

void AsyncCopies::wait(int lane, uint64_t pending) {
  Lane& of = at(lane);
  auto next = of.pending.begin();
  for (; next != of.pending.end() && next->group + pending < of.group; ++next) make(next->copy);
  of.pending.erase(of.pending.begin(), next);
}

void AsyncCopies::wait_all(int lane) {
  commit(lane);
  wait(lane, 0);
}

void AsyncCopies::clear() {
  for (Lane& lane : lanes_) {
    lane.pending.clear();
    lane.group = 0;
  }
}

Warp::Warp(Block& block, const Kernel& kernel, int index)
    : block_(&block),
      kernel_(&kernel),
      index_(index),
      storage_(aligned(static_cast<std::size_t>(kernel.fixed_bytes + kernel.register_bytes)), &std::free),
      registers_(storage_.get() + kernel.fixed_bytes),
      local_(static_cast<std::size_t>((kernel.local_bytes + 64) * kLanes)),
      local_stride_(kernel.local_bytes + 64) {
  for (const auto& [place, value] : kernel.constants) {
    if (place.wide) {
      std::fill_n(lanes<uint64_t>(place.offset), kLanes, value);
    } else {
      std::fill_n(lanes<uint32_t>(place.offset), kLanes, static_cast<uint32_t>(value));
    }
  }
}

void Warp::start(LaneMask lanes) {
  // Registers that nobody wrote: NaN as a float, out of bounds as an address.
  constexpr int kPoison = 0xff;
  std::memset(registers_, kPoison, static_cast<std::size_t>(kernel_->register_bytes));
  if (kernel_->local_bytes > 0) {
    for (int lane = 0; lane < kLanes; ++lane)
      local_.allot(local_begin(lane), static_cast<std::size_t>(kernel_->local_bytes));
  }
  copies_.clear();
  left_ = 0;
  paths_.assign(1, {0, lanes, Wait::none, 0, 0});
}

void Warp::leave(LaneMask lanes) {
  for (int lane = 0; lane < kLanes; ++lane) {
    if (contains(lanes, lane) && copies_.any_left(lane))
      throw Fault("the thread leaves while its asynchronous copies are under way: nobody waits for them",
                  lane);
  }
  left_ |= lanes;
}

void Warp::join_paths() {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    for (std::size_t j = i + 1; j < paths_.size();) {
      if (paths_[i].at == paths_[j].at && paths_[i].wait == paths_[j].wait) {
        paths_[i].lanes |= paths_[j].lanes;
        paths_.erase(paths_.begin() + static_cast<std::ptrdiff_t>(j));
      } else {
        ++j;
      }
    }
  }
}

void Warp::run() {
  while (true) {
    if (paths_.size() > 1) join_paths();
    // The lowest path that can run, and where the next one stands.
    std::size_t lowest = paths_.size();
    uint32_t stop = UINT32_MAX;
    for (std::size_t i = 0; i < paths_.size(); ++i) {
      if (paths_[i].wait != Wait::none) continue;
      if (lowest == paths_.size()) {
        lowest = i;
      } else if (paths_[i].at < paths_[lowest].at) {
        stop = std::min(stop, paths_[lowest].at);
        lowest = i;
      } else {
        stop = std::min(stop, paths_[i].at);
      }
    }
    if (lowest == paths_.size()) {
      if (perform_warp_operation()) continue;
      return;
    }
    const Path path = paths_[lowest];
    paths_.erase(paths_.begin() + static_cast<std::ptrdiff_t>(lowest));
    advance(path, stop);
  }
}

/// Runs one path until it waits, splits, leaves or reaches `stop`, and puts what is left of it back.
void Warp::advance(Path path, uint32_t stop) {
  const Instruction* const code = kernel_->code.data();
  while (path.at < stop) {
    const Instruction& instruction = code[path.at];
    current_ = &instruction;
    ++executed_;
    LaneMask active = path.lanes;
    if (instruction.guard != kNoPlace) {
      const LaneMask guard = predicate(instruction.guard);
      active &= instruction.guard_negated ? ~guard : guard;
    }
    const auto split_off_idle = [&](uint32_t idle_at) {
      if (active != path.lanes) paths_.push_back({idle_at, path.lanes & ~active, Wait::none, 0, 0});
      path.lanes = active;
    };
    switch (instruction.flow) {
      case Flow::plain:
        if (active != 0) instruction.run(*this, instruction, active);
        ++path.at;
        continue;
      case Flow::branch:
        if (active == path.lanes) {
          path.at = instruction.target;
          continue;
        }
        if (active == 0) {
          ++path.at;
          continue;
        }
        paths_.push_back({path.at + 1, path.lanes & ~active, Wait::none, 0, 0});
        paths_.push_back({instruction.target, active, Wait::none, 0, 0});
        return;
      case Flow::exit:
        if (active == 0) {
          ++path.at;
          continue;
        }
        split_off_idle(path.at + 1);
        leave(active);
        return;
      case Flow::barrier:
        if (active == 0) {
          ++path.at;
          continue;
        }
        split_off_idle(path.at + 1);
        path.wait = Wait::barrier;
        path.barrier = static_cast<uint32_t>(lanes<uint32_t>(instruction.a)[std::countr_zero(active)]);
        path.expected =
            instruction.b == kNoPlace ? 0 : lanes<uint32_t>(instruction.b)[std::countr_zero(active)];
        paths_.push_back(path);
        return;
      case Flow::warp_operation: {
        if (active == 0) {
          ++path.at;
          continue;
        }
        const uint32_t* const mask = lanes<uint32_t>(instruction.mask);
        bool complete = active == path.lanes;
        for_each_lane(active, [&](int lane) { complete = complete && mask[lane] == active; });
        if (complete) {
          instruction.run(*this, instruction, active);
          ++path.at;
          continue;
        }
        split_off_idle(path.at + 1);
        path.wait = Wait::warp_operation;
        paths_.push_back(path);
        return;
      }
    }
  }
  paths_.push_back(path);
}

/// Performs one operation all of whose lanes have come. False if there is none.
bool Warp::perform_warp_operation() {
  bool somebody_waits = false;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    Path& path = paths_[i];
    if (path.wait != Wait::warp_operation) continue;
    somebody_waits = true;
    const Instruction& instruction = kernel_->code[path.at];
    current_ = &instruction;
    const uint32_t* const mask = lanes<uint32_t>(instruction.mask);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!contains(path.lanes, lane)) continue;
      const LaneMask wanted = mask[lane];
      if (!contains(wanted, lane))
        throw Fault("the mask of a warp operation does not name its own lane", lane);
      if ((wanted & ~path.lanes) != 0) continue;
      bool agreed = true;
      for_each_lane(wanted, [&](int other) { agreed = agreed && mask[other] == wanted; });
      if (!agreed) throw Fault("lanes come to a warp operation with different masks", lane);
      instruction.run(*this, instruction, wanted);
      const uint32_t next = path.at + 1;
      path.lanes &= ~wanted;
      if (path.lanes == 0) paths_.erase(paths_.begin() + static_cast<std::ptrdiff_t>(i));
      paths_.push_back({next, wanted, Wait::none, 0, 0});
      return true;
    }
  }
  if (somebody_waits) fail_warp_operation();
  return false;
}

void Warp::fail_warp_operation() {
  for (const Path& path : paths_) {
    if (path.wait != Wait::warp_operation) continue;
    current_ = &kernel_->code[path.at];
    const int lane = std::countr_zero(path.lanes);
    const LaneMask missing = lanes<uint32_t>(current_->mask)[lane] & ~path.lanes;
    throw Fault(fmt::format("warp operation whose lanes do not all come: mask 0x{:08x}, lanes 0x{:08x} {}",
                            lanes<uint32_t>(current_->mask)[lane], missing,
                            (missing & ~left_) == 0 ? "have left" : "stand elsewhere"),
                lane);
  }
  std::abort();  // only called where a path waits
}

}  // namespace mt::ptx
