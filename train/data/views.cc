#include "train/data/views.h"

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

Tensor two_views(const DeviceFeed::Batch& batch, const PatchSource& source, const AugmentPolicy& policy,
                 uint64_t seed, uint32_t step) {
  const int64_t side = source.patch_pixels();
  const int64_t blur = std::max<int64_t>(
      3, (side / 17) | 1);  // 13 for 224 pixels, as published; the same share of smaller patches
  const std::size_t images = batch.ids.size();
  const auto count = static_cast<int64_t>(images);
  const Device device = batch.pixels.device();
  const Tensor views = Tensor::empty({2 * count, side, side, 3}, DType::u8, device);  // (2B,H,W,3)
  for (std::size_t view = 0; view < 2; ++view) {
    std::vector<AugmentParameters> parameters(images);
    for (std::size_t i = 0; i < images; ++i) {
      RandomStream random(seed, Purpose::augment, step, source.key(batch.ids[i]) + view);
      parameters[i] = sample_augmentation(policy, side, side, random);
    }
    const auto first = static_cast<int64_t>(view) * count;
    augment<float>(device).apply(batch.pixels.data<uint8_t>(), parameters.data(),
                                 views.slice(0, first, first + count).data<uint8_t>(), count, side, side,
                                 side, blur, nullptr);
  }
  return views;
}

}  // namespace mt::train
