// Stable compaction on cuda and simt. Method: compact.md. First the naive version, then the fast one.

#include <cmath>
#include <limits>
#include <string>

#include "kernels/common/device_array.cuh"
#include "kernels/common/partition.cuh"
#include "kernels/common/tables.h"
#include "kernels/compact/compact.h"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

/// Which scores pass, as a comparison of floats: score >= lowest. Exact, since scores are floats themselves.
struct Passing {
  static constexpr int kClasses = 1;
  Passing(Threshold kind, double value) : lowest(static_cast<float>(value)) {
    const double rounded = static_cast<double>(lowest);
    const bool passes = kind == Threshold::above ? rounded > value : rounded >= value;
    if (!passes) lowest = std::nextafterf(lowest, std::numeric_limits<float>::infinity());
    none = kind == Threshold::above && value >= std::numeric_limits<double>::infinity();
  }
  __device__ int class_of(float score) const { return score >= lowest && !none ? 0 : 1; }
  float lowest;
  bool none;  // nothing is above infinity
};

struct IndexWriter {
  int64_t* indices;
  __device__ void write(int64_t place, int64_t row) const { indices[place] = row; }
};

struct TripleWriter {
  const int32_t* slides;
  const int64_t* patches;
  const float* scores;
  int32_t* kept_slides;
  int64_t* kept_patches;
  float* kept_scores;
  __device__ void write(int64_t place, int64_t row) const {
    kept_slides[place] = slides[row];
    kept_patches[place] = patches[row];
    kept_scores[place] = scores[row];
  }
};

/// Fails where a kernel has found a NaN.
void refuse_nan(Count first_nan) {
  if (first_nan != kNoRow) fail_kernel("compact: the score of row " + std::to_string(first_nan) + " is NaN");
}

// ---- 1. Naive: each row that passes counts those before it

constexpr int kThreads = 128;

__global__ void compact_find_nan(MaskedScores scores, Count* first_nan) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < scores.n && (scores.mask == nullptr || scores.mask[i] != 0) &&
      scores.values[i] != scores.values[i]) {
    simt::atomic_min(first_nan, static_cast<Count>(i));
  }
}

template <typename Writer>
__global__ void compact_naive(MaskedScores scores, Passing rule, Writer writer, Count* total) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const auto passes = [&](int64_t i) {
    return (scores.mask == nullptr || scores.mask[i] != 0) && rule.class_of(scores.values[i]) == 0;
  };
  if (row < scores.n && passes(row)) {
    int64_t place = 0;
    for (int64_t i = 0; i < row; ++i) place += passes(i) ? 1 : 0;
    writer.write(place, row);
    simt::atomic_add(total, Count{1});
  }
}

template <typename Writer>
int64_t keep_naive(const MaskedScores& scores, const Passing& rule, const Writer& writer, Stream stream) {
  if (scores.n == 0) return 0;
  const Count start[2] = {0, kNoRow};
  const DeviceArray<Count> results(start, 2, stream);
  launch<compact_find_nan>(blocks_for(scores.n, kThreads), kThreads, 0, stream, scores, results.data() + 1);
  refuse_nan(value_on_host(results.data() + 1, stream));
  launch<compact_naive<Writer>>(blocks_for(scores.n, kThreads), kThreads, 0, stream, scores, rule, writer,
                                results.data());
  return static_cast<int64_t>(value_on_host(results.data(), stream));
}

// ---- 2. Fast: mark and count per block, scan of the counts, write (kernels/common/partition.cuh)

struct TotalAndNan {
  Count total;
  Count first_nan;
};

template <typename Writer>
int64_t keep_fast(const MaskedScores& scores, const Passing& rule, const Writer& writer, Stream stream) {
  if (scores.n == 0) return 0;
  const Partition<Passing::kClasses> partition(scores.n);
  const TotalAndNan start{0, kNoRow};
  const DeviceArray<TotalAndNan> results(&start, 1, stream);
  partition.find_places(scores, rule, &results.data()->total, &results.data()->first_nan, stream);
  const TotalAndNan found = value_on_host(results.data(), stream);  // an error leaves the output alone
  refuse_nan(found.first_nan);
  if (found.total > 0) partition.write(scores.n, writer, stream);
  return static_cast<int64_t>(found.total);
}

// ---- The table, for either way to keep rows

struct Naive {
  template <typename... Args>
  static int64_t keep(const Args&... args) {
    return keep_naive(args...);
  }
};
struct Fast {
  template <typename... Args>
  static int64_t keep(const Args&... args) {
    return keep_fast(args...);
  }
};

template <typename Way>
int64_t indices(const float* scores, const uint8_t* mask, int64_t n, Threshold kind, double value,
                int64_t* kept, Stream stream) {
  return Way::keep(MaskedScores(scores, mask, n), Passing(kind, value), IndexWriter{kept}, stream);
}

template <typename T>
void copy_rows(T* target, const T* source, int64_t count, Stream stream) {
  copy_bytes(target, kDevice, source, kDevice, static_cast<std::size_t>(count) * sizeof(T), stream);
}

template <typename Way>
int64_t triples(const int32_t* slides, const int64_t* patches, const float* scores, const uint8_t* mask,
                int64_t n, Threshold kind, double value, int32_t* kept_slides, int64_t* kept_patches,
                float* kept_scores, Stream stream) {
  const MaskedScores all(scores, mask, n);
  const Passing rule(kind, value);
  if (kept_slides != slides && kept_patches != patches && kept_scores != scores) {
    return Way::keep(all, rule, TripleWriter{slides, patches, scores, kept_slides, kept_patches, kept_scores},
                     stream);
  }
  // Onto itself: a block could write where another has still to read.
  const DeviceArray<int32_t> new_slides(n);
  const DeviceArray<int64_t> new_patches(n);
  const DeviceArray<float> new_scores(n);
  const int64_t count = Way::keep(
      all, rule,
      TripleWriter{slides, patches, scores, new_slides.data(), new_patches.data(), new_scores.data()},
      stream);
  if (count == 0) return 0;
  copy_rows(kept_slides, new_slides.data(), count, stream);
  copy_rows(kept_patches, new_patches.data(), count, stream);
  copy_rows(kept_scores, new_scores.data(), count, stream);
  return count;
}

constexpr Compact<float> kFast{indices<Fast>, triples<Fast>};
constexpr Compact<float> kNaive{indices<Naive>, triples<Naive>};

}  // namespace

void register_compact() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
