// Memory of the supervised contrastive loss, forward and backward on the CPU, on more rows than whose matrix
// of pairs one would want to hold. Prints the peak resident memory (VmHWM) and fails above the limit.
//   supcon_memory [rows = 32768] [width = 128] [limit in GB = 0.12]

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bench/peak_memory.h"
#include "kernels/l2_normalise/l2_normalise.h"
#include "kernels/supcon/supcon.h"
#include "tensor/rng.h"

namespace {

using namespace mt;

struct Outcome {
  float loss;
  double gradient_norm;
};

Outcome forward_and_backward(int64_t rows, int64_t width) {
  const auto values = static_cast<std::size_t>(rows * width);
  std::vector<float> z(values);  // (rows, width)
  std::vector<int32_t> labels(static_cast<std::size_t>(rows)), positive_count(labels.size());
  std::vector<float> lse(labels.size()), positive_sum(labels.size());
  RandomStream random(1, Purpose::test);
  for (float& value : z) value = random.normal();
  for (int32_t& label : labels) label = static_cast<int32_t>(random.below(2));
  l2_normalise<float>(Device::cpu)
      .forward(z.data(), z.data(), lse.data(), rows, width, static_cast<float>(kL2NormaliseEps), nullptr);

  SupConBatch<float> batch;
  batch.z = z.data();
  batch.labels = labels.data();
  batch.rows = batch.anchors = rows;
  batch.width = width;
  float loss = 0;
  const float dloss = 1;
  std::vector<float> dz(values);  // (rows, width)
  const SupCon<float>& op = supcon<float>(Device::cpu);
  op.forward(batch, lse.data(), positive_sum.data(), positive_count.data(), &loss, nullptr);
  op.backward(batch, lse.data(), positive_count.data(), &dloss, dz.data(), nullptr);
  double squares = 0;
  for (const float value : dz) squares += static_cast<double>(value) * static_cast<double>(value);
  return {loss, std::sqrt(squares)};
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t rows = argc > 1 ? std::atoll(argv[1]) : 32'768;
  const int64_t width = argc > 2 ? std::atoll(argv[2]) : 128;
  const double limit = argc > 3 ? std::atof(argv[3]) : 0.12;
  if (argc > 4 || rows < 1 || width < 1 || limit <= 0) {
    std::fprintf(stderr, "error: usage: supcon_memory [ROWS] [WIDTH] [LIMIT GB]\n");
    return 2;
  }
  try {
    const auto start = std::chrono::steady_clock::now();
    const Outcome outcome = forward_and_backward(rows, width);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double peak = bench::peak_resident_gb();
    const double n = static_cast<double>(rows);
    fmt::print(
        "supcon of {} x {}: loss {:.3f}, |dz| {:.2e}, {:.0f} s, peak {:.3f} GB, limit {} GB: {} "
        "(z alone {:.3f} GB, a matrix of pairs {:.1f} GB)\n",
        rows, width, outcome.loss, outcome.gradient_norm, seconds, peak, limit,
        peak <= limit ? "kept" : "EXCEEDED", 4e-9 * n * static_cast<double>(width), 4e-9 * n * n);
    return peak <= limit ? 0 : 1;
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
