// Which network do these weights belong to?

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <unordered_map>

#include "models/weights.h"
#include "tensor/check.h"

namespace mt {
namespace {

using Shapes = std::unordered_map<std::string, Shape>;

/// Blocks in each of the four stages: one more than the largest N in "layerS.N.".
std::array<int, 4> count_blocks(const Shapes& shapes) {
  std::array<int, 4> blocks{};
  for (const auto& [name, shape] : shapes) {
    if (!name.starts_with("layer") || name.size() < 8 || name[5] < '1' || name[5] > '4' || name[6] != '.')
      continue;
    int block = -1;
    const auto parsed = std::from_chars(name.data() + 7, name.data() + name.size(), block);
    if (parsed.ec != std::errc() || block < 0 || block > 1000) continue;
    int& count = blocks[static_cast<std::size_t>(name[5] - '1')];
    count = std::max(count, block + 1);
  }
  return blocks;
}

int detect_depth(const Shapes& shapes, const std::string& source) {
  const std::array<int, 4> blocks = count_blocks(shapes);
  const bool bottleneck = shapes.contains("layer1.0.conv3.weight");
  if (!bottleneck && blocks == std::array{2, 2, 2, 2}) return 18;
  if (!bottleneck && blocks == std::array{3, 4, 6, 3}) return 34;
  if (bottleneck && blocks == std::array{3, 4, 6, 3}) return 50;
  fail("{}: {} blocks {}-{}-{}-{} are not those of ResNet-18, -34 or -50", source,
       bottleneck ? "bottleneck" : "basic", blocks[0], blocks[1], blocks[2], blocks[3]);
}

void detect_head(const Shapes& shapes, const std::string& source, ResNetConfig& config) {
  const auto shape_of = [&](const char* name) -> const Shape* {
    const auto found = shapes.find(name);
    if (found == shapes.end()) return nullptr;
    check(found->second.rank() == 2, "{}: {} is {}, wanted (out,in)", source, name, found->second.str());
    return &found->second;
  };
  const Shape* first = shape_of("fc.0.weight");
  const Shape* second = shape_of("fc.2.weight");
  const Shape* only = shape_of("fc.weight");
  config.head = HeadKind::none;
  if (first != nullptr && second != nullptr) {
    config.head = HeadKind::projection;
    config.head_hidden = (*first)[0];
    config.head_out = (*second)[0];
  } else if (only != nullptr) {
    config.head = HeadKind::classifier;
    config.head_out = (*only)[0];
  }
}

}  // namespace

ResNetConfig detect_resnet(const StateDict& weights, const std::string& source) {
  Shapes shapes;
  for (const auto& [name, tensor] : weights) shapes[name] = tensor.shape();
  const auto stem = shapes.find("conv1.weight");
  check(stem != shapes.end(),
        "{}: has no conv1.weight, so it is no torchvision ResNet; its first tensor is {}", source,
        weights.empty() ? std::string("(none)") : weights.front().first);
  const Shape& shape = stem->second;
  check(shape.rank() == 4 && shape[0] >= 1 && shape[1] == 3 && shape[2] == 7 && shape[3] == 7,
        "{}: conv1.weight is {}, a torchvision ResNet has (width,3,7,7)", source, shape.str());
  ResNetConfig config;
  config.depth = detect_depth(shapes, source);
  config.base_width = shape[0];
  config.norm = shapes.contains("bn1.running_mean") ? NormKind::batch
                : shapes.contains("bn1.weight")     ? NormKind::instance_affine
                                                    : NormKind::instance;
  detect_head(shapes, source, config);
  return config;
}

}  // namespace mt
