#pragma once

namespace mt {

/// A queue of work on a device (a cudaStream_t on cuda). nullptr is the device's default queue; the cpu
/// ignores it.
using Stream = struct StreamHandle*;

}  // namespace mt
