#pragma once
// The golden data's generator of weights and images, its digests, and comparison with them.
// tests/golden/README.md says how the data was made.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/io/named_tensors.h"
#include "tensor/io/npz.h"
#include "tensor/tensor.h"

namespace mt::testing {

/// An open file of tests/golden/.
NpzFile open_golden(const std::string& name);
/// Any floating or integer array as doubles, in C order.
std::vector<double> doubles_of(const Tensor& tensor);
std::vector<double> golden_doubles(const NpzFile& file, const std::string& name);

// ---- the generator ----

/// splitmix64(seed · 0xD1342543DE82EF95 + (stream << 40) + i)
uint64_t golden_bits(uint64_t seed, uint64_t stream, uint64_t i);
/// Uniform in [−1, 1), 24 bits, exact in float.
float golden_value(uint64_t seed, uint64_t stream, uint64_t i);
uint8_t golden_byte(uint64_t seed, uint64_t stream, uint64_t i);
/// f32 of this shape, filled with golden_value in C order.
Tensor golden_values(uint64_t seed, uint64_t stream, const Shape& shape);
/// f32 (N,C,H,W): golden_byte / 255.
Tensor golden_images(uint64_t seed, uint64_t stream, const Shape& shape);
/// The network fill: new tensors with the names and shapes of `like` (a state dict in PyTorch's order and
/// layouts), as f32.
NamedTensors golden_weights(const NamedTensors& like, uint64_t seed);

// ---- digests ----

using Digest = std::array<double, 37>;
/// Sum, sum of squares, dot product with golden_value(977, stream, ·), minimum, maximum, 32 samples.
Digest digest_of(std::span<const double> values, uint64_t stream);
/// zlib's CRC-32.
uint32_t crc32_of(const void* data, std::size_t bytes);
uint32_t crc32_of(const Tensor& f32);

/// Checks the digest of `values` against row `row` of a digest array (rows,37) or (37). `relative` is the
/// allowed error of an element as a fraction of the largest; sums may be off by as much per element.
void expect_digest(std::span<const double> values, const Tensor& digests, int64_t row, uint64_t stream,
                   double relative, const std::string& what);
/// |got − want| <= relative · max |want| + absolute for each element; NaN fails.
void expect_close(std::span<const double> got, std::span<const double> want, double relative,
                  const std::string& what, double absolute = 0);

}  // namespace mt::testing
