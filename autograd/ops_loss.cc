// Rules of the losses.

#include "autograd/dispatch.h"
#include "autograd/ops.h"
#include "autograd/rule.h"
#include "kernels/bce/bce.h"
#include "kernels/rank_loss/rank_loss.h"

namespace mt::ops {
namespace {

template <typename T>
SupConBatch<T> batch_of(const Tensor& z, const SupConOptions& options) {
  SupConBatch<T> batch;
  batch.z = z.data<T>();
  batch.rows = z.dim(0);
  batch.width = z.dim(1);
  batch.anchors = options.anchors > 0 ? options.anchors : z.dim(0);
  batch.pair_mode = options.pair_mode;
  batch.temperature = options.temperature;
  batch.base_temperature = options.base_temperature;
  if (options.labels.defined()) batch.labels = options.labels.data<int32_t>();
  if (options.uncertain.defined()) batch.uncertain = options.uncertain.data<uint8_t>();
  if (options.positive_pairs.defined()) {
    batch.positive_pairs = options.positive_pairs.data<uint8_t>();
    batch.images = options.positive_pairs.dim(0);
  }
  return batch;
}

void check_supcon(const Variable& z, const SupConOptions& options) {
  check(z.rank() == 2 && z.dim(0) >= 1 && z.dim(1) >= 1, "supcon: wants embeddings (rows,width), not {}",
        z.shape().str());
  const Shape rows{z.dim(0)};
  check(options.labels.defined() || options.positive_pairs.defined(),
        "supcon: neither labels nor pairs are given");
  check(!options.labels.defined() || (options.labels.shape() == rows && options.labels.dtype() == DType::i32),
        "supcon: wants i32 labels for {} rows", z.dim(0));
  check(!options.uncertain.defined() ||
            (options.uncertain.shape() == rows && options.uncertain.dtype() == DType::u8),
        "supcon: wants a u8 mask of uncertain rows for {} rows", z.dim(0));
  const Tensor& pairs = options.positive_pairs;
  check(!pairs.defined() || (pairs.rank() == 2 && pairs.dim(0) == pairs.dim(1) && pairs.dtype() == DType::u8),
        "supcon: wants positive pairs as u8 (images,images)");
  check_device(options.labels, z.device(), "supcon", "labels are");
  check_device(options.uncertain, z.device(), "supcon", "the mask of uncertain rows is");
  check_device(pairs, z.device(), "supcon", "positive pairs are");
  check(options.anchors >= 0 && options.anchors <= z.dim(0), "supcon: {} anchors among {} rows",
        options.anchors, z.dim(0));
}

/// SupCon and NT-Xent: kernels/supcon/supcon.md derives the gradient
struct SupCon {
  static constexpr const char* kName = "supcon";
  SupConOptions options;
  Saved labels;               // of the options: (R)
  Saved uncertain;            //                 (R)
  Saved positive_pairs;       //                 (I,I)
  Saved z = {};               // (R,D)
  Saved lse = {};             // (A)
  Saved positive_count = {};  // (A)
  auto saves() { return std::tie(labels, uncertain, positive_pairs, z, lse, positive_count); }

  Tensor forward(const Tensor& embeddings) {
    const int64_t anchors = options.anchors > 0 ? options.anchors : embeddings.dim(0);
    z = embeddings;
    const Tensor sums = empty_like(embeddings, Shape{anchors});                            // (A)
    const Tensor positive_sum = empty_like(embeddings, Shape{anchors});                    // (A)
    const Tensor counts = Tensor::empty(Shape{anchors}, DType::i32, embeddings.device());  // (A)
    const Tensor loss = empty_like(embeddings, Shape{});
    by_dtype(embeddings.dtype(), kName, [&]<typename T>() {
      mt::supcon<T>(embeddings.device())
          .forward(batch_of<T>(embeddings, options), sums.data<T>(), positive_sum.data<T>(),
                   counts.data<int32_t>(), loss.data<T>(), kDefaultStream);
    });
    lse = sums;
    positive_count = counts;
    return loss;
  }
  Gradients backward(const Tensor& dloss, const Wanted&) const {
    for (const Saved* given : {&labels, &uncertain, &positive_pairs})
      given->get_or_none();                 // still what they were
    const Tensor dz = empty_like(z.get());  // (R,D)
    by_dtype(dloss.dtype(), kName, [&]<typename T>() {
      mt::supcon<T>(dloss.device())
          .backward(batch_of<T>(z.get(), options), lse.get().data<T>(), positive_count.get().data<int32_t>(),
                    dloss.data<T>(), dz.data<T>(), kDefaultStream);
    });
    return {dz};
  }
};

/// max(0, 1 − top⁺ + top⁻); ∓ dy / K at the chosen instances while the hinge is open
struct RankHinge {
  static constexpr const char* kName = "rank_hinge";
  std::vector<int64_t> offsets;
  int64_t top;
  Saved loss = {};      // (pairs)
  Saved selected = {};  // (2·pairs,top)
  Shape shape = {};
  auto saves() { return std::tie(loss, selected); }

