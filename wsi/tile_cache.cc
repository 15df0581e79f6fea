#include "wsi/tile_cache.h"

#include <atomic>

#include "tensor/rng.h"

namespace mt::wsi {

TileCache::TileCache(std::size_t capacity_bytes) : shard_capacity_(capacity_bytes / kShards) {}

std::size_t TileCache::Hash::operator()(const TileKey& key) const {
  return mix64(mix64(key.slide) ^ (static_cast<uint64_t>(key.level) << 32 | key.tile));
}

TilePixels TileCache::find(const TileKey& key) {
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.index.find(key);
  if (found == shard.index.end()) return nullptr;
  shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
  return found->second->pixels;
}

void TileCache::insert(const TileKey& key, TilePixels pixels) {
  const std::size_t size = pixels->size();
  if (size > shard_capacity_) return;
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  if (shard.index.contains(key)) return;  // another thread decoded the same tile meanwhile
  while (shard.bytes + size > shard_capacity_) {
    const Entry& oldest = shard.entries.back();
    shard.bytes -= oldest.pixels->size();
    shard.index.erase(oldest.key);
    shard.entries.pop_back();
  }
  shard.entries.push_front({key, std::move(pixels)});
  shard.index.emplace(key, shard.entries.begin());
  shard.bytes += size;
}

std::size_t TileCache::bytes() const {
  std::size_t total = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    total += shard.bytes;
  }
  return total;
}

uint64_t TileCache::next_slide_id() {
  static std::atomic<uint64_t> next{1};
  return next++;
}

const std::shared_ptr<TileCache>& TileCache::shared() {
  static const auto cache = std::make_shared<TileCache>(std::size_t{256} << 20);
  return cache;
}

}  // namespace mt::wsi
