#include "kernels/augment/augment.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <type_traits>

#include "kernels/augment/augment_steps.h"
#include "kernels/common/tables.h"
#include "tensor/parallel.h"

namespace mt {
namespace {

// The crop that torchvision falls back to: central, as large as the ratio allows.
void central_crop(const AugmentPolicy& policy, int64_t height, int64_t width, AugmentParameters& p) {
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  int64_t h = height;
  int64_t w = width;
  if (ratio < static_cast<double>(policy.crop_ratio_low)) {
    h = std::llrint(static_cast<double>(width) / static_cast<double>(policy.crop_ratio_low));
  } else if (ratio > static_cast<double>(policy.crop_ratio_high)) {
    w = std::llrint(static_cast<double>(height) * static_cast<double>(policy.crop_ratio_high));
  }
  p.crop_height = static_cast<int32_t>(std::clamp<int64_t>(h, 1, height));
  p.crop_width = static_cast<int32_t>(std::clamp<int64_t>(w, 1, width));
  p.crop_top = static_cast<int32_t>((height - p.crop_height) / 2);
  p.crop_left = static_cast<int32_t>((width - p.crop_width) / 2);
}

void sample_crop(const AugmentPolicy& policy, int64_t height, int64_t width, RandomStream& random,
                 AugmentParameters& p) {
  const double area = static_cast<double>(height) * static_cast<double>(width);
  const float low = std::log(policy.crop_ratio_low);
  const float high = std::log(policy.crop_ratio_high);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target =
        area * static_cast<double>(random.uniform(policy.crop_scale_low, policy.crop_scale_high));
    const double ratio = std::exp(static_cast<double>(random.uniform(low, high)));
    const int64_t w = std::llrint(std::sqrt(target * ratio));
    const int64_t h = std::llrint(std::sqrt(target / ratio));
    if (w < 1 || w > width || h < 1 || h > height) continue;
    p.crop_height = static_cast<int32_t>(h);
    p.crop_width = static_cast<int32_t>(w);
    p.crop_top = static_cast<int32_t>(random.below(static_cast<uint64_t>(height - h + 1)));
    p.crop_left = static_cast<int32_t>(random.below(static_cast<uint64_t>(width - w + 1)));
    return;
  }
  central_crop(policy, height, width, p);
}

// Uniform in 1 ± strength, not below 0.
float factor_around_one(float strength, RandomStream& random) {
  return random.uniform(std::max(0.0F, 1 - strength), 1 + strength);
}

// Byte offset of the pixel that ends up at (y, x): the turns and flips undone.
int64_t source_of(int64_t y, int64_t x, int64_t size, const AugmentParameters& p) {
  for (int turn = 0; turn < p.quarter_turns; ++turn) {
    const int64_t row = x;
    x = size - 1 - y;
    y = row;
  }
  if (p.flip_horizontal) x = size - 1 - x;
  if (p.flip_vertical) y = size - 1 - y;
  return (y * size + x) * 3;
}

// All other steps treat every pixel alike, or all directions alike, so flips and turns may come last.
void write_turned(const uint8_t* view, int64_t size, const AugmentParameters& p, uint8_t* out) {
  if (!p.flip_horizontal && !p.flip_vertical && p.quarter_turns == 0) {
    std::memcpy(out, view, static_cast<std::size_t>(size * size * 3));
    return;
  }
  const int64_t step = source_of(0, 1, size, p) - source_of(0, 0, size, p);
  for (int64_t y = 0; y < size; ++y) {
    const uint8_t* from = view + source_of(y, 0, size, p);
    for (int64_t x = 0; x < size; ++x, out += 3) {
      std::copy_n(from + x * step, 3, out);
    }
  }
}

void apply(const uint8_t* images, const AugmentParameters* parameters, uint8_t* views, int64_t batch,
           int64_t height, int64_t width, int64_t size, int64_t blur_size, Stream) {
  check_augmentation(parameters, batch, height, width, size, blur_size);
  const int64_t pixels = size * size;
  parallel_for(batch, std::max<int64_t>(1, 16384 / pixels), [&](int64_t begin, int64_t end) {
    augment_cpu::Scratch scratch;
    for (int64_t b = begin; b < end; ++b) {
      const AugmentParameters& p = parameters[b];
      const augment_cpu::Box box{p.crop_top, p.crop_left, p.crop_height, p.crop_width};
      augment_cpu::crop_and_resize(images + b * height * width * 3, width, box, size, size, scratch);
      uint8_t* view = scratch.view.data();
      if (p.stain_jitter) augment_cpu::stain_jitter(view, pixels, p);
      if (p.colour_jitter) augment_cpu::colour_jitter(view, pixels, p);
      if (p.grey) augment_cpu::grey(view, pixels);
      if (p.blur_sigma > 0) augment_cpu::blur(size, blur_size, static_cast<double>(p.blur_sigma), scratch);
      write_turned(view, size, p, views + b * pixels * 3);
    }
  });
}

void resize(const uint8_t* image, uint8_t* out, int64_t height, int64_t width, int64_t out_height,
            int64_t out_width, Stream) {
  check(height >= 1 && width >= 1 && out_height >= 1 && out_width >= 1,
        "resize: {} x {} to {} x {}: sizes begin at 1", height, width, out_height, out_width);
  augment_cpu::Scratch scratch;
  augment_cpu::crop_and_resize(image, width, {0, 0, height, width}, out_height, out_width, scratch);
  std::memcpy(out, scratch.view.data(), static_cast<std::size_t>(out_height * out_width * 3));
}

}  // namespace

