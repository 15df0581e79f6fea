#include "bench/gpu/comparison.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "kernels/fill/fill.h"
#include "tensor/check.h"
#include "tensor/rng.h"

namespace mt::bench {
namespace {

/// More than any GPU's L2: 50 MiB on an H100, 126 on a B200.
constexpr int64_t kFlushFloats = int64_t{64} << 20;

void flush_l2(Device device) {
  static const DeviceBuffer<float> memory(device == Device::cuda ? kFlushFloats : 16, device);
  fill<float>(device).constant(memory.data(), 0.0F, device == Device::cuda ? kFlushFloats : 16, nullptr);
}

void compare_answers(const Comparison& c, Device device) {
  std::vector<double> first;
  for (const Peer& peer : c.peers) {
    peer.run();
    synchronize(device);
    const std::vector<double> answer = peer.answer();
    if (first.empty()) first = answer;
    check(answer.size() == first.size() && !answer.empty(), "{} {}: {} gives {} numbers, {} {}", c.operation,
          c.shape, peer.name, answer.size(), c.peers[0].name, first.size());
    double largest = 0;
    double difference = 0;
    for (std::size_t i = 0; i < first.size(); ++i) {
      largest = std::max(largest, std::abs(first[i]));
      difference = std::max(difference, std::abs(answer[i] - first[i]));
    }
    check(difference <= c.tolerance * largest, "{} {}: {} and {} differ by {} where the largest number is {}",
          c.operation, c.shape, peer.name, c.peers[0].name, difference, largest);
  }
}

void time_peer(benchmark::State& state, const Comparison& c, const Peer& peer, Device device, bool cold) {
  Event start(device);
  Event stop(device);
  peer.run();  // algorithms are chosen, pools are filled
  for (auto _ : state) {
    if (cold) flush_l2(device);
    start.record();
    peer.run();
    stop.record();
    state.SetIterationTime(stop.seconds_since(start));
  }
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  if (c.flops > 0) state.counters["FLOP/s"] = benchmark::Counter(c.flops, rate);
  if (c.bytes > 0) state.counters["bytes/s"] = benchmark::Counter(c.bytes, rate);
}

}  // namespace

void register_comparison(Comparison comparison, Device device) {
  compare_answers(comparison, device);
  const auto kept = std::make_shared<const Comparison>(std::move(comparison));
  for (const Peer& peer : kept->peers) {
    for (const bool cold : {false, true}) {
      const std::string name =
          kept->operation + "/" + kept->shape + "/" + peer.name + (cold ? "/cold" : "/warm");
      benchmark::RegisterBenchmark(name.c_str(),
                                   [kept, &peer, device, cold](benchmark::State& state) {
                                     time_peer(state, *kept, peer, device, cold);
                                   })
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
  if (!kept->baseline.empty()) {
    benchmark::AddCustomContext("baseline:" + kept->operation + "/" + kept->shape, kept->baseline);
  }
}

std::vector<float> uniform_values(int64_t n, uint64_t seed, float low, float high) {
  RandomStream random(seed, Purpose::test);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = random.uniform(low, high);
  return values;
}

}  // namespace mt::bench
