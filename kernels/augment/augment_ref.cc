// One function per operation, one pixel at a time, in the types in which Pillow and OpenCV compute, so that
// 8-bit results are theirs.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/augment/augment.h"
#include "tensor/check.h"

namespace mt {
namespace {

struct Image {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> rgb;  // (H,W,3)
  Image(int64_t h, int64_t w) : height(h), width(w), rgb(static_cast<std::size_t>(h * w * 3)) {}
  uint8_t& at(int64_t y, int64_t x, int64_t c) {
    return rgb[static_cast<std::size_t>((y * width + x) * 3 + c)];
  }
  uint8_t at(int64_t y, int64_t x, int64_t c) const {
    return rgb[static_cast<std::size_t>((y * width + x) * 3 + c)];
  }
};

uint8_t clipped(int64_t value) {
  return static_cast<uint8_t>(std::clamp<int64_t>(value, 0, 255));
}

Image crop(const uint8_t* image, int64_t width, const AugmentParameters& p) {
  Image result(p.crop_height, p.crop_width);
  for (int64_t y = 0; y < p.crop_height; ++y) {
    for (int64_t x = 0; x < p.crop_width; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        result.at(y, x, c) = image[((p.crop_top + y) * width + p.crop_left + x) * 3 + c];
      }
    }
  }
  return result;
}

struct Taps {
  int64_t first;
  std::vector<int64_t> weights;  // in units of 2^-22
};

// Pillow's antialiased triangle filter: weights of the input positions that make output position `out`.
Taps triangle_taps(int64_t in_size, int64_t out_size, int64_t out) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double support = std::max(scale, 1.0);
  const double centre = (static_cast<double>(out) + 0.5) * scale;
  const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(centre - support + 0.5));
  const int64_t last = std::min(in_size, static_cast<int64_t>(centre + support + 0.5));
  std::vector<double> weights;
  double sum = 0;
  for (int64_t i = first; i < last; ++i) {
    const double distance = std::abs((static_cast<double>(i) - centre + 0.5) * (1.0 / support));
    weights.push_back(distance < 1.0 ? 1.0 - distance : 0.0);
    sum += weights.back();
  }
  Taps taps{first, {}};
  for (const double weight : weights)
    taps.weights.push_back(static_cast<int64_t>(0.5 + weight / sum * (1 << 22)));
  return taps;
}

// Horizontally, then vertically, with 8-bit values between.
Image resized(const Image& in, int64_t out_height, int64_t out_width) {
  Image wide(in.height, out_width);
  for (int64_t y = 0; y < in.height; ++y) {
    for (int64_t x = 0; x < out_width; ++x) {
      const Taps taps = triangle_taps(in.width, out_width, x);
      for (int64_t c = 0; c < 3; ++c) {
        int64_t sum = int64_t{1} << 21;
        for (std::size_t k = 0; k < taps.weights.size(); ++k) {
          sum += taps.weights[k] * in.at(y, taps.first + static_cast<int64_t>(k), c);
        }
        wide.at(y, x, c) = clipped(sum >> 22);
      }
    }
  }
  Image out(out_height, out_width);
  for (int64_t y = 0; y < out_height; ++y) {
    const Taps taps = triangle_taps(in.height, out_height, y);
    for (int64_t x = 0; x < out_width; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        int64_t sum = int64_t{1} << 21;
        for (std::size_t k = 0; k < taps.weights.size(); ++k) {
          sum += taps.weights[k] * wide.at(taps.first + static_cast<int64_t>(k), x, c);
        }
        out.at(y, x, c) = clipped(sum >> 22);
      }
    }
  }
  return out;
}

Image flipped(const Image& in, bool horizontal, bool vertical) {
  Image out(in.height, in.width);
  for (int64_t y = 0; y < in.height; ++y) {
    for (int64_t x = 0; x < in.width; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        out.at(y, x, c) = in.at(vertical ? in.height - 1 - y : y, horizontal ? in.width - 1 - x : x, c);
      }
    }
  }
  return out;
}

