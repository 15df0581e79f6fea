#include "tensor/device.h"

#include "tensor/check.h"

namespace mt {

const char* name_of(Device device) {
  switch (device) {
    case Device::cpu:
      return "cpu";
    case Device::cuda:
      return "cuda";
    case Device::simt:
      return "simt";
  }
  return "?";
}

Device parse_device(std::string_view name) {
  for (const Device device : {Device::cpu, Device::cuda, Device::simt}) {
    if (name == name_of(device)) return device;
  }
  throw UsageError(fmt::format("--device {}: there is cpu, cuda and simt", name));
}

}  // namespace mt
