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
  std::size_t size() const { return pending_.size(); }
  /// Whether the next number would be too large.
  bool full() const { return pending_.size() >= std::size_t{1} << 18; }
  /// `seen` is what the word held once the first `count` checks had been made. The text of the one that
  /// failed, or "". The checks are forgotten, unless others were announced in the meantime.
  std::string settle(FailureBits seen, std::size_t count);

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

/// A stream's checks at one moment.
struct UnreadChecks {
  FailureBits* word;  // on the device
  std::size_t count;
};
/// For the cuda runtime, before it waits: the word is to be read unless count is 0.
UnreadChecks unread_checks(Stream stream);
/// And when all work queued before is done, with what the word held: throws Error where a check has failed.
void throw_failures(Stream stream, const UnreadChecks& unread, FailureBits seen);
/// The stream is gone.
void forget_failures(Stream stream);

}  // namespace mt