Image quarter_turn(const Image& in) {  // counter-clockwise
  Image out(in.width, in.height);
  for (int64_t y = 0; y < out.height; ++y) {
    for (int64_t x = 0; x < out.width; ++x) {
      for (int64_t c = 0; c < 3; ++c) out.at(y, x, c) = in.at(x, in.width - 1 - y, c);
    }
  }
  return out;
}

// Stain jitter: augment.md. Densities are integers in units of 2^-12 bits, matrices in units of 2^-14.
Image stain_jittered(const Image& in, const AugmentParameters& p) {
  double basis[3][3] = {
      {0.65, 0.70, 0.29}, {0.07, 0.99, 0.11}, {0, 0, 0}};  // rows: haematoxylin, eosin, rest
  const auto normalise = [](double* v) {
    const double length = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    for (int i = 0; i < 3; ++i) v[i] /= length;
  };
  normalise(basis[0]);
  normalise(basis[1]);
  for (int i = 0; i < 3; ++i) {
    const int j = (i + 1) % 3;
    const int k = (i + 2) % 3;
    basis[2][i] = basis[0][j] * basis[1][k] - basis[0][k] * basis[1][j];
  }
  normalise(basis[2]);
  double dual[3][3];  // rows: how much of each stain is in a density
  double determinant = 0;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      const int r1 = (i + 1) % 3, r2 = (i + 2) % 3, c1 = (j + 1) % 3, c2 = (j + 2) % 3;
      dual[i][j] = basis[r1][c1] * basis[r2][c2] - basis[r1][c2] * basis[r2][c1];
    }
  }
  for (int j = 0; j < 3; ++j) determinant += basis[0][j] * dual[0][j];
  const double scale[3] = {p.haematoxylin_scale, p.eosin_scale, 1};
  const double shift[3] = {p.haematoxylin_shift, p.eosin_shift, 0};
  int64_t matrix[3][3];
  int64_t offset[3];
  for (int i = 0; i < 3; ++i) {
    double moved = 0;
    for (int s = 0; s < 3; ++s) moved += basis[s][i] * shift[s];
    offset[i] = std::llround(moved * std::log2(10.0) * 0x1p26);
    for (int j = 0; j < 3; ++j) {
      double value = i == j ? 1 : 0;  // the identity, and what the scales change
      for (int s = 0; s < 3; ++s) value += basis[s][i] * (scale[s] - 1) * (dual[s][j] / determinant);
      matrix[i][j] = std::llround(value * 0x1p14);
    }
  }
  Image out = in;
  for (int64_t y = 0; y < in.height; ++y) {
    for (int64_t x = 0; x < in.width; ++x) {
      int64_t density[3];
      for (int64_t c = 0; c < 3; ++c)
        density[c] = std::llround(4096 * std::log2(256.0 / (in.at(y, x, c) + 1)));
      for (int64_t c = 0; c < 3; ++c) {
        int64_t sum = offset[c] + (1 << 13);
        for (int64_t j = 0; j < 3; ++j) sum += matrix[c][j] * density[j];
        const int64_t result = std::clamp<int64_t>(sum >> 14, 0, 32768);
        out.at(y, x, c) = clipped(std::llround(256 * std::exp2(static_cast<double>(-result) / 4096)) - 1);
      }
    }
  }
  return out;
}

int64_t luma(const Image& in, int64_t y, int64_t x) {
  return (in.at(y, x, 0) * 19595 + in.at(y, x, 1) * 38470 + in.at(y, x, 2) * 7471 + 0x8000) >> 16;
}

// Pillow's blend of a "degenerate" value with the image's, in float, truncated.
uint8_t blended(int64_t degenerate, int64_t value, float factor) {
  if (factor == 0.0F) return clipped(degenerate);
  if (factor == 1.0F) return clipped(value);
  const float product = factor * static_cast<float>(value - degenerate);
  const float sum = static_cast<float>(degenerate) + product;
  return sum <= 0 ? 0 : (sum >= 255 ? 255 : static_cast<uint8_t>(sum));
}

