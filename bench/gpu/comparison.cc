#include "bench/gpu/comparison.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>

#include "kernels/vendor/vendor.h"
#include "tensor/check.h"
#include "tensor/rng.h"

namespace mt::bench {
namespace {

/// Device seconds between two events: long beside what an event costs.
constexpr double kSecondsPerBatch = 1e-3;
constexpr int64_t kMostRuns = 1024;

/// A comparison whose turn it is.
struct Running {
  std::shared_ptr<const Comparison> comparison;
  std::vector<Peer> peers;
  std::vector<std::string> errors;  // one for each peer; "" where its answer agrees
  bool replicated = false;          // memory has its copies
};

/// "" where the answers agree.
std::string difference_of(const std::vector<double>& answer, const std::vector<double>& ours,
                          const Comparison& c) {
  if (answer.size() != ours.size() || answer.empty())
    return fmt::format("gives {} numbers, {} {}", answer.size(), c.names[0], ours.size());
  double largest = 0;
  for (const double value : ours) largest = std::max(largest, std::abs(value));
  double worst = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double difference = std::abs(answer[i] - ours[i]);
    if (!(difference <= worst)) worst = difference;  // NaN, too
    if (std::isnan(worst)) break;
  }
  if (worst <= c.tolerance * largest) return "";
  return fmt::format("answers differ by {} where the largest number of {} is {}", worst, c.names[0], largest);
}

/// MICROTOME_SPOILT_PEER=gemm/37x29x41/tf32 falsifies that peer's answer: a rehearsal of what a disagreement
/// costs.
bool is_spoilt(const Comparison& c, const Peer& peer) {
  const char* spoilt = std::getenv("MICROTOME_SPOILT_PEER");
  return spoilt != nullptr && fmt::format("{}/{}/{}", c.operation, c.shape, peer.name) == spoilt;
}

void compare_answers(Running& running, Device device) {
  std::vector<double> ours;
  for (const Peer& peer : running.peers) {
    std::string error;
    try {
      peer.run(nullptr);
      synchronize(device);
      std::vector<double> answer = peer.answer();
      if (is_spoilt(*running.comparison, peer)) answer.at(0) += 1;
      if (ours.empty()) ours = answer;
      error = difference_of(answer, ours, *running.comparison);
    } catch (const std::exception& thrown) {
      error = thrown.what();
    }
    running.errors.push_back(error);
  }
}

/// Makes the comparison's problem unless it is there.
Running& running_of(const std::shared_ptr<const Comparison>& comparison, Device device) {
  static auto& running =
      *new std::optional<Running>;  // never destroyed: the driver may be gone before statics
  if (!running || running->comparison != comparison) {
    running.reset();  // its memory first
    set_turn(0);
    std::vector<Peer> peers = comparison->make();
    check(peers.size() == comparison->names.size(), "{}: {} peers for {} names", comparison->operation,
          peers.size(), comparison->names.size());
    running = Running{comparison, std::move(peers), {}};
    compare_answers(*running, device);
  }
  return *running;
}

double seconds_of(const std::function<void()>& work, Stream stream, Device device) {
  Event start(device);
  Event stop(device);
  start.record(stream);
  work();
  stop.record(stream);
  return stop.seconds_since(start);
}

/// How often a run is repeated between two events, so that all copies have their turn and the time is long.
int64_t runs_between_events(double seconds, int64_t copies) {
  const double enough = std::ceil(kSecondsPerBatch / std::max(seconds, 1e-7));
  const int64_t runs = std::clamp<int64_t>(static_cast<int64_t>(enough), copies, kMostRuns);
  return (runs + copies - 1) / copies * copies;
}

void time_peer(benchmark::State& state, Running& running, std::size_t index, bool cold, Device device) {
  const Comparison& c = *running.comparison;
  const Peer& peer = running.peers[index];
  if (!running.errors[index].empty()) return state.SkipWithError(running.errors[index].c_str());
  int64_t copies = 1;
  if (cold) {
    copies = copies_beyond_l2(device == Device::cuda ? kMostRuns : 2);
    if (!std::exchange(running.replicated, true)) replicate_all(copies);
  }
  const OwnedStream stream(device);
  const auto run_once = [&] { peer.run(stream.get()); };
  set_turn(0);
  run_once();  // algorithms are chosen, pools are filled
  const std::string computed_by = peer.computed_by ? peer.computed_by() : "";
  const int64_t runs = device == Device::cuda
                           ? runs_between_events(seconds_of(run_once, stream.get(), device), copies)
                           : copies;
  const auto run_all = [&] {
    for (int64_t run = 0; run < runs; ++run) {
      set_turn(run % copies);
      run_once();
    }
  };
  Graph graph(device, stream.get(), run_all);
  const auto work = graph.recorded() ? std::function<void()>([&] { graph.replay(stream.get()); }) : run_all;
  work();
  while (state.KeepRunningBatch(runs)) state.SetIterationTime(seconds_of(work, stream.get(), device));
  set_turn(0);
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  if (c.flops > 0) state.counters["FLOP/s"] = benchmark::Counter(c.flops, rate);
  if (c.bytes > 0) state.counters["bytes/s"] = benchmark::Counter(c.bytes, rate);
  state.SetLabel((graph.recorded() ? "graph" : "queued") + (computed_by.empty() ? "" : "; " + computed_by));
}

}  // namespace

void register_comparison(const Comparison& comparison, Device device) {
  const auto kept = std::make_shared<const Comparison>(comparison);
  for (std::size_t index = 0; index < kept->names.size(); ++index) {
    for (const bool cold : {false, true}) {
      const std::string name =
          kept->operation + "/" + kept->shape + "/" + kept->names[index] + (cold ? "/cold" : "/warm");
      benchmark::RegisterBenchmark(name.c_str(),
                                   [kept, index, device, cold](benchmark::State& state) {
                                     try {
                                       time_peer(state, running_of(kept, device), index, cold, device);
                                     } catch (const std::exception& error) {
                                       state.SkipWithError(error.what());
                                     }
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

std::string vendor_choice() {
  return vendor_missing().empty() ? vendor_tables().last_choice() : "";
}

}  // namespace mt::bench
