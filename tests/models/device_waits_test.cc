// How often a training step waits for the device: on a GPU each wait leaves it without work until the host
// has queued more. Counted on the SIMT machine behind a runtime that counts.

#include <gtest/gtest.h>

#include <memory>

#include "autograd/arena.h"
#include "autograd/arithmetic.h"
#include "autograd/optimizers.h"
#include "kernels/augment/augment.h"
#include "kernels/device/device.h"
#include "models/grad_cache.h"
#include "models/losses.h"
#include "models/mil.h"
#include "models/resnet.h"
#include "tensor/rng.h"

namespace mt {
namespace {

/// Hands everything on, and counts what on cuda waits until the stream is empty.
class CountingRuntime final : public DeviceRuntime {
 public:
  explicit CountingRuntime(DeviceRuntime& under) : under_(under) {}
  int waits = 0;

  bool present() override { return under_.present(); }
  std::string description() override { return under_.description(); }
  void copy_to_device(void* target, const void* source, std::size_t bytes, Stream stream) override {
    ++waits;
    under_.copy_to_device(target, source, bytes, stream);
  }
  void copy_to_host(void* target, const void* source, std::size_t bytes, Stream stream) override {
    ++waits;
    under_.copy_to_host(target, source, bytes, stream);
  }
  void copy_on_device(void* target, const void* source, std::size_t bytes, Stream stream) override {
    under_.copy_on_device(target, source, bytes, stream);
  }
  void copy_to_device_async(void* target, const void* source, std::size_t bytes, Stream stream) override {
    under_.copy_to_device_async(target, source, bytes, stream);
  }
  void copy_to_device_staged(void* target, const void* source, std::size_t bytes, Stream stream) override {
    under_.copy_to_device_staged(target, source, bytes, stream);
  }
  void* allocate_pinned(std::size_t bytes) override { return under_.allocate_pinned(bytes); }
  void deallocate_pinned(void* pointer) noexcept override { under_.deallocate_pinned(pointer); }
  Stream create_stream() override { return under_.create_stream(); }
  void destroy_stream(Stream stream) noexcept override { under_.destroy_stream(stream); }
  void synchronize(Stream stream) override {
    ++waits;
    under_.synchronize(stream);
  }
  EventHandle create_event() override { return under_.create_event(); }
  void destroy_event(EventHandle event) noexcept override { under_.destroy_event(event); }
  void record_event(EventHandle event, Stream stream) override { under_.record_event(event, stream); }
  void let_wait(Stream stream, EventHandle event) override { under_.let_wait(stream, event); }
  void wait(EventHandle event) override {
    ++waits;
    under_.wait(event);
  }
  double seconds_between(EventHandle start, EventHandle stop) override {
    return under_.seconds_between(start, stop);
  }
  GraphHandle record_graph(Stream stream, const std::function<void()>& body) override {
    return under_.record_graph(stream, body);
  }
  void replay_graph(GraphHandle graph, Stream stream) override { under_.replay_graph(graph, stream); }
  void destroy_graph(GraphHandle graph) noexcept override { under_.destroy_graph(graph); }

