// Step 3 of 5: how a value is computed. A CUDA kernel, run without a GPU: the SIMT machine executes its threads and checks each access.
// Build and run: ninja -C build examples/step3_kernel && build/examples/step3_kernel

#include "kernels/device/kernel.h"

#include <cstdio>
#include <numeric>
#include <vector>

#include "tensor/check.h"

namespace mt::MT_BACKEND {

/// out[block] = the sum of the block's elements: a tree in shared memory, one barrier a level.
__global__ void block_sums(const float* in, float* out, int64_t n) {  // in (n), out (blocks)
  SHARED(float, partial, 128);
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  partial[threadIdx.x] = i < n ? in[i] : 0;
  simt::sync_threads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    simt::sync_threads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = partial[0];
}

/// The same mistake that most first kernels make: some threads never come to the barrier.
__global__ void leaves_some_behind(float* out) {
  if (threadIdx.x < 16) simt::sync_threads();
  out[threadIdx.x] = 1;
}

}  // namespace mt::MT_BACKEND

int main() {
  using namespace mt::MT_BACKEND;
  std::vector<float> in(300);
  std::iota(in.begin(), in.end(), 1.0F);
  std::vector<float> out(3);
  launch<block_sums>(/*grid=*/3, /*block=*/128, /*shared_bytes=*/0, /*stream=*/nullptr, in.data(), out.data(),
                     int64_t{300});
  std::printf("sums of three blocks: %g + %g + %g = 300*301/2\n", out[0], out[1], out[2]);
  try {
    std::vector<float> wide(64);
    launch<leaves_some_behind>(1, 64, 0, nullptr, wide.data());
  } catch (const mt::Error& error) {
    std::printf("error: %s\n", error.what());
  }
  return out[0] + out[1] + out[2] == 45150 ? 0 : 1;
}
