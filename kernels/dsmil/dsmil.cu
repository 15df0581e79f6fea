// DSMIL on cuda and simt. Math and error bounds: dsmil.md. First the naive version, then the fast one.

#include "kernels/dsmil/dsmil.h"

#include <string>

#include "kernels/common/attention.cuh"
#include "kernels/common/tables.h"

namespace mt::MT_BACKEND {
namespace {

void require_bag(bool not_empty) {
  if (!not_empty) fail_kernel("dsmil: the bag is empty");
}

void check_shape(const DsmilShape& s) {
  require_bag(s.instances >= 1);
  if (s.classes < 1 || s.query_width < 1 || s.value_width < 1) {
    fail_kernel("dsmil: " + std::to_string(s.classes) + " classes, query width " +
                std::to_string(s.query_width) + ", value width " + std::to_string(s.value_width) +
                "; each must be at least 1");
  }
}

/// Fails for the smallest NaN logit in row-major order, whose place kernels report.
QueuedCheck no_nan_score(int64_t classes, Stream stream) {
  return {kDevice, stream, [=](int64_t place) {
            return "dsmil: the logit of instance " + std::to_string(place / classes) + " and class " +
                   std::to_string(place % classes) + " is NaN";
          }};
}

// ---- 1. Naive: one thread per output, sums in double

__global__ void critical_naive(const float* logits, int64_t* critical, FailureWord no_nan, int64_t instances,
                               int64_t classes) {  // logits: (N,C)
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c < classes) {
    int64_t best = 0;
    for (int64_t i = c; i < instances * classes; i += classes) {
      if (logits[i] != logits[i]) report(no_nan, i);
    }
    for (int64_t n = 1; n < instances; ++n) {
      if (logits[n * classes + c] > logits[best * classes + c]) best = n;
    }
    critical[c] = best;
  }
}

__global__ void logits_naive(DsmilShape s, const float* q, const int64_t* critical, float* logits) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;  // (n,c)
  if (i < s.instances * s.classes) {
    const float* own = q + i / s.classes * s.query_width;              // (Q)
    const float* query = q + critical[i % s.classes] * s.query_width;  // (Q)
    double dot = 0;
    for (int64_t k = 0; k < s.query_width; ++k)
      dot += static_cast<double>(own[k]) * static_cast<double>(query[k]);
    logits[i] = static_cast<float>(s.scale * dot);
  }
}

__global__ void softmax_naive(const float* logits, float* attention, FailureWord no_nan, int64_t instances,
                              int64_t classes) {  // logits, attention: (N,C)
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c < classes) {
    float largest = -INFINITY;
    for (int64_t n = 0; n < instances; ++n) {
      const float logit = logits[n * classes + c];
      if (logit != logit) report(no_nan, c * instances + n);
      largest = fmaxf(largest, logit);
    }
    double sum = 0;
    for (int64_t n = 0; n < instances; ++n)
      sum += static_cast<double>(expf(logits[n * classes + c] - largest));
    for (int64_t n = 0; n < instances; ++n) {
      attention[n * classes + c] =
          static_cast<float>(static_cast<double>(expf(logits[n * classes + c] - largest)) / sum);
    }
  }
}

/// pooled[c,w] = Σ over n of weights[n,c] rows[n,w]
__global__ void pool_naive(const float* weights, const float* rows, float* pooled, int64_t instances,
                           int64_t classes, int64_t width) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;  // (c,w)
  if (i < classes * width) {
    double sum = 0;
    for (int64_t n = 0; n < instances; ++n) {
      sum += static_cast<double>(weights[n * classes + i / width]) *
             static_cast<double>(rows[n * width + i % width]);
    }
    pooled[i] = static_cast<float>(sum);
  }
}

