#pragma once

namespace mt {

/// Name of the instruction set that the CPU kernels run with on this machine ("AVX3", "AVX2", "SSE2",
/// "NEON"): results are bitwise repeatable within one.
const char* instruction_set();

}  // namespace mt
