#pragma once
// Patches decoded straight from the slides, in the background, while the network computes.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "tensor/check.h"
#include "tensor/tensor.h"
#include "train/data/tiles.h"

namespace mt::train {

/// Patch `tile` of slide number `slide`.
struct PatchId {
  int32_t slide = 0;
  int32_t tile = 0;
  bool operator==(const PatchId&) const = default;
};

/// A patch that cannot be read: its slide is damaged there, or its storage is. The text names file and place.
class UnreadablePatch : public Error {
 public:
  UnreadablePatch(const std::string& message, PatchId patch) : Error(message), id(patch) {}
  PatchId id;
};

/// Reads patches of a set of slides. Keeps a bounded number of slides open and a bounded number of decoded
/// patches. Thread-safe.
class PatchSource {
 public:
  /// `slides` and `config` must outlive it.
  PatchSource(std::span<const TiledSlide> slides, const Config& config,
              std::size_t cache_bytes = std::size_t{256} << 20);

  const TiledSlide& at(int32_t slide) const { return slides_[static_cast<std::size_t>(slide)]; }
  const Config& config() const { return config_; }
  int64_t patch_pixels() const { return patch_; }
  /// Decodes into `target` (patch,patch,3). Throws UnreadablePatch.
  void read(PatchId id, uint8_t* target);
  /// Stable key of a patch for random streams: hash of slide name and level-0 position.
  uint64_t key(PatchId id) const;

 private:
  std::shared_ptr<wsi::Slide> slide(int32_t number);
  wsi::RgbImage decode(PatchId id);

  std::span<const TiledSlide> slides_;
  const Config& config_;
  int64_t patch_;

  std::mutex slides_mutex_;
  std::list<std::pair<int32_t, std::shared_ptr<wsi::Slide>>> open_slides_;  // newest first

  std::mutex cache_mutex_;
  std::size_t cache_limit_;
  std::size_t cache_bytes_ = 0;
  std::unordered_map<uint64_t, std::vector<uint8_t>> cache_;
  std::deque<uint64_t> cache_order_;
};

/// A sequence of batches read ahead by background threads and handed out in order.
class PatchPipeline {
 public:
  struct Batch {
    std::vector<PatchId> ids;
    Tensor pixels;  // (ids,patch,patch,3) u8, on the cpu
  };

  /// `batches` in the order in which next() will give them.
  PatchPipeline(PatchSource& source, std::vector<std::vector<PatchId>> batches);
  ~PatchPipeline();
  PatchPipeline(const PatchPipeline&) = delete;
  PatchPipeline& operator=(const PatchPipeline&) = delete;

  /// False when all batches were handed out. Rethrows the error of a patch that could not be read; of several in a batch, the first's.
  bool next(Batch& batch);
  /// Whether next() would return at once with a batch.
  bool is_ready();

 private:
  struct Slot {
    Batch batch;
    std::atomic<std::size_t> left{0};
    std::exception_ptr error;
    std::size_t error_at = 0;  // the patch that it is of
  };
  void work();

  PatchSource& source_;
  std::vector<std::vector<PatchId>> batches_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Slot>> slots_;  // batches being read, oldest first
  std::size_t next_batch_ = 0;               // to be put into slots_
  std::size_t next_patch_ = 0;               // of the newest slot, to be taken by a worker
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

/// Splits `ids` into consecutive batches of at most `size`.
std::vector<std::vector<PatchId>> in_batches(const std::vector<PatchId>& ids, std::size_t size);

}  // namespace mt::train
