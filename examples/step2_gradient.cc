// Step 2 of 5: how a value is differentiated. A Variable remembers how it was computed; backward() goes the way back.
// Build and run: ninja -C build examples/step2_gradient && build/examples/step2_gradient

#include <cstdio>

#include "autograd/arena.h"
#include "autograd/ops.h"
#include "autograd/optimizers.h"
#include "tensor/rng.h"

using namespace mt;

int main() {
  // The gradient of the sum of squares is 2x.
  const Variable x(Tensor::of(std::vector<float>{1, 2, 3}, {3}), /*requires_grad=*/true);
  backward(ops::sum(ops::mul(x, x)));
  for (const float slope : x.grad().span<float>()) std::printf("%g ", static_cast<double>(slope));
  std::printf("is the gradient of sum(x*x) at 1 2 3\n");

  // Logistic regression: 200 points in the plane, the label says whether they lie above a line.
  const Tensor points = Tensor::empty({200, 2});
  const Tensor labels = Tensor::empty({200, 1});
  RandomStream random(/*seed=*/1, Purpose::phantom, /*epoch=*/0, /*item=*/0);  // the same numbers everywhere
  for (int64_t i = 0; i < 200; ++i) {
    float* point = points.select(0, i).data<float>();
    point[0] = random.normal();
    point[1] = random.normal();
    labels.data<float>()[i] = 2 * point[0] - point[1] > 0 ? 1.0F : 0.0F;
  }
  const Variable weight(Tensor::of(std::vector<float>{0, 0}, {1, 2}), true);  // (outputs,inputs)
  const ParameterArena arena({{"weight", weight}});
  auto optimizer = ArenaOptimizer::sgd(arena, /*momentum=*/0.9, /*weight_decay=*/0);
  double loss = 0;
  for (int step = 1; step <= 100; ++step) {
    const Variable logits = ops::linear(Variable(points), weight, Variable());  // (200,1)
    const Variable mean_loss = ops::bce(logits, labels);
    backward(mean_loss);
    optimizer.step(/*learning_rate=*/0.5);  // and the gradients are 0 again
    loss = mean_loss.item();
  }
  const float* w = weight.value().data<float>();
  std::printf("loss %.3f; the weights' ratio is %.2f, the line's is -2\n", loss,
              static_cast<double>(w[0] / w[1]));
  return loss < 0.1 && w[0] / w[1] < -1.5F && w[0] / w[1] > -2.5F ? 0 : 1;
}
