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
constexpr const char* kCubSort = "CUB_radix_sort";
constexpr const char* kCubSelect = "CUB_select";

struct Scores {
  Scores(int64_t count, Device device)
      : n(count), scores(uniform_values(count, 6, 0, 1), device), indices(count, device) {}
  int64_t n;
  DeviceBuffer<float> scores;     // (n)
  DeviceBuffer<int64_t> indices;  // (n)
  double quantile = 0;
  int64_t kept = 0;
};

std::vector<Peer> quantile_peers(int64_t n, Device device) {
  const auto p = std::make_shared<Scores>(n, device);
  const auto answer = [p] { return std::vector<double>{p->quantile}; };
  const auto own = [p, device](Stream stream) {
    select<float>(device).quantiles(p->scores.data(), nullptr, p->n, &kLevel, &p->quantile, 1, stream);
  };
  std::vector<Peer> peers{{"own", own, answer}};
#if MT_WITH_CUDA
  if (device == Device::cuda) {
    const auto sort = std::make_shared<CubSort>(n);
    const auto pair = std::make_shared<DeviceBuffer<float>>(2, device);
    const auto cub = [p, sort, pair, device](Stream stream) {
      const double position = kLevel * static_cast<double>(p->n - 1);
      const auto below = static_cast<int64_t>(position);
      sort->order_statistics(p->scores.data(), below, pair->data(), stream);
      float values[2];  // ours ends on the host too
      copy_bytes(values, Device::cpu, pair->data(), device, sizeof(values), stream);
      const double share = position - static_cast<double>(below);
      p->quantile = values[0] + share * (static_cast<double>(values[1]) - values[0]);
    };
    peers.push_back({kCubSort, cub, answer});
  }
#endif
  return peers;
}

std::vector<Peer> compact_peers(int64_t n, Device device) {
  const auto p = std::make_shared<Scores>(n, device);
  const auto answer = [p] {
    const std::vector<int64_t> all = p->indices.host();
    return std::vector<double>(all.begin(), all.begin() + p->kept);
  };
  const auto own = [p, device](Stream stream) {
    p->kept = compact<float>(device).indices(p->scores.data(), nullptr, p->n, Threshold::at_least,
                                             static_cast<float>(kLevel), p->indices.data(), stream);
  };
  std::vector<Peer> peers{{"own", own, answer}};
#if MT_WITH_CUDA
  if (device == Device::cuda) {
    const auto choose = std::make_shared<CubSelect>(n);
    const auto count = std::make_shared<DeviceBuffer<int64_t>>(1, device);
    const auto cub = [p, choose, count, device](Stream stream) {
      choose->at_least(p->scores.data(), static_cast<float>(kLevel), p->indices.data(), count->data(),
                       stream);
      copy_bytes(&p->kept, Device::cpu, count->data(), device, sizeof(p->kept),
                 stream);  // ours ends there too
    };
    peers.push_back({kCubSelect, cub, answer});
  }
#endif
  return peers;
}

/// Ours, and CUB's where there is one.
std::vector<std::string> names_with(const char* peer, Device device) {
  std::vector<std::string> names{"own"};
  if (device == Device::cuda) names.emplace_back(peer);
  return names;
}

void compare_quantile(int64_t n, Device device) {
  register_comparison(
      {"quantile", std::to_string(n), 0, 4 * static_cast<double>(n), 1e-6, names_with(kCubSort, device),
       device == Device::cuda ? kCubSort : "", [=] { return quantile_peers(n, device); }},
      device);
}

void compare_compact(int64_t n, Device device) {
  register_comparison({"compact", std::to_string(n), 0,
                       4 * static_cast<double>(n) + 8 * (1 - kLevel) * static_cast<double>(n), 0,
                       names_with(kCubSelect, device), device == Device::cuda ? kCubSelect : "",
                       [=] { return compact_peers(n, device); }},
                      device);
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
