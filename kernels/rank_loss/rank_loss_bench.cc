#include "kernels/rank_loss/rank_loss.h"

#include <benchmark/benchmark.h>

#include <vector>

#include "tensor/rng.h"

namespace mt {
namespace {

// One pair of bags of n instances, the ten largest of each. Bytes: the logits are read once.
void rank_loss_forward_backward(benchmark::State& state) {
  const int64_t n = state.range(0);
  RandomStream random(1, Purpose::test);
  std::vector<float> logits(static_cast<std::size_t>(2 * n));
  for (float& logit : logits) logit = random.normal();
  const std::vector<int64_t> offsets{0, n, 2 * n};
  std::vector<int64_t> selected(20);
  std::vector<float> dlogits(logits.size());
  const float dloss = 1;
  float loss = 0;
  for (auto _ : state) {
    const RankLoss<float>& op = rank_loss<float>(Device::cpu);
    op.forward(logits.data(), offsets.data(), 1, 10, &loss, selected.data(), nullptr);
    op.backward(&loss, &dloss, offsets.data(), selected.data(), 1, 10, dlogits.data(), nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 16 * n);
}

BENCHMARK(rank_loss_forward_backward)->Arg(2000)->Arg(100000)->UseRealTime();

}  // namespace
}  // namespace mt
