#pragma once
// Convolutions as matrix products without unrolling anything: what the tile loop (kernels/gemm/tile.cuh) asks
// for is computed from where pixels, taps and weights lie.

#include "kernels/gemm/operands.cuh"

namespace mt::MT_BACKEND {

struct Divided {
  int quotient;
  int remainder;
};

/// n / d and n % d by a multiplication, for 0 <= n < 2^31 and d >= 1 (Granlund and Montgomery 1994): with
/// 2^(s-1) < d <= 2^s and m = ⌈2^(31+s) / d⌉, n m exceeds n 2^(31+s) / d by less than 2^(31+s) / d.
class Divider {
 public:
  explicit Divider(int64_t divisor) : divisor_(static_cast<int>(divisor)) {
    int bits = 0;
    while ((int64_t{1} << bits) < divisor) ++bits;
    shift_ = 31 + bits;
    multiplier_ = static_cast<uint32_t>(((uint64_t{1} << shift_) + static_cast<uint64_t>(divisor) - 1) /
                                        static_cast<uint64_t>(divisor));
  }
  __device__ Divided operator()(int n) const {
    const int quotient =
        static_cast<int>(static_cast<uint64_t>(static_cast<uint32_t>(n)) * multiplier_ >> shift_);
    return {quotient, n - quotient * divisor_};
  }

 private:
  int divisor_;
  int shift_;
  uint32_t multiplier_;
};

/// A row or column that no image has.
inline constexpr int kNowhere = -(1 << 29);

/// The pixels under each tap of each output pixel, 0 outside of the image: (output pixels, taps and channels)
/// when kAlong, else the transposed of it. Channels lie together in memory.
template <bool kAlong, int kWidth>
struct Patches {
  static constexpr bool kAlongTerms = kAlong;
  static constexpr int kVector = kWidth;
  const float* pixels;  // (N,H,W,C)
  int h;
  int w;
  int c;
  int stride;  // tap (r,s) of output pixel (p,q) lies on row p stride - top + r, column q stride - left + s
  int top;
  int left;
  int outputs;         // N P Q
  int taps;            // R S C
  Divider by_image;    // P Q
  Divider by_row;      // Q
  Divider by_channel;  // C
  Divider by_tap_row;  // S

  struct Pixel {
    int64_t first;  // the image's first element
    int row;        // of tap (0,0)
    int column;
  };
  struct Tap {
    int r;
    int s;
    int channel;
  };
  __device__ Pixel pixel(int i) const {
    if (i >= outputs) return {0, kNowhere, kNowhere};
    const Divided image = by_image(i);
    const Divided row = by_row(image.remainder);
    return {int64_t{image.quotient} * h * w * c, row.quotient * stride - top, row.remainder * stride - left};
  }
  __device__ Tap tap(int t) const {
    if (t >= taps) return {kNowhere, kNowhere, 0};
    const Divided channel = by_channel(t);
    const Divided row = by_tap_row(channel.quotient);
    return {row.quotient, row.remainder, channel.remainder};
  }
  __device__ Source at(const Pixel& pixel, const Tap& tap) const {
    const int row = pixel.row + tap.r;
    const int column = pixel.column + tap.s;
    const bool valid = row >= 0 && row < h && column >= 0 && column < w;
    return {pixels + (valid ? pixel.first + (int64_t{row} * w + column) * c + tap.channel : 0), valid};
  }

  __device__ auto row(int i) const {
    if constexpr (kAlong) {
      return pixel(i);
    } else {
      return tap(i);
    }
  }
  __device__ auto term(int t) const {
    if constexpr (kAlong) {
      return tap(t);
    } else {
      return pixel(t);
    }
  }
  __device__ Source at(const Tap& tap, const Pixel& pixel) const { return at(pixel, tap); }
};

/// Patches<true, 1> of 8-bit pixels, which a table makes numbers of. Those of the last tiles' ends and of the
/// padding are 0.
struct BytePatches {
  static constexpr bool kAlongTerms = true;
  static constexpr int kVector = 1;
  const uint8_t* pixels;  // (N,H,W,3)
  const float* table;     // (3,256)
  bool swap_red_blue;
  int h;
  int w;
  int stride;
  int top;
  int left;
  int outputs;         // N P Q
  int taps;            // R S 3
  Divider by_image;    // P Q
  Divider by_row;      // Q
  Divider by_tap_row;  // S

