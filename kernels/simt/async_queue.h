#pragma once
// cp.async as a CUDA thread sees it: copies that happen at some time between their issue and their wait. Here
// they happen in the wait, and until then the target holds poison, so that whoever reads too early sees it.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/simt/machine.h"

namespace mt::simt_machine {

/// The asynchronous copies of one CUDA thread that it has not waited for.
class AsyncQueue {
 public:
  ~AsyncQueue() { clear(); }

  /// Poisons the target. Unless `valid`, the source is not read and the target will be zeros.
  void issue(void* target, const void* source, std::size_t bytes, bool valid, unsigned char poison,
             SourceLine where);
  /// Closes the group of the copies issued since the last commit; it may be empty.
  void commit() { ++open_group_; }
  /// Performs the copies of all closed groups but the `pending` newest. Returns what it found wrong and sets
  /// `where` to the copy's line, or nullptr.
  const char* wait(uint64_t pending, SourceLine& where);

  bool empty() const { return copies_.empty(); }
  SourceLine oldest() const { return copies_.front().where; }
  void clear();

 private:
  static constexpr std::size_t kMostBytes = 16;
  struct Copy {
    void* target;
    const void* source;
    std::size_t bytes;
    bool valid;
    unsigned char poison;
    unsigned char value[kMostBytes];  // of the source at the issue
    uint64_t group;
    SourceLine where;
  };
  static const char* perform(const Copy& copy);

  std::vector<Copy> copies_;
  uint64_t open_group_ = 0;
};

}  // namespace mt::simt_machine
