#include "kernels/ptx/matrix_product.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace mt::ptx {
namespace {

constexpr int kKept = 26;  // bits of the largest addend, from its highest on
constexpr int64_t kExponentBias = 1023;
constexpr int64_t kInfinite = 0x7ff;

int64_t exponent_field(double value) {
  return std::bit_cast<int64_t>(value) >> 52 & kInfinite;
}
double power_of_two(int64_t exponent) {
  return std::bit_cast<double>((exponent + kExponentBias) << 52);
}

/// Towards zero, to the precision of a float.
float cut_to_float(double value) {
  constexpr double kSmallestNormal = 0x1p-126;
  constexpr uint64_t kBelowFloat = (uint64_t{1} << 29) - 1;
  const double normal = std::bit_cast<double>(std::bit_cast<uint64_t>(value) & ~kBelowFloat);
  const double subnormal = std::trunc(value * 0x1p149) * 0x1p-149;
  return static_cast<float>(std::fabs(value) < kSmallestNormal ? subnormal : normal);
}

/// c[j] += Σ products[i][j] over one block of products. Infinities and NaN give what they give.
template <int kColumns, int kBlock>
void add_columns(float* c, const double (&products)[kBlock][kColumns]) {
  int64_t largest[kColumns];
  for (int j = 0; j < kColumns; ++j) largest[j] = exponent_field(static_cast<double>(c[j]));
  for (int i = 0; i < kBlock; ++i) {
    for (int j = 0; j < kColumns; ++j) largest[j] = std::max(largest[j], exponent_field(products[i][j]));
  }
  if (*std::max_element(largest, largest + kColumns) == kInfinite) {
    for (int j = 0; j < kColumns; ++j) {
      double column[kBlock][1];
      for (int i = 0; i < kBlock; ++i) column[i][0] = products[i][j];
      if (largest[j] != kInfinite) {
        add_columns<1, kBlock>(c + j, column);
      } else {
        for (int i = 0; i < kBlock; ++i)
          c[j] = static_cast<float>(static_cast<double>(c[j]) + products[i][j]);
      }
    }
    return;
  }
  double unit[kColumns];
  int32_t sums[kColumns];
  for (int j = 0; j < kColumns; ++j) {
    // Products of floats lie far above 2^-423, so that zeros alone come below.
    const int64_t exponent = std::max(largest[j] - kExponentBias, int64_t{-423}) + 1 - kKept;
    unit[j] = power_of_two(exponent);
    const double per_unit = power_of_two(-exponent);
    sums[j] = static_cast<int32_t>(static_cast<double>(c[j]) * per_unit);
    for (int i = 0; i < kBlock; ++i) sums[j] += static_cast<int32_t>(products[i][j] * per_unit);
  }
  for (int j = 0; j < kColumns; ++j) c[j] = cut_to_float(sums[j] * unit[j]);
}

template <int kColumns, int kBlock>
void multiply(float* c, const float* a, const float* b, int rows, int depth) {
  for (int r = 0; r < rows; ++r) {
    for (int k = 0; k < depth; k += kBlock) {
      double products[kBlock][kColumns];
      for (int i = 0; i < kBlock; ++i) {
        const auto factor = static_cast<double>(a[r * depth + k + i]);
        for (int j = 0; j < kColumns; ++j)
          products[i][j] = factor * static_cast<double>(b[(k + i) * kColumns + j]);
      }
      add_columns<kColumns, kBlock>(c + r * kColumns, products);
    }
  }
}

}  // namespace

void multiply_matrices(float* c, const float* a, const float* b, int rows, int columns, int depth,
                       int block) {
  if (columns == 16) {
    block == 8 ? multiply<16, 8>(c, a, b, rows, depth) : multiply<16, 4>(c, a, b, rows, depth);
  } else {
    block == 8 ? multiply<8, 8>(c, a, b, rows, depth) : multiply<8, 4>(c, a, b, rows, depth);
  }
}

}  // namespace mt::ptx
