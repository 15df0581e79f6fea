#include "kernels/simt/machine.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/simt/async_queue.h"
#include "kernels/simt/fiber.h"
#include "kernels/simt/memory_guard.h"
#include "kernels/simt/race_check.h"
#include "kernels/simt/run_queue.h"
#include "tensor/check.h"
#include "tensor/sanitizers.h"

namespace mt::simt_machine {

constinit thread_local Index3 threadIdx{};
constinit thread_local Index3 blockIdx{};
constinit thread_local Index3 blockDim{};
constinit thread_local Index3 gridDim{};

namespace {

constexpr std::size_t kStackBytes = std::size_t{kAddressSanitizer ? 256 : 64} << 10;

Schedule chosen_schedule;
int architecture = 75;
bool checks_races = false;

// Racecheck keeps the fibers and shared memory of this many threads at a time: what a block leaves behind can
// then be compared with the blocks that follow.
constexpr unsigned kFibersKept = 2048;

struct RemovedBarrier {
  std::string path;
  int line = 0;
};
RemovedBarrier removed_barrier;

bool is_removed(SourceLine where) {
  return where.line == removed_barrier.line && std::string_view(where.file).ends_with(removed_barrier.path);
}

std::string text_of(const Index3& i) {
  return fmt::format("({},{},{})", i.x, i.y, i.z);
}
std::string text_of(SourceLine where) {
  return fmt::format("{}:{}", where.file, where.line);
}

Index3 index_in(int64_t i, const Extent& e) {
  return {static_cast<unsigned>(i % e.x), static_cast<unsigned>(i / e.x % e.y),
          static_cast<unsigned>(i / (e.x * e.y))};
}

Index3 as_index(const Extent& e) {
  return {static_cast<unsigned>(e.x), static_cast<unsigned>(e.y), static_cast<unsigned>(e.z)};
}

struct Free {
  void operator()(void* pointer) const { std::free(pointer); }
};

/// A heap block of exactly the size asked for, so that ASan sees the first byte beyond it.
struct SharedArray {
  const void* tag;
  std::size_t bytes;
  std::unique_ptr<void, Free> memory;

  bool holds(const void* pointer, std::size_t n) const {
    const auto offset =
        reinterpret_cast<std::uintptr_t>(pointer) - reinterpret_cast<std::uintptr_t>(memory.get());
    return memory != nullptr && offset <= bytes && n <= bytes - offset;
  }
};

std::unique_ptr<void, Free> poisoned(std::size_t bytes, unsigned char poison) {
  void* memory = nullptr;
  check(posix_memalign(&memory, 128, std::max<std::size_t>(bytes, 1)) == 0,
        "SIMT machine: no memory for shared memory");
  std::memset(memory, poison, bytes);
  return std::unique_ptr<void, Free>(memory);
}

enum class State : uint8_t { can_run, at_barrier, at_warp_operation, left };

struct Thread {
  Index3 index;
  State state;
  SourceLine where;  // it waits
  // Of a warp operation:
  WarpOperation operation;
  unsigned mask;
  unsigned source;
  uint64_t value;
  uint64_t result;
};

/// Lanes of a warp, a bit each.
struct Warp {
  unsigned there;    // the block has them, and they have not left the kernel
  unsigned waiting;  // at a warp operation
};

/// What the machine itself found wrong; its text is complete.
struct Fault : Error {
  using Error::Error;
};

/// Runs launches of one operating-system thread. Faults inside a fiber are thrown and caught there (so that
/// its stack is left in order), and thrown again on the caller's stack: no exception crosses a switch.
class Machine {
 public:
  void run(const LaunchConfig& config, void (*body)(const void*), const void* context);

  void wait_at_barrier(SourceLine where);
  using Perform = void (*)(void* const*);
  uint64_t warp_operation(WarpOperation operation, unsigned mask, uint64_t value, unsigned source,
                          SourceLine where, Perform perform = nullptr);
  bool in_shared_memory(const void* pointer, std::size_t bytes) const;
  void copy_async(void* target, const void* source, std::size_t bytes, bool valid, unsigned char poison,
                  SourceLine where);
  void commit_async() { async_[current_].commit(); }
  void wait_async(unsigned pending, SourceLine where);
  void yield();
  void* static_shared(const void* tag, std::size_t bytes, unsigned char poison, SourceLine where);
  void* dynamic_shared(unsigned char poison);
  [[noreturn]] void fault(SourceLine where, const std::string& reason);
  unsigned current() const { return current_; }

