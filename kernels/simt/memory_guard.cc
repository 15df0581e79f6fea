#include "kernels/simt/memory_guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "tensor/check.h"

namespace mt::simt_machine {
namespace {

constexpr std::size_t kReserved = std::size_t{1} << 40;  // addresses, not memory

struct Guard {
  std::mutex mutex;
  std::atomic<bool> on{std::getenv("MICROTOME_SIMT_GUARD") != nullptr};
  std::atomic<char*> base{nullptr};
  std::size_t used = 0;  // bytes from base on: few, since each launch changes the protection of them all
  std::map<std::size_t, std::vector<char*>> freed;  // by size
  int open = on ? 0 : 1;                            // the guard being off counts as one
  struct sigaction before {};
};

Guard& guard() {
  static auto* instance = new Guard;  // outlives static tensors
  return *instance;
}

bool is_guarded(const void* pointer) {
  const char* base = guard().base.load();
  const auto* at = static_cast<const char*>(pointer);
  return base != nullptr && at >= base && at < base + kReserved;
}

/// Says what happened when the address is ours; then the fault happens again, under the handler before.
void on_fault(int, siginfo_t* info, void*) {
  if (is_guarded(info->si_addr)) {
    constexpr char kText[] =
        "host code touched memory of the simt device outside of a launch or copy; on a GPU it would crash\n";
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kText, sizeof(kText) - 1);
  }
  sigaction(SIGSEGV, &guard().before, nullptr);
}

void reserve(Guard& state) {
  void* base = mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  check(base != MAP_FAILED, "simt memory guard: cannot reserve {} GiB of addresses", kReserved >> 30);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &state.before);
  state.base.store(static_cast<char*>(base));
}

void protect(const Guard& state, int protection) {
  if (state.used != 0 && mprotect(state.base.load(), state.used, protection) != 0) std::abort();
}

std::size_t whole_pages(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

void set_memory_guard(bool on) {
  Guard& state = guard();
  const std::lock_guard lock(state.mutex);
  if (state.on.exchange(on) == on) return;
  state.open += on ? -1 : 1;
  protect(state, on ? PROT_NONE : PROT_READ | PROT_WRITE);
}

bool memory_guard_is_on() {
  return guard().on.load();
}

void* allocate_guarded(std::size_t bytes) {
  Guard& state = guard();
  const std::lock_guard lock(state.mutex);
  if (state.base.load() == nullptr) reserve(state);
  const std::size_t size = whole_pages(bytes);
  if (std::vector<char*>& same = state.freed[size]; !same.empty()) {
    char* pointer = same.back();
    same.pop_back();
    return pointer;
  }
  if (size > kReserved - state.used) return nullptr;
  char* pointer = state.base.load() + state.used;
  state.used += size;
  if (state.open > 0 && mprotect(pointer, size, PROT_READ | PROT_WRITE) != 0) return nullptr;
  return pointer;
}

bool deallocate_guarded(void* pointer, std::size_t bytes) noexcept {
  if (!is_guarded(pointer)) return false;
  const std::size_t size = whole_pages(bytes);
  madvise(pointer, size, MADV_DONTNEED);
  const std::lock_guard lock(guard().mutex);
  guard().freed[size].push_back(static_cast<char*>(pointer));
  return true;
}

void check_argument(const LaunchConfig& config, const void* argument) {
  if (argument == nullptr || is_guarded(argument)) return;
  fail_launch(config, "an argument points to the host's memory; on a GPU the kernel would crash");
}

OpenMemory::OpenMemory() {
  Guard& state = guard();
  const std::lock_guard lock(state.mutex);
  if (state.open++ == 0) protect(state, PROT_READ | PROT_WRITE);
}

OpenMemory::~OpenMemory() {
  Guard& state = guard();
  const std::lock_guard lock(state.mutex);
  if (--state.open == 0) protect(state, PROT_NONE);
}

}  // namespace mt::simt_machine
