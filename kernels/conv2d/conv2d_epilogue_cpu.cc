// What follows a convolution on the cpu: bias, residual, ReLU and sums per image and channel, in one pass
// over y.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/conv2d_epilogue_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include "kernels/common/lanes-inl.h"
#include "kernels/common/scratch.h"
#include "kernels/conv2d/conv2d_cpu.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

/// y, residual (pixels,K). partial (2,K): sums of v and of v²; null leaves them out, as the other parts.
void Conv2dEpilogueChunk(float* y, int64_t pixels, int64_t k, const float* bias, const float* residual,
                         bool relu, float* partial) {
  const Lanes lanes;
  for_each_lanes(k, [&](int64_t channel, int64_t m) HWY_ATTR {
    const auto b = bias != nullptr ? lanes.load_or(bias + channel, m, 0.0F) : lanes.set(0.0F);
    auto sum = lanes.set(0.0F);
    auto square_sum = lanes.set(0.0F);
    for (int64_t i = channel; i < pixels * k; i += k) {
      auto v = lanes.load_or(y + i, m, 0.0F);
      if (bias != nullptr) v = lanes.add(v, b);
      if (residual != nullptr) v = lanes.add(v, lanes.load_or(residual + i, m, 0.0F));
      if (partial != nullptr) {
        sum = lanes.add(sum, v);
        square_sum = lanes.mul_add(v, v, square_sum);
      }
      lanes.store(relu ? lanes.relu(v) : v, y + i, m);
    }
    if (partial != nullptr) {
      lanes.store(sum, partial + channel, m);
      lanes.store(square_sum, partial + k + channel, m);
    }
  });
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt::conv2d_cpu {
namespace {

HWY_EXPORT(Conv2dEpilogueChunk);

/// Pixels of an image whose values are summed in float; their sums are added in double, in order.
constexpr int64_t kChunkPixels = 64;

/// Of each image and channel, from partial (N,chunks,2,K).
void add_chunks(const float* partial, int64_t chunks, const Conv2dShape& d,
                const Conv2dEpilogue<float>& epilogue) {
  parallel_for(d.n, std::max<int64_t>(1, 16384 / (chunks * d.k)), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin * d.k; i < end * d.k; ++i) {
      double sum = 0;
      double square_sum = 0;
      const float* part = partial + i / d.k * chunks * 2 * d.k + i % d.k;
      for (int64_t chunk = 0; chunk < chunks; ++chunk, part += 2 * d.k) {
        sum += static_cast<double>(part[0]);
        square_sum += static_cast<double>(part[d.k]);
      }
      if (epilogue.sums != nullptr) epilogue.sums[i] = static_cast<float>(sum);
      if (epilogue.square_sums != nullptr) epilogue.square_sums[i] = static_cast<float>(square_sum);
    }
  });
}

}  // namespace

void apply_epilogue(float* y, const Conv2dShape& d, const Conv2dEpilogue<float>& epilogue) {
  const bool statistics = epilogue.has_statistics();
  if (epilogue.bias == nullptr && epilogue.residual == nullptr && !epilogue.relu && !statistics) return;
  const int64_t pixels = d.out_h() * d.out_w();
  const int64_t chunks = blocks(pixels, kChunkPixels);  // of an image, so that its sums are its own
  if (d.n * d.k == 0) return;
  thread_local Scratch scratch;
  float* partial = statistics ? scratch.reserve(d.n * chunks * 2 * d.k) : nullptr;
  const auto run = HWY_DYNAMIC_DISPATCH(Conv2dEpilogueChunk);
  const int64_t grain = std::max<int64_t>(1, 16384 / (kChunkPixels * d.k));
  parallel_for(d.n * chunks, grain, [=, &epilogue](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % chunks * kChunkPixels;
      const int64_t place = (task / chunks * pixels + first) * d.k;
      run(y + place, std::min(kChunkPixels, pixels - first), d.k, epilogue.bias,
          epilogue.residual == nullptr ? nullptr : epilogue.residual + place, epilogue.relu,
          partial == nullptr ? nullptr : partial + task * 2 * d.k);
    }
  });
  if (statistics) add_chunks(partial, chunks, d, epilogue);
}

}  // namespace mt::conv2d_cpu
#endif
