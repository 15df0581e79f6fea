#include "kernels/simt/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "kernels/simt/race_check.h"
#include "tensor/check.h"
#include "tensor/sanitizers.h"

#ifndef MT_FIBER_UCONTEXT
#if defined(__x86_64__) || defined(__aarch64__)
#define MT_FIBER_UCONTEXT 0
#else
#define MT_FIBER_UCONTEXT 1
#endif
#endif

#if MT_FIBER_UCONTEXT
#include <ucontext.h>
#endif

#if MT_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if MT_TSAN_RUNTIME
#include <sanitizer/tsan_interface.h>
#endif

// mt_fiber_switch(save, target): pushes the registers that a called function must keep, stores the stack
// pointer in *save, takes `target` for it, and pops the same registers there. The caller has saved all
// others, as for any call.
#if !MT_FIBER_UCONTEXT
extern "C" void mt_fiber_switch(void** save, void* target);
#if defined(__x86_64__)
asm(R"(
.text
.globl mt_fiber_switch
.hidden mt_fiber_switch
.type mt_fiber_switch,@function
mt_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mt_fiber_switch,.-mt_fiber_switch
)");
#else
asm(R"(
.text
.globl mt_fiber_switch
.hidden mt_fiber_switch
.type mt_fiber_switch,%function
mt_fiber_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size mt_fiber_switch,.-mt_fiber_switch
)");
#endif
#endif

namespace mt::simt_machine {

struct Fiber::State {
  unsigned char* mapping = nullptr;  // guard page, then the stack
  std::size_t mapping_bytes = 0;
  const void* stack = nullptr;
  std::size_t stack_bytes = 0;
  void (*entry)() = nullptr;
#if MT_FIBER_UCONTEXT
  ucontext_t context{};
#else
  void* stack_pointer = nullptr;
#endif
  void* fake_stack = nullptr;  // ASan's, while the fiber waits
  void* tsan_fiber = nullptr;  // TSan's picture of the fiber, anew at each start

  /// Runs right after a switch, on the stack that was switched to.
  void arrive(State* from) {
#if MT_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(fake_stack, &from->stack, &from->stack_bytes);
#else
    (void)from;
#endif
  }
  static void main();
};

namespace {

// Who switched, and to whom: the only news that reaches a fiber's first instruction.
thread_local void* switched_from = nullptr;
thread_local void* switched_to = nullptr;

#if MT_TSAN_RUNTIME
unsigned switch_flags = 0;
#endif

std::size_t page_bytes() {
  return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

void Fiber::State::main() {
  auto* self = static_cast<State*>(switched_to);
  self->arrive(static_cast<State*>(switched_from));
  self->entry();
  __builtin_trap();  // entry() must not return
}

Fiber::Fiber() : state_(std::make_unique<State>()) {
#if MT_TSAN_RUNTIME
  state_->tsan_fiber = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(std::size_t stack_bytes) : state_(std::make_unique<State>()) {
  const std::size_t page = page_bytes();
  state_->stack_bytes = (stack_bytes + page - 1) / page * page;
  state_->mapping_bytes = state_->stack_bytes + page;
  void* mapping =
      mmap(nullptr, state_->mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(mapping != MAP_FAILED && mprotect(mapping, page, PROT_NONE) == 0,
        "SIMT machine: no memory for the {} byte stack of a CUDA thread", stack_bytes);
  state_->mapping = static_cast<unsigned char*>(mapping);
  state_->stack = state_->mapping + page;
}

Fiber::~Fiber() {
  if (!state_ || state_->mapping == nullptr) return;
#if MT_TSAN_RUNTIME
  if (state_->tsan_fiber != nullptr) __tsan_destroy_fiber(state_->tsan_fiber);
#endif
  munmap(state_->mapping, state_->mapping_bytes);
}

Fiber::Fiber(Fiber&&) noexcept = default;

void Fiber::start_at(void (*entry)(), const char* name) {
  State& s = *state_;
  s.entry = entry;
  s.fake_stack = nullptr;
#if MT_ADDRESS_SANITIZER
  __asan_unpoison_memory_region(s.stack, s.stack_bytes);  // of frames that never returned
#endif
#if MT_TSAN_RUNTIME
  if (s.tsan_fiber != nullptr) __tsan_destroy_fiber(s.tsan_fiber);
  s.tsan_fiber = __tsan_create_fiber(0);
  __tsan_set_fiber_name(s.tsan_fiber, name);
#else
  (void)name;
#endif
#if MT_FIBER_UCONTEXT
  getcontext(&s.context);
  s.context.uc_stack.ss_sp = s.mapping + (s.mapping_bytes - s.stack_bytes);
  s.context.uc_stack.ss_size = s.stack_bytes;
  s.context.uc_link = nullptr;
  makecontext(&s.context, &State::main, 0);
#else
  unsigned char* top = s.mapping + s.mapping_bytes;
#if defined(__x86_64__)
  // Six registers, then the address that `ret` takes; main() then sees the stack as after a call: 8 below a
  // multiple of 16.
  void** frame = reinterpret_cast<void**>(top) - 8;
  std::memset(frame, 0, 8 * sizeof(void*));
  frame[6] = reinterpret_cast<void*>(&State::main);
#else
  void** frame = reinterpret_cast<void**>(top) - 20;
  std::memset(frame, 0, 20 * sizeof(void*));
  frame[11] = reinterpret_cast<void*>(&State::main);  // x30, the return address
#endif
  s.stack_pointer = frame;
#endif
}

void Fiber::set_switches_order_memory(bool order) {
#if MT_TSAN_RUNTIME
  switch_flags = order ? 0 : __tsan_switch_to_fiber_no_sync;
#else
  (void)order;
#endif
}

void* Fiber::sanitizer_fiber() const {
  return state_->tsan_fiber;
}

void Fiber::switch_to(Fiber& from, Fiber& to, bool from_ends) {
  State& self = *from.state_;
  switched_from = &self;
  switched_to = to.state_.get();
#if MT_ADDRESS_SANITIZER
  __sanitizer_start_switch_fiber(from_ends ? nullptr : &self.fake_stack, to.state_->stack,
                                 to.state_->stack_bytes);
#else
  (void)from_ends;
#endif
#if MT_TSAN_RUNTIME
  __tsan_switch_to_fiber(to.state_->tsan_fiber, switch_flags);
#endif
#if MT_FIBER_UCONTEXT
  swapcontext(&self.context, &to.state_->context);
#else
  mt_fiber_switch(&self.stack_pointer, to.state_->stack_pointer);
#endif
  self.arrive(static_cast<State*>(switched_from));
}

}  // namespace mt::simt_machine