AugmentParameters sample_augmentation(const AugmentPolicy& policy, int64_t height, int64_t width,
                                      RandomStream& random) {
  AugmentParameters p;
  sample_crop(policy, height, width, random, p);
  p.flip_horizontal = random.chance(policy.flip_horizontal_chance);
  p.flip_vertical = random.chance(policy.flip_vertical_chance);
  const uint64_t turns = random.below(4);
  p.quarter_turns = policy.quarter_turns ? static_cast<uint8_t>(turns) : uint8_t{0};
  p.stain_jitter = random.chance(policy.stain_jitter_chance);
  p.haematoxylin_scale = factor_around_one(policy.stain_strength, random);
  p.haematoxylin_shift = random.uniform(-policy.stain_shift, policy.stain_shift);
  p.eosin_scale = factor_around_one(policy.stain_strength, random);
  p.eosin_shift = random.uniform(-policy.stain_shift, policy.stain_shift);
  p.colour_jitter = random.chance(policy.colour_jitter_chance);
  random.shuffle(std::span<JitterStep>(p.jitter_order));
  p.brightness = factor_around_one(policy.brightness, random);
  p.contrast = factor_around_one(policy.contrast, random);
  p.saturation = factor_around_one(policy.saturation, random);
  p.hue = random.uniform(-policy.hue, policy.hue);
  p.grey = random.chance(policy.grey_chance);
  const bool blurred = random.chance(policy.blur_chance);
  const float sigma = random.uniform(policy.blur_sigma_low, policy.blur_sigma_high);
  p.blur_sigma = blurred ? sigma : 0;
  return p;
}

void check_augmentation(const AugmentParameters* parameters, int64_t batch, int64_t height, int64_t width,
                        int64_t size, int64_t blur_size) {
  check(size >= 1, "augment: views of {} pixels", size);
  check(blur_size >= 1 && blur_size <= 31 && blur_size % 2 == 1,
        "augment: blur of {} pixels; odd sizes from 1 to 31 work", blur_size);
  const auto within = [](float value, float low, float high) { return value >= low && value <= high; };
  for (int64_t b = 0; b < batch; ++b) {
    const AugmentParameters& p = parameters[b];
    check(p.crop_top >= 0 && p.crop_left >= 0 && p.crop_height >= 1 && p.crop_width >= 1 &&
              int64_t{p.crop_top} + p.crop_height <= height && int64_t{p.crop_left} + p.crop_width <= width,
          "augment: image {}: crop of {} x {} at ({},{}) leaves the image of {} x {}", b, p.crop_height,
          p.crop_width, p.crop_top, p.crop_left, height, width);
    check(within(p.brightness, 0, 1e6F) && within(p.contrast, 0, 1e6F) && within(p.saturation, 0, 1e6F),
          "augment: image {}: brightness {}, contrast {}, saturation {} must be in [0, 1e6]", b, p.brightness,
          p.contrast, p.saturation);
    check(within(p.hue, -0.5F, 0.5F), "augment: image {}: hue {} is not in [-0.5, 0.5]", b, p.hue);
    check(within(p.blur_sigma, 0, 1e6F), "augment: image {}: blur sigma {} is not in [0, 1e6]", b,
          p.blur_sigma);
    check(within(p.haematoxylin_scale, 0, 100) && within(p.eosin_scale, 0, 100) &&
              within(p.haematoxylin_shift, -100, 100) && within(p.eosin_shift, -100, 100),
          "augment: image {}: stain scales must be in [0, 100] and shifts in [-100, 100]", b);
    std::array<JitterStep, 4> steps = p.jitter_order;
    std::sort(steps.begin(), steps.end());
    check(std::adjacent_find(steps.begin(), steps.end()) == steps.end() && steps[3] <= JitterStep::hue,
          "augment: image {}: the jitter order must name each of the four steps once", b);
    check(p.quarter_turns < 4, "augment: image {}: {} quarter turns; 0 to 3 are there", b, p.quarter_turns);
  }
}

template <>
const Augment<float>& augment<float>(Device device) {
  static constexpr Augment<float> table{apply, resize};
  return device == Device::cpu ? table : device_table<Augment<float>>(device, "augment");
}

}  // namespace mt
