#pragma once
// The PTX that nvcc puts into a program.

#include <string>
#include <vector>

namespace mt::ptx {

struct PtxImage {
  int architecture = 0;  // 90
  std::string text;
};

/// The PTX texts of what nvcc's start-up code gives to __cudaRegisterFatBinary. Throws Error for a layout or
/// compression that it does not know.
std::vector<PtxImage> ptx_images(const void* wrapper);

}  // namespace mt::ptx