  int64_t pairs() const { return static_cast<int64_t>(offsets.size() / 2); }

  Tensor forward(const Tensor& logits) {
    shape = logits.shape();
    const Tensor losses = empty_like(logits, Shape{pairs()});  // (pairs)
    const Tensor chosen =
        Tensor::empty(Shape{2 * pairs(), top}, DType::i64, logits.device());  // (2·pairs,top)
    by_dtype(logits.dtype(), kName, [&]<typename T>() {
      mt::rank_loss<T>(logits.device())
          .forward(logits.data<T>(), offsets.data(), pairs(), top, losses.data<T>(), chosen.data<int64_t>(),
                   kDefaultStream);
    });
    loss = losses;
    selected = chosen;
    return losses;
  }
  Gradients backward(const Tensor& dloss, const Wanted&) const {
    const Tensor dlogits = empty_like(dloss, shape);
    by_dtype(dloss.dtype(), kName, [&]<typename T>() {
      mt::rank_loss<T>(dloss.device())
          .backward(loss.get().data<T>(), dloss.data<T>(), offsets.data(), selected.get().data<int64_t>(),
                    pairs(), top, dlogits.data<T>(), kDefaultStream);
    });
    return {dlogits};
  }
};

/// mean of w y log(1+e⁻ˣ) + (1−y) log(1+eˣ); dx = dy ((1−y) σ(x) − w y σ(−x)) / n
struct Bce {
  static constexpr const char* kName = "bce";
  Tensor targets;
  double pos_weight;
  Saved slopes = {};  // dloss / dlogits, which the pass of the loss leaves behind
  auto saves() { return std::tie(slopes); }

  Tensor forward(const Tensor& logits) {
    const Tensor loss = empty_like(logits, Shape{});
    const Tensor gradient = empty_like(logits);
    by_dtype(logits.dtype(), kName, [&]<typename T>() {
      mt::bce<T>(logits.device())
          .mean_with_slopes(logits.data<T>(), targets.data<T>(), pos_weight, loss.data<T>(),
                            gradient.data<T>(), logits.numel(), kDefaultStream);
    });
    targets = Tensor();
    slopes = gradient;
    return loss;
  }
  Gradients backward(const Tensor& dloss, const Wanted&) const {
    const Tensor dlogits = empty_like(slopes.get());
    by_dtype(dloss.dtype(), kName, [&]<typename T>() {
      mt::bce<T>(dloss.device())
          .mean_slopes_backward(slopes.get().data<T>(), dloss.data<T>(), dlogits.data<T>(), dlogits.numel(),
                                kDefaultStream);
    });
    return {dlogits};
  }
};

}  // namespace

Variable supcon(const Variable& z, const SupConOptions& options) {
  check_supcon(z, options);
  return apply(SupCon{options, options.labels, options.uncertain, options.positive_pairs}, z);
}

Variable rank_hinge(const Variable& logits, const std::vector<int64_t>& offsets, int64_t top) {
  check(offsets.size() >= 3 && offsets.size() % 2 == 1 && offsets.back() == logits.numel() && top >= 1,
        "rank_hinge: {} offsets up to {} and top {} for {} logits", offsets.size(),
        offsets.empty() ? 0 : offsets.back(), top, logits.numel());
  return apply(RankHinge{offsets, top}, logits);
}

Variable bce(const Variable& logits, const Tensor& targets, double pos_weight) {
  check(logits.shape() == targets.shape() && logits.dtype() == targets.dtype() && logits.numel() >= 1,
        "bce: logits {} {} and targets {} {} do not match", name_of(logits.dtype()), logits.shape().str(),
        name_of(targets.dtype()), targets.shape().str());
  check_device(targets, logits.device(), "bce", "targets are");
  if (is_recorded({logits})) return apply(Bce{targets, pos_weight}, logits);
  const Tensor loss = empty_like(logits.value(), Shape{});
  by_dtype(logits.dtype(), "bce", [&]<typename T>() {
    mt::bce<T>(logits.device())
        .mean_forward(logits.value().data<T>(), targets.data<T>(), pos_weight, loss.data<T>(), logits.numel(),
                      kDefaultStream);
  });
  return Variable(loss);
}

}  // namespace mt::ops
