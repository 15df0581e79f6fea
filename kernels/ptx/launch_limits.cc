#include "kernels/ptx/launch_limits.h"

#include "tensor/check.h"

namespace mt::ptx {
namespace {

constexpr int64_t kSharedBytesWithoutLeave = 48 << 10;

}  // namespace

int64_t most_shared_bytes(int architecture) {
  switch (architecture) {
    case 75:
      return 64 << 10;
    case 80:
    case 87:
      return 163 << 10;
    case 86:
    case 89:
    case 120:
      return 99 << 10;
    default:
      return 227 << 10;
  }
}

void check_launch(const Launch& launch, int architecture, int64_t granted_shared_bytes) {
  const Kernel& kernel = *launch.kernel;
  const Extent3& grid = launch.grid;
  const Extent3& block = launch.block;
  check(grid.count() > 0 && block.count() > 0, "{}: an empty grid or block", kernel.pretty);
  check(grid.x <= 0x7fffffff && grid.y <= 65535 && grid.z <= 65535,
        "{}: a grid of ({},{},{}) blocks; at most (2147483647,65535,65535) run", kernel.pretty, grid.x,
        grid.y, grid.z);
  check(block.count() <= 1024 && block.z <= 64,
        "{}: a block of {} threads; at most 1024 run, at most 64 in z", kernel.pretty, block.count());
  check(static_cast<int64_t>(block.count()) <= kernel.max_threads,
        "{}: a block of {} threads, but it was compiled for {} (__launch_bounds__)", kernel.pretty,
        block.count(), kernel.max_threads);
  const int64_t shared = kernel.static_shared_bytes + launch.dynamic_shared_bytes;
  check(shared <= most_shared_bytes(architecture), "{}: {} bytes of shared memory; a block of sm_{} has {}",
        kernel.pretty, shared, architecture, most_shared_bytes(architecture));
  check(shared <= kSharedBytesWithoutLeave || launch.dynamic_shared_bytes <= granted_shared_bytes,
        "{}: {} bytes of dynamic shared memory without leave; cudaFuncSetAttribute granted {}", kernel.pretty,
        launch.dynamic_shared_bytes, granted_shared_bytes);
}

}  // namespace mt::ptx
