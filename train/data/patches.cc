#include "train/data/patches.h"

#include <algorithm>
#include <cstring>

#include "tensor/check.h"
#include "tensor/parallel.h"
#include "tensor/rng.h"

namespace mt::train {
namespace {

constexpr std::size_t kOpenSlides = 32;
constexpr std::size_t kBatchesAhead = 3;

uint64_t packed(PatchId id) {
  return static_cast<uint64_t>(static_cast<uint32_t>(id.slide)) << 32 | static_cast<uint32_t>(id.tile);
}

}  // namespace

PatchSource::PatchSource(std::span<const TiledSlide> slides, const Config& config, std::size_t cache_bytes)
    : slides_(slides), config_(config), patch_(config.patch), cache_limit_(cache_bytes) {}

uint64_t PatchSource::key(PatchId id) const {
  const auto& [record, tiles] = at(id.slide);
  const auto tile = static_cast<std::size_t>(id.tile);
  return patch_key(record.id, tiles.x_level0[tile], tiles.y_level0[tile]);
}

std::shared_ptr<wsi::Slide> PatchSource::slide(int32_t number) {
  const std::lock_guard lock(slides_mutex_);
  const auto found = std::find_if(open_slides_.begin(), open_slides_.end(),
                                  [&](const auto& entry) { return entry.first == number; });
  if (found != open_slides_.end()) {
    open_slides_.splice(open_slides_.begin(), open_slides_, found);
    return open_slides_.front().second;
  }
  open_slides_.emplace_front(number, open_slide(at(number).record, config_));
  if (open_slides_.size() > kOpenSlides) open_slides_.pop_back();
  return open_slides_.front().second;
}

wsi::RgbImage PatchSource::decode(PatchId id) {
  const SlideTiles& tiles = at(id.slide).tiles;
  const auto tile = static_cast<std::size_t>(id.tile);
  const int64_t x = tiles.x_level0[tile];
  const int64_t y = tiles.y_level0[tile];
  const auto source = slide(id.slide);
  wsi::RgbImage image = tiles.level >= 0 ? source->read_region(x, y, tiles.level, patch_, patch_)
                                         : source->read_at_mpp(x, y, tiles.mpp, patch_, patch_);
  check(image.width == patch_ && image.height == patch_, "{}: patch at ({}, {}) came back as {}x{} pixels",
        source->path().string(), x, y, image.width, image.height);
  return image;
}

void PatchSource::read(PatchId id, uint8_t* target) {
  const std::size_t bytes = static_cast<std::size_t>(patch_ * patch_ * 3);
  const uint64_t key = packed(id);
  {
    const std::lock_guard lock(cache_mutex_);
    const auto found = cache_.find(key);
    if (found != cache_.end()) {
      std::memcpy(target, found->second.data(), bytes);
      return;
    }
  }
  wsi::RgbImage image;
  try {
    image = decode(id);
  } catch (const OutOfMemory&) {
    throw;
  } catch (const Error& error) {
    throw UnreadablePatch(error.what(), id);
  }
  std::memcpy(target, image.pixels.data(), bytes);
  const std::lock_guard lock(cache_mutex_);
  if (bytes > cache_limit_ || !cache_.emplace(key, image.pixels).second) return;
  cache_order_.push_back(key);
  cache_bytes_ += bytes;
  while (cache_bytes_ > cache_limit_) {
    cache_.erase(cache_order_.front());
    cache_order_.pop_front();
    cache_bytes_ -= bytes;
  }
}

PatchPipeline::PatchPipeline(PatchSource& source, std::vector<std::vector<PatchId>> batches)
    : source_(source), batches_(std::move(batches)) {
  const int workers = std::max(1, thread_count() / 2);
  for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { work(); });
}

PatchPipeline::~PatchPipeline() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void PatchPipeline::work() {
  const int64_t side = source_.patch_pixels();
  const auto bytes = static_cast<std::size_t>(side * side * 3);
  while (true) {
    std::shared_ptr<Slot> slot;
    std::size_t patch = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] {
        const bool open = !slots_.empty() && next_patch_ < slots_.back()->batch.ids.size();
        return stop_ || open || (next_batch_ < batches_.size() && slots_.size() < kBatchesAhead);
      });
      if (stop_) return;
      if (slots_.empty() || next_patch_ >= slots_.back()->batch.ids.size()) {
        auto fresh = std::make_shared<Slot>();
        fresh->batch.ids = std::move(batches_[next_batch_++]);
        try {
          const auto images = static_cast<int64_t>(fresh->batch.ids.size());
          fresh->batch.pixels = Tensor::empty({images, side, side, 3}, DType::u8);
        } catch (const Error&) {  // out of memory
          fresh->error = std::current_exception();
          fresh->batch.ids.clear();
        }
        fresh->left = fresh->batch.ids.size();
        slots_.push_back(std::move(fresh));
        next_patch_ = 0;
        changed_.notify_all();
        if (slots_.back()->batch.ids.empty()) continue;
      }
      slot = slots_.back();
      patch = next_patch_++;
    }
    std::exception_ptr error;
    try {
      source_.read(slot->batch.ids[patch], slot->batch.pixels.data<uint8_t>() + patch * bytes);
    } catch (...) {
      error = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    if (error && (!slot->error || patch < slot->error_at)) {
      slot->error = error;
      slot->error_at = patch;
    }
    if (--slot->left == 0) changed_.notify_all();
  }
}

bool PatchPipeline::next(Batch& batch) {
  std::unique_lock lock(mutex_);
  if (slots_.empty() && next_batch_ >= batches_.size()) return false;
  changed_.wait(lock, [&] { return !slots_.empty() && slots_.front()->left == 0; });
  const auto slot = slots_.front();
  slots_.pop_front();
  // The newest slot may be the one that leaves: the next worker then opens another.
  if (slots_.empty()) next_patch_ = 0;
  lock.unlock();
  changed_.notify_all();
  if (slot->error) std::rethrow_exception(slot->error);
  batch = std::move(slot->batch);
  return true;
}

bool PatchPipeline::is_ready() {
  const std::lock_guard lock(mutex_);
  return !slots_.empty() && slots_.front()->left == 0;
}

std::vector<std::vector<PatchId>> in_batches(const std::vector<PatchId>& ids, std::size_t size) {
  std::vector<std::vector<PatchId>> batches;
  for (std::size_t begin = 0; begin < ids.size(); begin += size) {
    const auto end = std::min(ids.size(), begin + size);
    batches.emplace_back(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                         ids.begin() + static_cast<std::ptrdiff_t>(end));
  }
  return batches;
}

}  // namespace mt::train
