#pragma once
// Checks that kernels make while they run: that no logit is NaN, that no index is outside. What one finds is
// thrown by the next copy to the host or synchronize() of the same stream, so that nobody waits for a check
// alone. On simt, whose work is done when a launch returns, it is thrown at once. Included by .cu files: no
// heavy headers.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// The integer of 64 bits that atomics know.
using FailureBits = unsigned long long;
/// Nothing has failed.
inline constexpr FailureBits kNoFailure = ~FailureBits{0};

/// Where a kernel tells what it finds (kernels/common/report.cuh). One word for each stream holds the first
/// check that failed, in the order in which they were queued, and its smallest index: the same whatever the
/// order of threads.
struct FailureWord {
  FailureBits* first;  // on the device
  FailureBits check;   // the check's number, in the bits above those of an index
};
inline constexpr int kFailureIndexBits = 44;

/// The checks of a stream that nobody has read yet.
class FailureLedger {
 public:
  using Describe = std::function<std::string(int64_t index)>;
  /// The check's number, where FailureWord has it.
  FailureBits announce(Describe describe);
  bool empty() const { return pending_.empty(); }
  /// Whether the next number would be too large.
  bool full() const { return pending_.size() >= std::size_t{1} << 18; }
  /// Forgets all checks, which have been made; `seen` is what their word holds. The text of the one that
  /// failed, or
  /// "".
  std::string settle(FailureBits seen);

 private:
  std::vector<Describe> pending_;
};

/// One check, by one or several launches:
///
///     const QueuedCheck check(kDevice, stream, [](int64_t row) { return "…: row " + std::to_string(row); });
///     launch<kernel>(…, check.word());
///     check.queued();
///
/// `describe` makes the error's text. It runs later, on the host: what it names by reference may be gone.
class QueuedCheck {
 public:
  QueuedCheck(Device device, Stream stream, FailureLedger::Describe describe);
  FailureWord word() const { return word_; }
  /// Behind the last launch. On simt throws what it found.
  void queued() const;

 private:
  Device device_;
  Stream stream_;
  FailureWord word_;
};

/// For the cuda runtime: the word of a stream that has unread checks, else null.
FailureBits* unread_failures(Stream stream);
/// And what the word held, once all work queued before is done: throws Error where a check has failed.
void throw_failures(Stream stream, FailureBits seen);
/// The stream is gone.
void forget_failures(Stream stream);

}  // namespace mt
