#include "train/run/weights_hash.h"

#include <algorithm>

#include "tensor/io/dense.h"
#include "tensor/io/sha256.h"

namespace mt::train {

std::string weights_sha256(NamedTensors tensors) {
  const auto by_name = [](const auto& a, const auto& b) { return a.first < b.first; };
  std::sort(tensors.begin(), tensors.end(), by_name);
  Sha256 hash;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    check(i == 0 || tensors[i - 1].first != tensors[i].first, "weights: tensor {} is there twice",
          tensors[i].first);
    const Tensor values = dense(tensors[i].second);
    hash.update(values.raw(), values.bytes());
  }
  return hash.hex();
}

}  // namespace mt::train
