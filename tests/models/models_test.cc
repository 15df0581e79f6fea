// Properties of networks, MIL models and losses that need no golden data.

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/arithmetic.h"
#include "autograd/gradcheck.h"
#include "models/grad_cache.h"
#include "models/losses.h"
#include "models/mil.h"
#include "models/weights.h"
#include "tensor/parallel.h"
#include "tests/harness/error_of.h"
#include "tests/harness/golden_generator.h"

namespace mt {
namespace {

/// Ends in a 2 × 2 map for 32-pixel patches.
ResNetConfig small_config(NormKind norm = NormKind::instance) {
  ResNetConfig config;
  config.base_width = 4;
  config.norm = norm;
  config.layer4_stride = 1;
  config.head_hidden = 8;
  config.head_out = 6;
  return config;
}

Tensor images(int64_t count, int64_t size, DType dtype) {
  return cast(contiguous_copy(testing::golden_images(7, 0, {count, 3, size, size}).permute({0, 2, 3, 1})),
              dtype);
}

std::vector<std::vector<double>> gradients_of(const Module& module) {
  std::vector<std::vector<double>> gradients;
  for (const ModuleEntry& entry : module.entries()) {
    if (!entry.is_parameter()) continue;
    gradients.push_back(testing::doubles_of(entry.parameter.grad()));
    entry.parameter.zero_grad();
  }
  return gradients;
}

// ---- networks ----

TEST(ResNetTest, LastMapIsWhatForwardMakes) {
  for (const int64_t stride : {1, 2}) {
    ResNetConfig config = small_config();
    config.layer4_stride = stride;
    const ResNet network(config);
    for (const int64_t patch : {64, 96, 97}) {
      NoGradGuard no_tape;
      Activations activations;
      network.features(Variable(images(1, patch, DType::f32)), &activations);
      EXPECT_EQ(activations.back().second.dim(1), config.last_map(patch));
    }
  }
  EXPECT_EQ(ResNetConfig{}.last_map(224), 7);
}

TEST(ResNetTest, PixelsGiveTheBitsOfTheirScaledCopyAndItsGradients) {
  const ImageScaling scaling{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}, true};
  std::vector<uint8_t> bytes(3 * 40 * 40 * 3);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37 + i / 256);
  const Tensor pixels = Tensor::of(bytes, {3, 40, 40, 3});
  const Tensor scaled = Tensor::empty(pixels.shape(), DType::f32);  // (N,H,W,3)
  copy<float>(Device::cpu).image_to_float(bytes.data(), scaled.data<float>(), 3, 40 * 40, scaling, nullptr);
  const ResNet network(small_config());
  const auto of_scaled = network.features(Variable(scaled));
  backward(ops::sum(network.head(of_scaled)));
  const auto gradients = gradients_of(network);
  const auto of_pixels = network.features(pixels, scaling);
  EXPECT_EQ(testing::doubles_of(of_pixels.value()), testing::doubles_of(of_scaled.value()));
  backward(ops::sum(network.head(of_pixels)));
  EXPECT_EQ(gradients_of(network), gradients);
  EXPECT_NE(gradients.front(), std::vector<double>(gradients.front().size(), 0)) << "the stem's";
  EXPECT_EQ(error_of([&] { network.features(scaled, scaling); }),
            "resnet: wants pixels (N,H,W,3) of u8, not f32 (3,40,40,3)");
}

TEST(ResNetTest, FeaturesAreTheSameBitsRecordedOrNot) {
  // Unrecorded, the last norm is averaged without being written; who asks for activations gets it written.
  for (const NormKind norm : {NormKind::instance, NormKind::instance_affine, NormKind::batch}) {
    const ResNet network(small_config(norm));
    const Variable patches(images(3, 40, DType::f32));
    const auto recorded = testing::doubles_of(network.features(patches).value());
    NoGradGuard no_tape;
    EXPECT_EQ(testing::doubles_of(network.features(patches).value()), recorded) << name_of(norm);
    Activations activations;
    EXPECT_EQ(testing::doubles_of(network.features(patches, &activations).value()), recorded);
    EXPECT_EQ(activations.back().second.rank(), 4) << "the last map is there for who looks at it";
  }
}

