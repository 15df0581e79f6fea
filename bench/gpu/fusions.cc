// Entries that do at once what others do one after the other, beside that chain: tests hold their bits
// against each other, the ratio is what the fusion is worth.

#include <fmt/format.h>

#include <memory>

#include "bench/gpu/comparison.h"
#include "kernels/augment/augment.h"
#include "kernels/bce/bce.h"
#include "kernels/copy/copy.h"
#include "kernels/norm/norm.h"
#include "kernels/pool/pool.h"
#include "kernels/rank_loss/rank_loss.h"
#include "tensor/rng.h"

namespace mt::bench {
namespace {

template <typename... Buffers>
std::vector<double> joined(const Buffers&... buffers) {
  std::vector<double> all;
  const auto append = [&all](const std::vector<float>& part) {
    all.insert(all.end(), part.begin(), part.end());
  };
  (append(buffers.host()), ...);
  return all;
}

/// An entry that does at once what a chain does, and the chain.
struct Fusion {
  std::function<void(Stream)> at_once, chain;
  std::function<std::vector<double>()> answer;
};

/// The first peer is the fused entry, the baseline the chain.
void compare_with_chain(const std::string& operation, const std::string& shape, double bytes, Device device,
                        const std::function<Fusion()>& make) {
  const auto peers = [make] {
    const Fusion f = make();
    return std::vector<Peer>{{"own", f.at_once, f.answer}, {"chain", f.chain, f.answer}};
  };
  register_comparison({operation, shape, 0, bytes, 1e-6, {"own", "chain"}, "chain", peers}, device);
}

void compare_bce(int64_t n, Device device) {
  struct Problem {
    Problem(int64_t count, Device where)
        : logits(uniform_values(count, 6), where),
          targets(std::vector<float>(static_cast<std::size_t>(count), 1), where),
          dloss(std::vector<float>{0.5F}, where),
          loss(1, where),
          dlogits(count, where) {}
    DeviceBuffer<float> logits, targets, dloss, loss, dlogits;
  };
  compare_with_chain("bce_with_gradient", std::to_string(n), 12 * static_cast<double>(n), device, [=] {
    const auto p = std::make_shared<Problem>(n, device);
    const Bce<float>& op = bce<float>(device);
    return Fusion{[p, n, &op](Stream stream) {
                    op.mean_with_gradient(p->logits.data(), p->targets.data(), 1.5, p->dloss.data(),
                                          p->loss.data(), p->dlogits.data(), n, stream);
                  },
                  [p, n, &op](Stream stream) {
                    op.mean_forward(p->logits.data(), p->targets.data(), 1.5, p->loss.data(), n, stream);
                    op.mean_backward(p->logits.data(), p->targets.data(), 1.5, p->dloss.data(),
                                     p->dlogits.data(), n, stream);
                  },
                  [p] { return joined(p->loss, p->dlogits); }};
  });
}

void compare_rank_loss(int64_t pairs, int64_t bag, int64_t top, Device device) {
  struct Problem {
    Problem(int64_t pair_count, int64_t bag_size, int64_t chosen, Device where)
        : logits(uniform_values(2 * pair_count * bag_size, 3), where),
          dloss(std::vector<float>(static_cast<std::size_t>(pair_count), 0.75F), where),
          loss(pair_count, where),
          dlogits(2 * pair_count * bag_size, where),
          selected(2 * pair_count * chosen, where) {
      for (int64_t b = 0; b <= 2 * pair_count; ++b) offsets.push_back(b * bag_size);
    }
    std::vector<int64_t> offsets;
    DeviceBuffer<float> logits, dloss, loss, dlogits;
    DeviceBuffer<int64_t> selected;
  };
  compare_with_chain("rank_loss_with_gradient", fmt::format("{}x2x{}", pairs, bag),
                     16 * static_cast<double>(pairs) * static_cast<double>(bag), device, [=] {
                       const auto p = std::make_shared<Problem>(pairs, bag, top, device);
                       const RankLoss<float>& op = rank_loss<float>(device);
                       return Fusion{[p, pairs, top, &op](Stream stream) {
                                       op.with_gradient(p->logits.data(), p->dloss.data(), p->offsets.data(),
                                                        pairs, top, p->loss.data(), p->selected.data(),
                                                        p->dlogits.data(), stream);
                                     },
                                     [p, pairs, top, &op](Stream stream) {
                                       op.forward(p->logits.data(), p->offsets.data(), pairs, top,
                                                  p->loss.data(), p->selected.data(), stream);
                                       op.backward(p->loss.data(), p->dloss.data(), p->offsets.data(),
                                                   p->selected.data(), pairs, top, p->dlogits.data(), stream);
                                     },
                                     [p] { return joined(p->loss, p->dlogits); }};
                     });
}

/// The last norm of an embedding, residual and ReLU included, then the average over the map.
void compare_average(int64_t n, int64_t pixels, int64_t c, Device device) {
  struct Problem {
    Problem(int64_t images, int64_t places, int64_t channels, Device where)
        : x(uniform_values(images * places * channels, 9), where),
          residual(uniform_values(images * places * channels, 10), where),
          y(images * places * channels, where),
          mean(images * channels, where),
          inv_std(images * channels, where),
          average(images * channels, where) {}
    DeviceBuffer<float> x, residual, y;          // (N,P,C)
    DeviceBuffer<float> mean, inv_std, average;  // (N,C)
  };
  compare_with_chain(
      "instance_norm_average", fmt::format("{}x{}x{}", n, pixels, c),
      8 * static_cast<double>(n) * static_cast<double>(pixels) * static_cast<double>(c), device, [=] {
        const auto p = std::make_shared<Problem>(n, pixels, c, device);
        const Norm<float>& op = norm<float>(device);
        const Pool<float>& pooling = pool<float>(device);
        return Fusion{[=, &op](Stream stream) {
                        op.instance_average(p->x.data(), nullptr, nullptr, p->residual.data(), true,
                                            p->average.data(), n, pixels, c, 1e-5F, stream);
                      },
                      [=, &op, &pooling](Stream stream) {
                        op.instance_forward(p->x.data(), nullptr, nullptr, p->residual.data(), true,
                                            p->y.data(), p->mean.data(), p->inv_std.data(), n, pixels, c,
                                            1e-5F, stream);
                        pooling.global_average_forward(p->y.data(), p->average.data(), n, pixels, c, stream);
                      },
                      [p] { return joined(p->average); }};
      });
}

/// SimCLR's views as a network takes them.
void compare_views(int64_t batch, int64_t side, Device device) {
  struct Problem {
    Problem(int64_t count, int64_t pixels, Device where)
        : images(random_bytes(count * pixels * pixels * 3), where),
          bytes(count * pixels * pixels * 3, where),
          views(count * pixels * pixels * 3, where) {
      RandomStream random(1, Purpose::augment);
      for (int64_t b = 0; b < count; ++b)
        parameters.push_back(sample_augmentation({}, pixels, pixels, random));
    }
    static std::vector<uint8_t> random_bytes(int64_t n) {
      RandomStream random(2, Purpose::test);
      std::vector<uint8_t> values(static_cast<std::size_t>(n));
      for (uint8_t& value : values) value = static_cast<uint8_t>(random.next());
      return values;
    }
    DeviceBuffer<uint8_t> images, bytes;  // (B,side,side,3)
    DeviceBuffer<float> views;
    std::vector<AugmentParameters> parameters;
    ImageScaling scaling{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}, false};
  };
  compare_with_chain(
      "normalised_views", fmt::format("{}x{}x{}", batch, side, side),
      15 * static_cast<double>(batch) * static_cast<double>(side) * static_cast<double>(side), device, [=] {
        const auto p = std::make_shared<Problem>(batch, side, device);
        const Augment<float>& op = augment<float>(device);
        const Copy<float>& copying = copy<float>(device);
        return Fusion{[=, &op](Stream stream) {
                        op.apply_normalised(p->images.data(), p->parameters.data(), p->scaling,
                                            p->views.data(), batch, side, side, side, kBlurSize, stream);
                      },
                      [=, &op, &copying](Stream stream) {
                        op.apply(p->images.data(), p->parameters.data(), p->bytes.data(), batch, side, side,
                                 side, kBlurSize, stream);
                        copying.image_to_float(p->bytes.data(), p->views.data(), batch, side * side,
                                               p->scaling, stream);
                      },
                      [p] { return joined(p->views); }};
      });
}

}  // namespace

void register_fusions(Device device, bool quick) {
  if (quick) {
    compare_bce(100, device);
    compare_rank_loss(3, 40, 5, device);
    compare_average(2, 9, 20, device);
    compare_views(2, 20, device);
    return;
  }
  for (const int64_t n : {2, 1 << 20}) compare_bce(n, device);
  for (const int64_t pairs : {1, 16}) compare_rank_loss(pairs, 2000, 10, device);
  compare_average(256, 49, 512, device);
  compare_views(256, 224, device);
}

}  // namespace mt::bench
