#include <cmath>
#include <vector>

#include "kernels/supcon/supcon.h"
#include "tensor/check.h"

namespace mt {
namespace {

using Batch = SupConBatch<double>;

void check_batch(const Batch& b) {
  check(b.anchors >= 1 && b.anchors <= b.rows && b.width >= 1,
        "supcon: {} anchors of {} rows of width {}; needs 1 <= anchors <= rows and width >= 1", b.anchors,
        b.rows, b.width);
  check(b.temperature > 0 && b.base_temperature > 0, "supcon: temperatures {} and {} must be above 0",
        b.temperature, b.base_temperature);
  check(b.labels != nullptr || b.positive_pairs != nullptr, "supcon: labels are missing");
  check(b.positive_pairs == nullptr || (b.images >= 1 && b.pair_mode == PairMode::all),
        "supcon: explicit positive pairs need the number of images and pair mode all");
  check(b.shard_begin >= 0 && b.shard_begin <= b.end() && b.end() <= b.rows,
        "supcon: the shard [{}, {}) of {} rows", b.shard_begin, b.end(), b.rows);
}

double similarity(const Batch& b, int64_t i, int64_t j) {
  double dot = 0;
  for (int64_t d = 0; d < b.width; ++d) dot += b.z[i * b.width + d] * b.z[j * b.width + d];
  return dot / b.temperature;
}

bool in_contrast(const Batch& b, int64_t i, int64_t j) {
  return i != j && (b.uncertain == nullptr || b.uncertain[j] == 0);
}

bool is_positive(const Batch& b, int64_t i, int64_t j) {
  if (!in_contrast(b, i, j)) return false;
  if (b.positive_pairs != nullptr) return b.positive_pairs[(i % b.images) * b.images + j % b.images] != 0;
  if (b.labels[i] != b.labels[j]) return false;
  if (b.pair_mode == PairMode::positives) return b.labels[i] != 0;
  if (b.pair_mode == PairMode::negatives) return b.labels[i] == 0;
  return true;
}

void mean(const Batch& b, const double* lse, const double* positive_sum, const int32_t* positive_count,
          double* loss, Stream) {
  check_batch(b);
  double total = 0;
  for (int64_t i = 0; i < b.rows * b.width; ++i) {
    if (std::isnan(b.z[i])) total = NAN;
  }
  for (int64_t i = 0; i < b.anchors; ++i) {
    if (positive_count[i] > 0) total += lse[i] - positive_sum[i] / positive_count[i];
  }
  *loss = b.temperature / b.base_temperature * total / static_cast<double>(b.anchors);
}

void forward(const Batch& b, double* lse, double* positive_sum, int32_t* positive_count, double* loss,
             Stream stream) {
  check_batch(b);
  std::vector<double> s(static_cast<std::size_t>(b.rows));
  for (int64_t i = b.shard_begin; i < b.anchors_end(); ++i) {
    double largest = b.uncertain == nullptr ? -HUGE_VAL : std::log(1e-10);
    for (int64_t j = 0; j < b.rows; ++j) {
      s[static_cast<std::size_t>(j)] = similarity(b, i, j);
      if (in_contrast(b, i, j)) largest = std::fmax(largest, s[static_cast<std::size_t>(j)]);
    }
    double sum = b.uncertain == nullptr ? 0 : std::exp(std::log(1e-10) - largest);
    positive_sum[i] = 0;
    positive_count[i] = 0;
    for (int64_t j = 0; j < b.rows; ++j) {
      if (in_contrast(b, i, j)) sum += std::exp(s[static_cast<std::size_t>(j)] - largest);
      if (!is_positive(b, i, j)) continue;
      positive_sum[i] += s[static_cast<std::size_t>(j)];
      ++positive_count[i];
    }
    lse[i] = largest + std::log(sum);
  }
  if (b.is_whole()) mean(b, lse, positive_sum, positive_count, loss, stream);
}

/// The derivative of the loss to s_ij, taken as a variable of its own.
double coefficient(const Batch& b, const double* lse, const int32_t* positive_count, int64_t i, int64_t j,
                   double s_ij) {
  if (i >= b.anchors || positive_count[i] == 0 || !in_contrast(b, i, j)) return 0;
  const double weight = b.temperature / b.base_temperature / static_cast<double>(b.anchors);
  return weight * (std::exp(s_ij - lse[i]) - (is_positive(b, i, j) ? 1.0 / positive_count[i] : 0.0));
}

void backward(const Batch& b, const double* lse, const int32_t* positive_count, const double* dloss,
              double* dz, Stream) {
  check_batch(b);
  for (int64_t i = b.shard_begin; i < b.end(); ++i) {
    for (int64_t d = 0; d < b.width; ++d) dz[i * b.width + d] = 0;
    for (int64_t j = 0; j < b.rows; ++j) {
      const double s = similarity(b, i, j);
      const double g =
          coefficient(b, lse, positive_count, i, j, s) + coefficient(b, lse, positive_count, j, i, s);
      const double factor = *dloss * g / b.temperature;
      for (int64_t d = 0; d < b.width; ++d) dz[i * b.width + d] += factor * b.z[j * b.width + d];
    }
  }
}

}  // namespace

template <>
const SupCon<double>& supcon<double>(Device device) {
  check(device == Device::cpu, "supcon: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr SupCon<double> table{forward, mean, backward};
  return table;
}

}  // namespace mt
