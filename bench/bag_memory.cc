// Memory of training on a very large bag: one step of DSMIL with ranking loss and Adam on a pair of bags of
// 512 features. Prints the peak resident memory (VmHWM) and fails above the limit.
//   bag_memory [positive instances = 100000] [negative instances = 2000] [limit in GB = 3]

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "autograd/optimizers.h"
#include "bench/peak_memory.h"
#include "models/losses.h"
#include "tensor/rng.h"

namespace {

using namespace mt;

Variable random_bag(int64_t instances, uint64_t item) {
  const Tensor features = Tensor::empty({instances, 512});  // (N,D)
  RandomStream random(1, Purpose::test, 0, item);
  for (float& value : features.span<float>()) value = random.normal();
  return Variable(features);
}

/// Two steps, as the second one finds the optimizer's state in place. Returns the last loss.
double train_pair(int64_t positive_instances, int64_t negative_instances) {
  const DsmilModel model(DsmilConfig{});
  const ParameterArena arena(model.parameters());
  ArenaOptimizer optimizer = ArenaOptimizer::adam(arena, 1e-4);
  const Variable positive = random_bag(positive_instances, 0);
  const Variable negative = random_bag(negative_instances, 1);
  double loss = 0;
  for (int step = 0; step < 2; ++step) {
    const MilLoss losses = pair_loss(model.forward(positive), model.forward(negative), MilLossWeights{});
    backward(losses.total);
    optimizer.step(2e-4);
    loss = losses.total.item();
  }
  return loss;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t positive = argc > 1 ? std::atoll(argv[1]) : 100'000;
  const int64_t negative = argc > 2 ? std::atoll(argv[2]) : 2'000;
  const double limit = argc > 3 ? std::atof(argv[3]) : 3;
  if (argc > 4 || positive < 1 || negative < 1 || limit <= 0) {
    std::fprintf(stderr, "error: usage: bag_memory [POSITIVE INSTANCES] [NEGATIVE INSTANCES] [LIMIT GB]\n");
    return 2;
  }
  try {
    const double loss = train_pair(positive, negative);
    const double peak = bench::peak_resident_gb();
    fmt::print("bag of {} x 512 and one of {}: loss {:.3f}, peak {:.2f} GB, limit {} GB: {}\n", positive,
               negative, loss, peak, limit, peak <= limit ? "kept" : "EXCEEDED");
    return peak <= limit ? 0 : 1;
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