 private:
  void check_limits() const;
  std::vector<int64_t> block_order();
  void run_blocks(const std::vector<int64_t>& blocks);
  void start_fibers(const std::vector<int64_t>& blocks);
  void order_block();
  void order_warp(unsigned first, unsigned mask);
  void run_block();
  Fiber& fiber(unsigned thread) { return fibers_[first_fiber_ + thread]; }
  static void thread_main();
  void switch_away();
  void complete_warp_operation(unsigned first, unsigned mask, Perform perform);
  [[noreturn]] void fail_stuck();
  std::string story_of(const Thread& thread) const;
  [[noreturn]] void end_with(const std::string& reason);

  const LaunchConfig* config_ = nullptr;
  void (*body_)(const void*) = nullptr;
  const void* context_ = nullptr;

  Fiber host_;
  std::vector<Fiber> fibers_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<AsyncQueue> async_;  // of each thread
  RunQueue queue_;
  unsigned first_fiber_ = 0;  // of the block that runs
  unsigned count_ = 0;        // threads of a block
  unsigned current_ = 0;      // thread that runs
  unsigned left_ = 0;
  unsigned at_barrier_ = 0;
  std::vector<SharedArray> shared_;
  std::size_t static_bytes_ = 0;
  SharedArray dynamic_{};
  std::vector<SharedArray> kept_;  // by racecheck, of blocks that have ended
  std::string fault_;
};

Machine& machine() {
  static thread_local Machine instance;
  return instance;
}

void Machine::check_limits() const {
  check_launch(*config_);
  const int64_t limit = shared_bytes_limit(architecture);
  if (config_->shared_bytes > limit) {
    fail("{}: sm_{} gives a block at most {} bytes of dynamic shared memory", describe(*config_),
         architecture, limit);
  }
}

std::vector<int64_t> Machine::block_order() {
  const Extent& g = config_->grid;
  std::vector<int64_t> order(static_cast<std::size_t>(g.x * g.y * g.z));
  std::iota(order.begin(), order.end(), int64_t{0});
  if (chosen_schedule.order == Order::reversed) std::reverse(order.begin(), order.end());
  if (queue_.is_random()) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[queue_.random_below(i)]);
  }
  return order;
}

void Machine::run(const LaunchConfig& config, void (*body)(const void*), const void* context) {
  check(config_ == nullptr, "{}: launched from inside of a kernel", describe(config));
  config_ = &config;
  struct Reset {
    Machine& machine;
    ~Reset() {
      machine.config_ = nullptr;
      machine.async_.clear();
      machine.shared_.clear();
      machine.dynamic_ = {};
      machine.kept_.clear();
    }
  } const reset{*this};
  check_limits();
  body_ = body;
  context_ = context;
  count_ = static_cast<unsigned>(config.block.x * config.block.y * config.block.z);
  blockDim = as_index(config.block);
  gridDim = as_index(config.grid);
  threads_.resize(count_);
  async_.resize(count_);
  warps_.resize((count_ + 31) / 32);
  queue_.configure(chosen_schedule);
  const OpenMemory kernels_may_touch_it;
  const std::vector<int64_t> order = block_order();
  const std::size_t together = checks_races ? std::max(1U, kFibersKept / count_) : 1;
  while (fibers_.size() < count_ * std::min(together, order.size())) fibers_.emplace_back(kStackBytes);
  for (std::size_t first = 0; first < order.size(); first += together) {
    const std::size_t last = std::min(first + together, order.size());
    run_blocks({order.begin() + static_cast<std::ptrdiff_t>(first),
                order.begin() + static_cast<std::ptrdiff_t>(last)});
  }
}

/// One block; under racecheck several, which nothing orders among each other.
void Machine::run_blocks(const std::vector<int64_t>& blocks) {
  std::optional<RaceWatch> watch;
  if (checks_races) watch.emplace();
  Fiber::set_switches_order_memory(!checks_races);
  start_fibers(blocks);
  struct Join {
    Machine& m;
    std::size_t fibers;
    ~Join() {
      if (!checks_races) return;
      std::vector<void*> all(fibers);
      for (std::size_t i = 0; i < fibers; ++i) all[i] = m.fibers_[i].sanitizer_fiber();
      order_before_me(all);
      m.kept_.clear();
      Fiber::set_switches_order_memory(true);
    }
  } const join{*this, blocks.size() * count_};
  first_fiber_ = 0;
  for (const int64_t block : blocks) {
    blockIdx = index_in(block, config_->grid);
    run_block();
    first_fiber_ += count_;
  }
}

