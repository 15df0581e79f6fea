#include "models/grad_cache.h"

#include <algorithm>
#include <vector>

#include "autograd/ops.h"
#include "tensor/check.h"

namespace mt {
namespace {

/// All embeddings (images, D), as a leaf.
Variable embed_without_tape(int64_t images, int64_t chunk, const EmbedImages& embed) {
  NoGradGuard no_tape;
  std::vector<Variable> parts;
  for (int64_t begin = 0; begin < images; begin += chunk) {
    const int64_t end = std::min(images, begin + chunk);
    parts.push_back(embed(begin, end));
    check(parts.back().rank() == 2 && parts.back().dim(0) == end - begin,
          "grad cache: images {} to {} were embedded as {}", begin, end, parts.back().shape().str());
  }
  return Variable(ops::concat_rows(parts).value(), /*requires_grad=*/true);
}

}  // namespace

double grad_cache_backward(const ResNet& encoder, int64_t images, int64_t chunk, const EmbedImages& embed,
                           const LossOfEmbeddings& loss) {
  check(images >= 1 && chunk >= 8 && chunk % 8 == 0,
        "grad cache: {} images in chunks of {}; a chunk is a multiple of 8", images, chunk);
  if (chunk >= images) {
    const Variable value = loss(embed(0, images));
    backward(value);
    return value.item();
  }
  check(!encoder.mixes_images(),
        "grad cache: BatchNorm on batch statistics makes a chunk of {} images something else than the batch "
        "of {}; freeze "
        "the statistics (--bn frozen), or make the chunk as large as the batch",
        chunk, images);
  const Variable embeddings = embed_without_tape(images, chunk, embed);  // (images,D)
  const Variable value = loss(embeddings);
  backward(value);
  check(embeddings.grad().defined(), "grad cache: the loss does not depend on the embeddings");
  for (int64_t begin = 0; begin < images; begin += chunk) {
    const int64_t end = std::min(images, begin + chunk);
    backward(embed(begin, end), embeddings.grad().slice(0, begin, end));
  }
  return value.item();
}

}  // namespace mt
