#pragma once
// Which thread of a block runs next.

#include <array>
#include <bit>
#include <cstdint>

#include "kernels/simt/machine.h"
#include "tensor/rng.h"

namespace mt::simt_machine {

/// The threads of a block that can run, a bit each, a word per warp.
class RunQueue {
 public:
  /// Starts the schedule's random numbers anew: every launch can be repeated by itself.
  void configure(Schedule schedule) {
    order_ = schedule.order;
    random_ = RandomStream(schedule.seed, Purpose::test);
  }
  bool is_random() const { return order_ == Order::fair || order_ == Order::unfair; }
  uint64_t random_below(uint64_t n) { return random_.below(n); }

  void clear() {
    warps_.fill(0);
    size_ = 0;
    warp_ = kNoWarp;
  }
  bool empty() const { return size_ == 0; }
  void add(unsigned thread) {
    warps_[thread / 32] |= 1U << thread % 32;
    ++size_;
  }
  /// Removes and returns the next thread. Not to be called when empty().
  unsigned take() {
    const unsigned thread = next();
    warps_[thread / 32] &= ~(1U << thread % 32);
    --size_;
    return thread;
  }

 private:
  unsigned next() {
    switch (order_) {
      case Order::ascending:
        return nth(0);
      case Order::reversed:
        return nth(size_ - 1);
      case Order::fair:
        return nth(static_cast<unsigned>(random_.below(size_)));
      case Order::unfair:
        if (warp_ == kNoWarp || warps_[warp_] == 0)
          warp_ = nth(static_cast<unsigned>(random_.below(size_))) / 32;
        return nth_in(
            warp_, static_cast<unsigned>(random_.below(static_cast<uint64_t>(std::popcount(warps_[warp_])))));
    }
    return 0;
  }
  unsigned nth(unsigned n) const {
    unsigned warp = 0;
    for (;; ++warp) {
      const unsigned here = static_cast<unsigned>(std::popcount(warps_[warp]));
      if (n < here) return nth_in(warp, n);
      n -= here;
    }
  }
  unsigned nth_in(unsigned warp, unsigned n) const {
    unsigned bits = warps_[warp];
    for (; n > 0; --n) bits &= bits - 1;
    return warp * 32 + static_cast<unsigned>(std::countr_zero(bits));
  }

  Order order_ = Order::ascending;
  RandomStream random_{0, Purpose::test};
  std::array<uint32_t, 32> warps_{};
  unsigned size_ = 0;
  static constexpr unsigned kNoWarp = 32;
  unsigned warp_ = kNoWarp;  // that an unfair order stays in
};

}  // namespace mt::simt_machine
