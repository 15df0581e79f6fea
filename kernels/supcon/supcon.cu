// Supervised contrastive loss on cuda and simt: the table, what surrounds the large products, and the naive
// version. Math and error bounds: supcon.md. The fast versions: supcon_tiles.cuh.

#include <limits>
#include <string>

#include "kernels/common/device_array.cuh"
#include "kernels/common/tables.h"
#include "kernels/common/warp.cuh"
#include "kernels/gemm/gemm_versions.cuh"
#include "kernels/supcon/supcon_device.cuh"

namespace mt::MT_BACKEND {
namespace {

// ---- 1. Naive: one thread per row, over all columns one by one

constexpr int kNaiveThreads = 64;

__device__ float similarity(const float* z, int64_t width, int64_t i, int64_t j, float inverse_temperature) {
  float dot = 0;
  for (int64_t d = 0; d < width; ++d) dot += z[i * width + d] * z[j * width + d];
  return dot * inverse_temperature;
}

/// lse, positive_sum, positive_count: (anchors), of which [begin, end) are written.
__global__ void supcon_statistics_naive(const float* z, int64_t width, SupConRules rules,
                                        float inverse_temperature, int64_t begin, int64_t end, float* lse,
                                        float* positive_sum, int32_t* positive_count) {  // z: (rows, width)
  const int64_t row = begin + static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < end) {
    const SupConRow i = supcon_row(rules, row);
    SupConState state = supcon_start(rules);
    for (int64_t column = 0; column < rules.rows; ++column) {
      const SupConRow j = supcon_row(rules, column);
      if (!in_contrast(i, j)) continue;
      const float s = similarity(z, width, row, column, inverse_temperature);
      const bool positive = is_positive(rules, i, j);
      state = merged(state, SupConState{{s, s == s ? 1.0F : s}, positive ? s : 0.0F, positive ? 1 : 0});
    }
    lse[row] = log_sum_exp(state.contrast);
    positive_sum[row] = state.positive_sum;
    positive_count[row] = state.positive_count;
  }
}

/// terms: (rows); dz: (rows, width), of which rows [begin, end) are written.
__global__ void supcon_gradient_naive(const float* z, int64_t width, SupConRules rules,
                                      float inverse_temperature, int64_t begin, int64_t end,
                                      const SupConTerm* terms, float* dz) {
  const int64_t row = begin + static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < end) {
    const SupConRow i = supcon_row(rules, row);
    float* out = dz + row * width;
    for (int64_t d = 0; d < width; ++d) out[d] = 0;
    for (int64_t column = 0; column < rules.rows; ++column) {
      const float s = similarity(z, width, row, column, inverse_temperature);
      const float g = supcon_coefficient(rules, i, terms[row], supcon_row(rules, column), terms[column], s);
      for (int64_t d = 0; d < width; ++d) out[d] += g * z[column * width + d];
    }
    for (int64_t d = 0; d < width; ++d) out[d] *= inverse_temperature;
  }
}

void statistics_naive(const SupConBatch<float>& b, float* lse, float* positive_sum, int32_t* positive_count,
                      Stream stream) {
  launch<supcon_statistics_naive>(blocks_for(b.anchors_end() - b.shard_begin, kNaiveThreads), kNaiveThreads,
                                  0, stream, b.z, b.width, SupConRules(b),
                                  static_cast<float>(1 / b.temperature), b.shard_begin, b.anchors_end(), lse,
                                  positive_sum, positive_count);
}

void gradient_naive(const SupConBatch<float>& b, const SupConTerm* terms, float* dz, Stream stream) {
  launch<supcon_gradient_naive>(blocks_for(b.end() - b.shard_begin, kNaiveThreads), kNaiveThreads, 0, stream,
                                b.z, b.width, SupConRules(b), static_cast<float>(1 / b.temperature),
                                b.shard_begin, b.end(), terms, dz);
}

// ---- 2. Around the products: the mean of the anchors' losses, and what the gradient needs of each row

constexpr int kThreads = 256;

/// Sets *found to 1 where one of x (n) is NaN.
__global__ void supcon_find_nan(const float* x, int64_t n, int* found) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += stride) {
    if (x[i] != x[i]) simt::atomic_max(found, 1);
  }
}

/// One block; a fixed tree over the anchors. scale: τ/τ_base / anchors. loss: (1)
__global__ void supcon_mean(const float* lse, const float* positive_sum, const int32_t* positive_count,
                            int64_t anchors, double scale, const int* found_nan, float* loss) {
  double mine = 0;
  for (int64_t i = threadIdx.x; i < anchors; i += kThreads) {
    if (positive_count[i] > 0) {
      mine += static_cast<double>(lse[i]) -
              static_cast<double>(positive_sum[i]) / static_cast<double>(positive_count[i]);
    }
  }
  const double total = block_sum<kThreads>(mine);
  if (threadIdx.x == 0) *loss = *found_nan != 0 ? NAN : static_cast<float>(scale * total);
}

