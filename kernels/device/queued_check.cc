#include "kernels/device/queued_check.h"

#include <map>
#include <mutex>
#include <utility>

#include "kernels/device/device.h"
#include "tensor/allocator.h"
#include "tensor/check.h"

namespace mt {
namespace {

struct StreamChecks {
  FailureBits* word = nullptr;
  FailureLedger ledger;
};

/// Programs may read results in one thread while another queues work.
std::mutex mutex;

/// By device and stream. To be called with the mutex held.
StreamChecks& checks_of(Device device, Stream stream) {
  static auto& all = *new std::map<std::pair<Device, Stream>, StreamChecks>;  // outlives static tensors
  return all[{device, stream}];
}

/// simt's kernels run on the host: any memory will do.
FailureBits* new_word(Device device, Stream stream) {
  if (device != Device::cuda) return new FailureBits(kNoFailure);
  auto* word = static_cast<FailureBits*>(allocator(device).allocate(sizeof(FailureBits)));
  copy_bytes(word, device, &kNoFailure, Device::cpu, sizeof(FailureBits), stream);
  return word;
}

}  // namespace

FailureBits FailureLedger::announce(Describe describe) {
  pending_.push_back(std::move(describe));
  return (pending_.size() - 1) << kFailureIndexBits;
}

std::string FailureLedger::settle(FailureBits seen, std::size_t count) {
  const FailureBits number = seen >> kFailureIndexBits;
  std::string error;
  if (seen != kNoFailure && number < pending_.size())
    error = pending_[number](static_cast<int64_t>(seen & ((FailureBits{1} << kFailureIndexBits) - 1)));
  if (count == pending_.size()) pending_.clear();
  return error;
}

QueuedCheck::QueuedCheck(Device device, Stream stream, FailureLedger::Describe describe)
    : device_(device), stream_(stream) {
  bool full = false;
  {
    const std::scoped_lock lock(mutex);
    full = checks_of(device, stream).ledger.full();
  }
  if (full) synchronize(device, stream);
  const std::scoped_lock lock(mutex);
  StreamChecks& checks = checks_of(device, stream);
  if (checks.word == nullptr) checks.word = new_word(device, stream);
  word_ = {checks.word, checks.ledger.announce(std::move(describe))};
}

void QueuedCheck::queued() const {
  if (device_ == Device::cuda) return;
  const std::scoped_lock lock(mutex);
  StreamChecks& checks = checks_of(device_, stream_);
  const std::string error =
      checks.ledger.settle(std::exchange(*checks.word, kNoFailure), checks.ledger.size());
  check(error.empty(), "{}", error);
}

UnreadChecks unread_checks(Stream stream) {
  const std::scoped_lock lock(mutex);
  const StreamChecks& checks = checks_of(Device::cuda, stream);
  return {checks.word, checks.ledger.size()};
}

void throw_failures(Stream stream, const UnreadChecks& unread, FailureBits seen) {
  const std::scoped_lock lock(mutex);
  const std::string error = checks_of(Device::cuda, stream).ledger.settle(seen, unread.count);
  check(error.empty(), "{}", error);
}

void forget_failures(Stream stream) {
  const std::scoped_lock lock(mutex);
  StreamChecks& checks = checks_of(Device::cuda, stream);
  if (checks.word != nullptr) allocator(Device::cuda).deallocate(checks.word, sizeof(FailureBits));
  checks = {};
}

}  // namespace mt
