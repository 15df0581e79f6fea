// Convolutions on tensor cores, inputs rounded to bfloat16 (8 bits): the version "bf16".

#include "kernels/conv2d/conv2d_versions.cuh"
#include "kernels/conv2d/forward.cuh"
#include "kernels/gemm/tensor_engine.cuh"

namespace mt::MT_BACKEND {
namespace {

void forward(const float* x, const float* weight, float* y, const Conv2dShape& shape, Stream stream) {
  require_tensor_cores("conv2d", "bf16");
  forward_with<Bf16Engines>(multiply_bf16, x, weight, y, shape, {}, stream);
}
void backward_data(const float* dy, const float* weight, float* dx, const Conv2dShape& shape, Stream stream) {
  require_tensor_cores("conv2d", "bf16");
  backward_data_with<Bf16Engines>(multiply_bf16, dy, weight, dx, shape, stream);
}
void backward_weights(const float* x, const float* dy, float* dw, const Conv2dShape& shape, Stream stream) {
  require_tensor_cores("conv2d", "bf16");
  backward_weights_with<Bf16Engines>(x, dy, dw, shape, stream);
}
void forward_fused(const float* x, const float* weight, float* y, const Conv2dShape& shape,
                   const Conv2dEpilogue<float>& epilogue, Stream stream) {
  require_tensor_cores("conv2d", "bf16");
  forward_with<Bf16Engines>(multiply_bf16, x, weight, y, shape, epilogue, stream);
}
void forward_pixels(const uint8_t* pixels, const ImageScaling& scaling, const float* weight, float* y,
                    const Conv2dShape& shape, const Conv2dEpilogue<float>& epilogue, Stream stream) {
  require_tensor_cores("conv2d", "bf16");
  forward_pixels_with<Bf16Engines>(pixels, scaling, weight, y, shape, epilogue, stream);
}

}  // namespace

const Conv2d<float> kConv2dBf16{forward, backward_data, backward_weights, forward_fused, forward_pixels};

}  // namespace mt::MT_BACKEND