/// In a random order: clang 14's TSan does not see some pairs of fibers that were made exactly 255 apart.
void Machine::start_fibers(const std::vector<int64_t>& blocks) {
  if (!checks_races) {
    for (unsigned t = 0; t < count_; ++t) fibers_[t].start_at(&Machine::thread_main);
    return;
  }
  std::vector<std::size_t> order(blocks.size() * count_);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[queue_.random_below(i)]);
  for (const std::size_t i : order) {
    const std::string name = fmt::format("thread {} of block {}",
                                         text_of(index_in(static_cast<int64_t>(i % count_), config_->block)),
                                         text_of(index_in(blocks[i / count_], config_->grid)));
    fibers_[i].start_at(&Machine::thread_main, name.c_str());
  }
}

void Machine::run_block() {
  if (checks_races) {
    std::move(shared_.begin(), shared_.end(), std::back_inserter(kept_));
    kept_.push_back(std::move(dynamic_));
  }
  shared_.clear();
  dynamic_ = {};
  static_bytes_ = 0;
  left_ = 0;
  at_barrier_ = 0;
  fault_.clear();
  queue_.clear();
  for (unsigned t = 0; t < count_; ++t) {
    threads_[t] = Thread{};
    threads_[t].index = index_in(t, config_->block);
    queue_.add(t);
  }
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    const std::size_t lanes = count_ - w * 32;
    warps_[w] = {lanes >= 32 ? ~0U : (1U << lanes) - 1, 0};
  }
  while (left_ < count_) {
    if (queue_.empty()) fail_stuck();
    current_ = queue_.take();
    threadIdx = threads_[current_].index;
    Fiber::switch_to(host_, fiber(current_));
    if (!fault_.empty()) throw Error(fault_);
    if (RaceWatch::found()) throw Error(fmt::format("{}: {}", describe(*config_), RaceWatch::story()));
  }
}

/// All threads of the block have met at something that orders their memory.
void Machine::order_block() {
  if (!checks_races) return;
  const Unobserved quiet;
  std::vector<void*> fibers(count_);
  for (unsigned t = 0; t < count_; ++t) fibers[t] = fiber(t).sanitizer_fiber();
  order_all(fibers);
}

/// The same for the lanes in mask of the warp that starts at thread `first`.
void Machine::order_warp(unsigned first, unsigned mask) {
  if (!checks_races) return;
  const Unobserved quiet;
  std::vector<void*> fibers;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1U) != 0) fibers.push_back(fiber(first + lane).sanitizer_fiber());
  }
  order_all(fibers);
}

void Machine::thread_main() {
  Machine& m = machine();
  try {
    m.body_(m.context_);
    if (const AsyncQueue& copies = m.async_[m.current_]; !copies.empty())
      m.fault(copies.oldest(), "nobody waited for this asynchronous copy before its thread left the kernel");
  } catch (const Fault& fault) {
    m.fault_ = fault.what();
  } catch (const std::exception& error) {
    m.fault_ = fmt::format("{}: {}", describe(*m.config_), error.what());
  }
  m.threads_[m.current_].state = State::left;
  m.warps_[m.current_ / 32].there &= ~(1U << m.current_ % 32);
  ++m.left_;
  Fiber::switch_to(m.fiber(m.current_), m.host_, true);
}

void Machine::switch_away() {
  Fiber::switch_to(fiber(current_), host_);
}

void Machine::yield() {
  if (!queue_.is_random()) return;
  queue_.add(current_);
  switch_away();
}

void Machine::wait_at_barrier(SourceLine where) {
  if (is_removed(where)) return;
  Thread& self = threads_[current_];
  self.state = State::at_barrier;
  self.where = where;
  if (++at_barrier_ == count_) {
    const auto elsewhere = [&](const Thread& t) {
      return t.where.line != where.line || std::strcmp(t.where.file, where.file) != 0;
    };
    if (std::any_of(threads_.begin(), threads_.end(), elsewhere)) fail_stuck();
    at_barrier_ = 0;
    order_block();
    for (unsigned t = 0; t < count_; ++t) {
      threads_[t].state = State::can_run;
      queue_.add(t);
    }
  }
  switch_away();
}