  struct Pixel {
    int image;
    int row;  // of tap (0,0)
    int column;
  };
  struct Tap {
    int r;
    int s;
    int channel;
  };
  using Loaded = int;  // place in the table, or -1

  __device__ Pixel row(int i) const {
    if (i >= outputs) return {0, kNowhere, kNowhere};
    const Divided image = by_image(i);
    const Divided row = by_row(image.remainder);
    return {image.quotient, row.quotient * stride - top, row.remainder * stride - left};
  }
  __device__ Tap term(int t) const {
    if (t >= taps) return {kNowhere, kNowhere, 0};
    const Divided row = by_tap_row(t / 3);
    return {row.quotient, row.remainder, t % 3};
  }
  __device__ Loaded load(const Pixel& pixel, const Tap& tap) const {
    const int row = pixel.row + tap.r;
    const int column = pixel.column + tap.s;
    if (row < 0 || row >= h || column < 0 || column >= w) return -1;
    const int byte = swap_red_blue ? 2 - tap.channel : tap.channel;
    return tap.channel * 256 + pixels[int64_t{(pixel.image * h + row) * w + column} * 3 + byte];
  }
  __device__ float value(Loaded place) const { return place < 0 ? 0 : simt::ldg(table + place); }
};

/// Weights as the gradient of x meets them: (input channels, taps and filters), of one class of taps
/// (conv2d.md): u from last to first.
template <int kWidth>
struct TurnedWeights {
  static constexpr bool kAlongTerms = false;
  static constexpr int kVector = kWidth;
  const float* weight;  // (K,R,S,C)
  int r;
  int s;
  int c;
  int last_row;  // the class' taps: rows last_row - u stride, columns last_column - v stride
  int last_column;
  int stride;
  int terms;           // U V K
  Divider by_filter;   // K
  Divider by_tap_row;  // V

  struct Term {
    int64_t first;
    bool valid;
  };
  __device__ int row(int i) const { return i; }
  __device__ Term term(int t) const {
    if (t >= terms) return {0, false};
    const Divided filter = by_filter(t);
    const Divided tap = by_tap_row(filter.quotient);
    const int row = last_row - tap.quotient * stride;
    const int column = last_column - tap.remainder * stride;
    return {((int64_t{filter.remainder} * r + row) * s + column) * c, true};
  }
  __device__ Source at(int channel, const Term& term) const {
    const bool valid = channel < c && term.valid;
    return {weight + (valid ? term.first + channel : 0), valid};
  }
};

/// Every step-th pixel of every step-th row of dx (N,H,W,C), from (first_row, first_column) on.
struct PixelClass {
  float* dx;
  int h;
  int w;
  int c;
  int first_row;
  int first_column;
  int step;
  int pixels;  // of this class, in all images
  bool vectorised;
  Divider by_image;  // this class' pixels of an image
  Divider by_row;    // and of a row

  __device__ void write4(int pixel, int channel, const float (&sum)[4]) const {
    if (pixel >= pixels) return;
    const Divided image = by_image(pixel);
    const Divided row = by_row(image.remainder);
    const int64_t y = first_row + int64_t{row.quotient} * step;
    const int64_t x = first_column + int64_t{row.remainder} * step;
    store4(dx + ((int64_t{image.quotient} * h + y) * w + x) * c + channel, sum, c - channel, vectorised);
  }
  __device__ PlainWriter<PixelClass> writer(int channel) const { return {*this, channel}; }
};

}  // namespace mt::MT_BACKEND
