#pragma once
// Exact gradients of a contrastive loss over a batch that does not fit into memory (Gao et al., "Scaling deep
// contrastive learning batch size under memory limited setup", 2021).

#include <functional>

#include "models/resnet.h"

namespace mt {

/// Embeds the images [begin, end) of the batch: → (end − begin, D). Called twice for each chunk, and must do
/// the same both times.
using EmbedImages = std::function<Variable(int64_t begin, int64_t end)>;
/// From all embeddings (images, D) to a scalar.
using LossOfEmbeddings = std::function<Variable(const Variable& embeddings)>;

/// Adds the gradient of loss(embed(all images)) to the encoder's parameters and returns the loss. First all
/// chunks are embedded without tape, then the loss gives the gradient of every embedding, then each chunk is
/// embedded again and that gradient is sent back through it. Memory: one chunk's tape. `chunk` is a multiple
/// of 8; when it covers the batch, one pass is made. An encoder whose images influence each other (BatchNorm
/// on batch statistics) is refused when the chunk is smaller than the batch.
double grad_cache_backward(const ResNet& encoder, int64_t images, int64_t chunk, const EmbedImages& embed,
                           const LossOfEmbeddings& loss);

}  // namespace mt
