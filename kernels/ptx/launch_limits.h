#pragma once
// What a launch may ask for.

#include "kernels/ptx/machine.h"

namespace mt::ptx {

/// Bytes of shared memory that a block may have with leave (CUDA C++ Programming Guide, "Technical
/// specifications per compute capability").
int64_t most_shared_bytes(int architecture);

/// Throws Error that names the kernel when a GPU would refuse the launch: too many threads or blocks, or more
/// than 48 KiB of shared memory where cudaFuncSetAttribute granted fewer than `granted_shared_bytes` dynamic
/// ones.
void check_launch(const Launch& launch, int architecture, int64_t granted_shared_bytes);

}  // namespace mt::ptx
