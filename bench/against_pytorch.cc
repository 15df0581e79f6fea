// Our side of bench/against_pytorch.py: one repetition of a whole task for each line on standard input.
//   against_pytorch inference|training|mil FIXTURE.npz
// The fixture holds weights, inputs and PyTorch's answers in float64. They are checked before anything is
// timed; then "ready ours" is printed, and for each line one "WALL CPU", in seconds.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <functional>
#include <string>

#include "autograd/arithmetic.h"
#include "autograd/optimizers.h"
#include "models/losses.h"
#include "models/resnet.h"
#include "models/weights.h"
#include "tensor/io/npz.h"
#include "train/cli/wait_policy.h"

namespace mt {
namespace {

/// One repetition; returns what is checked: the loss, or nothing for inference.
using Repetition = std::function<double()>;

constexpr double kFeatureTolerance = 1e-4;  // relative to the largest feature
constexpr double kLossTolerance = 1e-2;     // relative to how far the loss moves in the steps checked

StateDict weights_of(const NpzFile& fixture) {
  const std::string prefix = "weights.";
  StateDict weights;
  for (const std::string& name : fixture.names()) {
    if (name.starts_with(prefix)) weights.emplace_back(name.substr(prefix.size()), fixture[name]);
  }
  return weights;
}

Variable images_of(const NpzFile& fixture) {
  return Variable(contiguous_copy(fixture["images"].permute({0, 2, 3, 1})));  // (N,C,H,W) → (N,H,W,C)
}

double largest_magnitude(std::span<const double> values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

/// Makes as many steps as there are losses. Wrong gradients show from the second loss on.
void check_losses(const NpzFile& fixture, const Repetition& step) {
  const Tensor array = fixture["losses"];
  const auto truth = array.span<double>();
  double error = 0;
  for (const double loss : truth) error = std::max(error, std::abs(step() - loss));
  error /= std::abs(truth.front() - truth.back());
  check(error <= kLossTolerance, "against_pytorch: losses are off by {:.1e} of their change, allowed {:.0e}",
        error, kLossTolerance);
  fmt::print(stderr, "ours: losses off by {:.1e} of their change in {} steps\n", error, truth.size());
}

void check_features(const NpzFile& fixture, const Tensor& features) {
  const Tensor truth = fixture["features"];  // (N,D)
  check(truth.shape() == features.shape(), "against_pytorch: features are {}, PyTorch's {}",
        features.shape().str(), truth.shape().str());
  const Tensor ours = cast(features, DType::f64);
  std::vector<double> difference(ours.span<double>().begin(), ours.span<double>().end());
  for (std::size_t i = 0; i < difference.size(); ++i) difference[i] -= truth.span<double>()[i];
  const double error = largest_magnitude(difference) / largest_magnitude(truth.span<double>());
  check(error <= kFeatureTolerance, "against_pytorch: features are off by {:.1e}, allowed {:.0e}", error,
        kFeatureTolerance);
  fmt::print(stderr, "ours: features off by {:.1e}\n", error);
}

Repetition inference(const NpzFile& fixture) {
  ResNetConfig config;
  config.head = HeadKind::none;
  const auto network = std::make_shared<ResNet>(config);
  load_state_dict(*network, weights_of(fixture));
  const Variable images = images_of(fixture);
  const auto embed = [network, images] {
    const NoGradGuard no_grad;
    return network->features(images).value();
  };
  check_features(fixture, embed());
  return [embed] {
    embed();
    return 0.0;
  };
}

/// A module's parameters under an optimizer. The module must not move.
template <typename Model>
struct Trained {
  Model model;
  ParameterArena arena;
  ArenaOptimizer optimizer;

  template <typename Config, typename MakeOptimizer>
  Trained(const Config& config, const NpzFile& fixture, const MakeOptimizer& make)
      : model(config), arena(model.parameters()), optimizer(make(arena)) {
    load_state_dict(model, weights_of(fixture));
  }
  double step(const Variable& loss, double learning_rate) {
    backward(loss);
    optimizer.step(learning_rate);
    return loss.item();
  }
};

Repetition training(const NpzFile& fixture) {
  const auto trained = std::make_shared<Trained<ResNet>>(
      ResNetConfig{}, fixture,
      [](const ParameterArena& arena) { return ArenaOptimizer::sgd(arena, 0, 1e-4); });
  const Variable images = images_of(fixture);  // all first views, then all second views
  ContrastiveBatch batch;
  batch.images = images.dim(0) / 2;
  const Tensor labels = fixture["labels"];
  for (int64_t i = 0; i < batch.images; ++i) batch.labels.push_back(labels.data<int32_t>()[i]);
  const Repetition step = [trained, images, batch] {
    const Variable embeddings = trained->model.forward(images);
    return trained->step(contrastive_loss(embeddings, batch, ContrastiveRecipe{}).total, 0.01);
  };
  check_losses(fixture, step);
  return step;
}

Repetition mil(const NpzFile& fixture) {
  const auto trained = std::make_shared<Trained<DsmilModel>>(
      DsmilConfig{}, fixture, [](const ParameterArena& arena) { return ArenaOptimizer::adam(arena, 1e-4); });
  const Variable positive(fixture["positive"]);
  const Variable negative(fixture["negative"]);
  const Repetition step = [trained, positive, negative] {
    const MilLoss loss =
        pair_loss(trained->model.forward(positive), trained->model.forward(negative), MilLossWeights{});
    return trained->step(loss.total, 2e-4);
  };
  check_losses(fixture, step);
  return step;
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void serve(const Repetition& repetition) {
  fmt::print("ready ours\n");
  std::fflush(stdout);
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    const double wall = wall_seconds();
    const double cpu = cpu_seconds();
    repetition();
    fmt::print("{} {}\n", wall_seconds() - wall, cpu_seconds() - cpu);
    std::fflush(stdout);
  }
}

Repetition prepare(const std::string& task, const NpzFile& fixture) {
  if (task == "inference") return inference(fixture);
  if (task == "training") return training(fixture);
  if (task == "mil") return mil(fixture);
  throw UsageError(fmt::format("against_pytorch: task {} is not inference, training or mil", task));
}

}  // namespace
}  // namespace mt

int main(int argc, char** argv) {
  mt::train::wait_without_spinning(argv);
  if (argc != 3) {
    std::fprintf(stderr, "error: usage: against_pytorch inference|training|mil FIXTURE.npz\n");
    return 2;
  }
  try {
    mt::serve(mt::prepare(argv[1], mt::NpzFile(argv[2])));
  } catch (const mt::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return error.exit_code();
  }
  return 0;
}