TEST(ResNetTest, PatchesThatInstanceNormWouldEraseAreRefused) {
  ResNetConfig config = small_config();
  config.layer4_stride = 2;
  EXPECT_TRUE(error_of([&] {
                ResNet(config).features(Variable(images(1, 32, DType::f32)));
              }).starts_with("resnet: patches of 32 x 32 pixels end in a map of one pixel"));
  config.norm = NormKind::batch;
  EXPECT_EQ(ResNet(config).features(Variable(images(1, 32, DType::f32))).shape(), (Shape{1, 32}));
}

TEST(ResNetTest, UnknownDepthIsAUsageError) {
  ResNetConfig config;
  config.depth = 19;
  EXPECT_THROW(ResNet{config}, UsageError);
}

TEST(ResNetTest, AnImagesFeaturesDoNotDependOnItsBatch) {
  const ResNet network(small_config(), 1);
  NoGradGuard no_tape;
  const Tensor batch = images(9, 32, DType::f32);
  Activations all;
  Activations alone;
  const Variable features = network.features(Variable(batch), &all);
  const Variable feature = network.features(Variable(batch.slice(0, 8, 9)), &alone);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(testing::doubles_of(all[i].second.slice(0, 8, 9)), testing::doubles_of(alone[i].second))
        << all[i].first;
  }
  EXPECT_EQ(testing::doubles_of(features.value().slice(0, 8, 9)), testing::doubles_of(feature.value()));
}

TEST(ResNetTest, RecomputationAndThreadsKeepEveryBitOfTheGradients) {
  const ResNet network(small_config(NormKind::batch), 1);
  const Variable batch(images(10, 32, DType::f32));
  std::vector<std::vector<std::vector<double>>> gradients;
  const int before = thread_count();
  for (const auto& [threads, recomputed] : {std::pair{1, false}, {2, false}, {3, true}}) {
    ResNet run(small_config(NormKind::batch), 1);
    run.set_batch_statistics(BatchStatistics::batch);
    run.set_recompute(recomputed);
    set_thread_count(threads);
    backward(ops::mean(ops::activation(ActivationKind::tanh, run.forward(batch))));
    gradients.push_back(gradients_of(run));
    for (const ModuleEntry& entry : run.entries()) {  // running statistics too
      if (!entry.is_parameter()) gradients.back().push_back(testing::doubles_of(entry.buffer));
    }
  }
  set_thread_count(before);
  EXPECT_EQ(gradients[0], gradients[1]);
  EXPECT_EQ(gradients[0], gradients[2]);
}

TEST(ResNetTest, FrozenParametersGetNoGradient) {
  ResNet network(small_config(), 1);
  network.set_requires_grad(false, "conv1");
  network.set_requires_grad(false, "layer1.");
  EXPECT_EQ(network.parameters().size(), network.entries().size() - 5);
  backward(ops::mean(network.forward(Variable(images(1, 32, DType::f32)))));
  EXPECT_FALSE(network.find("layer1.1.conv2.weight")->parameter.grad().defined());
  EXPECT_TRUE(network.find("layer2.0.conv1.weight")->parameter.grad().defined());
}

// ---- GradCache ----

class GradCacheTest : public ::testing::Test {
 protected:
  static constexpr int64_t kImages = 20;

  static Variable loss_of(const Variable& embeddings) {
    ContrastiveBatch batch;
    batch.images = kImages / 2;
    batch.labels = {0, 1, 0, 1, 1, 0, 0, 1, 0, 0};
    return contrastive_loss(embeddings, batch, ContrastiveRecipe::centred()).total;
  }
  /// Gradients of the loss over all images, with chunks of this size.
  static std::vector<std::vector<double>> run(const ResNet& network, int64_t chunk, double& loss) {
    const Variable batch(images(kImages, 32, network.dtype()));
    loss = grad_cache_backward(
        network, kImages, chunk,
        [&](int64_t begin, int64_t end) { return network.forward(ops::slice_rows(batch, begin, end)); },
        loss_of);
    return gradients_of(network);
  }
};

