// Convolutions in float arithmetic alone: the version "fp32", for any GPU.

#include "kernels/conv2d/conv2d_versions.cuh"
#include "kernels/conv2d/forward.cuh"
#include "kernels/gemm/plain_engine.cuh"

namespace mt::MT_BACKEND {
namespace {

void forward(const float* x, const float* weight, float* y, const Conv2dShape& shape, Stream stream) {
  forward_with<PlainEngines>(multiply_fp32, x, weight, y, shape, {}, stream);
}
void backward_data(const float* dy, const float* weight, float* dx, const Conv2dShape& shape, Stream stream) {
  backward_data_with<PlainEngines>(multiply_fp32, dy, weight, dx, shape, stream);
}
void backward_weights(const float* x, const float* dy, float* dw, const Conv2dShape& shape, Stream stream) {
  backward_weights_with<PlainEngines>(x, dy, dw, shape, stream);
}
void forward_fused(const float* x, const float* weight, float* y, const Conv2dShape& shape,
                   const Conv2dEpilogue<float>& epilogue, Stream stream) {
  forward_with<PlainEngines>(multiply_fp32, x, weight, y, shape, epilogue, stream);
}
void forward_pixels(const uint8_t* pixels, const ImageScaling& scaling, const float* weight, float* y,
                    const Conv2dShape& shape, const Conv2dEpilogue<float>& epilogue, Stream stream) {
  forward_pixels_with<PlainEngines>(pixels, scaling, weight, y, shape, epilogue, stream);
}

}  // namespace

const Conv2d<float> kConv2dFp32{forward, backward_data, backward_weights, forward_fused, forward_pixels};

}  // namespace mt::MT_BACKEND
