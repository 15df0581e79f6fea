#include "train/method/mining.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/arithmetic.h"
#include "kernels/compact/compact.h"
#include "kernels/select/select.h"
#include "tensor/check.h"
#include "tensor/rng.h"

namespace mt::train {
namespace {

struct Pool {
  std::vector<PatchId> ids;
  std::vector<float> scores;  // (ids)
};

Pool pool_of(std::span<const TiledSlide> slides, const std::vector<std::vector<float>>& scores, int label) {
  Pool pool;
  for (std::size_t s = 0; s < scores.size(); ++s) {
    if (slides[s].record.label != label) continue;
    for (std::size_t t = 0; t < scores[s].size(); ++t) {
      pool.ids.push_back({static_cast<int32_t>(s), static_cast<int32_t>(t)});
      pool.scores.push_back(scores[s][t]);
    }
  }
  return pool;
}

Pool pool_of(const std::vector<ScoredPatch>& patches) {
  Pool pool;
  for (const ScoredPatch& patch : patches) {
    pool.ids.push_back(patch.id);
    pool.scores.push_back(patch.score);
  }
  return pool;
}

Tensor scores_on(Device device, const std::vector<float>& scores) {
  return moved_to(Tensor::of(scores, {static_cast<int64_t>(scores.size())}), device);  // (n)
}

double quantile(const std::vector<float>& scores, double level, Device device) {
  double value = 0;
  const Tensor held = scores_on(device, scores);
  select<float>(device).quantiles(held.data<float>(), nullptr, held.numel(), &level, &value, 1, nullptr);
  return value;
}

/// Splits a pool by a threshold; both parts keep the pool's order.
void split_pool(const Pool& pool, Threshold kind, double threshold, Device device,
                std::vector<ScoredPatch>& kept, std::vector<ScoredPatch>* rest) {
  const Tensor scores = scores_on(device, pool.scores);                     // (n)
  const Tensor places = Tensor::empty(scores.shape(), DType::i64, device);  // (n)
  const int64_t count = compact<float>(device).indices(scores.data<float>(), nullptr, scores.numel(), kind,
                                                       threshold, places.data<int64_t>(), nullptr);
  const Tensor held = moved_to(places.slice(0, 0, count), Device::cpu);  // (count)
  const auto indices = held.span<int64_t>();
  std::size_t next = 0;
  for (std::size_t i = 0; i < pool.ids.size(); ++i) {
    const bool is_kept = next < indices.size() && indices[next] == static_cast<int64_t>(i);
    if (is_kept) ++next;
    if (is_kept) {
      kept.push_back({pool.ids[i], pool.scores[i]});
    } else if (rest != nullptr) {
      rest->push_back({pool.ids[i], pool.scores[i]});
    }
  }
}

std::vector<ScoredPatch> all_of(const Pool& pool) {
  std::vector<ScoredPatch> all;
  for (std::size_t i = 0; i < pool.ids.size(); ++i) all.push_back({pool.ids[i], pool.scores[i]});
  return all;
}

/// As many as lie at or above hnm's threshold, by lot; the others are the easy ones.
void draw_negatives(const Pool& pool, const Config& config, uint32_t draw, MinedSet& mined) {
  const double threshold = quantile(pool.scores, 1 - config.negative_ratio, config.device);
  const auto count =
      static_cast<std::size_t>(std::count_if(pool.scores.begin(), pool.scores.end(), [&](float score) {
        return static_cast<double>(score) >= threshold;
      }));
  std::vector<std::size_t> order(pool.ids.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  RandomStream(config.seed, Purpose::mining, draw, hash64("random negatives"))
      .shuffle(std::span<std::size_t>(order));
  std::vector<bool> is_drawn(order.size());
  for (std::size_t i = 0; i < count; ++i) is_drawn[order[i]] = true;
  for (std::size_t i = 0; i < order.size(); ++i)
    (is_drawn[i] ? mined.hard_negatives : mined.easy_negatives).push_back({pool.ids[i], pool.scores[i]});
}

}  // namespace

MinedSet mine(std::span<const TiledSlide> slides, const std::vector<std::vector<float>>& scores,
              const Config& config, Method method, double progress, uint32_t draw) {
  const Device device = config.device;
  MinedSet mined;
  const Pool positive = pool_of(slides, scores, 1);
  const Pool negative = pool_of(slides, scores, 0);
  check(!positive.ids.empty() && !negative.ids.empty(),
        "mine: there must be patches of positive and of negative slides");

  if (method == Method::unmined) {
    mined.positives = all_of(positive);
    mined.paced_positives = mined.positives;
    mined.positive_share = 1;
    draw_negatives(negative, config, draw, mined);
    return mined;
  }
  mined.positive_threshold = config.positive_threshold;
  std::vector<ScoredPatch> uncertain;
  split_pool(positive, Threshold::above, mined.positive_threshold, device, mined.positives, &uncertain);
  mined.positive_share =
      static_cast<double>(mined.positives.size()) / static_cast<double>(positive.ids.size());
  if (config.positive_fallback > 0 && (mined.positive_share < 0.03 || mined.positive_share > 0.5)) {
    mined.fallback = true;
    mined.positives.clear();
    uncertain.clear();
    mined.positive_threshold = quantile(positive.scores, 1 - config.positive_fallback, device);
    split_pool(positive, Threshold::at_least, mined.positive_threshold, device, mined.positives, &uncertain);
  }
  check(
      !mined.positives.empty(),
      "mine: no patch of a positive slide scores above {}; see --positive-threshold and --positive-fallback",
      mined.positive_threshold);

  // Self-paced: the top r of the positives, r growing linearly. With the fallback its share is the first step
  // already.
  const double ratio =
      config.positive_start + (config.positive_end - config.positive_start) * std::clamp(progress, 0.0, 1.0);
  const Pool passed = pool_of(mined.positives);
  split_pool(passed, Threshold::at_least, quantile(passed.scores, 1 - ratio, device), device,
             mined.paced_positives, nullptr);
  if (!uncertain.empty()) {
    const Pool below = pool_of(uncertain);
    const double limit = quantile(below.scores, ratio, device);
    for (const ScoredPatch& patch : uncertain)
      if (patch.score <= limit) mined.paced_uncertain.push_back(patch);
  }

  if (method == Method::hnm) {
    mined.negative_threshold = quantile(negative.scores, 1 - config.negative_ratio, device);
    split_pool(negative, Threshold::at_least, mined.negative_threshold, device, mined.hard_negatives,
               &mined.easy_negatives);
  } else if (method == Method::random) {
    draw_negatives(negative, config, draw, mined);
  } else {
    mined.negative_threshold = 0;
    split_pool(negative, Threshold::at_least, 0, device, mined.hard_negatives, nullptr);
  }
  return mined;
}

}  // namespace mt::train
