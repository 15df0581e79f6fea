#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace mt {

/// Tensors with their names, in an order that means something to whoever made the list.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

}  // namespace mt