template <typename Degenerate>
void blend_with(Image& image, float factor, const Degenerate& degenerate) {
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      const int64_t base = degenerate(y, x);
      for (int64_t c = 0; c < 3; ++c) image.at(y, x, c) = blended(base, image.at(y, x, c), factor);
    }
  }
}

int64_t mean_luma(const Image& image) {
  double sum = 0;
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) sum += static_cast<double>(luma(image, y, x));
  }
  return static_cast<int64_t>(sum / static_cast<double>(image.height * image.width) + 0.5);
}

// RGB → 8-bit HSV → hue shifted modulo 256 → RGB, as Pillow converts.
void shift_hue(uint8_t* rgb, uint8_t shift) {
  const int largest = std::max({rgb[0], rgb[1], rgb[2]});
  const int smallest = std::min({rgb[0], rgb[1], rgb[2]});
  if (largest == smallest) return;  // saturation 0
  const auto range = static_cast<float>(largest - smallest);
  const float saturation = range / static_cast<float>(largest);
  const float r = static_cast<float>(largest - rgb[0]) / range;
  const float g = static_cast<float>(largest - rgb[1]) / range;
  const float b = static_cast<float>(largest - rgb[2]) / range;
  float hue = 0;
  if (rgb[0] == largest)
    hue = b - g;
  else if (rgb[1] == largest)
    hue = static_cast<float>(2.0 + static_cast<double>(r) - static_cast<double>(b));
  else
    hue = static_cast<float>(4.0 + static_cast<double>(g) - static_cast<double>(r));
  hue = static_cast<float>(std::fmod(static_cast<double>(hue) / 6.0 + 1.0, 1.0));
  const auto hue8 = static_cast<uint8_t>(clipped(static_cast<int>(static_cast<double>(hue) * 255.0)) + shift);
  const uint8_t saturation8 = clipped(static_cast<int>(static_cast<double>(saturation) * 255.0));
  if (saturation8 == 0) {
    rgb[0] = rgb[1] = rgb[2] = static_cast<uint8_t>(largest);
    return;
  }
  const double position = static_cast<double>(hue8) * 6.0 / 255.0;
  const auto sextant = static_cast<int>(std::floor(position));
  const auto rest = static_cast<float>(position - sextant);
  const auto s = static_cast<float>(saturation8 / 255.0);
  const double value = largest;
  const uint8_t p = clipped(std::lround(value * (1.0 - static_cast<double>(s))));
  const uint8_t q = clipped(std::lround(value * (1.0 - static_cast<double>(s * rest))));
  const uint8_t t =
      clipped(std::lround(value * (1.0 - static_cast<double>(s) * (1.0 - static_cast<double>(rest)))));
  const auto v = static_cast<uint8_t>(largest);
  const uint8_t table[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
  std::copy_n(table[sextant % 6], 3, rgb);
}

void colour_jitter(Image& image, const AugmentParameters& p) {
  for (const JitterStep step : p.jitter_order) {
    if (step == JitterStep::brightness) {
      blend_with(image, p.brightness, [](int64_t, int64_t) { return 0; });
    } else if (step == JitterStep::contrast) {
      const int64_t mean = mean_luma(image);
      blend_with(image, p.contrast, [=](int64_t, int64_t) { return mean; });
    } else if (step == JitterStep::saturation) {
      blend_with(image, p.saturation, [&](int64_t y, int64_t x) { return luma(image, y, x); });
    } else if (p.hue != 0) {
      // torchvision's np.uint8(hue * 255): truncated towards 0, then modulo 256.
      const auto shift = static_cast<uint8_t>(static_cast<int>(static_cast<double>(p.hue) * 255.0));
      for (std::size_t i = 0; i < image.rgb.size(); i += 3) shift_hue(&image.rgb[i], shift);
    }
  }
}

// OpenCV's 8-bit kernel: weights in units of 1/256 whose rounding errors are carried to the next one; they
// sum to 256.
std::vector<int64_t> blur_weights(int64_t size, double sigma) {
  const int64_t radius = size / 2;
  std::vector<double> half;
  double sum = 0;
  for (int64_t i = 0; i < radius; ++i) {
    const double twice = static_cast<double>(1 - size + 2 * i);
    half.push_back(std::exp(twice * twice * (-0.125 / (sigma * sigma))));
    sum += half.back();
  }
  sum = sum * 2 + 1;
  std::vector<int64_t> weights(static_cast<std::size_t>(size));
  double carried = 0;
  int64_t total = 0;
  for (int64_t i = 0; i < radius; ++i) {
    const double exact = half[static_cast<std::size_t>(i)] * (1 / sum) * 256 + carried;
    const int64_t rounded = std::llrint(exact);  // half to even
    carried = exact - static_cast<double>(rounded);
    weights[static_cast<std::size_t>(i)] = weights[static_cast<std::size_t>(size - 1 - i)] = rounded;
    total += 2 * rounded;
  }
  weights[static_cast<std::size_t>(radius)] = 256 - total;
  return weights;
}

// Position i of a line of n pixels mirrored at its ends, the end pixels not repeated.
int64_t mirrored(int64_t i, int64_t n) {
  while (i < 0 || i >= n) {
    if (n == 1) return 0;
    i = i < 0 ? -i : 2 * (n - 1) - i;
  }
  return i;
}

Image blurred(const Image& in, int64_t size, double sigma) {
  const auto weights = blur_weights(size, sigma);
  Image out(in.height, in.width);
  for (int64_t y = 0; y < in.height; ++y) {
    for (int64_t x = 0; x < in.width; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        int64_t sum = 1 << 15;
        for (int64_t ky = 0; ky < size; ++ky) {
          for (int64_t kx = 0; kx < size; ++kx) {
            sum += weights[static_cast<std::size_t>(ky)] * weights[static_cast<std::size_t>(kx)] *
                   in.at(mirrored(y + ky - size / 2, in.height), mirrored(x + kx - size / 2, in.width), c);
          }
        }
        out.at(y, x, c) = clipped(sum >> 16);
      }
    }
  }
  return out;
}