TEST_F(GradCacheTest, ChunkedGradientsAreThoseOfTheWholeBatch) {
  for (const NormKind norm : {NormKind::instance, NormKind::batch}) {  // BatchNorm with frozen statistics
    const ResNet network(small_config(norm), 3, DType::f64);
    double whole_loss = 0;
    const auto whole = run(network, 24, whole_loss);
    for (const int64_t chunk : {8, 16}) {
      double loss = 0;
      const auto chunked = run(network, chunk, loss);
      EXPECT_EQ(loss, whole_loss);
      for (std::size_t p = 0; p < whole.size(); ++p) {
        // The centred loss does not see the last bias, whose gradient is rounding alone: hence the absolute
        // part.
        testing::expect_close(chunked[p], whole[p], 1e-11, "gradient", 1e-12);
      }
    }
  }
}

TEST_F(GradCacheTest, BatchStatisticsAreRefusedUnlessOneChunkHoldsTheBatch) {
  ResNet network(small_config(NormKind::batch), 3);
  network.set_batch_statistics(BatchStatistics::batch);
  double loss = 0;
  EXPECT_NE(error_of([&] {
              run(network, 8, loss);
            }).find("grad cache: BatchNorm on batch statistics makes a chunk of 8"),
            std::string::npos);
  EXPECT_FALSE(run(network, 24, loss).empty());
  EXPECT_NE(error_of([&] { run(network, 12, loss); }).find("a chunk is a multiple of 8"), std::string::npos);
}

// ---- MIL ----

TEST(MilTest, AbmilInstanceLogitIsTheBagLogitOfThatInstanceAlone) {
  GatedAbmilConfig config;
  config.feature_width = 5;
  config.hidden_width = 7;
  config.gate_width = 3;
  const GatedAbmilModel model(config, 1, DType::f64);
  NoGradGuard no_tape;
  const Tensor bag = cast(testing::golden_values(1, 0, {6, 5}), DType::f64);
  const Tensor logits = model.forward(Variable(bag)).instance_logits.value();
  for (int64_t i = 0; i < 6; ++i) {
    const double alone = model.forward(Variable(bag.slice(0, i, i + 1))).bag_logit.item();
    EXPECT_NEAR(logits.data<double>()[i], alone, 1e-14);
  }
}

TEST(MilTest, MeanAndMaxPoolInstanceLogits) {
  const Tensor bag = cast(testing::golden_values(1, 0, {6, 5}), DType::f64);
  for (const MilKind kind : {MilKind::mean, MilKind::max}) {
    const PoolingModel model(kind, 5, 1, DType::f64);
    const MilOutput output = model.forward(Variable(bag));
    double sum = 0;
    double largest = -HUGE_VAL;
    for (const double logit : output.instance_logits.value().span<double>()) {
      sum += logit;
      largest = std::max(largest, logit);
    }
    EXPECT_NEAR(output.bag_logit.item(), kind == MilKind::mean ? sum / 6 : largest, 1e-14);
  }
}

TEST(MilTest, InstanceScoresAreProbabilitiesInTheOrderOfTheBag) {
  for (const MilKind kind : {MilKind::dsmil, MilKind::abmil, MilKind::mean, MilKind::max}) {
    const auto model = make_mil_model(kind, 16, 1);
    const Tensor bag = testing::golden_values(2, 0, {9, 16});
    const Tensor scores = instance_scores(*model, bag);
    EXPECT_EQ(scores.shape(), Shape{9});
    const Tensor logits = model->forward(Variable(bag)).instance_logits.value();
    for (int64_t i = 0; i < 9; ++i) {
      EXPECT_NEAR(scores.data<float>()[i], 1 / (1 + std::exp(-static_cast<double>(logits.data<float>()[i]))),
                  4 * 0x1p-24);
    }
  }
}

