#pragma once
// The losses of the method, composed of rules.

#include <vector>

#include "autograd/ops.h"
#include "models/mil.h"

namespace mt {

/// Weights of the three parts on raw logits (HNM-WSI, section 2 of the method's description).
struct MilLossWeights {
  double bag = 0.5;
  double max_instance = 0.5;
  double rank = 0.1;      // 0 turns the ranking loss off
  int64_t rank_top = 10;  // K; bags smaller than K use all they have
  double pos_weight = 1;  // negatives / positives of the training slides
};

struct MilLoss {
  Variable total;  // the weighted sum
  Variable bag;    // binary cross-entropy of the bag logits, mean over the bags
  Variable max_instance;
  Variable rank;  // undefined for a single bag and with weight 0
};

/// A pair of a positive and a negative bag, one class.
MilLoss pair_loss(const MilOutput& positive, const MilOutput& negative, const MilLossWeights& weights);
/// One bag with targets in {0,1}, one per class: what the public code does without ranking.
MilLoss bag_loss(const MilOutput& output, const std::vector<double>& targets, const MilLossWeights& weights);

/// How embeddings of two views become a contrastive loss.
struct ContrastiveRecipe {
  double supcon_weight = 1;
  double nt_xent_weight = 0;
  PairMode pair_mode = PairMode::all;  // which pairs of the same label attract each other
  double temperature = 0.07;
  double base_temperature = 0.07;  // the loss is scaled by temperature / base_temperature
  bool subtract_mean = false;      // the mean embedding of the batch is taken off before normalising

  /// The paper's steps: A pairs negatives with negatives, B positives with positives.
  static ContrastiveRecipe paper_step_a();
  static ContrastiveRecipe paper_step_b();
  /// Both classes as anchors plus NT-Xent, centred: what works on small batches (preset fast).
  static ContrastiveRecipe centred();
  /// SimCLR pre-training.
  static ContrastiveRecipe simclr(double temperature);
};

/// Row r of the embeddings shows image r % images: all first views, then all second views.
struct ContrastiveBatch {
  int64_t images = 0;
  std::vector<int32_t> labels;     // (images) 0 negative, 1 positive; may be empty for SimCLR
  std::vector<uint8_t> uncertain;  // (images) or empty; nonzero: contrast of nobody
};

/// Scalars. They stay on the device: item() waits for it, so it is asked when the step's work is queued.
struct ContrastiveLoss {
  Variable total;
  Variable supcon;  // its two parts, unweighted and without a tape; not defined() when not computed
  Variable nt_xent;
  /// ‖mean of the normalised rows‖², before any mean is taken off: near 1 when the embeddings have collapsed
  /// into one point.
  Variable mean_direction;
};

/// embeddings (R,D), not yet normalised.
ContrastiveLoss contrastive_loss(const Variable& embeddings, const ContrastiveBatch& batch,
                                 const ContrastiveRecipe& recipe);

}  // namespace mt