void apply(const uint8_t* images, const AugmentParameters* parameters, uint8_t* views, int64_t batch,
           int64_t height, int64_t width, int64_t size, int64_t blur_size, Stream) {
  check_augmentation(parameters, batch, height, width, size, blur_size);
  for (int64_t b = 0; b < batch; ++b) {
    const AugmentParameters& p = parameters[b];
    Image view = resized(crop(images + b * height * width * 3, width, p), size, size);
    view = flipped(view, p.flip_horizontal, p.flip_vertical);
    for (int turn = 0; turn < p.quarter_turns; ++turn) view = quarter_turn(view);
    if (p.stain_jitter) view = stain_jittered(view, p);
    if (p.colour_jitter) colour_jitter(view, p);
    if (p.grey) blend_with(view, 0, [&](int64_t y, int64_t x) { return luma(view, y, x); });
    if (p.blur_sigma > 0) view = blurred(view, blur_size, static_cast<double>(p.blur_sigma));
    std::copy(view.rgb.begin(), view.rgb.end(), views + b * size * size * 3);
  }
}

void resize(const uint8_t* image, uint8_t* out, int64_t height, int64_t width, int64_t out_height,
            int64_t out_width, Stream) {
  Image in(height, width);
  std::copy_n(image, in.rgb.size(), in.rgb.begin());
  const Image result = resized(in, out_height, out_width);
  std::copy(result.rgb.begin(), result.rgb.end(), out);
}

}  // namespace

template <>
const Augment<double>& augment<double>(Device device) {
  check(device == Device::cpu, "augment: the reference runs on the cpu only, not on {}", name_of(device));
  static constexpr Augment<double> table{apply, resize};
  return table;
}

}  // namespace mt
