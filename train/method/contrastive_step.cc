#include "train/method/contrastive_step.h"

#include <algorithm>
#include <cstdio>

#include "tensor/check.h"

namespace mt::train {

double ContrastiveStep::gradients(const Tensor& views, const LossOfEmbeddings& loss) {
  const int64_t rows = views.dim(0);
  const auto embed = [&](int64_t begin, int64_t end) {
    return encoder_.embeddings(views.slice(0, begin, end));
  };
  while (true) {
    try {
      return grad_cache_backward(*encoder_.network, rows, chunk_, embed, loss);
    } catch (const OutOfMemory& error) {
      const int64_t smaller = std::min(chunk_, (rows + 7) / 8 * 8) / 16 * 8;
      if (smaller < 8 || encoder_.network->mixes_images()) throw;
      std::printf("\n  %s; on with chunks of %lld views in place of %lld\n", error.what(),
                  static_cast<long long>(smaller), static_cast<long long>(chunk_));
      chunk_ = smaller;
      arena_.zero_grad();  // of the chunks that were done
    }
  }
}

void note_chunk(const ContrastiveStep& step, const Config& config, StepCost& cost) {
  if (step.chunk() == config.chunk) return;
  cost.note = fmt::format("memory ran out: chunks of {} views in place of {}", step.chunk(), config.chunk);
}

}  // namespace mt::train