TEST(MilTest, CentringIsABufferAndGivesWhatCentredFeaturesGive) {
  for (const MilKind kind : {MilKind::dsmil, MilKind::abmil, MilKind::mean, MilKind::max}) {
    const Tensor bag = testing::golden_values(2, 0, {9, 16});
    const Tensor mean = testing::golden_values(5, 0, {16});
    const float factor = 1.7F;
    const Tensor by_hand = Tensor::empty({9, 16});
    for (int64_t i = 0; i < 9 * 16; ++i)
      by_hand.data<float>()[i] = (bag.data<float>()[i] - mean.data<float>()[i % 16]) * factor;
    const auto plain = make_mil_model(kind, 16, 1);
    const auto centred = make_mil_model(kind, 16, 1);
    centred->set_centring({mean, factor});
    const MilOutput wanted = plain->forward(Variable(by_hand));
    const MilOutput got = centred->forward(Variable(bag));
    EXPECT_EQ(got.bag_logit.item(), wanted.bag_logit.item());
    for (int64_t i = 0; i < 9; ++i) {
      EXPECT_EQ(got.instance_logits.value().data<float>()[i],
                wanted.instance_logits.value().data<float>()[i]);
    }
    // With the state dict it comes back; a model without one has no place for it.
    const StateDict saved = state_dict(*centred);
    EXPECT_EQ(saved.size(), state_dict(*plain).size() + 2);
    EXPECT_THROW(load_state_dict(*plain, saved), Error);
    const auto loaded = make_mil_model(kind, 16, 2);
    loaded->set_centring({Tensor::of(std::vector<float>(16), {16}), 1});
    load_state_dict(*loaded, saved);
    EXPECT_EQ(loaded->forward(Variable(bag)).bag_logit.item(), wanted.bag_logit.item());
    EXPECT_THROW(loaded->set_centring({Tensor::of(std::vector<float>(15), {15}), 1}), Error);
  }
}

TEST(MilTest, WrongBagsAreOneClearLine) {
  const auto model = make_mil_model(MilKind::mean, 16, 1);
  EXPECT_EQ(error_of([&] {
              model->forward(Variable(testing::golden_values(2, 0, {9, 15})));
            }),
            "mean pooling (16 features): wants a bag (instances,16) of f32 with at least one instance, not "
            "f32 (9,15)");
  EXPECT_NE(error_of([&] {
              model->forward(Variable(testing::golden_values(2, 0, {0, 16})));
            }).find("at least one instance"),
            std::string::npos);
}

TEST(MilTest, DsmilGradientsAreTheDerivativeThroughTheWholeModel) {
  DsmilConfig config;
  config.feature_width = 3;
  config.query_width = 2;
  const DsmilModel model(config, 1, DType::f64);
  const Variable positive(cast(testing::golden_values(3, 0, {5, 3}), DType::f64), true);
  const Variable negative(cast(testing::golden_values(3, 1, {4, 3}), DType::f64), true);
  std::vector<Variable> inputs{positive, negative};
  for (const ModuleEntry& entry : model.entries()) inputs.push_back(entry.parameter);
  const GradcheckResult result = gradcheck(
      [&](const std::vector<Variable>& x) {
        return pair_loss(model.forward(x[0]), model.forward(x[1]), MilLossWeights{}).total;
      },
      inputs);
  EXPECT_TRUE(result.ok) << result.message;
}

// ---- losses ----

TEST(PairLossTest, TotalIsTheWeightedSumAndRankIsOffAtWeightZero) {
  const auto model = make_mil_model(MilKind::dsmil, 8, 1);
  const MilOutput positive =
      model->forward(Variable(testing::golden_values(4, 0, {3, 8})));  // fewer than K = 10
  const MilOutput negative = model->forward(Variable(testing::golden_values(4, 1, {30, 8})));
  MilLossWeights weights;
  const MilLoss with = pair_loss(positive, negative, weights);
  EXPECT_NEAR(with.total.item(),
              0.5 * with.bag.item() + 0.5 * with.max_instance.item() + 0.1 * with.rank.item(), 1e-6);
  weights.rank = 0;
  const MilLoss without = pair_loss(positive, negative, weights);
  EXPECT_FALSE(without.rank.defined());
  EXPECT_NEAR(without.total.item(), 0.5 * with.bag.item() + 0.5 * with.max_instance.item(), 1e-6);
}

class ContrastiveLossTest : public ::testing::Test {
 protected:
  ContrastiveLossTest() {
    batch_.images = 4;
    batch_.labels = {0, 1, 0, 1};
  }
  static Variable embeddings() {
    return Variable(cast(testing::golden_values(5, 0, {8, 3}), DType::f64), true);
  }
  ContrastiveBatch batch_;
};

