#include "train/views.h"

#include <algorithm>

#include "tensor/rng.h"

namespace mt::train {

AugmentPolicy view_policy(const Config& config) {
  AugmentPolicy policy;
  const auto strength = static_cast<float>(config.view_jitter);
  policy.crop_scale_low = static_cast<float>(config.view_crop);
  policy.brightness = policy.contrast = policy.saturation = strength;
  policy.hue = strength / 4;
  policy.blur_chance = static_cast<float>(config.view_blur);
  if (config.view_turns) {
    policy.flip_vertical_chance = 0.5F;
    policy.quarter_turns = true;
  }
  if (config.view_stain > 0) {
    policy.stain_jitter_chance = 0.8F;
    policy.stain_strength = static_cast<float>(config.view_stain);
  }
  return policy;
}

std::vector<uint8_t> two_views(const PatchPipeline::Batch& batch, const PatchSource& source,
                               const AugmentPolicy& policy, uint64_t seed, uint32_t step) {
  const int64_t side = source.patch_pixels();
  const int64_t blur = std::max<int64_t>(
      3, (side / 17) | 1);  // 13 for 224 pixels, as published; the same share of smaller patches
  const std::size_t images = batch.ids.size();
  const std::size_t bytes = images * static_cast<std::size_t>(side * side * 3);
  std::vector<uint8_t> views(2 * bytes);  // (2B,H,W,3)
  for (std::size_t view = 0; view < 2; ++view) {
    std::vector<AugmentParameters> parameters(images);
    for (std::size_t i = 0; i < images; ++i) {
      RandomStream random(seed, Purpose::augment, step, source.key(batch.ids[i]) + view);
      parameters[i] = sample_augmentation(policy, side, side, random);
    }
    augment<float>(Device::cpu)
        .apply(batch.pixels.data(), parameters.data(), views.data() + view * bytes,
               static_cast<int64_t>(images), side, side, side, blur, nullptr);
  }
  return views;
}

}  // namespace mt::train
