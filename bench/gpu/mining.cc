// Mining: exact quantiles beside a full sort, compaction beside CUB's.

#include <memory>

#include "bench/gpu/comparison.h"
#include "kernels/compact/compact.h"
#include "kernels/select/select.h"
#if MT_WITH_CUDA
#include "bench/gpu/cub_peers.h"
#endif

namespace mt::bench {
namespace {

constexpr double kLevel = 0.8;

struct Scores {
  Scores(int64_t count, Device device)
      : n(count), scores(uniform_values(count, 6, 0, 1), device), indices(count, device) {}
  int64_t n;
  DeviceBuffer<float> scores;     // (n)
  DeviceBuffer<int64_t> indices;  // (n)
  double quantile = 0;
  int64_t kept = 0;
};

void compare_quantile(int64_t n, Device device) {
  const auto p = std::make_shared<Scores>(n, device);
  const auto answer = [p] { return std::vector<double>{p->quantile}; };
  Comparison c{"quantile",
               std::to_string(n),
               0,
               4 * static_cast<double>(n),
               1e-6,
               {{"own",
                 [p, device] {
                   select<float>(device).quantiles(p->scores.data(), nullptr, p->n, &kLevel, &p->quantile, 1,
                                                   nullptr);
                 },
                 answer}},
               ""};
#if MT_WITH_CUDA
  if (device == Device::cuda) {
    const auto sort = std::make_shared<CubSort>(n);
    const auto pair = std::make_shared<DeviceBuffer<float>>(2, device);
    const auto run = [p, sort, pair] {
      const double position = kLevel * static_cast<double>(p->n - 1);
      const auto below = static_cast<int64_t>(position);
      sort->order_statistics(p->scores.data(), below, pair->data(), nullptr);
      const std::vector<float> values = pair->host();  // ours ends on the host too
      const double share = position - static_cast<double>(below);
      p->quantile = values[0] + share * (static_cast<double>(values[1]) - values[0]);
    };
    c.peers.push_back({"CUB_radix_sort", run, answer});
    c.baseline = c.peers.back().name;
  }
#endif
  register_comparison(std::move(c), device);
}

void compare_compact(int64_t n, Device device) {
  const auto p = std::make_shared<Scores>(n, device);
  const auto answer = [p] {
    const std::vector<int64_t> all = p->indices.host();
    return std::vector<double>(all.begin(), all.begin() + p->kept);
  };
  Comparison c{"compact",
               std::to_string(n),
               0,
               4 * static_cast<double>(n) + 8 * (1 - kLevel) * static_cast<double>(n),
               0,
               {{"own",
                 [p, device] {
                   p->kept =
                       compact<float>(device).indices(p->scores.data(), nullptr, p->n, Threshold::at_least,
                                                      static_cast<float>(kLevel), p->indices.data(), nullptr);
                 },
                 answer}},
               ""};
#if MT_WITH_CUDA
  if (device == Device::cuda) {
    const auto choose = std::make_shared<CubSelect>(n);
    const auto count = std::make_shared<DeviceBuffer<int64_t>>(1, device);
    const auto run = [p, choose, count] {
      choose->at_least(p->scores.data(), static_cast<float>(kLevel), p->indices.data(), count->data(),
                       nullptr);
      p->kept = count->host()[0];  // ours ends on the host too
    };
    c.peers.push_back({"CUB_select", run, answer});
    c.baseline = c.peers.back().name;
  }
#endif
  register_comparison(std::move(c), device);
}

}  // namespace

void register_mining(Device device, bool quick) {
  if (quick) {
    compare_quantile(3000, device);
    compare_compact(3000, device);
    return;
  }
  for (const int64_t n : {1000000, 10000000, 100000000}) {
    compare_quantile(n, device);
    compare_compact(n, device);
  }
}

}  // namespace mt::bench
