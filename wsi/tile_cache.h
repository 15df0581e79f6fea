#pragma once
// Decoded tiles, kept while there is room: unaligned patches touch the same tile several times.

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace mt::wsi {

/// A decoded tile: (H,W,3), or (H,W,4) with alpha, 8 bits; H and W those of the level's grid.
using TilePixels = std::shared_ptr<const std::vector<uint8_t>>;

struct TileKey {
  uint64_t slide;  // from TileCache::next_slide_id()
  uint32_t level;
  uint32_t tile;
  bool operator==(const TileKey&) const = default;
};

/// Least recently used out first, in sixteen shards with a lock each. May be used from any thread.
class TileCache {
 public:
  explicit TileCache(std::size_t capacity_bytes);
  /// Null when the tile is not there.
  TilePixels find(const TileKey& key);
  /// A tile larger than a shard's share is not kept.
  void insert(const TileKey& key, TilePixels pixels);
  std::size_t bytes() const;
  std::size_t capacity_bytes() const { return kShards * shard_capacity_; }

  /// A number that no other open slide has.
  static uint64_t next_slide_id();
  /// The cache of all slides that are opened without one of their own: 256 MiB.
  static const std::shared_ptr<TileCache>& shared();

 private:
  static constexpr std::size_t kShards = 16;
  struct Hash {
    std::size_t operator()(const TileKey& key) const;
  };
  struct Entry {
    TileKey key;
    TilePixels pixels;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::list<Entry> entries;  // most recently used first
    std::unordered_map<TileKey, std::list<Entry>::iterator, Hash> index;
    std::size_t bytes = 0;
  };
  Shard& shard_of(const TileKey& key) { return shards_[Hash{}(key) >> 60]; }

  std::size_t shard_capacity_;
  std::array<Shard, kShards> shards_;
};

}  // namespace mt::wsi