uint64_t Machine::warp_operation(WarpOperation operation, unsigned mask, uint64_t value, unsigned source,
                                 SourceLine where, Perform perform) {
  if (operation == WarpOperation::sync && is_removed(where)) return 0;
  Warp& warp = warps_[current_ / 32];
  if ((mask >> (current_ % 32) & 1U) == 0) {
    fault(where, fmt::format("mask {:#010x} of a warp operation does not name the calling lane {}", mask,
                             current_ % 32));
  }
  if (const unsigned absent = mask & ~warp.there; absent != 0) {
    fault(where, fmt::format("mask {:#010x} of a warp operation names lanes {:#010x} that are not there",
                             mask, absent));
  }
  if (operation == WarpOperation::shuffle && (mask >> source & 1U) == 0) {
    fault(where, fmt::format("shuffle reads lane {}, which its mask {:#010x} does not name", source, mask));
  }
  Thread& self = threads_[current_];
  self = {self.index, State::at_warp_operation, where, operation, mask, source, value, 0};
  warp.waiting |= 1U << current_ % 32;
  if ((mask & ~warp.waiting) == 0) {
    complete_warp_operation(current_ / 32 * 32, mask, perform);
    warp.waiting &= ~mask;
  }
  switch_away();
  return threads_[current_].result;
}

/// All lanes in mask of the warp that starts at thread `first` have come.
void Machine::complete_warp_operation(unsigned first, unsigned mask, Perform perform) {
  const Thread& self = threads_[current_];
  const auto for_lanes = [&](const auto& f) {
    for (unsigned lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1U) != 0) f(threads_[first + lane], lane);
    }
  };
  bool all_agree = true;
  unsigned votes = 0;
  for_lanes([&](const Thread& t, unsigned lane) {
    all_agree &= t.mask == mask && t.operation == self.operation && t.where.line == self.where.line;
    votes |= (t.value != 0 ? 1U : 0U) << lane;
  });
  if (!all_agree) fail_stuck();
  if (self.operation == WarpOperation::sync) order_warp(first, mask);  // the others order no memory
  if (perform != nullptr) {
    std::array<void*, 32> arguments{};
    for_lanes([&](const Thread& t, unsigned lane) { arguments[lane] = reinterpret_cast<void*>(t.value); });
    perform(arguments.data());
  }
  for_lanes([&](Thread& t, unsigned) {
    t.result = t.operation == WarpOperation::shuffle ? threads_[first + t.source].value : votes;
  });
  for_lanes([&](Thread& t, unsigned lane) {
    t.state = State::can_run;
    queue_.add(first + lane);
  });
}

void* Machine::static_shared(const void* tag, std::size_t bytes, unsigned char poison, SourceLine where) {
  for (const SharedArray& array : shared_) {
    if (array.tag == tag) return array.memory.get();
  }
  const Unobserved quiet;
  static_bytes_ += bytes;
  if (static_bytes_ > static_cast<std::size_t>(kMaxStaticSharedBytes)) {
    fault(where, fmt::format("{} bytes of static shared memory; a block may have {}", static_bytes_,
                             kMaxStaticSharedBytes));
  }
  const int64_t limit = shared_bytes_limit(architecture);
  if (static_cast<int64_t>(static_bytes_) + config_->shared_bytes > limit) {
    fault(where,
          fmt::format("{} bytes of static and {} of dynamic shared memory; sm_{} gives a block {} in all",
                      static_bytes_, config_->shared_bytes, architecture, limit));
  }
  shared_.push_back({tag, bytes, poisoned(bytes, poison)});
  return shared_.back().memory.get();
}

void* Machine::dynamic_shared(unsigned char poison) {
  if (!dynamic_.memory) {
    const Unobserved quiet;
    const auto bytes = static_cast<std::size_t>(config_->shared_bytes);
    dynamic_ = {nullptr, bytes, poisoned(bytes, poison)};
  }
  return dynamic_.memory.get();
}

bool Machine::in_shared_memory(const void* pointer, std::size_t bytes) const {
  return dynamic_.holds(pointer, bytes) ||
         std::any_of(shared_.begin(), shared_.end(),
                     [&](const auto& array) { return array.holds(pointer, bytes); });
}

void Machine::copy_async(void* target, const void* source, std::size_t bytes, bool valid,
                         unsigned char poison, SourceLine where) {
  if (!in_shared_memory(target, bytes))
    fault(where, "an asynchronous copy writes outside of the block's shared memory");
  if (in_shared_memory(source, 1))
    fault(where, "an asynchronous copy reads shared memory; its source is global memory");
  async_[current_].issue(target, source, bytes, valid, poison, where);
}

void Machine::wait_async(unsigned pending, SourceLine where) {
  if (is_removed(where)) return;
  SourceLine copy{};
  if (const char* wrong = async_[current_].wait(pending, copy)) fault(copy, wrong);
}

