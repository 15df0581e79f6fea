#include "kernels/gated_attention/gated_attention.h"

#include <benchmark/benchmark.h>

#include <vector>

#include "tensor/rng.h"

namespace mt {
namespace {

std::vector<float> random_values(int64_t n, uint64_t item) {
  RandomStream random(1, Purpose::test, 0, item);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = random.uniform(-1, 1);
  return values;
}

struct Bag {
  explicit Bag(int64_t n)
      : shape{n, 128, 512},
        gate_v(random_values(n * 128, 1)),
        gate_u(random_values(n * 128, 2)),
        w(random_values(128, 3)),
        h(random_values(n * 512, 4)),
        logits(static_cast<std::size_t>(n)),
        attention(logits.size()),
        pooled(512) {}
  void forward() {
    gated_attention<float>(Device::cpu)
        .forward(shape, gate_v.data(), gate_u.data(), w.data(), h.data(), logits.data(), attention.data(),
                 pooled.data(), nullptr);
  }
  GatedAttentionShape shape;
  std::vector<float> gate_v, gate_u, w, h, logits, attention, pooled;
};

// Bytes: forward reads both gates and h; backward reads them and writes their gradients (gated_attention.md).
void gated_attention_forward(benchmark::State& state) {
  Bag bag(state.range(0));
  for (auto _ : state) bag.forward();
  state.SetBytesProcessed(state.iterations() * 4 * state.range(0) * 768);
}

void gated_attention_backward(benchmark::State& state) {
  Bag bag(state.range(0));
  bag.forward();
  std::vector<float> dv(bag.gate_v.size()), du(bag.gate_u.size()), dw(bag.w.size()), dh(bag.h.size());
  for (auto _ : state) {
    gated_attention<float>(Device::cpu)
        .backward(bag.shape, bag.gate_v.data(), bag.gate_u.data(), bag.w.data(), bag.h.data(),
                  bag.attention.data(), bag.pooled.data(), nullptr, dv.data(), du.data(), dw.data(),
                  dh.data(), nullptr);
  }
  state.SetBytesProcessed(state.iterations() * 8 * state.range(0) * 768);
}

BENCHMARK(gated_attention_forward)->Arg(2000)->Arg(100000)->UseRealTime();
BENCHMARK(gated_attention_backward)->Arg(2000)->Arg(100000)->UseRealTime();

}  // namespace
}  // namespace mt
