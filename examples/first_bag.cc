// A first look: tensors, gradients, and one step of DSMIL on a pair of bags.
// Build and run: ninja -C build examples/first_bag && build/examples/first_bag

#include <cstdio>

#include "autograd/arena.h"
#include "autograd/ops.h"
#include "autograd/optimizers.h"
#include "models/losses.h"
#include "models/mil.h"
#include "tensor/rng.h"

using namespace mt;

namespace {

/// Features of `patches` patches, (patches,32). In a positive bag the first three are tumour: their mean is
/// shifted.
Variable make_bag(int64_t patches, bool positive, uint64_t number) {
  const Tensor features = Tensor::empty({patches, 32});
  RandomStream random(1, Purpose::phantom, 0, number);  // seed, purpose, epoch, item: never time or thread
  for (float& value : features.span<float>()) value = random.normal();
  if (positive) {
    for (float& value : features.slice(0, 0, 3).span<float>()) value += 1.5F;
  }
  return Variable(features);
}

}  // namespace

int main() {
  // 1. A tensor is typed, shaped memory. A view shares it.
  const Tensor matrix = Tensor::of(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  std::printf("matrix %s, its second row starts with %g\n", matrix.shape().str().c_str(),
              static_cast<double>(matrix.select(0, 1).data<float>()[0]));

  // 2. A Variable remembers how it was computed; backward() goes the way back. d Σx² = 2x.
  const Variable x(matrix, /*requires_grad=*/true);
  backward(ops::sum(ops::mul(x, x)));
  std::printf("d sum(x*x) / dx[1][2] = %g\n", static_cast<double>(x.grad().span<float>()[5]));

  // 3. DSMIL on a pair of bags: 40 patches each, three of them tumour in the positive one.
  DsmilConfig config;
  config.feature_width = 32;
  const DsmilModel model(config, /*seed=*/1);
  const ParameterArena arena(model.parameters());  // all weights in one block: an update is one kernel call
  auto optimizer = ArenaOptimizer::sgd(arena, /*momentum=*/0.9, /*weight_decay=*/0);
  for (int64_t step = 1; step <= 30; ++step) {
    const Variable positive = make_bag(40, true, static_cast<uint64_t>(2 * step));
    const Variable negative = make_bag(40, false, static_cast<uint64_t>(2 * step + 1));
    const MilLoss loss = pair_loss(model.forward(positive), model.forward(negative), MilLossWeights{});
    backward(loss.total);
    optimizer.step(/*learning_rate=*/0.02);  // and the gradients are 0 again
    if (step == 1 || step % 10 == 0)
      std::printf("step %2ld: loss %.4f\n", static_cast<long>(step), loss.total.item());
  }

  // 4. The scores of a bag it has not seen: the tumour patches are the first three.
  const Tensor scores = instance_scores(model, make_bag(40, true, 1000).value());
  double tumour = 0;
  double rest = 0;
  for (int64_t i = 0; i < 40; ++i) (i < 3 ? tumour : rest) += static_cast<double>(scores.data<float>()[i]);
  std::printf("mean instance score: tumour patches %.3f, others %.3f\n", tumour / 3, rest / 37);
  return tumour / 3 > rest / 37 ? 0 : 1;
}
