#include "bench/gpu/cub_peers.h"

#include <thrust/iterator/counting_iterator.h>
#include <cub/cub.cuh>
#include <stdexcept>
#include <vector>

namespace mt::bench {
namespace {

void check_cuda(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

cudaStream_t native(Stream stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}

template <typename T>
T* device_array(int64_t n) {
  T* data = nullptr;
  check_cuda(cudaMalloc(&data, static_cast<std::size_t>(n) * sizeof(T)));
  return data;
}

struct AtLeast {
  const float* scores;
  float value;
  __device__ bool operator()(int64_t i) const { return scores[i] >= value; }
};

/// One thread for each pair of bags: its bags are sorted, so the means are of the first elements.
__global__ void hinge_of_sorted(const float* sorted, const int64_t* offsets, int64_t pairs, int64_t top,
                                float* loss) {  // sorted: (offsets[2 pairs]), loss: (pairs)
  const int64_t p = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (p >= pairs) return;
  float mean[2];
  for (int side = 0; side < 2; ++side) {
    const int64_t start = offsets[2 * p + side];
    const int64_t size = offsets[2 * p + side + 1] - start;
    const int64_t taken = size < top ? size : top;
    float sum = 0;
    for (int64_t i = 0; i < taken; ++i) sum += sorted[start + i];
    mean[side] = sum / static_cast<float>(taken);
  }
  loss[p] = fmaxf(0.0F, 1 - mean[0] + mean[1]);
}

}  // namespace

struct CubSort::State {
  int64_t n;
  float* sorted;  // (n)
  void* scratch = nullptr;
  std::size_t scratch_bytes = 0;
};

CubSort::CubSort(int64_t n) : state_(new State{n, device_array<float>(n)}) {
  check_cuda(
      cub::DeviceRadixSort::SortKeys(nullptr, state_->scratch_bytes, state_->sorted, state_->sorted, n));
  check_cuda(cudaMalloc(&state_->scratch, state_->scratch_bytes));
}

CubSort::~CubSort() {
  cudaFree(state_->sorted);
  cudaFree(state_->scratch);
  delete state_;
}

void CubSort::order_statistics(const float* scores, int64_t position, float* pair, Stream stream) {
  check_cuda(cub::DeviceRadixSort::SortKeys(state_->scratch, state_->scratch_bytes, scores, state_->sorted,
                                            state_->n, 0, 32, native(stream)));
  check_cuda(cudaMemcpyAsync(pair, state_->sorted + position, 2 * sizeof(float), cudaMemcpyDeviceToDevice,
                             native(stream)));
}

struct CubSelect::State {
  int64_t n;
  void* scratch = nullptr;
  std::size_t scratch_bytes = 0;
};

CubSelect::CubSelect(int64_t n) : state_(new State{n}) {
  int64_t* none = nullptr;
  check_cuda(cub::DeviceSelect::If(nullptr, state_->scratch_bytes, thrust::make_counting_iterator<int64_t>(0),
                                   none, none, n, AtLeast{nullptr, 0}));
  check_cuda(cudaMalloc(&state_->scratch, state_->scratch_bytes));
}

CubSelect::~CubSelect() {
  cudaFree(state_->scratch);
  delete state_;
}

void CubSelect::at_least(const float* scores, float value, int64_t* indices, int64_t* count, Stream stream) {
  check_cuda(cub::DeviceSelect::If(state_->scratch, state_->scratch_bytes,
                                   thrust::make_counting_iterator<int64_t>(0), indices, count, state_->n,
                                   AtLeast{scores, value}, native(stream)));
}

struct CubRank::State {
  int64_t pairs;
  int64_t n;
  int64_t* offsets;  // (2 pairs + 1)
  float* sorted;     // (n)
  void* scratch = nullptr;
  std::size_t scratch_bytes = 0;
};

CubRank::CubRank(const int64_t* offsets, int64_t pairs) {
  const int64_t n = offsets[2 * pairs];
  state_ = new State{pairs, n, device_array<int64_t>(2 * pairs + 1), device_array<float>(n)};
  check_cuda(cudaMemcpy(state_->offsets, offsets, static_cast<std::size_t>(2 * pairs + 1) * sizeof(int64_t),
                        cudaMemcpyHostToDevice));
  check_cuda(cub::DeviceSegmentedSort::SortKeysDescending(nullptr, state_->scratch_bytes, state_->sorted,
                                                          state_->sorted, n, 2 * pairs, state_->offsets,
                                                          state_->offsets + 1));
  check_cuda(cudaMalloc(&state_->scratch, state_->scratch_bytes));
}

CubRank::~CubRank() {
  cudaFree(state_->offsets);
  cudaFree(state_->sorted);
  cudaFree(state_->scratch);
  delete state_;
}

void CubRank::forward(const float* logits, int64_t top, float* loss, Stream stream) {
  check_cuda(cub::DeviceSegmentedSort::SortKeysDescending(
      state_->scratch, state_->scratch_bytes, logits, state_->sorted, state_->n, 2 * state_->pairs,
      state_->offsets, state_->offsets + 1, native(stream)));
  const int64_t threads = 128;
  const auto blocks = static_cast<unsigned>((state_->pairs + threads - 1) / threads);
  hinge_of_sorted<<<blocks, threads, 0, native(stream)>>>(state_->sorted, state_->offsets, state_->pairs, top,
                                                          loss);
  check_cuda(cudaGetLastError());
}

}  // namespace mt::bench
