#pragma once
// What the tests of convolutions say of their cases.

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "kernels/conv2d/conv2d.h"

namespace mt {

inline std::string name_of_case(const Conv2dShape& d) {
  return fmt::format("x({},{},{},{}) * {} filters {}x{} stride {} padding {}", d.n, d.h, d.w, d.c, d.k, d.r,
                     d.s, d.stride, d.padding);
}
inline int64_t x_size(const Conv2dShape& d) {
  return d.n * d.h * d.w * d.c;
}
inline int64_t w_size(const Conv2dShape& d) {
  return d.k * d.r * d.s * d.c;
}
inline int64_t y_size(const Conv2dShape& d) {
  return d.n * d.out_h() * d.out_w() * d.k;
}

}  // namespace mt
