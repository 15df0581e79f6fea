#include "models/losses.h"

#include "autograd/arithmetic.h"
#include "tensor/check.h"

namespace mt {
namespace {

Tensor targets_like(const Variable& logits, const std::vector<double>& targets) {
  return moved_to(cast(Tensor::of(targets, logits.shape()), logits.dtype()), logits.device());
}

Variable weighted_bag_terms(const MilLoss& loss, const MilLossWeights& weights) {
  return ops::add(ops::scale(loss.bag, weights.bag), ops::scale(loss.max_instance, weights.max_instance));
}

/// ‖mean of the rows‖² of normalised rows z (R,D).
Variable length_of_mean(const Variable& z) {
  NoGradGuard no_tape;
  const auto rows = z.dim(0);
  const Variable average(filled({1, rows}, 1.0 / static_cast<double>(rows), z.dtype(), z.device()));
  const Variable mean = ops::matmul(average, z.detach());  // (1,D)
  return ops::sum(ops::mul(mean, mean));
}

/// On the device, one label per row.
Tensor repeated(const std::vector<int32_t>& per_image, int64_t rows, Device device) {
  std::vector<int32_t> values(static_cast<std::size_t>(rows));
  for (std::size_t r = 0; r < values.size(); ++r) values[r] = per_image[r % per_image.size()];
  return moved_to(Tensor::of(values, {rows}), device);
}

Variable supervised_part(const Variable& z, const ContrastiveBatch& batch, const ContrastiveRecipe& recipe) {
  const int64_t rows = z.dim(0);
  check(static_cast<int64_t>(batch.labels.size()) == batch.images,
        "contrastive loss: {} labels for {} images", batch.labels.size(), batch.images);
  check(batch.uncertain.empty() || static_cast<int64_t>(batch.uncertain.size()) == batch.images,
        "contrastive loss: {} uncertainty marks for {} images", batch.uncertain.size(), batch.images);
  ops::SupConOptions options;
  options.labels = repeated(batch.labels, rows, z.device());
  options.pair_mode = recipe.pair_mode;
  options.temperature = recipe.temperature;
  options.base_temperature = recipe.base_temperature;
  if (!batch.uncertain.empty()) {
    std::vector<uint8_t> uncertain(static_cast<std::size_t>(rows));
    for (std::size_t r = 0; r < uncertain.size(); ++r)
      uncertain[r] = batch.uncertain[r % batch.uncertain.size()];
    options.uncertain = moved_to(Tensor::of(uncertain, {rows}), z.device());
  }
  return ops::supcon(z, options);
}

Variable view_part(const Variable& z, const ContrastiveBatch& batch, const ContrastiveRecipe& recipe) {
  std::vector<int32_t> images(static_cast<std::size_t>(batch.images));
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<int32_t>(i);
  ops::SupConOptions options;
  options.labels = repeated(images, z.dim(0), z.device());
  options.temperature = recipe.temperature;
  options.base_temperature = recipe.base_temperature;
  return ops::supcon(z, options);
}

}  // namespace

MilLoss pair_loss(const MilOutput& positive, const MilOutput& negative, const MilLossWeights& weights) {
  check(positive.bag_logit.numel() == 1 && negative.bag_logit.numel() == 1,
        "pair loss: wants models of one class, not bag logits {}", positive.bag_logit.shape().str());
  const Variable bag_logits = ops::concat_rows({positive.bag_logit, negative.bag_logit});  // (2,1)
  const Variable max_logits = ops::concat_rows(                                            // (2)
      {ops::max_instances(positive.instance_logits), ops::max_instances(negative.instance_logits)});
  MilLoss loss;
  loss.bag = ops::bce(bag_logits, targets_like(bag_logits, {1, 0}), weights.pos_weight);
  loss.max_instance = ops::bce(max_logits, targets_like(max_logits, {1, 0}), weights.pos_weight);
  loss.total = weighted_bag_terms(loss, weights);
  if (weights.rank > 0) {
    const int64_t positives = positive.instance_logits.dim(0);
    const int64_t all = positives + negative.instance_logits.dim(0);
    const Variable instances =
        ops::concat_rows({positive.instance_logits, negative.instance_logits});     // (N⁺+N⁻,1)
    loss.rank = ops::rank_hinge(instances, {0, positives, all}, weights.rank_top);  // (1)
    loss.total = ops::add(loss.total, ops::reshape(ops::scale(loss.rank, weights.rank), {}));
  }
  return loss;
}

MilLoss bag_loss(const MilOutput& output, const std::vector<double>& targets, const MilLossWeights& weights) {
  check(static_cast<int64_t>(targets.size()) == output.bag_logit.numel(),
        "bag loss: {} targets for bag logits {}", targets.size(), output.bag_logit.shape().str());
  const Variable max_logits = ops::max_instances(output.instance_logits);  // (C)
  MilLoss loss;
  loss.bag = ops::bce(output.bag_logit, targets_like(output.bag_logit, targets), weights.pos_weight);
  loss.max_instance = ops::bce(max_logits, targets_like(max_logits, targets), weights.pos_weight);
  loss.total = weighted_bag_terms(loss, weights);
  return loss;
}

ContrastiveRecipe ContrastiveRecipe::paper_step_a() {
  ContrastiveRecipe recipe;
  recipe.pair_mode = PairMode::negatives;
  return recipe;
}

ContrastiveRecipe ContrastiveRecipe::paper_step_b() {
  ContrastiveRecipe recipe;
  recipe.pair_mode = PairMode::positives;
  return recipe;
}

ContrastiveRecipe ContrastiveRecipe::centred() {
  ContrastiveRecipe recipe;
  recipe.nt_xent_weight = 1;
  recipe.temperature = 0.2;
  recipe.base_temperature = 0.2;
  recipe.subtract_mean = true;
  return recipe;
}

ContrastiveRecipe ContrastiveRecipe::simclr(double temperature) {
  ContrastiveRecipe recipe;
  recipe.supcon_weight = 0;
  recipe.nt_xent_weight = 1;
  recipe.temperature = temperature;
  recipe.base_temperature = temperature;
  return recipe;
}

ContrastiveLoss contrastive_loss(const Variable& embeddings, const ContrastiveBatch& batch,
                                 const ContrastiveRecipe& recipe) {
  check(embeddings.rank() == 2 && batch.images >= 1 && embeddings.dim(0) >= 1 &&
            embeddings.dim(0) % batch.images == 0,
        "contrastive loss: embeddings {} are not whole views of {} images", embeddings.shape().str(),
        batch.images);
  check(recipe.supcon_weight > 0 || recipe.nt_xent_weight > 0, "contrastive loss: both parts have weight 0");
  ContrastiveLoss loss;
  const Variable z =
      ops::l2_normalise(recipe.subtract_mean ? ops::subtract_column_mean(embeddings) : embeddings);  // (R,D)
  {
    NoGradGuard no_tape;
    loss.mean_direction = length_of_mean(recipe.subtract_mean ? ops::l2_normalise(embeddings) : z);
  }
  if (recipe.supcon_weight > 0) {
    const Variable part = supervised_part(z, batch, recipe);
    loss.supcon = part.detach();
    loss.total = ops::scale(part, recipe.supcon_weight);
  }
  if (recipe.nt_xent_weight > 0) {
    const Variable part = view_part(z, batch, recipe);
    loss.nt_xent = part.detach();
    const Variable weighted = ops::scale(part, recipe.nt_xent_weight);
    loss.total = loss.total.defined() ? ops::add(loss.total, weighted) : weighted;
  }
  return loss;
}

}  // namespace mt