 private:
  DeviceRuntime& under_;
};

class DeviceWaitsTest : public ::testing::Test {
 protected:
  void SetUp() override { register_device(Device::simt, &counting_); }
  void TearDown() override { register_device(Device::simt, &simt_); }
  /// Waits of the second of two steps: the first brings constants.
  template <typename Step>
  int waits_of(const Step& step) {
    step();
    counting_.waits = 0;
    step();
    return counting_.waits;
  }
  static Variable bag(int64_t instances, int64_t width) {
    RandomStream random(static_cast<uint64_t>(instances), Purpose::test);
    std::vector<float> values(static_cast<std::size_t>(instances * width));
    for (float& value : values) value = random.normal();
    return Variable(moved_to(Tensor::of(values, {instances, width}), Device::simt));
  }
  DeviceRuntime& simt_ = device_runtime(Device::simt);
  CountingRuntime counting_{simt_};
};

TEST_F(DeviceWaitsTest, AStepOnAPairOfBagsWaitsOnceForItsLoss) {
  std::vector<std::unique_ptr<MilModel>> models;
  models.push_back(std::make_unique<DsmilModel>(DsmilConfig{.feature_width = 8, .query_width = 8}, 1,
                                                DType::f32, Device::simt));
  models.push_back(std::make_unique<GatedAbmilModel>(
      GatedAbmilConfig{.feature_width = 8, .hidden_width = 8, .gate_width = 4}, 1, DType::f32, Device::simt));
  const Variable positive = bag(150, 8);
  const Variable negative = bag(40, 8);
  for (const auto& model : models) {
    ParameterArena arena(model->parameters());
    ArenaOptimizer optimizer = ArenaOptimizer::adam(arena, 1e-4);
    const auto step = [&] {
      const Variable loss =
          pair_loss(model->forward(positive), model->forward(negative), MilLossWeights{}).total;
      backward(loss);
      optimizer.step(1e-3);
      EXPECT_GT(loss.item(), 0);
    };
    EXPECT_EQ(waits_of(step), 1) << model->describe();
  }
}

TEST_F(DeviceWaitsTest, AClassForEachOfSeveralWaitsNoMore) {
  const DsmilModel model(DsmilConfig{.feature_width = 8, .classes = 3, .query_width = 8}, 1, DType::f32,
                         Device::simt);
  ParameterArena arena(model.parameters());
  ArenaOptimizer optimizer = ArenaOptimizer::adam(arena, 1e-4);
  const Variable instances = bag(150, 8);
  const auto step = [&] {
    const Variable loss = bag_loss(model.forward(instances), {1, 0, 0}, MilLossWeights{}).total;
    backward(loss);
    optimizer.step(1e-3);
    EXPECT_GT(loss.item(), 0);
  };
  EXPECT_EQ(waits_of(step), 1);
}

TEST_F(DeviceWaitsTest, AContrastiveStepWithItsViewsWaitsOnceForItsLoss) {
  ResNetConfig config;
  config.base_width = 8;
  config.head_hidden = 8;
  config.head_out = 8;
  const ResNet network(config, 1, DType::f32, Device::simt);
  ParameterArena arena(network.parameters());
  ArenaOptimizer optimizer = ArenaOptimizer::adam(arena, 1e-4);
  constexpr int64_t kImages = 8;
  constexpr int64_t kSide = 64;
  const Tensor pixels = Tensor::empty({kImages, kSide, kSide, 3}, DType::u8, Device::simt);
  std::vector<uint8_t> bytes(pixels.bytes());
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37 + i / 256);
  copy_bytes(pixels.raw(), Device::simt, bytes.data(), Device::cpu, bytes.size());
  RandomStream random(1, Purpose::augment);
  ContrastiveBatch batch;
  batch.images = kImages;
  batch.labels.assign(kImages, 0);
  batch.labels[1] = batch.labels[5] = 1;
  const auto step = [&] {
    std::vector<AugmentParameters> parameters;
    for (int64_t i = 0; i < kImages; ++i) parameters.push_back(sample_augmentation({}, kSide, kSide, random));
    const Tensor views = Tensor::empty({2 * kImages, kSide, kSide, 3}, DType::u8, Device::simt);
    for (int64_t view = 0; view < 2; ++view) {
      augment<float>(Device::simt)
          .apply(pixels.data<uint8_t>(), parameters.data(),
                 views.slice(0, view * kImages, (view + 1) * kImages).data<uint8_t>(), kImages, kSide, kSide,
                 kSide, 5, nullptr);
    }
    const ImageScaling scaling{{0.5F, 0.5F, 0.5F}, {0.5F, 0.5F, 0.5F}, false};
    Variable direction;
    const double loss = grad_cache_backward(
        network, 2 * kImages, 8,
        [&](int64_t begin, int64_t end) {
          return network.head(network.features(views.slice(0, begin, end), scaling));
        },
        [&](const Variable& z) {
          const ContrastiveLoss parts = contrastive_loss(z, batch, ContrastiveRecipe::centred());
          direction = parts.mean_direction;
          return parts.total;
        });
    optimizer.step(1e-3);
    EXPECT_GT(loss, 0);
    EXPECT_TRUE(direction.defined());
  };
  EXPECT_EQ(waits_of(step), 1);
}

}  // namespace
}  // namespace mt
