// Convolutions on tensor cores, inputs split into two tf32 numbers: as exact as float; the version "tf32x3".

#include "kernels/conv2d/conv2d_versions.cuh"
#include "kernels/conv2d/forward.cuh"
#include "kernels/gemm/tensor_engine.cuh"

namespace mt::MT_BACKEND {
namespace {

void forward(const float* x, const float* weight, float* y, const Conv2dShape& shape, Stream stream) {
  require_tensor_cores("conv2d", "tf32x3");
  forward_with<Tf32x3Engines>(multiply_tf32x3, x, weight, y, shape, {}, stream);
}
void backward_data(const float* dy, const float* weight, float* dx, const Conv2dShape& shape, Stream stream) {
  require_tensor_cores("conv2d", "tf32x3");
  backward_data_with<Tf32x3Engines>(multiply_tf32x3, dy, weight, dx, shape, stream);
}
void backward_weights(const float* x, const float* dy, float* dw, const Conv2dShape& shape, Stream stream) {
  require_tensor_cores("conv2d", "tf32x3");
  backward_weights_with<Tf32x3Engines>(x, dy, dw, shape, stream);
}
void forward_fused(const float* x, const float* weight, float* y, const Conv2dShape& shape,
                   const Conv2dEpilogue<float>& epilogue, Stream stream) {
  require_tensor_cores("conv2d", "tf32x3");
  forward_with<Tf32x3Engines>(multiply_tf32x3, x, weight, y, shape, epilogue, stream);
}
void forward_pixels(const uint8_t* pixels, const ImageScaling& scaling, const float* weight, float* y,
                    const Conv2dShape& shape, const Conv2dEpilogue<float>& epilogue, Stream stream) {
  require_tensor_cores("conv2d", "tf32x3");
  forward_pixels_with<Tf32x3Engines>(pixels, scaling, weight, y, shape, epilogue, stream);
}

}  // namespace

const Conv2d<float> kConv2dTf32x3{forward, backward_data, backward_weights, forward_fused, forward_pixels};

}  // namespace mt::MT_BACKEND
