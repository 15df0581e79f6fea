// Step 4 of 5: a slide is a bag of patches with one label. DSMIL learns from the labels of bags which patches are tumour.
// Build and run: ninja -C build examples/step4_bag && build/examples/step4_bag

#include <cstdio>

#include "autograd/arena.h"
#include "autograd/optimizers.h"
#include "models/losses.h"
#include "models/mil.h"
#include "tensor/rng.h"

using namespace mt;

namespace {

/// Features of 40 patches, (40,32). In a positive bag the first three are tumour: their mean is shifted.
Variable make_bag(bool positive, uint64_t number) {
  const Tensor features = Tensor::empty({40, 32});
  RandomStream random(1, Purpose::phantom, 0, number);  // seed, purpose, epoch, item: never time or thread
  for (float& value : features.span<float>()) value = random.normal();
  if (positive) {
    for (float& value : features.slice(0, 0, 3).span<float>()) value += 1.5F;
  }
  return Variable(features);
}

}  // namespace

int main() {
  DsmilConfig config;
  config.feature_width = 32;
  const DsmilModel model(config, /*seed=*/1);
  const ParameterArena arena(model.parameters());  // all weights in one block: an update is one kernel call
  auto optimizer = ArenaOptimizer::sgd(arena, /*momentum=*/0.9, /*weight_decay=*/0);
  for (uint64_t step = 1; step <= 30; ++step) {
    const MilLoss loss = pair_loss(model.forward(make_bag(true, 2 * step)),
                                   model.forward(make_bag(false, 2 * step + 1)), MilLossWeights{});
    backward(loss.total);
    optimizer.step(/*learning_rate=*/0.02);
    if (step == 1 || step % 10 == 0)
      std::printf("step %2d: loss %.4f\n", static_cast<int>(step), loss.total.item());
  }
  // The scores of a bag it has not seen.
  const Tensor scores = instance_scores(model, make_bag(true, 1000).value());  // (40)
  double tumour = 0;
  double rest = 0;
  for (int64_t i = 0; i < 40; ++i) (i < 3 ? tumour : rest) += static_cast<double>(scores.data<float>()[i]);
  std::printf("mean instance score: tumour patches %.3f, others %.3f\n", tumour / 3, rest / 37);
  return tumour / 3 > rest / 37 ? 0 : 1;
}
