// Patch-wise ranking hinge on cuda and simt. Math and ties: rank_loss.md. First the naive version, then the
// fast one.

#include <algorithm>

#include "kernels/common/bitonic.cuh"
#include "kernels/common/device_array.cuh"
#include "kernels/common/ordered_key.cuh"
#include "kernels/common/report.cuh"
#include "kernels/common/tables.h"
#include "kernels/common/warp.cuh"
#include "kernels/device/kernel.h"
#include "kernels/rank_loss/rank_loss.h"

namespace mt::MT_BACKEND {
namespace {

// ---- 1. Naive: each instance counts those that come before it

constexpr int kThreads = 128;

/// One block per bag. selected: (bags, top). Rows whose logit is NaN are reported.
__global__ void rank_select_naive(const float* logits, const int64_t* offsets, int64_t top, int64_t* selected,
                                  FailureWord no_nan) {
  const int64_t bag = blockIdx.x;
  const float* x = logits + offsets[bag];  // (n)
  const int64_t n = offsets[bag + 1] - offsets[bag];
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    if (x[i] != x[i]) report(no_nan, offsets[bag] + i);
    const uint32_t key = ordered_key(x[i]);
    int64_t place = 0;
    for (int64_t j = 0; j < n && place < top; ++j) {
      const uint32_t other = ordered_key(x[j]);
      place += other > key || (other == key && j < i) ? 1 : 0;
    }
    if (place < top) selected[bag * top + place] = i;
  }
  for (int64_t place = n + threadIdx.x; place < top; place += blockDim.x) selected[bag * top + place] = -1;
}

/// One thread per bag. means: (bags)
__global__ void rank_means_naive(const float* logits, const int64_t* offsets, int64_t bags, int64_t top,
                                 const int64_t* selected, double* means) {
  const int64_t bag = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (bag < bags) {
    const int64_t n = offsets[bag + 1] - offsets[bag];
    const int64_t used = n < top ? n : top;
    double sum = 0;
    for (int64_t k = 0; k < used; ++k) {
      sum += static_cast<double>(logits[offsets[bag] + selected[bag * top + k]]);
    }
    means[bag] = sum / static_cast<double>(used);
  }
}

__device__ float hinge_of(double positive_mean, double negative_mean) {
  const double hinge = 1 - positive_mean + negative_mean;
  return hinge > 0 ? static_cast<float>(hinge) : 0.0F;
}

/// loss: (pairs)
__global__ void rank_hinge(const double* means, float* loss, int64_t pairs) {
  const int64_t p = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (p < pairs) loss[p] = hinge_of(means[2 * p], means[2 * p + 1]);
}

/// One thread per bag.
__global__ void rank_backward_naive(const float* loss, const float* dloss, const int64_t* offsets,
                                    const int64_t* selected, int64_t bags, int64_t top, float* dlogits) {
  const int64_t bag = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (bag < bags) {
    const int64_t n = offsets[bag + 1] - offsets[bag];
    const int64_t used = n < top ? n : top;
    const float share = dloss[bag / 2] / static_cast<float>(used);
    for (int64_t i = 0; i < n; ++i) dlogits[offsets[bag] + i] = 0;
    for (int64_t k = 0; k < used && loss[bag / 2] > 0; ++k) {
      dlogits[offsets[bag] + selected[bag * top + k]] = bag % 2 == 0 ? -share : share;
    }
  }
}

// ---- 2. Fast: one block per bag, a radix select over shared histograms
// An instance is the number (inverted key of its logit, index): the smaller, the better, and no two are
// equal. The `top` smallest are a set that does not depend on any order; the search for its last member stops
// at the first digit at which all instances of the last bin belong to it: at distinct logits mostly the
// second or third. The few chosen ones are then sorted in shared memory.

constexpr int kBlockThreads = 256;
constexpr int64_t kMostSorted = 2048;  // in shared memory

__device__ uint64_t place_of(float logit, int64_t index) {
  return static_cast<uint64_t>(~ordered_key(logit)) << 32 | static_cast<uint64_t>(index);
}

/// The largest place among the `used` smallest of x (n). bins: (kDigitBins), shared.
__device__ uint64_t last_chosen_place(const float* x, int64_t n, unsigned used, unsigned* bins) {
  uint64_t prefix = 0;
  int below = 64;  // bits below the prefix
  unsigned rank = used - 1;
  unsigned in_bin = static_cast<unsigned>(n);  // instances with this prefix
  for (int digit = 0; digit < 2 * kDigits && rank + 1 != in_bin; ++digit) {
    const int bits = digit_bits(digit % kDigits);
    for (int b = static_cast<int>(threadIdx.x); b < kDigitBins; b += kBlockThreads) bins[b] = 0;
    simt::sync_threads();
    for (int64_t i = threadIdx.x; i < n; i += kBlockThreads) {
      const uint64_t place = place_of(x[i], i);
      if (digit == 0 || place >> below == prefix) {
        simt::atomic_add(&bins[(place >> (below - bits)) & ((1U << bits) - 1)], 1U);
      }
    }
    simt::sync_threads();
    const FoundBin<unsigned> found = find_bin<kBlockThreads>(bins, rank);
    prefix = prefix << bits | found.bin;
    below -= bits;
    rank = found.rank;
    in_bin = found.count;
  }
  return below == 64 ? ~uint64_t{0} : (prefix << below) | ((uint64_t{1} << below) - 1);
}

/// Shared memory of a block in which a bag's chosen instances are found and sorted.
struct Choice {
  unsigned* bins;    // (kDigitBins)
  uint64_t* chosen;  // (kMostSorted)
  unsigned* count;   // (1)
};

/// All threads of the block must come here; each gets the mean of the bag's chosen logits. selected:
/// (2·pairs, top). May be called again at once: barriers stand between what one call reads and the next one
/// writes.
__device__ double select_in_block(const float* logits, const int64_t* offsets, int64_t bag, int64_t top,
                                  const Choice& choice, int64_t* selected, FailureWord no_nan) {
  uint64_t* chosen = choice.chosen;
  const float* x = logits + offsets[bag];  // (n)
  const int64_t n = offsets[bag + 1] - offsets[bag];
  const int64_t used = n < top ? n : top;
  const int64_t size = power_of_two_from(used);

  if (threadIdx.x == 0) choice.count[0] = 0;
  for (int64_t k = used + threadIdx.x; k < size; k += kBlockThreads) chosen[k] = ~uint64_t{0};
  const uint64_t last = last_chosen_place(x, n, static_cast<unsigned>(used), choice.bins);
  simt::sync_threads();
  for (int64_t i = threadIdx.x; i < n; i += kBlockThreads) {
    if (x[i] != x[i]) report(no_nan, offsets[bag] + i);
    const uint64_t place = place_of(x[i], i);
    if (place <= last) chosen[simt::atomic_add(&choice.count[0], 1U)] = place;
  }
  sort_in_block<kBlockThreads>(chosen, size);

  double sum = 0;
  for (int64_t k = threadIdx.x; k < top; k += kBlockThreads) {
    const int64_t index = k < used ? static_cast<int64_t>(chosen[k] & 0xFFFFFFFFU) : -1;
    selected[bag * top + k] = index;
    if (k < used) sum += static_cast<double>(x[index]);
  }
  return block_sum<kBlockThreads>(sum) / static_cast<double>(used);
}

/// One block per bag. selected: (bags, top), means: (bags).
__global__ void rank_select(const float* logits, const int64_t* offsets, int64_t top, int64_t* selected,
                            double* means, FailureWord no_nan) {
  SHARED(unsigned, bins, kDigitBins);
  SHARED(uint64_t, chosen, kMostSorted);
  SHARED(unsigned, chosen_count, 1);
  const double mean =
      select_in_block(logits, offsets, blockIdx.x, top, {bins, chosen, chosen_count}, selected, no_nan);
  if (threadIdx.x == 0) means[blockIdx.x] = mean;
}

/// All threads of the block must come here: zeros, then the chosen instances of one bag. selected: (2·pairs,
/// top), dlogits: all bags.
__device__ void write_gradient(float loss, float dloss, const int64_t* offsets, int64_t bag, int64_t top,
                               const int64_t* selected, float* dlogits) {
  float* dx = dlogits + offsets[bag];  // (n)
  const int64_t n = offsets[bag + 1] - offsets[bag];
  const int64_t used = n < top ? n : top;
  for (int64_t i = threadIdx.x; i < n; i += kBlockThreads) dx[i] = 0;
  simt::sync_threads();
  if (loss > 0) {
    const float share = dloss / static_cast<float>(used);
    for (int64_t k = threadIdx.x; k < used; k += kBlockThreads) {
      dx[selected[bag * top + k]] = bag % 2 == 0 ? -share : share;
    }
  }
}

/// One block per bag.
__global__ void rank_backward(const float* loss, const float* dloss, const int64_t* offsets,
                              const int64_t* selected, int64_t top, float* dlogits) {
  const int64_t bag = blockIdx.x;
  write_gradient(loss[bag / 2], dloss[bag / 2], offsets, bag, top, selected, dlogits);
}

// ---- Host

void check_bags(const int64_t* offsets, int64_t pairs, int64_t top) {
  if (top < 1) fail_kernel("rank_loss: top must be at least 1, not " + std::to_string(top));
  for (int64_t bag = 0; bag < 2 * pairs; ++bag) {
    if (offsets[bag + 1] <= offsets[bag]) {
      fail_kernel("rank_loss: the bag that starts at row " + std::to_string(offsets[bag]) + " is empty");
    }
  }
}

/// Fails for the smallest row whose logit is NaN.
QueuedCheck no_nan_logit(Stream stream) {
  return {kDevice, stream,
          [](int64_t row) { return "rank_loss: the logit of row " + std::to_string(row) + " is NaN"; }};
}

void forward_naive(const float* logits, const int64_t* offsets, int64_t pairs, int64_t top, float* loss,
                   int64_t* selected, Stream stream) {
  check_bags(offsets, pairs, top);
  if (pairs == 0) return;
  const DeviceArray<int64_t> starts(offsets, 2 * pairs + 1, stream);
  const DeviceArray<double> means(2 * pairs);
  const QueuedCheck no_nan = no_nan_logit(stream);
  const int64_t* const device_offsets = starts.data();
  launch<rank_select_naive>(2 * pairs, kThreads, 0, stream, logits, device_offsets, top, selected,
                            no_nan.word());
  no_nan.queued();
  launch<rank_means_naive>(blocks_for(2 * pairs, kThreads), kThreads, 0, stream, logits, device_offsets,
                           2 * pairs, top, static_cast<const int64_t*>(selected), means.data());
  launch<rank_hinge>(blocks_for(pairs, kThreads), kThreads, 0, stream,
                     static_cast<const double*>(means.data()), loss, pairs);
}

/// Whether shared memory holds what is chosen of the largest bag.
bool fits_in_block(const int64_t* offsets, int64_t pairs, int64_t top) {
  int64_t longest = 0;
  for (int64_t bag = 0; bag < 2 * pairs; ++bag) longest = std::max(longest, offsets[bag + 1] - offsets[bag]);
  return std::min(top, longest) <= kMostSorted && longest < int64_t{1} << 32;
}

void forward(const float* logits, const int64_t* offsets, int64_t pairs, int64_t top, float* loss,
             int64_t* selected, Stream stream) {
  check_bags(offsets, pairs, top);
  if (pairs == 0) return;
  if (!fits_in_block(offsets, pairs, top)) {
    forward_naive(logits, offsets, pairs, top, loss, selected, stream);
    return;
  }
  const DeviceArray<int64_t> starts(offsets, 2 * pairs + 1, stream);
  const DeviceArray<double> means(2 * pairs);
  const QueuedCheck no_nan = no_nan_logit(stream);
  launch<rank_select>(2 * pairs, kBlockThreads, 0, stream, logits, static_cast<const int64_t*>(starts.data()),
                      top, selected, means.data(), no_nan.word());
  launch<rank_hinge>(blocks_for(pairs, kThreads), kThreads, 0, stream,
                     static_cast<const double*>(means.data()), loss, pairs);
  no_nan.queued();
}

void backward_naive(const float* loss, const float* dloss, const int64_t* offsets, const int64_t* selected,
                    int64_t pairs, int64_t top, float* dlogits, Stream stream) {
  if (pairs == 0) return;
  const DeviceArray<int64_t> starts(offsets, 2 * pairs + 1, stream);
  launch<rank_backward_naive>(blocks_for(2 * pairs, kThreads), kThreads, 0, stream, loss, dloss,
                              static_cast<const int64_t*>(starts.data()), selected, 2 * pairs, top, dlogits);
}

void backward(const float* loss, const float* dloss, const int64_t* offsets, const int64_t* selected,
              int64_t pairs, int64_t top, float* dlogits, Stream stream) {
  if (pairs == 0) return;
  const DeviceArray<int64_t> starts(offsets, 2 * pairs + 1, stream);
  launch<rank_backward>(2 * pairs, kBlockThreads, 0, stream, loss, dloss,
                        static_cast<const int64_t*>(starts.data()), selected, top, dlogits);
}

constexpr RankLoss<float> kFast{forward, backward};
constexpr RankLoss<float> kNaive{forward_naive, backward_naive};

}  // namespace

void register_rank_loss() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
