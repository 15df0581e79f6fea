#pragma once
// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011). A stream is named by what it is for, never by thread, order or time, so every result can be
// repeated.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace mt {

/// What random numbers are used for; streams of different purposes never share a number.
enum class Purpose : uint32_t {
  init,
  shuffle,
  pairs,
  augment,
  dropout,
  mining,
  bootstrap,
  split,
  phantom,
  test
};

/// One Philox4x32-10 block: 128 random bits from a 128-bit counter and a 64-bit key.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// SplitMix64's finaliser: a fixed mixing of 64 bits.
uint64_t mix64(uint64_t value);
/// FNV-1a over the bytes, then mix64: stable for ever, used to key streams by slide name.
uint64_t hash64(std::string_view text);
/// Hash of a patch: slide name and level-0 position.
uint64_t patch_key(std::string_view slide, int64_t x_level0, int64_t y_level0);

/// The stream of random numbers for (seed, purpose, epoch, item). Cheap to make, 2^34 numbers long.
class RandomStream {
 public:
  RandomStream(uint64_t seed, Purpose purpose, uint32_t epoch = 0, uint64_t item = 0);

  uint32_t next();
  uint64_t next64() { return static_cast<uint64_t>(next()) << 32 | next(); }
  /// Uniform in [0, 1): 24 / 53 random bits.
  float uniform() { return static_cast<float>(next() >> 8) * 0x1p-24F; }
  double uniform_double() { return static_cast<double>(next64() >> 11) * 0x1p-53; }
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  /// Standard normal (Box-Muller).
  float normal();
  /// Gamma(shape, 1), Marsaglia and Tsang 2000; shape >= 1.
  float gamma(float shape);
  /// Unbiased integer in [0, n), n > 0.
  uint64_t below(uint64_t n);
  bool chance(float probability) { return uniform() < probability; }
  /// Fisher-Yates.
  template <typename T>
  void shuffle(std::span<T> values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_{};
  unsigned used_ = 4;
};

}  // namespace mt
