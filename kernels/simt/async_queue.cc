#include "kernels/simt/async_queue.h"

#include <algorithm>
#include <cstring>

#include "kernels/simt/race_check.h"
#include "tensor/sanitizers.h"

#if MT_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace mt::simt_machine {
namespace {

// ASan marks granules of 8 bytes: a copy of 4 bytes is poison by value only.
[[maybe_unused]] constexpr std::size_t kGranule = 8;

void forbid_access(void* target, std::size_t bytes) {
#if MT_ADDRESS_SANITIZER
  if (bytes >= kGranule) __asan_poison_memory_region(target, bytes);
#else
  (void)target, (void)bytes;
#endif
}

void allow_access(void* target, std::size_t bytes) {
#if MT_ADDRESS_SANITIZER
  if (bytes >= kGranule) __asan_unpoison_memory_region(target, bytes);
#else
  (void)target, (void)bytes;
#endif
}

}  // namespace

// Racecheck: the target is written at the issue and again in the wait, the source read at both, for the copy
// may happen at any time between.
void AsyncQueue::issue(void* target, const void* source, std::size_t bytes, bool valid, unsigned char poison,
                       SourceLine where) {
  if (valid) observe_read(source, bytes);
  observe_write(target, bytes);
  const Unobserved quiet;
  Copy copy{target, source, bytes, valid, poison, {}, open_group_, where};
  if (valid) std::memcpy(copy.value, source, bytes);
  std::memset(target, poison, bytes);
  forbid_access(target, bytes);
  copies_.push_back(copy);
}

const char* AsyncQueue::wait(uint64_t pending, SourceLine& where) {
  std::size_t done = 0;
  const char* wrong = nullptr;
  for (; done < copies_.size() && copies_[done].group + pending < open_group_ && wrong == nullptr; ++done) {
    const Copy& copy = copies_[done];
    where = copy.where;
    if (copy.valid) observe_read(copy.source, copy.bytes);
    observe_write(copy.target, copy.bytes);
    wrong = perform(copy);
  }
  const Unobserved quiet;
  copies_.erase(copies_.begin(), copies_.begin() + static_cast<std::ptrdiff_t>(done));
  return wrong;
}

const char* AsyncQueue::perform(const Copy& copy) {
  const Unobserved quiet;
  allow_access(copy.target, copy.bytes);
  const auto* target = static_cast<const unsigned char*>(copy.target);
  if (!std::all_of(target, target + copy.bytes, [&](unsigned char byte) { return byte == copy.poison; }))
    return "somebody wrote the target of this asynchronous copy before its wait";
  if (copy.valid && std::memcmp(copy.source, copy.value, copy.bytes) != 0)
    return "somebody wrote the source of this asynchronous copy before its wait";
  std::memcpy(copy.target, copy.value, copy.bytes);
  return nullptr;
}

void AsyncQueue::clear() {
  for (const Copy& copy : copies_) allow_access(copy.target, copy.bytes);
  copies_.clear();
  open_group_ = 0;
}

}  // namespace mt::simt_machine