__global__ void weight_gradient_naive(DsmilShape s, const float* values, const float* dpooled,
                                      const float* dattention, float* dweight) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;  // (n,c)
  if (i < s.instances * s.classes) {
    const float* own = values + i / s.classes * s.value_width;        // (V)
    const float* upstream = dpooled + i % s.classes * s.value_width;  // (V)
    double sum = dattention == nullptr ? 0 : static_cast<double>(dattention[i]);
    for (int64_t v = 0; v < s.value_width; ++v)
      sum += static_cast<double>(own[v]) * static_cast<double>(upstream[v]);
    dweight[i] = static_cast<float>(sum);
  }
}

__global__ void logit_gradient_naive(DsmilShape s, const float* attention, const float* dweight,
                                     float* dlogits) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c < s.classes) {
    double mean = 0;
    for (int64_t i = c; i < s.instances * s.classes; i += s.classes)
      mean += static_cast<double>(attention[i]) * static_cast<double>(dweight[i]);
    for (int64_t i = c; i < s.instances * s.classes; i += s.classes) {
      dlogits[i] = static_cast<float>(s.scale * static_cast<double>(attention[i]) *
                                      (static_cast<double>(dweight[i]) - mean));
    }
  }
}

/// out[n,w] = Σ over c of weights[n,c] vectors[chosen[c] or c, w]
__global__ void spread_naive(const float* weights, const float* vectors, const int64_t* chosen, float* out,
                             int64_t instances, int64_t classes, int64_t width) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;  // (n,w)
  if (i < instances * width) {
    float sum = 0;
    for (int64_t c = 0; c < classes; ++c) {
      const int64_t row = chosen == nullptr ? c : chosen[c];
      sum += weights[i / width * classes + c] * vectors[row * width + i % width];
    }
    out[i] = sum;
  }
}

/// Classes may share a critical instance: one thread adds all classes' parts of its column, in their order.
__global__ void add_critical(const float* dcritical, const int64_t* critical, float* dq, int64_t classes,
                             int64_t width) {  // dcritical: (C,Q), dq: (N,Q)
  const int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k < width) {
    for (int64_t c = 0; c < classes; ++c) dq[critical[c] * width + k] += dcritical[c * width + k];
  }
}

constexpr int kNaiveThreads = 64;

Extent naive_grid(int64_t outputs) {
  return blocks_for(outputs, kNaiveThreads);
}

void critical_instances_naive(const float* logits, int64_t* critical, int64_t instances, int64_t classes,
                              Stream stream) {
  require_bag(instances >= 1);
  const QueuedCheck no_nan = no_nan_score(classes, stream);
  launch<critical_naive>(naive_grid(classes), kNaiveThreads, 0, stream, logits, critical, no_nan.word(),
                         instances, classes);
  no_nan.queued();
}

void forward_naive(const DsmilShape& s, const float* q, const int64_t* critical, const float* values,
                   float* attention, float* pooled, Stream stream) {
  check_shape(s);
  const DeviceArray<float> logits(s.instances * s.classes);
  const QueuedCheck no_nan = no_nan_logit("dsmil", s.instances, stream);
  launch<logits_naive>(naive_grid(s.instances * s.classes), kNaiveThreads, 0, stream, s, q, critical,
                       logits.data());
  launch<softmax_naive>(naive_grid(s.classes), kNaiveThreads, 0, stream, logits.data(), attention,
                        no_nan.word(), s.instances, s.classes);
  launch<pool_naive>(naive_grid(s.classes * s.value_width), kNaiveThreads, 0, stream, attention, values,
                     pooled, s.instances, s.classes, s.value_width);
  no_nan.queued();
}

