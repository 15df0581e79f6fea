#include <cmath>

#include "kernels/compact/compact.h"
#include "tensor/check.h"

namespace mt {
namespace {

bool is_kept(const double* scores, const uint8_t* mask, int64_t row, Threshold kind, double value) {
  if (mask != nullptr && mask[row] == 0) return false;
  check(!std::isnan(scores[row]), "compact: the score of row {} is NaN", row);
  return kind == Threshold::above ? scores[row] > value : scores[row] >= value;
}

int64_t indices(const double* scores, const uint8_t* mask, int64_t n, Threshold kind, double value,
                int64_t* kept, Stream) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (is_kept(scores, mask, i, kind, value)) kept[count++] = i;
  }
  return count;
}

int64_t triples(const int32_t* slides, const int64_t* patches, const double* scores, const uint8_t* mask,
                int64_t n, Threshold kind, double value, int32_t* kept_slides, int64_t* kept_patches,
                double* kept_scores, Stream) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!is_kept(scores, mask, i, kind, value)) continue;
    kept_slides[count] = slides[i];
    kept_patches[count] = patches[i];
    kept_scores[count] = scores[i];
    ++count;
  }
  return count;
}

}  // namespace

template <>
const Compact<double>& compact<double>(Device device) {
  check(device == Device::cpu, "compact: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr Compact<double> table{indices, triples};
  return table;
}

}  // namespace mt
