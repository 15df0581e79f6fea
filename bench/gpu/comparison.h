#pragma once
// Times several ways to compute the same thing on a device, beside each other in one process: their answers
// are compared first, then each is a Google benchmark, timed by the device's events around many runs, on the
// same memory each time ("warm") and on the next of so many copies that L2 holds none ("cold").

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/gpu/device_buffer.h"
#include "kernels/common/stream.h"
#include "kernels/device/device.h"

namespace mt::bench {

/// One way to compute the answer.
struct Peer {
  std::string name;  // "own", "vendor"
  /// Queues the work. Work that does not wait for the device is recorded as a graph and replayed, so that
  /// what the host needs for each launch is not timed.
  std::function<void(Stream)> run;
  /// What run() left behind; peers must agree within `tolerance` of the largest element.
  std::function<std::vector<double>()> answer;
  /// What it was computed by: an engine of cuDNN, say. May be empty.
  std::function<std::string()> computed_by = {};
};

struct Comparison {
  std::string operation;  // "supcon_forward"
  std::string shape;      // "8192x128"
  double flops = 0;
  double bytes = 0;  // the least that must move
  double tolerance = 1e-4;
  std::vector<std::string> names;  // of the peers; the first is ours
  std::string baseline;            // peer that the ratio is taken against; "" where this build has none
  /// Makes the problem and its peers, in the order of `names`, when the first of them is timed; they are gone
  /// when the next comparison's turn comes.
  std::function<std::vector<Peer>()> make;
};

/// Registers OPERATION/SHAPE/PEER/{warm,cold}. Before the first is timed each peer runs once: one that fails,
/// or whose answer differs from ours, is a row with that error, and the others go on. The label of a row says
/// how it was timed ("graph": replayed; "queued": run after run) and what computed it.
void register_comparison(const Comparison& comparison, Device device);

/// What to compare: defined one file for each family. `quick` makes shapes that the SIMT machine runs in
/// seconds.
void register_losses(Device device, bool quick);
void register_mining(Device device, bool quick);
void register_dense(Device device, bool quick);
void register_fusions(Device device, bool quick);
void register_norms(Device device, bool quick);

/// Values in [low, high), the same for ever.
std::vector<float> uniform_values(int64_t n, uint64_t seed, float low = -1, float high = 1);

/// What the vendor's library chose in the last call, for Peer::computed_by.
std::string vendor_choice();

}  // namespace mt::bench