void backward_naive(const DsmilShape& s, const float* q, const int64_t* critical, const float* values,
                    const float* attention, const float* dpooled, const float* dattention, float* dq,
                    float* dvalues, Stream stream) {
  check_shape(s);
  const DeviceArray<float> dweight(s.instances * s.classes);
  const DeviceArray<float> dlogits(s.instances * s.classes);
  const DeviceArray<float> dcritical(s.classes * s.query_width);
  launch<weight_gradient_naive>(naive_grid(s.instances * s.classes), kNaiveThreads, 0, stream, s, values,
                                dpooled, dattention, dweight.data());
  launch<logit_gradient_naive>(naive_grid(s.classes), kNaiveThreads, 0, stream, s, attention, dweight.data(),
                               dlogits.data());
  launch<spread_naive>(naive_grid(s.instances * s.query_width), kNaiveThreads, 0, stream, dlogits.data(), q,
                       critical, dq, s.instances, s.classes, s.query_width);
  launch<pool_naive>(naive_grid(s.classes * s.query_width), kNaiveThreads, 0, stream, dlogits.data(), q,
                     dcritical.data(), s.instances, s.classes, s.query_width);
  launch<add_critical>(naive_grid(s.query_width), kNaiveThreads, 0, stream, dcritical.data(), critical, dq,
                       s.classes, s.query_width);
  if (dvalues == nullptr) return;
  const int64_t* each_its_own = nullptr;
  launch<spread_naive>(naive_grid(s.instances * s.value_width), kNaiveThreads, 0, stream, attention, dpooled,
                       each_its_own, dvalues, s.instances, s.classes, s.value_width);
}

// ---- 2. Fast: the first maximum of each class, in two steps

constexpr int64_t kScoreRows = 16 * kAttentionThreads;  // of one block

/// A range's largest logit, its first row, and the first NaN row.
struct Winner {
  float logit;
  int64_t row;
  int64_t nan_row;
};

/// The larger logit; of equal ones the smaller row. Threads without rows bring −inf and kNoRow.
__device__ bool beats(float logit, int64_t row, const Winner& other) {
  return logit > other.logit || (logit == other.logit && row < other.row);
}

__device__ Winner block_winner(const Winner& mine) {
  const float largest = block_reduce<Larger, kAttentionThreads>(mine.logit);
  const int64_t row = block_reduce<Smaller, kAttentionThreads>(mine.logit == largest ? mine.row : kNoRow);
  const int64_t nan_row = block_reduce<Smaller, kAttentionThreads>(mine.nan_row);
  return {largest, row, nan_row};
}

/// Grid: (ranges of kScoreRows, C). Threads of a warp read logits C apart; the classes of a row share
/// sectors.
__global__ void critical_of_range(const float* logits, Winner* winners, int64_t instances, int64_t classes) {
  // logits: (N,C), winners: (ranges,C)
  const int64_t c = blockIdx.y;
  const int64_t begin = blockIdx.x * kScoreRows;
  const int64_t end = begin + kScoreRows < instances ? begin + kScoreRows : instances;
  Winner mine{-INFINITY, kNoRow, kNoRow};
#pragma unroll 4
  for (int64_t n = begin + threadIdx.x; n < end; n += kAttentionThreads) {
    const float logit = logits[n * classes + c];
    if (logit != logit) mine.nan_row = Smaller::merged(mine.nan_row, n);
    if (beats(logit, n, mine)) {
      mine.logit = logit;
      mine.row = n;
    }
  }
  const Winner winner = block_winner(mine);
  if (threadIdx.x == 0) winners[blockIdx.x * classes + c] = winner;
}

/// One block per class. Where all logits are NaN the first row stands for the class, so that what follows
/// reads inside of the bag.
__global__ void critical_of_class(const Winner* winners, int64_t* critical, FailureWord no_nan,
                                  int64_t ranges, int64_t classes) {
  const int64_t c = blockIdx.x;
  Winner mine{-INFINITY, kNoRow, kNoRow};
  for (int64_t i = threadIdx.x; i < ranges; i += kAttentionThreads) {
    const Winner& other = winners[i * classes + c];
    mine.nan_row = Smaller::merged(mine.nan_row, other.nan_row);
    if (beats(other.logit, other.row, mine)) {
      mine.logit = other.logit;
      mine.row = other.row;
    }
  }
  const Winner winner = block_winner(mine);
  if (threadIdx.x == 0) {
    critical[c] = winner.row == kNoRow ? 0 : winner.row;
    if (winner.nan_row != kNoRow) report(no_nan, winner.nan_row * classes + c);
  }
}