TEST_F(ContrastiveLossTest, NtXentIsTheFormulaOfSimClr) {
  const ContrastiveLoss loss = contrastive_loss(embeddings(), batch_, ContrastiveRecipe::simclr(0.5));
  std::vector<double> z = testing::doubles_of(embeddings().value());
  for (std::size_t r = 0; r < 8; ++r) {
    const double length = std::hypot(z[3 * r], z[3 * r + 1], z[3 * r + 2]);
    for (std::size_t c = 0; c < 3; ++c) z[3 * r + c] /= length;
  }
  double want = 0;  // Chen et al., "A simple framework for contrastive learning", ICML 2020, equation 1
  for (std::size_t i = 0; i < 8; ++i) {
    double sum = 0;
    double positive = 0;
    for (std::size_t k = 0; k < 8; ++k) {
      const double s =
          (z[3 * i] * z[3 * k] + z[3 * i + 1] * z[3 * k + 1] + z[3 * i + 2] * z[3 * k + 2]) / 0.5;
      if (k != i) sum += std::exp(s);
      if (k == (i + 4) % 8) positive = s;
    }
    want += (std::log(sum) - positive) / 8;
  }
  EXPECT_NEAR(loss.total.item(), want, 1e-13);
  EXPECT_FALSE(loss.supcon.defined());
}

TEST_F(ContrastiveLossTest, CentredRecipeAddsBothPartsAndItsGradientIsTheDerivative) {
  const ContrastiveRecipe recipe = ContrastiveRecipe::centred();
  const ContrastiveLoss loss = contrastive_loss(embeddings(), batch_, recipe);
  EXPECT_NEAR(loss.total.item(), loss.supcon.item() + loss.nt_xent.item(), 1e-14);
  EXPECT_GT(loss.supcon.item(), 0);
  EXPECT_GT(loss.nt_xent.item(), 0);
  const GradcheckResult result =
      gradcheck([&](const std::vector<Variable>& x) { return contrastive_loss(x[0], batch_, recipe).total; },
                {embeddings()});
  EXPECT_TRUE(result.ok) << result.message;
}

TEST_F(ContrastiveLossTest, CentredRecipeIgnoresAConstantShift) {
  const Variable shifted = ops::add(embeddings(), Variable(filled({8, 3}, 0.75, DType::f64)));
  const ContrastiveRecipe recipe = ContrastiveRecipe::centred();
  EXPECT_NEAR(contrastive_loss(shifted, batch_, recipe).total.item(),
              contrastive_loss(embeddings(), batch_, recipe).total.item(), 1e-12);
}

TEST_F(ContrastiveLossTest, MeanDirectionIsOneForACollapseAndSmallForASpread) {
  for (const ContrastiveRecipe& recipe : {ContrastiveRecipe::paper_step_a(), ContrastiveRecipe::centred()}) {
    std::vector<double> rows;
    for (int r = 0; r < 8; ++r) rows.insert(rows.end(), {3, 4 + 1e-9 * r, 0});
    EXPECT_NEAR(contrastive_loss(Variable(Tensor::of(rows, {8, 3})), batch_, recipe).mean_direction.item(), 1,
                1e-9);
    const std::vector<double> spread{1, 0, 0, -1, 0, 0,  0, 1, 0, 0,  -1, 0,
                                     0, 0, 1, 0,  0, -1, 1, 1, 0, -1, -1, 0};
    EXPECT_NEAR(contrastive_loss(Variable(Tensor::of(spread, {8, 3})), batch_, recipe).mean_direction.item(),
                0, 1e-15);
  }
}

TEST_F(ContrastiveLossTest, WrongBatchesAreNamed) {
  batch_.images = 3;
  EXPECT_EQ(error_of([&] { contrastive_loss(embeddings(), batch_, ContrastiveRecipe::centred()); }),
            "contrastive loss: embeddings (8,3) are not whole views of 3 images");
  batch_.images = 4;
  batch_.labels.pop_back();
  EXPECT_EQ(error_of([&] { contrastive_loss(embeddings(), batch_, ContrastiveRecipe::centred()); }),
            "contrastive loss: 3 labels for 4 images");
}

}  // namespace
}  // namespace mt
