#include "kernels/simt/race_check.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#if MT_TSAN_RUNTIME

#include <sanitizer/common_interface_defs.h>
#include <sanitizer/tsan_interface.h>

// Of TSan's interfaces for compilers and debuggers, which no header declares.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
int __tsan_get_report_data(void* report, const char** description, int* count, int* stack_count,
                           int* mop_count, int* loc_count, int* mutex_count, int* thread_count,
                           int* unique_tid_count, void** sleep_trace, std::size_t trace_size);
int __tsan_get_report_mop(void* report, std::size_t index, int* tid, void** address, int* size, int* write,
                          int* atomic, void** trace, std::size_t trace_size);
int __tsan_get_report_thread(void* report, std::size_t index, int* tid, std::uint64_t* os_id, int* running,
                             const char** name, int* parent_tid, void** trace, std::size_t trace_size);
void __tsan_read4(void* address);
void __tsan_read8(void* address);
void __tsan_read16(void* address);
void __tsan_write4(void* address);
void __tsan_write8(void* address);
void __tsan_write16(void* address);
void __sanitizer_symbolize_pc(void* pc, const char* format, char* text, std::size_t text_size);
}
// NOLINTEND(bugprone-reserved-identifier)

namespace mt::simt_machine {
namespace {

constexpr int kFrames = 32;
constexpr std::size_t kNameBytes = 64;

struct Access {
  int tid;
  int bytes;
  int write;
  int atomic;
  void* trace[kFrames];  // innermost first, ends with nullptr
  char thread[kNameBytes];
};

// Written inside of TSan's runtime, which may be holding its locks: no allocation.
struct Race {
  bool watched;
  bool found;
  Access access[2];
};
constinit Race race{};

template <typename F>
void on_fibers(const std::vector<void*>& fibers, const F& f) {
  void* const running = __tsan_get_current_fiber();
  for (void* fiber : fibers) {
    __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
    f();
  }
  __tsan_switch_to_fiber(running, __tsan_switch_to_fiber_no_sync);
}

/// A new object for each occasion: with one for all, what a fast thread releases at the next barrier would
/// seem to lie before what a slow one does after this one, and would hide races.
class SyncObject {
 public:
  void release() { __tsan_release(word_); }
  void acquire() { __tsan_acquire(word_); }
  SyncObject() {
    const Unobserved quiet;
    word_ = new uint64_t(0);
  }
  ~SyncObject() {
    const Unobserved quiet;
    delete word_;
  }
  SyncObject(const SyncObject&) = delete;
  SyncObject& operator=(const SyncObject&) = delete;

 private:
  uint64_t* word_;
};

/// The first line of the access that is not the machine's or the runtime's.
std::string source_of(const Access& access) {
  for (void* const* frame = access.trace; frame != access.trace + kFrames && *frame != nullptr; ++frame) {
    char text[1024] = {};
    __sanitizer_symbolize_pc(*frame, "%s:%l", text, sizeof(text) - 1);
    std::string_view line = text;
    bool machine = line.find("kernels/") == std::string_view::npos;
    for (const char* own :
         {"/simt/kernel.h", "/simt/fragment.h", "/simt/machine.", "/simt/async_queue.", "/simt/race_check."})
      machine |= line.find(own) != std::string_view::npos;
    if (machine) continue;
    if (const std::size_t up = line.rfind("/../"); up != std::string_view::npos) line.remove_prefix(up + 4);
    return std::string(line);
  }
  return "an unknown line";
}

std::string story_of(const Access& access) {
  const char* verb = access.write != 0 ? "writes" : "reads";
  return std::string(access.thread) + " " + verb + (access.atomic != 0 ? " (atomic)" : "") + " at " +
         source_of(access);
}

}  // namespace

void observe_read(const void* pointer, std::size_t bytes) {
  void* const address = const_cast<void*>(pointer);
  if (bytes == 4) __tsan_read4(address);
  if (bytes == 8) __tsan_read8(address);
  if (bytes == 16) __tsan_read16(address);
}

void observe_write(void* pointer, std::size_t bytes) {
  if (bytes == 4) __tsan_write4(pointer);
  if (bytes == 8) __tsan_write8(pointer);
  if (bytes == 16) __tsan_write16(pointer);
}

void order_all(const std::vector<void*>& fibers) {
  SyncObject object;
  on_fibers(fibers, [&] { object.release(); });
  on_fibers(fibers, [&] { object.acquire(); });
}

void order_before_me(const std::vector<void*>& fibers) {
  SyncObject object;
  on_fibers(fibers, [&] { object.release(); });
  object.acquire();
}

RaceWatch::RaceWatch() {
  race = {};
  race.watched = true;
}
RaceWatch::~RaceWatch() {
  race = {};
}
bool RaceWatch::found() {
  return race.found;
}
std::string RaceWatch::story() {
  return "data race: " + story_of(race.access[0]) + ", " + story_of(race.access[1]) +
         ", and nothing orders the two";
}

}  // namespace mt::simt_machine

/// TSan calls this with each report before it prints it.
extern "C" void __tsan_on_report(void* report) {  // NOLINT(bugprone-reserved-identifier)
  using namespace mt::simt_machine;
  if (!race.watched || race.found) return;
  const char* description = nullptr;
  int counts[7] = {};
  void* sleep_trace[1] = {};
  __tsan_get_report_data(report, &description, &counts[0], &counts[1], &counts[2], &counts[3], &counts[4],
                         &counts[5], &counts[6], sleep_trace, 1);
  const int mops = counts[2];
  const int threads = counts[5];
  if (mops < 2) return;
  for (std::size_t i = 0; i < 2; ++i) {
    Access& access = race.access[i];
    void* address = nullptr;
    __tsan_get_report_mop(report, i, &access.tid, &address, &access.bytes, &access.write, &access.atomic,
                          access.trace, kFrames);
    for (int t = 0; t < threads; ++t) {
      int tid = 0;
      int running = 0;
      int parent = 0;
      std::uint64_t os_id = 0;
      const char* name = nullptr;
      void* created_at[1] = {};
      __tsan_get_report_thread(report, static_cast<std::size_t>(t), &tid, &os_id, &running, &name, &parent,
                               created_at, 1);
      if (tid == access.tid && name != nullptr) std::strncpy(access.thread, name, kNameBytes - 1);
    }
  }
  race.found = true;
}

#else

namespace mt::simt_machine {

void order_all(const std::vector<void*>&) {}
void order_before_me(const std::vector<void*>&) {}
RaceWatch::RaceWatch() = default;
RaceWatch::~RaceWatch() = default;
bool RaceWatch::found() {
  return false;
}
std::string RaceWatch::story() {
  return "";
}

}  // namespace mt::simt_machine

#endif
