#include "kernels/augment/augment_view.h"

#include <algorithm>
#include <cmath>

#include "kernels/augment/augment_steps.h"

namespace mt {
namespace {

StainTables make_stain_tables() {
  StainTables tables;
  for (int v = 0; v < 256; ++v)
    tables.density[v] = static_cast<int32_t>(std::lround(4096 * std::log2(256.0 / (v + 1))));
  for (int d = 0; d <= 32768; ++d) {
    const auto value = std::lround(256 * std::exp2(-static_cast<double>(d) / 4096)) - 1;
    tables.byte[d] = static_cast<uint8_t>(std::clamp(value, 0L, 255L));
  }
  return tables;
}

}  // namespace

const StainTables& stain_tables() {
  static const StainTables tables = make_stain_tables();
  return tables;
}

int32_t resample_taps(int64_t in_size, int64_t out_size) {
  const double support = std::max(1.0, static_cast<double>(in_size) / static_cast<double>(out_size));
  return static_cast<int32_t>(std::min(in_size, 2 * static_cast<int64_t>(std::ceil(support)) + 1));
}

std::vector<AugmentView> augment_views(const AugmentParameters* parameters, int64_t batch, int64_t height,
                                       int64_t width, int64_t size, int64_t blur_size) {
  check_augmentation(parameters, batch, height, width, size, blur_size);
  std::vector<AugmentView> views(static_cast<std::size_t>(batch));
  for (AugmentView& view : views) {
    const AugmentParameters& p = *parameters++;
    view = {};
    view.top = p.crop_top;
    view.left = p.crop_left;
    view.height = p.crop_height;
    view.width = p.crop_width;
    view.taps_down = resample_taps(p.crop_height, size);
    view.taps_across = resample_taps(p.crop_width, size);
    view.flip_horizontal = p.flip_horizontal ? 1 : 0;
    view.flip_vertical = p.flip_vertical ? 1 : 0;
    view.quarter_turns = p.quarter_turns;
    view.stain_jitter = p.stain_jitter ? 1 : 0;
    view.grey = p.grey ? 1 : 0;
    view.steps = p.colour_jitter ? 4 : 0;
    view.contrast_at = view.steps;
    view.shifts_hue = p.hue != 0 ? 1 : 0;
    view.hue_shift = augment_cpu::hue_shift(p.hue);
    view.brightness = p.brightness;
    view.contrast = p.contrast;
    view.saturation = p.saturation;
    for (uint8_t i = 0; i < 4; ++i) {
      view.step[i] = p.jitter_order[i];
      if (i < view.contrast_at && view.step[i] == JitterStep::contrast) view.contrast_at = i;
    }
    if (p.stain_jitter) {
      const augment_cpu::StainMap map(p);
      for (std::size_t i = 0; i < 3; ++i) {
        view.stain_offset[i] = map.offset[i];
        for (std::size_t j = 0; j < 3; ++j) view.stain_matrix[i][j] = map.matrix[i][j];
      }
    }
    view.blur_weights[0] = 256;
    if (p.blur_sigma > 0) {
      const augment_cpu::BlurKernel kernel(blur_size, static_cast<double>(p.blur_sigma));
      view.blur_radius = static_cast<int32_t>(kernel.radius());
      std::copy(kernel.weights.begin(), kernel.weights.end(), view.blur_weights);
    }
    view.second_pass = view.steps != 0 || view.blur_radius != 0 ? 1 : 0;
  }
  return views;
}

}  // namespace mt
