#pragma once
// Fibers: functions with a stack of their own that hand over to each other within one operating-system
// thread. A dozen instructions on x86-64 and AArch64 (fiber.cc); ucontext elsewhere, or with
// -DMT_FIBER_UCONTEXT=1.

#include <cstddef>
#include <memory>

namespace mt::simt_machine {

class Fiber {
 public:
  /// The fiber that the calling thread is already running on.
  Fiber();
  /// A fiber with a stack of its own, guarded by an unmapped page at its end.
  explicit Fiber(std::size_t stack_bytes);
  ~Fiber();
  Fiber(Fiber&&) noexcept;
  Fiber& operator=(Fiber&&) = delete;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next switch here calls entry(), which must never return nor throw. What ran here before is
  /// forgotten. TSan calls the fiber `name` from now on.
  void start_at(void (*entry)(), const char* name = "");
  /// Goes on with `to`; returns when somebody switches back. `from` is the running fiber. With `from_ends`
  /// nobody will.
  static void switch_to(Fiber& from, Fiber& to, bool from_ends = false);

  /// Whether TSan takes what lies before a switch as done before what follows it (at first yes: it then
  /// blames nobody). Racecheck orders fibers itself.
  static void set_switches_order_memory(bool order);
  /// TSan's picture of the fiber; nullptr without TSan.
  void* sanitizer_fiber() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mt::simt_machine
