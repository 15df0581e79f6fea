#pragma once
// Decoded patches on the device that computes: the next batch is copied while this one is worked on.

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/device/device.h"
#include "tensor/tensor.h"
#include "train/data/patches.h"

namespace mt::train {

/// The batches of a PatchPipeline, in order. On the cpu they are handed on as they are. For a device they go
/// through two buffers of pinned memory and a stream of their own: once a batch is decoded its copy runs
/// beside the work on the batch before.
class DeviceFeed {
 public:
  struct Batch {
    std::vector<PatchId> ids;
    Tensor pixels;  // (ids,patch,patch,3) u8
  };

  DeviceFeed(PatchSource& source, std::vector<std::vector<PatchId>> batches, Device device);
  ~DeviceFeed();
  DeviceFeed(const DeviceFeed&) = delete;
  DeviceFeed& operator=(const DeviceFeed&) = delete;

  /// False when all batches were handed out. Pixels may be used by work that is queued before the following
  /// call, and no later. Rethrows the error of a patch that could not be read.
  bool next(Batch& batch);

 private:
  struct Buffer {
    Buffer(Device device, int64_t images, int64_t side);
    PinnedMemory staging;
    Tensor pixels;  // (images,side,side,3)
    Event copied;   // in the copies' stream
    Event used;     // in the default stream
    std::vector<PatchId> ids;
  };
  /// Takes a decoded batch and queues its copy into the buffer. False when there is none left.
  bool start_copy(std::size_t buffer);

  Device device_;
  PatchPipeline pipeline_;
  std::optional<OwnedStream> copies_;
  std::array<std::unique_ptr<Buffer>, 2> buffers_;
  std::size_t given_ = 1;  // buffer of the batch that next() gave last
  bool has_given_ = false;
  bool is_ahead_ = false;  // the other buffer's copy is on its way
};

}  // namespace mt::train
