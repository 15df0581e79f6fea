#include "tensor/rng.h"

#include <cmath>
#include <numbers>

#include "tensor/check.h"

namespace mt {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53U} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

uint64_t mix64(uint64_t value) {
  value += 0x9E3779B97F4A7C15U;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9U;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBU;
  return value ^ (value >> 31);
}

uint64_t hash64(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return mix64(hash);
}

uint64_t patch_key(std::string_view slide, int64_t x_level0, int64_t y_level0) {
  return mix64(mix64(hash64(slide) ^ static_cast<uint64_t>(x_level0)) + static_cast<uint64_t>(y_level0));
}

RandomStream::RandomStream(uint64_t seed, Purpose purpose, uint32_t epoch, uint64_t item) {
  const uint64_t key = mix64(mix64(seed) ^ static_cast<uint64_t>(purpose));
  key_ = {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
  counter_ = {0, epoch, static_cast<uint32_t>(item), static_cast<uint32_t>(item >> 32)};
}

uint32_t RandomStream::next() {
  if (used_ == 4) {
    block_ = philox(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

float RandomStream::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform_double()));
  return static_cast<float>(radius * std::cos(2.0 * std::numbers::pi * uniform_double()));
}

float RandomStream::gamma(float shape) {
  check(shape >= 1.0F, "gamma: shape {} is below 1", shape);
  const double d = static_cast<double>(shape) - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  while (true) {
    const double x = normal();
    const double t = 1.0 + c * x;
    if (t <= 0) continue;
    const double v = t * t * t;
    if (std::log(1.0 - uniform_double()) < 0.5 * x * x + d - d * v + d * std::log(v))
      return static_cast<float>(d * v);
  }
}

uint64_t RandomStream::below(uint64_t n) {
  check(n > 0, "below: n is 0");
  const uint64_t limit = UINT64_MAX - UINT64_MAX % n;
  uint64_t value = next64();
  while (value >= limit) value = next64();
  return value % n;
}

}  // namespace mt
