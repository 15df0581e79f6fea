// Entries that do at once what others do one after the other, beside that chain: tests hold their bits
// against each other, the ratio is what the fusion is worth.

#include <fmt/format.h>

#include <memory>

#include "bench/gpu/comparison.h"
#include "kernels/norm/norm.h"
#include "kernels/pool/pool.h"

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

}  // namespace

void register_fusions(Device device, bool quick) {
  if (quick) {
    compare_average(2, 9, 20, device);
    return;
  }
  compare_average(256, 49, 512, device);
}

}  // namespace mt::bench
