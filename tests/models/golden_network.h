#pragma once
// What the golden tests of networks share.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "autograd/arithmetic.h"
#include "models/resnet.h"
#include "models/weights.h"
#include "tests/harness/golden_generator.h"

namespace mt::testing {

/// Agreement of the double reference with the golden float64 runs, relative to the largest element of an
/// array.
inline constexpr double kDoubleAgreement = 1e-9;

/// A network with the golden fill. Its weights are the float32 values of the generator in both dtypes.
inline std::unique_ptr<ResNet> golden_resnet(const ResNetConfig& config, uint64_t fill, DType dtype) {
  auto network = std::make_unique<ResNet>(config, 0, dtype);
  load_state_dict(*network, golden_weights(state_dict(*network), fill));
  return network;
}

/// (N,C,H,W) → (N,H,W,C) and back, or any other order.
inline Tensor reordered(const Tensor& tensor, std::initializer_list<int> order) {
  return contiguous_copy(tensor.permute(order));
}
inline Tensor nhwc(const Tensor& nchw, DType dtype) {
  return cast(reordered(nchw, {0, 2, 3, 1}), dtype);
}

/// Bytes (N,C,H,W) / 255 as the network's input. The quotient is rounded to float32, as the golden images
/// are.
inline Tensor images_from_bytes(const Tensor& bytes, DType dtype) {
  const Tensor scaled = Tensor::empty(bytes.shape());
  const auto from = bytes.span<uint8_t>();
  const auto to = scaled.span<float>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<float>(from[i]) / 255.0F;
  return nhwc(scaled, dtype);
}

/// An activation or gradient (N,H,W,C) as doubles in the order of (N,C,H,W).
inline std::vector<double> nchw_doubles(const Tensor& tensor) {
  return doubles_of(reordered(tensor, {0, 3, 1, 2}));
}

/// The gradient of a parameter as doubles in PyTorch's order.
inline std::vector<double> torch_gradient(const ModuleEntry& entry) {
  const Tensor& gradient = entry.parameter.grad();
  return entry.layout == WeightLayout::conv_krsc ? nchw_doubles(gradient) : doubles_of(gradient);
}

inline std::vector<double> torch_values(const ModuleEntry& entry) {
  return entry.layout == WeightLayout::conv_krsc ? nchw_doubles(entry.tensor()) : doubles_of(entry.tensor());
}

/// How far PyTorch's own float32 run is from its float64 run, relative to the largest element: what the
/// network makes of rounding on this input (ReLUs that flip, statistics of few values). For digests: the
/// worst row, from its minimum, maximum and samples.
inline double rounding_of_pytorch(const NpzFile& file, const std::string& name) {
  const Tensor array = file[name + "_f64"];
  const std::vector<double> truth = doubles_of(array);
  const std::vector<double> rounded = golden_doubles(file, name + "_f32");
  const bool digests = array.rank() >= 1 && array.dim(-1) == 37;
  const std::size_t columns = digests ? 37 : truth.size();
  double worst = 0;
  for (std::size_t row = 0; row < truth.size(); row += columns) {
    double largest = 0;
    double error = 0;
    for (std::size_t i = row + (digests ? 3 : 0); i < row + columns; ++i) {
      largest = std::max(largest, std::abs(truth[i]));
      error = std::max(error, std::abs(truth[i] - rounded[i]));
    }
    worst = std::max(worst, error / largest);
  }
  return worst;
}

/// Roundoff of float times the sum of all reduction lengths on the way through the network: each layer adds
/// at most K roundoffs of its largest value, and the norms bring every layer back to unit size, so that
/// earlier errors are carried and not blown up.
inline double float_agreement(const Module& network) {
  double lengths = 0;
  for (const ModuleEntry& entry : network.entries()) {
    if (entry.is_parameter() && entry.parameter.rank() >= 2) {
      lengths += static_cast<double>(entry.parameter.numel()) / static_cast<double>(entry.parameter.dim(0));
    }
  }
  return 0x1p-24 * lengths;
}

/// The allowed error of the golden array `name`, relative to its largest element. In float: the worst case of
/// one pass without amplification, and eight times what the samples of PyTorch's float32 run, which adds up
/// in another order, show of amplification. (A ReLU that flips changes single elements much more than the
/// typical one.)
inline double agreement(const Module& network, const NpzFile& file, const std::string& name) {
  if (network.dtype() == DType::f64) return kDoubleAgreement;
  return float_agreement(network) + 8 * rounding_of_pytorch(file, name);
}

/// A gradient against a float64 gradient that was rounded to float32. Each element in double; in float the
/// Euclidean length of the difference, relative to the gradient's, as flipped ReLUs leave nothing to say
/// about single elements.
inline void expect_gradient(const Module& network, std::span<const double> got, std::span<const double> want,
                            double relative, const std::string& what) {
  if (network.dtype() == DType::f64) return expect_close(got, want, relative + 0x1p-24, what);
  ASSERT_EQ(got.size(), want.size()) << what;
  double error = 0;
  double length = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    length += want[i] * want[i];
  }
  EXPECT_TRUE(std::sqrt(error) <= relative * std::sqrt(length))
      << what << ": difference " << std::sqrt(error) << " of a gradient " << std::sqrt(length)
      << " long, allowed " << relative;
}

}  // namespace mt::testing
