#pragma once
// Random views of 8-bit RGB images: SimCLR's augmentation with Pillow's semantics, and stain jitter.
// augment.md.

#include <array>
#include <cstdint>

#include "kernels/common/stream.h"
#include "kernels/copy/copy.h"
#include "tensor/device.h"
#include "tensor/rng.h"

namespace mt {

enum class JitterStep : uint8_t { brightness, contrast, saturation, hue };

/// What is done to one image, in this order: crop and resize, flips, quarter turns, stain jitter, colour
/// jitter, grey, blur. The default parameters of everything but the crop change nothing.
struct AugmentParameters {
  /// Crop box in pixels of the input, inside of it, at least 1 × 1.
  int32_t crop_top = 0;
  int32_t crop_left = 0;
  int32_t crop_height = 1;
  int32_t crop_width = 1;
  bool flip_horizontal = false;
  bool flip_vertical = false;
  /// Counter-clockwise turns by 90 degrees, 0 to 3.
  uint8_t quarter_turns = 0;
  /// Optical density of haematoxylin and eosin: density · scale + shift.
  bool stain_jitter = false;
  float haematoxylin_scale = 1;
  float haematoxylin_shift = 0;
  float eosin_scale = 1;
  float eosin_shift = 0;
  bool colour_jitter = false;
  std::array<JitterStep, 4> jitter_order{JitterStep::brightness, JitterStep::contrast, JitterStep::saturation,
                                         JitterStep::hue};
  /// Pillow's enhancement factors, >= 0; 1 changes nothing.
  float brightness = 1;
  float contrast = 1;
  float saturation = 1;
  /// Fraction of the hue circle, in [−0.5, 0.5]; 0 leaves the step out (8-bit HSV and back would change
  /// colours).
  float hue = 0;
  bool grey = false;
  /// Standard deviation of the Gaussian blur in output pixels; 0: none.
  float blur_sigma = 0;
};

/// Distribution of AugmentParameters. The default is SimCLR's as the paper uses it.
struct AugmentPolicy {
  /// Area of the crop as a fraction of the image, and its aspect ratio (log-uniform).
  float crop_scale_low = 0.08F;
  float crop_scale_high = 1;
  float crop_ratio_low = 3.0F / 4;
  float crop_ratio_high = 4.0F / 3;
  float flip_horizontal_chance = 0.5F;
  float flip_vertical_chance = 0;
  /// Each of the four quarter turns gets the same chance.
  bool quarter_turns = false;
  float stain_jitter_chance = 0;
  /// Densities are scaled by 1 ± strength and shifted by ± shift, uniformly.
  float stain_strength = 0.2F;
  float stain_shift = 0.05F;
  float colour_jitter_chance = 0.8F;
  float brightness = 0.8F;
  float contrast = 0.8F;
  float saturation = 0.8F;
  float hue = 0.2F;
  float grey_chance = 0.2F;
  float blur_chance = 0.5F;
  float blur_sigma_low = 0.1F;
  float blur_sigma_high = 2;
};

/// Draws the parameters for one view of an image of height × width pixels. The crop is drawn as torchvision's
/// RandomResizedCrop does (ten tries, then the central crop of the nearest ratio). Always takes numbers from
/// the stream in the same order for the same policy.
AugmentParameters sample_augmentation(const AugmentPolicy& policy, int64_t height, int64_t width,
                                      RandomStream& random);

/// SimCLR's blur kernel for 224-pixel views in the published code; any odd size from 1 to 31 works.
inline constexpr int64_t kBlurSize = 13;

/// Throws when a crop leaves its image or a value is out of its range, naming the image's index.
void check_augmentation(const AugmentParameters* parameters, int64_t batch, int64_t height, int64_t width,
                        int64_t size, int64_t blur_size);

/// Every operation rounds to 8 bits, so that all implementations agree bit by bit.
template <typename T>
struct Augment {
  /// images (B,H,W,3) → views (B,size,size,3), parameters (B). Throws what check_augmentation throws.
  void (*apply)(const uint8_t* images, const AugmentParameters* parameters, uint8_t* views, int64_t batch,
                int64_t height, int64_t width, int64_t size, int64_t blur_size, Stream stream);
  /// Pillow's antialiased bilinear resize of image (H,W,3) to out (out_height,out_width,3), all sizes >= 1.
  void (*resize)(const uint8_t* image, uint8_t* out, int64_t height, int64_t width, int64_t out_height,
                 int64_t out_width, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the naive reference of the same 8-bit semantics.
template <typename T>
const Augment<T>& augment(Device device);
template <>
const Augment<float>& augment<float>(Device device);
template <>
const Augment<double>& augment<double>(Device device);

}  // namespace mt
