#pragma once
// The versions of the convolution, each in a .cu of its own: they compile side by side.

#include "kernels/conv2d/conv2d.h"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

extern const Conv2d<float> kConv2dFp32;    // conv2d_fp32.cu
extern const Conv2d<float> kConv2dTf32;    // conv2d_tf32.cu
extern const Conv2d<float> kConv2dTf32x3;  // conv2d_tf32x3.cu
extern const Conv2d<float> kConv2dBf16;    // conv2d_bf16.cu

}  // namespace mt::MT_BACKEND