/// terms: (rows)
__global__ void supcon_terms(const float* lse, const int32_t* positive_count, int64_t rows, int64_t anchors,
                             double scale, const float* dloss, float no_lse, SupConTerm* terms) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < rows) {
    SupConTerm term{0, no_lse, 0, 0};
    if (i < anchors && positive_count[i] > 0) {
      term.weight = static_cast<float>(static_cast<double>(*dloss) * scale);
      term.lse = lse[i];
      term.share = 1 / static_cast<float>(positive_count[i]);
    }
    terms[i] = term;
  }
}

// ---- Host

void check_batch(const SupConBatch<float>& b) {
  const auto text = [](auto number) { return std::to_string(number); };
  if (!(b.anchors >= 1 && b.anchors <= b.rows && b.width >= 1)) {
    fail_kernel("supcon: " + text(b.anchors) + " anchors of " + text(b.rows) + " rows of width " +
                text(b.width) + "; needs 1 <= anchors <= rows and width >= 1");
  }
  if (b.rows >= int64_t{1} << 31)
    fail_kernel("supcon: " + text(b.rows) + " rows; at most 2^31 - 1 can be counted");
  if (!(b.temperature > 0 && b.base_temperature > 0)) {
    fail_kernel("supcon: temperatures " + text(b.temperature) + " and " + text(b.base_temperature) +
                " must be above 0");
  }
  if (b.labels == nullptr && b.positive_pairs == nullptr) fail_kernel("supcon: labels are missing");
  if (b.positive_pairs != nullptr && (b.images < 1 || b.pair_mode != PairMode::all)) {
    fail_kernel("supcon: explicit positive pairs need the number of images and pair mode all");
  }
  if (!(b.shard_begin >= 0 && b.shard_begin <= b.end() && b.end() <= b.rows)) {
    fail_kernel("supcon: the shard [" + text(b.shard_begin) + ", " + text(b.end()) + ") of " + text(b.rows) +
                " rows");
  }
}

/// τ/τ_base / anchors
double scale_of(const SupConBatch<float>& b) {
  return b.temperature / b.base_temperature / static_cast<double>(b.anchors);
}

void mean(const SupConBatch<float>& b, const float* lse, const float* positive_sum,
          const int32_t* positive_count, float* loss, Stream stream) {
  check_batch(b);
  const int none = 0;
  const DeviceArray<int> found_nan(&none, 1, stream);  // maxima drop a NaN, and it may be no anchor's column
  const int64_t values = b.rows * b.width;
  const int64_t blocks = blocks_for(values, 16 * kThreads);
  launch<supcon_find_nan>(blocks < 1024 ? blocks : 1024, kThreads, 0, stream, b.z, values, found_nan.data());
  launch<supcon_mean>(1, kThreads, 0, stream, lse, positive_sum, positive_count, b.anchors, scale_of(b),
                      static_cast<const int*>(found_nan.data()), loss);
}

template <SupConStatistics* kStatistics>
void forward(const SupConBatch<float>& b, float* lse, float* positive_sum, int32_t* positive_count,
             float* loss, Stream stream) {
  check_batch(b);
  if (b.shard_begin < b.anchors_end()) kStatistics(b, lse, positive_sum, positive_count, stream);
  if (b.is_whole()) mean(b, lse, positive_sum, positive_count, loss, stream);
}

template <SupConGradient* kGradient>
void backward(const SupConBatch<float>& b, const float* lse, const int32_t* positive_count,
              const float* dloss, float* dz, Stream stream) {
  check_batch(b);
  if (b.shard_begin == b.end()) return;
  const DeviceArray<SupConTerm> terms(b.rows);
  launch<supcon_terms>(blocks_for(b.rows, kThreads), kThreads, 0, stream, lse, positive_count, b.rows,
                       b.anchors, scale_of(b), dloss, std::numeric_limits<float>::max(), terms.data());
  kGradient(b, terms.data(), dz, stream);
}

/// By kernels/gemm/product_choice.h; here are two versions only.
bool prefers_tensor_cores(int64_t width) {
  return version_for(width) != ProductVersion::fp32;
}

void statistics(const SupConBatch<float>& b, float* lse, float* positive_sum, int32_t* positive_count,
                Stream stream) {
  SupConStatistics& version =
      prefers_tensor_cores(b.width) ? supcon_statistics_tf32x3 : supcon_statistics_fp32;
  version(b, lse, positive_sum, positive_count, stream);
}

void gradient(const SupConBatch<float>& b, const SupConTerm* terms, float* dz, Stream stream) {
  SupConGradient& version = prefers_tensor_cores(b.width) ? supcon_gradient_tf32x3 : supcon_gradient_fp32;
  version(b, terms, dz, stream);
}

constexpr SupCon<float> kFast{forward<statistics>, mean, backward<gradient>};
constexpr SupCon<float> kNaive{forward<statistics_naive>, mean, backward<gradient_naive>};
constexpr SupCon<float> kFp32{forward<supcon_statistics_fp32>, mean, backward<supcon_gradient_fp32>};
constexpr SupCon<float> kTf32x3{forward<supcon_statistics_tf32x3>, mean, backward<supcon_gradient_tf32x3>};

}  // namespace

void register_supcon() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
  register_table(kDevice, kTf32x3, "tf32x3");
  if (kDevice == Device::cuda) register_table(kDevice, kFp32, "fp32");  // on simt it is the first
}

}  // namespace mt::MT_BACKEND
