#include <cmath>
#include <vector>

#include "kernels/common/tables.h"
#include "kernels/compact/compact.h"
#include "tensor/parallel.h"

namespace mt {
namespace {

constexpr int64_t kChunk = 65536;

struct ChunkCount {
  int64_t kept = 0;
  int64_t nan_row = -1;  // the first, or -1
};

/// The threshold as a float t with: score passes <=> score >= t. Exact, since scores are floats themselves.
float lowest_passing_score(Threshold kind, double value) {
  const float nearest = static_cast<float>(value);
  const double rounded = static_cast<double>(nearest);
  const bool passes = kind == Threshold::above ? rounded > value : rounded >= value;
  return passes ? nearest : std::nextafterf(nearest, HUGE_VALF);
}

ChunkCount count_chunk(const float* scores, const uint8_t* mask, float lowest, int64_t begin, int64_t end) {
  ChunkCount count;
  for (int64_t i = begin; i < end; ++i) {
    const bool takes_part = mask == nullptr || mask[i] != 0;
    count.kept += takes_part && scores[i] >= lowest ? 1 : 0;
    if (takes_part && scores[i] != scores[i] && count.nan_row < 0) count.nan_row = i;
  }
  return count;
}

/// Two passes over fixed chunks: count, then write each chunk's rows behind those of the chunks before it.
int64_t indices(const float* scores, const uint8_t* mask, int64_t n, Threshold kind, double value,
                int64_t* kept, Stream) {
  const float lowest = lowest_passing_score(kind, value);
  const bool none_passes = kind == Threshold::above && value >= HUGE_VAL;
  std::vector<ChunkCount> counts(static_cast<std::size_t>((n + kChunk - 1) / kChunk));
  parallel_for(n, kChunk, [&](int64_t begin, int64_t end) {
    counts[static_cast<std::size_t>(begin / kChunk)] = count_chunk(scores, mask, lowest, begin, end);
  });
  std::vector<int64_t> starts;
  int64_t total = 0;
  for (const ChunkCount& count : counts) {
    check(count.nan_row < 0, "compact: the score of row {} is NaN", count.nan_row);
    starts.push_back(total);
    total += count.kept;
  }
  if (none_passes) return 0;
  parallel_for(n, kChunk, [&](int64_t begin, int64_t end) {
    int64_t* out = kept + starts[static_cast<std::size_t>(begin / kChunk)];
    for (int64_t i = begin; i < end; ++i) {
      if ((mask == nullptr || mask[i] != 0) && scores[i] >= lowest) *out++ = i;
    }
  });
  return total;
}

int64_t triples(const int32_t* slides, const int64_t* patches, const float* scores, const uint8_t* mask,
                int64_t n, Threshold kind, double value, int32_t* kept_slides, int64_t* kept_patches,
                float* kept_scores, Stream stream) {
  std::vector<int64_t> rows(static_cast<std::size_t>(n));
  const int64_t count = indices(scores, mask, n, kind, value, rows.data(), stream);
  // In order and in one thread: where an output is its own input, row rows[k] >= k has not been written yet.
  for (int64_t k = 0; k < count; ++k) {
    const int64_t row = rows[static_cast<std::size_t>(k)];
    kept_slides[k] = slides[row];
    kept_patches[k] = patches[row];
    kept_scores[k] = scores[row];
  }
  return count;
}

}  // namespace

template <>
const Compact<float>& compact<float>(Device device) {
  static constexpr Compact<float> table{indices, triples};
  return device == Device::cpu ? table : device_table<Compact<float>>(device, "compact");
}

}  // namespace mt
