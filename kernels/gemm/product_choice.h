#pragma once
// Which version of matrix products, convolutions and SupCon a GPU gets when nobody names one. The table below
// is a prediction (docs/gpu_predictions.md) until a GPU has been measured; it is the one place to change
// then.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "kernels/device/launch.h"

namespace mt {

enum class ProductVersion : uint8_t { fp32, tf32, tf32x3, bf16 };
inline constexpr std::array<std::string_view, 4> kProductVersionNames{"fp32", "tf32", "tf32x3", "bf16"};

struct ProductRule {
  int architecture;     // exactly this one; 0: any
  int64_t least_terms;  // of each sum
  ProductVersion version;
};

/// The first that fits counts. Only versions as exact as float stand here: tf32 and bf16 round what they are
/// given, so that the shape alone must not choose them.
// A warp's step of 64 × 32 × 16 products costs tf32x3 363 instructions and 96 products on tensor cores, fp32
// 1,116 instructions.
inline constexpr std::array kProductRules{
    // TF32 at 8 (sm_80), some 5 (sm_90, by mma.sync) or more (sm_100) times float32's rate. Up to 16 terms
    // are one
    // step: what tf32x3 adds around it (three stages, sums through shared memory) costs more than its
    // products save.
    ProductRule{80, 17, ProductVersion::tf32x3},
    ProductRule{90, 17, ProductVersion::tf32x3},
    ProductRule{100, 17, ProductVersion::tf32x3},
    ProductRule{103, 17, ProductVersion::tf32x3},
    // sm_75 has no TF32; sm_86, 89 and 120 multiply it no faster than float32, and it takes three products.
    ProductRule{0, 0, ProductVersion::fp32},
};

inline ProductVersion predicted_version(int architecture, int64_t terms) {
  for (const ProductRule& rule : kProductRules) {
    const bool fits = rule.architecture == 0 || rule.architecture == architecture;
    if (fits && terms >= rule.least_terms) return rule.version;
  }
  return ProductVersion::fp32;
}

/// The word of a version. Throws Error for another one.
inline ProductVersion product_version_of(std::string_view word) {
  for (std::size_t i = 0; i < kProductVersionNames.size(); ++i) {
    if (word == kProductVersionNames[i]) return static_cast<ProductVersion>(i);
  }
  fail_kernel("MICROTOME_PRODUCTS is '" + std::string(word) + "'; it may be fp32, tf32, tf32x3 or bf16");
}

/// predicted_version(), unless the environment variable MICROTOME_PRODUCTS names one for all shapes, for
/// benchmarks.
inline ProductVersion chosen_version(int architecture, int64_t terms) {
  const char* word = std::getenv("MICROTOME_PRODUCTS");
  if (word != nullptr && *word != '\0') return product_version_of(word);
  return predicted_version(architecture, terms);
}

}  // namespace mt
