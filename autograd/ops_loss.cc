// Rules of the losses.

#include "autograd/dispatch.h"
#include "autograd/ops.h"
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

}  // namespace

Variable supcon(const Variable& z, const SupConOptions& options) {
  check_supcon(z, options);
  const int64_t anchors = options.anchors > 0 ? options.anchors : z.dim(0);
  const Tensor lse = empty_like(z.value(), Shape{anchors});                             // (A)
  const Tensor positive_sum = empty_like(z.value(), Shape{anchors});                    // (A)
  const Tensor positive_count = Tensor::empty(Shape{anchors}, DType::i32, z.device());  // (A)
  const Tensor loss = empty_like(z.value(), Shape{});
  by_dtype(z.dtype(), "supcon", [&]<typename T>() {
    mt::supcon<T>(z.device())
        .forward(batch_of<T>(z.value(), options), lse.data<T>(), positive_sum.data<T>(),
                 positive_count.data<int32_t>(), loss.data<T>(), kDefaultStream);
  });
  return record("supcon", loss, {z},
                [options, z = Saved(z.value(), "supcon"), lse = Saved(lse, "supcon"),
                 count = Saved(positive_count, "supcon")](const Tensor& dloss, const Wanted&) {
                  const Tensor dz = empty_like(z.get());  // (R,D)
                  by_dtype(dloss.dtype(), "supcon", [&]<typename T>() {
                    mt::supcon<T>(dloss.device())
                        .backward(batch_of<T>(z.get(), options), lse.get().data<T>(),
                                  count.get().data<int32_t>(), dloss.data<T>(), dz.data<T>(), kDefaultStream);
                  });
                  return Gradients{dz};
                });
}

Variable rank_hinge(const Variable& logits, const std::vector<int64_t>& offsets, int64_t top) {
  check(offsets.size() >= 3 && offsets.size() % 2 == 1 && offsets.back() == logits.numel() && top >= 1,
        "rank_hinge: {} offsets up to {} and top {} for {} logits", offsets.size(),
        offsets.empty() ? 0 : offsets.back(), top, logits.numel());
  const auto pairs = static_cast<int64_t>(offsets.size() / 2);
  const Tensor loss = empty_like(logits.value(), Shape{pairs});                               // (pairs)
  const Tensor selected = Tensor::empty(Shape{2 * pairs, top}, DType::i64, logits.device());  // (2·pairs,top)
  by_dtype(logits.dtype(), "rank_hinge", [&]<typename T>() {
    mt::rank_loss<T>(logits.device())
        .forward(logits.value().data<T>(), offsets.data(), pairs, top, loss.data<T>(),
                 selected.data<int64_t>(), kDefaultStream);
  });
  return record("rank_hinge", loss, {logits},
                [offsets, pairs, top, shape = logits.shape(), loss = Saved(loss, "rank_hinge"),
                 selected = Saved(selected, "rank_hinge")](const Tensor& dloss, const Wanted&) {
                  const Tensor dlogits = empty_like(dloss, shape);
                  by_dtype(dloss.dtype(), "rank_hinge", [&]<typename T>() {
                    mt::rank_loss<T>(dloss.device())
                        .backward(loss.get().data<T>(), dloss.data<T>(), offsets.data(),
                                  selected.get().data<int64_t>(), pairs, top, dlogits.data<T>(),
                                  kDefaultStream);
                  });
                  return Gradients{dlogits};
                });
}

Variable bce(const Variable& logits, const Tensor& targets, double pos_weight) {
  check(logits.shape() == targets.shape() && logits.dtype() == targets.dtype() && logits.numel() >= 1,
        "bce: logits {} {} and targets {} {} do not match", name_of(logits.dtype()), logits.shape().str(),
        name_of(targets.dtype()), targets.shape().str());
  check_device(targets, logits.device(), "bce", "targets are");
  const Tensor loss = empty_like(logits.value(), Shape{});
  if (!is_recorded({logits})) {
    by_dtype(logits.dtype(), "bce", [&]<typename T>() {
      mt::bce<T>(logits.device())
          .mean_forward(logits.value().data<T>(), targets.data<T>(), pos_weight, loss.data<T>(),
                        logits.numel(), kDefaultStream);
    });
    return Variable(loss);
  }
  // The loss and its slopes in one pass; what the rule keeps is the slopes.
  const Tensor slopes = empty_like(logits.value());
  by_dtype(logits.dtype(), "bce", [&]<typename T>() {
    mt::bce<T>(logits.device())
        .mean_with_gradient(logits.value().data<T>(), targets.data<T>(), pos_weight, nullptr, loss.data<T>(),
                            slopes.data<T>(), logits.numel(), kDefaultStream);
  });
  return record("bce", loss, {logits}, [slopes = Saved(slopes, "bce")](const Tensor& dloss, const Wanted&) {
    const Tensor dlogits = empty_like(slopes.get());
    by_dtype(dloss.dtype(), "bce", [&]<typename T>() {
      mt::bce<T>(dloss.device())
          .mean_slopes_backward(slopes.get().data<T>(), dloss.data<T>(), dlogits.data<T>(), dlogits.numel(),
                                kDefaultStream);
    });
    return Gradients{dlogits};
  });
}

}  // namespace mt::ops
