#include "kernels/common/instruction_set.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/common/instruction_set_cpu.cc"
#include <hwy/foreach_target.h>
// The header above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

const char* TargetName() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {

HWY_EXPORT(TargetName);

const char* instruction_set() {
  return HWY_DYNAMIC_DISPATCH(TargetName)();
}

}  // namespace mt
#endif
