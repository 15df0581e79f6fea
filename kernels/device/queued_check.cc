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

/// By device and stream. The mutex guards the map; a stream's checks are queued by one thread at a time.
StreamChecks& checks_of(Device device, Stream stream) {
  static std::mutex mutex;
  static auto& all = *new std::map<std::pair<Device, Stream>, StreamChecks>;  // outlives static tensors
  const std::scoped_lock lock(mutex);
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

std::string FailureLedger::settle(FailureBits seen) {
  const std::vector<Describe> checks = std::exchange(pending_, {});
  const FailureBits number = seen >> kFailureIndexBits;
  if (seen == kNoFailure || number >= checks.size()) return "";
  return checks[number](static_cast<int64_t>(seen & ((FailureBits{1} << kFailureIndexBits) - 1)));
}

QueuedCheck::QueuedCheck(Device device, Stream stream, FailureLedger::Describe describe)
    : device_(device), stream_(stream) {
  StreamChecks& checks = checks_of(device, stream);
  if (checks.word == nullptr) checks.word = new_word(device, stream);
  if (checks.ledger.full()) synchronize(device, stream);
  word_ = {checks.word, checks.ledger.announce(std::move(describe))};
}

void QueuedCheck::queued() const {
  if (device_ == Device::cuda) return;
  StreamChecks& checks = checks_of(device_, stream_);
  const std::string error = checks.ledger.settle(std::exchange(*checks.word, kNoFailure));
  check(error.empty(), "{}", error);
}

FailureBits* unread_failures(Stream stream) {
  const StreamChecks& checks = checks_of(Device::cuda, stream);
  return checks.ledger.empty() ? nullptr : checks.word;
}

void throw_failures(Stream stream, FailureBits seen) {
  const std::string error = checks_of(Device::cuda, stream).ledger.settle(seen);
  check(error.empty(), "{}", error);
}

void forget_failures(Stream stream) {
  StreamChecks& checks = checks_of(Device::cuda, stream);
  if (checks.word != nullptr) allocator(Device::cuda).deallocate(checks.word, sizeof(FailureBits));
  checks = {};
}

}  // namespace mt
