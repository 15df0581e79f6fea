#pragma once
// The host's side of a forward convolution with its epilogue, for one family of engines: y (NPQ, K) = patches
// (NPQ, RSC) weightᵀ, of floats or of 8-bit pixels.

#include "kernels/conv2d/convolve.cuh"
#include "kernels/conv2d/epilogue.cuh"
#include "kernels/copy/copy_cast.cuh"

namespace mt::MT_BACKEND {

/// Images of a launch that sums their channels: with their tiles, enough to fill a GPU. (A launch cannot have
/// more than 65,535.)
inline constexpr int64_t kMostImagesPerLaunch = 64;

/// Slices are all output pixels at once, or those of one image each, so that the parts into which its sums
/// are cut are its own.
template <typename Pixels, int kVector>
struct ForwardProblem {
  Pixels pixels;                         // (rows, RSC)
  MatrixOperand<true, kVector> filters;  // (K, RSC)
  FusedResult result;                    // (rows, K)
  int64_t image_elements;                // HWC
  int64_t parts;                         // of an image's partial sums

  __device__ auto slice(int z) const {
    Slice<Pixels, MatrixOperand<true, kVector>, FusedResult> here{
        pixels, filters, result, result.rows, result.columns, 0, filters.terms};
    const int64_t first = int64_t{z} * result.rows * result.columns;
    here.a.pixels += z * image_elements;
    here.result.y += first;
    if (result.residual != nullptr) here.result.residual += first;
    if (result.partial != nullptr) here.result.partial += z * parts * 2 * result.columns;
    return here;
  }
};

/// `pixels` of all images.
template <typename Engine, int kVector, typename Pixels>
void launch_forward(const Pixels& pixels, const float* weight, float* y, const Conv2dShape& d,
                    const Conv2dEpilogue<float>& epilogue, Stream stream) {
  constexpr int64_t kBytes = Stages<Engine, Pixels, MatrixOperand<true, kVector>>::kBytes;
  const int terms = as_int(d.r * d.s * d.c);
  const int64_t columns = d.k;
  ForwardProblem<Pixels, kVector> problem{
      pixels,
      {weight, terms, as_int(d.k), terms},
      {y, epilogue.residual, epilogue.bias, nullptr, pixels.outputs, as_int(d.k), epilogue.relu,
       is_vectorised(y, d.k, d.k) && is_vectorised(epilogue.residual, d.k, d.k), false},
      d.h * d.w * d.c,
      0};
  if (!epilogue.has_statistics()) {
    // Never split: an image's result has the same bits however many images there are.
    launch_tiles<Engine>(problem, pixels.outputs, columns, 1, kBytes, stream);
    return;
  }
  constexpr int kThreads = 128;
  const int64_t image_pixels = d.out_h() * d.out_w();
  problem.parts = blocks_for(image_pixels, Engine::kRows) * (Engine::kRows / Engine::kPartRows);
  problem.pixels.outputs = problem.result.rows = as_int(image_pixels);
  const DeviceArray<float> partial(d.n * problem.parts * 2 * d.k);
  problem.result.partial_vectorised = is_vectorised(partial.data(), d.k, d.k);
  for (int64_t first = 0; first < d.n; first += kMostImagesPerLaunch) {
    const int64_t offset = first * image_pixels * d.k;
    problem.pixels.pixels = pixels.pixels + first * problem.image_elements;
    problem.result.y = y + offset;
    if (epilogue.residual != nullptr) problem.result.residual = epilogue.residual + offset;
    problem.result.partial = partial.data() + first * problem.parts * 2 * d.k;
    launch_tiles<Engine>(problem, image_pixels, columns, std::min(kMostImagesPerLaunch, d.n - first), kBytes,
                         stream);
  }
  launch<add_parts<kThreads>>(blocks_for(d.n * d.k, kThreads), kThreads, 0, stream,
                              static_cast<const float*>(partial.data()), d.n * d.k, d.k, problem.parts,
                              epilogue.sums, epilogue.square_sums);
}

template <typename Engines, int kVector>
void forward_in_vectors(const float* x, const float* weight, float* y, const Conv2dShape& d,
                        const Conv2dEpilogue<float>& epilogue, Stream stream) {
  const auto patches = patches_of<true, kVector>(x, d.n, d.h, d.w, d.c, d.out_h(), d.out_w(), d.r, d.s,
                                                 d.stride, d.padding, d.padding);
  launch_forward<typename Engines::template For<kVector>, kVector>(patches, weight, y, d, epilogue, stream);
}

/// Conv2d<float>::forward_fused; forward with an epilogue of nothing.
template <typename Engines>
void forward_with(GemmFunction* multiply, const float* x, const float* weight, float* y, const Conv2dShape& d,
                  const Conv2dEpilogue<float>& epilogue, Stream stream) {
  check_conv2d_shape(d);
  check_conv2d_sizes(d);
  if (d.n == 0 || d.k == 0) return;
  if (is_matrix_product(d) && epilogue.residual == nullptr && !epilogue.has_statistics()) {
    const GemmEpilogue<float> same{epilogue.bias,
                                   epilogue.relu ? GemmActivation::relu : GemmActivation::none};
    multiply(false, true, d.n * d.h * d.w, d.k, d.c, x, d.c, weight, d.c, 0, y, d.k, same, stream);
  } else if (is_vectorised(x, d.c, d.c) && is_vectorised(weight, d.c, d.c)) {
    forward_in_vectors<Engines, 4>(x, weight, y, d, epilogue, stream);
  } else {
    forward_in_vectors<Engines, 1>(x, weight, y, d, epilogue, stream);
  }
}

/// Conv2d<float>::forward_pixels.
template <typename Engines>
void forward_pixels_with(const uint8_t* pixels, const ImageScaling& scaling, const float* weight, float* y,
                         const Conv2dShape& d, const Conv2dEpilogue<float>& epilogue, Stream stream) {
  check_conv2d_pixels(d);
  check_conv2d_sizes(d);
  if (d.n == 0 || d.k == 0) return;
  const DeviceArray<float> table(kImageTableSize);
  fill_image_table(table.data(), scaling, stream);
  const BytePatches patches{pixels,
                            table.data(),
                            scaling.swap_red_blue,
                            as_int(d.h),
                            as_int(d.w),
                            as_int(d.stride),
                            as_int(d.padding),
                            as_int(d.padding),
                            as_int(d.n * d.out_h() * d.out_w()),
                            as_int(d.r * d.s * d.c),
                            Divider(d.out_h() * d.out_w()),
                            Divider(d.out_w()),
                            Divider(d.s)};
  launch_forward<typename Engines::template For<1>, 1>(patches, weight, y, d, epilogue, stream);
}

}  // namespace mt::MT_BACKEND
