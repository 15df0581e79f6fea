#include "train/data/device_feed.h"

#include <algorithm>
#include <cstring>

namespace mt::train {
namespace {

int64_t largest(const std::vector<std::vector<PatchId>>& batches) {
  std::size_t images = 0;
  for (const auto& batch : batches) images = std::max(images, batch.size());
  return static_cast<int64_t>(images);
}

std::size_t bytes_of(int64_t images, int64_t side) {
  return static_cast<std::size_t>(images * side * side * 3);
}

}  // namespace

DeviceFeed::Buffer::Buffer(Device device, int64_t images, int64_t side)
    : staging(device, bytes_of(images, side)),
      pixels(Tensor::empty({images, side, side, 3}, DType::u8, device)),
      copied(device),
      used(device) {
  used.record();  // the pool may have given memory that queued work still reads
}

DeviceFeed::DeviceFeed(PatchSource& source, std::vector<std::vector<PatchId>> batches, Device device)
    : device_(device), pipeline_(source, batches) {
  const int64_t images = largest(batches);
  if (device == Device::cpu || images == 0) return;
  copies_.emplace(device);
  for (auto& buffer : buffers_) buffer = std::make_unique<Buffer>(device, images, source.patch_pixels());
}

DeviceFeed::~DeviceFeed() {
  if (copies_) settle(device_, copies_->get());  // no copy may outlive its buffers
}

bool DeviceFeed::start_copy(std::size_t index) {
  PatchPipeline::Batch decoded;
  if (!pipeline_.next(decoded)) return false;
  Buffer& buffer = *buffers_[index];
  buffer.copied.wait();  // the copy of two batches ago has read the staging memory
  std::memcpy(buffer.staging.data(), decoded.pixels.raw(), decoded.pixels.bytes());
  buffer.used.let_wait(copies_->get());  // and the work on it has read the pixels
  device_runtime(device_).copy_to_device_async(buffer.pixels.raw(), buffer.staging.data(),
                                               decoded.pixels.bytes(), copies_->get());
  buffer.copied.record(copies_->get());
  buffer.ids = std::move(decoded.ids);
  return true;
}

bool DeviceFeed::next(Batch& batch) {
  if (!copies_) {
    PatchPipeline::Batch decoded;
    if (!pipeline_.next(decoded)) return false;
    batch = {std::move(decoded.ids), decoded.pixels};
    return true;
  }
  if (has_given_) buffers_[given_]->used.record();
  const std::size_t now = 1 - given_;
  if (!is_ahead_ && !start_copy(now)) return false;
  Buffer& buffer = *buffers_[now];
  buffer.copied.let_wait(nullptr);
  batch = {buffer.ids, buffer.pixels.slice(0, 0, static_cast<int64_t>(buffer.ids.size()))};
  given_ = now;
  has_given_ = true;
  is_ahead_ = pipeline_.is_ready() && start_copy(1 - now);
  return true;
}

}  // namespace mt::train
