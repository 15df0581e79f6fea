#pragma once
// The gradients of one step of contrastive training, in chunks that fit into the device's memory.

#include "autograd/arena.h"
#include "models/grad_cache.h"
#include "train/method/encoder.h"
#include "train/run/records.h"

namespace mt::train {

class ContrastiveStep {
 public:
  /// `chunk` views at a time to begin with.
  ContrastiveStep(const Encoder& encoder, const ParameterArena& arena, int64_t chunk)
      : encoder_(encoder), arena_(arena), chunk_(chunk) {}

  /// views (R,H,W,3) of u8. Adds the gradient of loss(embeddings) to the arena, which was zero, and gives the
  /// loss. Where memory runs out the chunk is halved, for good, and the step is done again; the last chunk of
  /// 8, or batch statistics that want the whole batch in one, throw OutOfMemory.
  double gradients(const Tensor& views, const LossOfEmbeddings& loss);
  /// Views at a time by now. Another chunk sums in another order: the same to rounding, not to the bit.
  int64_t chunk() const { return chunk_; }

 private:
  const Encoder& encoder_;
  const ParameterArena& arena_;
  int64_t chunk_;
};

/// Says in the step's record when the chunk is no longer that of the configuration.
void note_chunk(const ContrastiveStep& step, const Config& config, StepCost& cost);

}  // namespace mt::train
