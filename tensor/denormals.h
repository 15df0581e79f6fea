#pragma once
// Numbers below the smallest normal float (1.2e-38).

namespace mt {

/// From now on the calling thread, and every thread that it starts, takes such numbers for 0 and gives 0 for
/// them. Weight decay leaves thousands of weights there, and a processor takes a hundred times as long for
/// each. Does nothing on processors other than x86-64 and AArch64. Programs call it first.
void flush_denormals();

}  // namespace mt
