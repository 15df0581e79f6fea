#pragma once

#include <string>

#include "tensor/io/named_tensors.h"

namespace mt::train {

/// The `weights_sha256` of results: SHA-256 over the bytes of the tensors (row-major, little endian), sorted
/// by name. Equal hashes mean weights that are equal to the last bit. Throws Error when a name is there
/// twice.
std::string weights_sha256(NamedTensors tensors);

}  // namespace mt::train
