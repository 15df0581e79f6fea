#include "wsi/phantom/noise.h"

namespace mt::wsi {

NoiseField::NoiseField(RandomStream& random, float wavelength_um)
    : cells_per_um_(1.0F / wavelength_um), lattice_(kPeriod * kPeriod) {
  for (float& value : lattice_) value = random.normal();
}

}  // namespace mt::wsi