void Machine::fault(SourceLine where, const std::string& reason) {
  const Unobserved quiet;
  end_with(fmt::format("thread {} at {}: {}", text_of(threads_[current_].index), text_of(where), reason));
}

std::string Machine::story_of(const Thread& t) const {
  switch (t.state) {
    case State::can_run:
      return fmt::format("thread {} can run", text_of(t.index));
    case State::at_barrier:
      return fmt::format("thread {} waits at the barrier {}", text_of(t.index), text_of(t.where));
    case State::at_warp_operation:
      return fmt::format("thread {} waits at the warp operation {} with mask {:#010x}", text_of(t.index),
                         text_of(t.where), t.mask);
    case State::left:
      return fmt::format("thread {} has left the kernel", text_of(t.index));
  }
  return "";
}

/// Nobody can go on: tells of the first thread, and of the first that is somewhere else.
void Machine::fail_stuck() {
  const Unobserved quiet;
  const auto waiting = std::find_if(threads_.begin(), threads_.end(), [](const Thread& t) {
    return t.state == State::at_barrier || t.state == State::at_warp_operation;
  });
  const std::string story = story_of(*waiting);
  const auto same_place = [&](const Thread& t) {
    return t.state == waiting->state && t.where.line == waiting->where.line && t.mask == waiting->mask;
  };
  const auto other = std::find_if_not(threads_.begin(), threads_.end(), same_place);
  end_with(fmt::format("{} divergence: {}, but {}", waiting->state == State::at_barrier ? "barrier" : "warp",
                       story, other == threads_.end() ? "nobody else" : story_of(*other)));
}

void Machine::end_with(const std::string& reason) {
  throw Fault(fmt::format("{}: block {}: {}", describe(*config_), text_of(blockIdx), reason));
}

}  // namespace

void set_schedule(Schedule schedule) {
  chosen_schedule = schedule;
}
Schedule schedule() {
  return chosen_schedule;
}

int64_t shared_bytes_limit(int sm) {
  switch (sm) {
    case 75:
      return int64_t{64} << 10;
    case 80:
      return int64_t{163} << 10;
    case 86:
    case 89:
    case 120:
      return int64_t{99} << 10;
    case 90:
    case 100:
      return int64_t{227} << 10;
    default:
      fail("SIMT machine: unknown architecture sm_{}; there is 75, 80, 86, 89, 90, 100 and 120", sm);
  }
}

void set_race_check(bool on) {
  check(!on || kCanCheckRaces, "SIMT machine: racecheck needs a build with -fsanitize=thread");
  checks_races = on;
}
void remove_barrier(const char* path, int line) {
  removed_barrier = {path, line};
}

void set_architecture(int sm) {
  shared_bytes_limit(sm);
  architecture = sm;
}

void run(const LaunchConfig& config, void (*body)(const void*), const void* context) {
  machine().run(config, body, context);
}
void wait_at_barrier(SourceLine where) {
  machine().wait_at_barrier(where);
}
uint64_t warp_operation(WarpOperation operation, unsigned mask, uint64_t value, unsigned source,
                        SourceLine where) {
  return machine().warp_operation(operation, mask, value, source, where);
}
void warp_collective(void* argument, void (*perform)(void* const* arguments), SourceLine where) {
  machine().warp_operation(WarpOperation::fragment, ~0U, reinterpret_cast<uint64_t>(argument), 0, where,
                           perform);
}
bool in_shared_memory(const void* pointer, std::size_t bytes) {
  return machine().in_shared_memory(pointer, bytes);
}
void copy_async(void* target, const void* source, std::size_t bytes, bool valid, unsigned char poison,
                SourceLine where) {
  machine().copy_async(target, source, bytes, valid, poison, where);
}
void commit_async() {
  machine().commit_async();
}
void wait_async(unsigned pending, SourceLine where) {
  machine().wait_async(pending, where);
}
unsigned lane() {
  return machine().current() % 32;
}
unsigned warp() {
  return machine().current() / 32;
}
void yield() {
  machine().yield();
}
void* static_shared(const void* tag, std::size_t bytes, unsigned char poison, SourceLine where) {
  return machine().static_shared(tag, bytes, poison, where);
}
void* dynamic_shared(unsigned char poison) {
  return machine().dynamic_shared(poison);
}
void fault(SourceLine where, const char* reason) {
  machine().fault(where, reason);
}

}  // namespace mt::simt_machine
