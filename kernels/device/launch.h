#pragma once
// The shape of a kernel launch, and how it is named and checked: the same words on cuda and simt. Included by
// .cu files, so it stays free of heavy headers.

#include <cstdint>
#include <string>

#include "kernels/common/stream.h"

namespace mt {

/// Blocks of a grid or threads of a block. A plain number is a one-dimensional extent.
struct Extent {
  constexpr Extent(int64_t x_size, int64_t y_size = 1, int64_t z_size = 1)
      : x(x_size), y(y_size), z(z_size) {}  // NOLINT
  int64_t x;
  int64_t y;
  int64_t z;
};

struct LaunchConfig {
  const char*
      signature;  // of kernel_signature<kernel>(), from which kernel_name() is cut when something is wrong
  Extent grid;
  Extent block;
  int64_t shared_bytes;  // dynamic shared memory of each block
  Stream stream;
};

inline constexpr int64_t kMaxThreadsPerBlock = 1024;
inline constexpr int64_t kMaxStaticSharedBytes = int64_t{48} << 10;

/// The compiler's name for this function, which holds the kernel's name.
template <auto kKernel>
constexpr const char* kernel_signature() {
  return __PRETTY_FUNCTION__;
}
/// "softmax_forward_warp<4>" out of a kernel_signature(); clang's has no template arguments.
std::string kernel_name(const char* signature);
/// "softmax_forward_warp<4> <grid (7,1,1), block (128,1,1), 0 shared bytes>".
std::string describe(const LaunchConfig& config);
/// Throws Error when the grid or block is empty or beyond what any CUDA device runs.
void check_launch(const LaunchConfig& config);
[[noreturn]] void fail_launch(const LaunchConfig& config, const char* reason);
/// For what a driver says after a launch: it may be the fault of a kernel before this one in the queue.
[[noreturn]] void fail_queued(const LaunchConfig& config, const char* reason);
/// Throws Error with this text; for .cu files, which cannot include tensor/check.h.
[[noreturn]] void fail_kernel(const std::string& text);

/// Blocks of `size` that cover `items`.
constexpr int64_t blocks_for(int64_t items, int64_t size) {
  return (items + size - 1) / size;
}

}  // namespace mt
