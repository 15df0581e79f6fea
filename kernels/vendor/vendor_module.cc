// The module's one exported function.

#include "kernels/vendor/vendor_module.h"

namespace mt::vendor {
const VendorHost* host = nullptr;
}

extern "C" __attribute__((visibility("default"))) const mt::VendorTables* microtome_vendor_tables_2(
    const mt::VendorHost& host) {
  using namespace mt::vendor;
  static constexpr mt::VendorTables kTables{&kGemmFp32, &kGemmTf32, &kConv2dFp32, &kConv2dTf32,
                                            [] { return last_choice; }};
  mt::vendor::host = &host;
  return &kTables;
}