void critical_instances(const float* logits, int64_t* critical, int64_t instances, int64_t classes,
                        Stream stream) {
  require_bag(instances >= 1);
  const int64_t ranges = blocks_for(instances, kScoreRows);
  const DeviceArray<Winner> winners(ranges * classes);
  const QueuedCheck no_nan = no_nan_score(classes, stream);
  launch<critical_of_range>({ranges, classes}, kAttentionThreads, 0, stream, logits, winners.data(),
                            instances, classes);
  launch<critical_of_class>(classes, kAttentionThreads, 0, stream, winners.data(), critical, no_nan.word(),
                            ranges, classes);
  no_nan.queued();
}

// ---- 3. Fast: pooling by the critical queries

/// Grid: (tiles, C).
template <int kVector>
__global__ void dsmil_logits(DsmilShape s, const float* q, const int64_t* critical, float* logits,
                             SoftmaxPart* parts) {  // logits: (N,C), parts: (tiles,C)
  SHARED(float, dots, kTileRows);
  const int64_t c = blockIdx.y;
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTileRows;
  const int64_t row = begin + threadIdx.x;
  dot_tile<kVector>(q, begin, s.instances - begin, s.query_width, q + critical[c] * s.query_width, dots);
  simt::sync_threads();
  float logit = 0;
  if (row < s.instances) {
    logit = static_cast<float>(s.scale) * dots[threadIdx.x];
    logits[row * s.classes + c] = logit;
  }
  store_softmax_part(logit, row, s.instances, &parts[blockIdx.x * s.classes + c]);
}

void forward(const DsmilShape& s, const float* q, const int64_t* critical, const float* values,
             float* attention, float* pooled, Stream stream) {
  check_shape(s);
  const int64_t tiles = blocks_for(s.instances, kTileRows);
  const DeviceArray<float> logits(s.instances * s.classes);
  const DeviceArray<SoftmaxPart> parts(tiles * s.classes);
  const QueuedCheck no_nan = no_nan_logit("dsmil", s.instances, stream);
  if (rows_of_vectors(s.query_width, q)) {
    launch<dsmil_logits<4>>({tiles, s.classes}, kAttentionThreads, 0, stream, s, q, critical, logits.data(),
                            parts.data());
  } else {
    launch<dsmil_logits<1>>({tiles, s.classes}, kAttentionThreads, 0, stream, s, q, critical, logits.data(),
                            parts.data());
  }
  launch<attention_normalise>({blocks_for(s.instances, kNormaliseRows), s.classes}, kAttentionThreads, 0,
                              stream, logits.data(), parts.data(), attention, no_nan.word(), s.instances,
                              s.classes, tiles);
  pool_rows(attention, values, pooled, s.instances, s.classes, s.value_width, stream);
  no_nan.queued();
}

void backward(const DsmilShape& s, const float* q, const int64_t* critical, const float* values,
              const float* attention, const float* dpooled, const float* dattention, float* dq,
              float* dvalues, Stream stream) {
  check_shape(s);
  const DeviceArray<float> dlogits(s.instances * s.classes);      // (N,C)
  const DeviceArray<float> dcritical(s.classes * s.query_width);  // (C,Q)
  backward_to_logits(values, dpooled, dattention, attention, dlogits.data(), s.instances, s.classes,
                     s.value_width, static_cast<float>(s.scale), stream);
  spread_rows(dlogits.data(), q, critical, dq, s.instances, s.classes, s.query_width, stream);
  pool_rows(dlogits.data(), q, dcritical.data(), s.instances, s.classes, s.query_width, stream);
  launch<add_critical>(blocks_for(s.query_width, kAttentionThreads), kAttentionThreads, 0, stream,
                       dcritical.data(), critical, dq, s.classes, s.query_width);
  if (dvalues != nullptr)
    spread_rows(attention, dpooled, nullptr, dvalues, s.instances, s.classes, s.value_width, stream);
}

constexpr Dsmil<float> kFast{critical_instances, forward, backward};
constexpr Dsmil<float> kNaive{critical_instances_naive, forward_naive, backward_naive};

}  // namespace

void register_dsmil() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
