#pragma once
// Golden arrays (tests/golden/*.npz) as vectors, and the layout change that most of them need.

#include <string>
#include <string_view>
#include <vector>

#include "tensor/io/npz.h"
#include "tensor/tensor.h"
#include "tests/harness/places.h"

namespace mt::testing {

/// The array `name` of tests/golden/`file`.
inline Tensor golden(const std::string& file, std::string_view name) {
  return NpzFile(golden_path(file))[name];
}

/// Its elements; T is the array's type.
template <typename T>
std::vector<T> golden_values(const std::string& file, std::string_view name) {
  const Tensor array = golden(file, name);
  const auto elements = array.span<T>();
  return {elements.begin(), elements.end()};
}

/// (N,C,P) → (N,P,C)
template <typename T>
std::vector<T> channels_last(const std::vector<T>& x, int64_t n, int64_t c, int64_t pixels) {
  std::vector<T> y(x.size());
  for (int64_t i = 0; i < n * c * pixels; ++i) {
    const int64_t target = (i / (c * pixels) * pixels + i % pixels) * c + i / pixels % c;
    y[static_cast<std::size_t>(target)] = x[static_cast<std::size_t>(i)];
  }
  return y;
}

}  // namespace mt::testing
