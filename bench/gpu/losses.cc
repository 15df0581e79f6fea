// Losses and pooling: SupCon beside the matrix of all pairs, the ranking loss beside a sort, DSMIL beside
// GEMM, softmax, GEMM.

#include <cmath>
#include <memory>

#include "bench/gpu/comparison.h"
#include "bench/gpu/dense_supcon.h"
#include "kernels/common/tables.h"
#include "kernels/dsmil/dsmil.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/gemm/gemm.h"
#include "kernels/rank_loss/rank_loss.h"
#include "kernels/softmax/softmax.h"
#include "kernels/supcon/supcon.h"
#include "tensor/rng.h"
#if MT_WITH_CUDA
#include "bench/gpu/cub_peers.h"
#endif

namespace mt::bench {

const DenseSupCon& dense_supcon(Device device) {
#if MT_WITH_CUDA
  if (device == Device::cuda) return cuda_backend::kDenseSupCon;
#endif
  (void)device;
  return simt_backend::kDenseSupCon;
}

namespace {

constexpr const char* kCubSort = "CUB_segmented_sort";

/// The library's product where there is one, else ours: the baseline gets the better of what is there.
const Gemm<float>& baseline_gemm(Device device) {
  const auto* vendor = find_device_table<Gemm<float>>(device, kVendorVersion);
  return vendor != nullptr ? *vendor : gemm<float>(device);
}

std::vector<double> joined(const std::vector<float>& a, const std::vector<float>& b = {}) {
  std::vector<double> all(a.begin(), a.end());
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

/// z (rows,width) of length 1, a fifth of the rows of label 1.
struct SupConProblem {
  SupConProblem(int64_t n, int64_t d, Device where)
      : rows(n),
        width(d),
        device(where),
        z(unit_rows(n, d), where),
        labels(random_labels(n), where),
        lse(n, where),
        positive_sum(n, where),
        count(n, where),
        loss(1, where),
        dloss(std::vector<float>{1}, where),
        dz(n * d, where),
        dense(n * n, where) {}
  SupConBatch<float> batch() const {
    SupConBatch<float> batch;
    batch.z = z.data();
    batch.labels = labels.data();
    batch.rows = batch.anchors = rows;
    batch.width = width;
    return batch;
  }
  static std::vector<float> unit_rows(int64_t n, int64_t d) {
    std::vector<float> values(static_cast<std::size_t>(n * d));
    RandomStream random(1, Purpose::test);
    for (int64_t row = 0; row < n; ++row) {
      double squares = 0;
      for (int64_t i = row * d; i < (row + 1) * d; ++i) {
        const float value = random.normal();
        values[static_cast<std::size_t>(i)] = value;
        squares += static_cast<double>(value) * value;
      }
      for (int64_t i = row * d; i < (row + 1) * d; ++i) {
        values[static_cast<std::size_t>(i)] /= static_cast<float>(std::sqrt(squares));
      }
    }
    return values;
  }
  static std::vector<int32_t> random_labels(int64_t n) {
    RandomStream random(2, Purpose::test);
    std::vector<int32_t> labels(static_cast<std::size_t>(n));
    for (int32_t& label : labels) label = random.chance(0.2F) ? 1 : 0;
    return labels;
  }
  void own_forward(Stream stream) {
    supcon<float>(device).forward(batch(), lse.data(), positive_sum.data(), count.data(), loss.data(),
                                  stream);
  }
  void own_backward(Stream stream) {
    supcon<float>(device).backward(batch(), lse.data(), count.data(), dloss.data(), dz.data(), stream);
  }
  void products(Stream stream) {  // dense (rows,rows) = z zᵀ
    baseline_gemm(device).multiply(false, true, rows, rows, width, z.data(), width, z.data(), width, 0,
                                   dense.data(), rows, {}, stream);
  }
  void dense_forward(Stream stream) {
    products(stream);
    dense_supcon(device).forward(dense.data(), labels.data(), rows, temperature(), lse.data(),
                                 positive_sum.data(), count.data(), stream);
  }
  void dense_backward(Stream stream) {
    products(stream);
    dense_supcon(device).pair_gradient(dense.data(), labels.data(), lse.data(), count.data(), rows,
                                       temperature(), dense.data(), stream);
    baseline_gemm(device).multiply(false, false, rows, width, rows, dense.data(), rows, z.data(), width, 0,
                                   dz.data(), width, {}, stream);
  }
  /// What backward() reads, in every copy of the memory.
  void remember_forward() {
    own_forward(nullptr);
    synchronize(device);
  }
  float temperature() const { return static_cast<float>(batch().temperature); }

  int64_t rows;
  int64_t width;
  Device device;
  DeviceBuffer<float> z;
  DeviceBuffer<int32_t> labels;
  DeviceBuffer<float> lse, positive_sum;
  DeviceBuffer<int32_t> count;
  DeviceBuffer<float> loss, dloss, dz, dense;
};

void compare_supcon(int64_t rows, int64_t width, Device device) {
  const std::string shape = std::to_string(rows) + "x" + std::to_string(width);
  const double pairs = static_cast<double>(rows) * static_cast<double>(rows) * static_cast<double>(width);
  const auto forward = [=] {
    const auto p = std::make_shared<SupConProblem>(rows, width, device);
    const auto statistics = [p] { return joined(p->lse.host(), p->positive_sum.host()); };
    return std::vector<Peer>{
        {"own", [p](Stream stream) { p->own_forward(stream); }, statistics},
        {"gemm+rows", [p](Stream stream) { p->dense_forward(stream); }, statistics, vendor_choice}};
  };
  register_comparison(
      {"supcon_forward", shape, 2 * pairs, 0, 1e-4, {"own", "gemm+rows"}, "gemm+rows", forward}, device);
  const auto backward = [=] {
    const auto p = std::make_shared<SupConProblem>(rows, width, device);
    p->remember_forward();
    const auto gradient = [p] { return joined(p->dz.host()); };
    return std::vector<Peer>{
        {"own", [p](Stream stream) { p->own_backward(stream); }, gradient},
        {"gemm+pairs+gemm", [p](Stream stream) { p->dense_backward(stream); }, gradient, vendor_choice}};
  };
  register_comparison(
      {"supcon_backward", shape, 4 * pairs, 0, 1e-3, {"own", "gemm+pairs+gemm"}, "gemm+pairs+gemm", backward},
      device);
}

std::vector<Peer> rank_loss_peers(const std::vector<int64_t>& offsets, int64_t pairs, int64_t top,
                                  Device device) {
  struct Problem {
    Problem(const std::vector<int64_t>& bags, int64_t pair_count, int64_t chosen, Device where)
        : offsets(bags),
          logits(uniform_values(bags.back(), 3), where),
          loss(pair_count, where),
          selected(2 * pair_count * chosen, where) {}
    std::vector<int64_t> offsets;
    DeviceBuffer<float> logits, loss;
    DeviceBuffer<int64_t> selected;
#if MT_WITH_CUDA
    std::unique_ptr<CubRank> cub;
#endif
  };
  const auto p = std::make_shared<Problem>(offsets, pairs, top, device);
  const auto answer = [p] { return joined(p->loss.host()); };
  const auto own = [p, pairs, top, device](Stream stream) {
    rank_loss<float>(device).forward(p->logits.data(), p->offsets.data(), pairs, top, p->loss.data(),
                                     p->selected.data(), stream);
  };
  std::vector<Peer> peers{{"own", own, answer}};
#if MT_WITH_CUDA
  if (device == Device::cuda) {
    p->cub = std::make_unique<CubRank>(p->offsets.data(), pairs);
    const auto cub = [p, top](Stream stream) {
      p->cub->forward(p->logits.data(), top, p->loss.data(), stream);
    };
    peers.push_back({kCubSort, cub, answer});
  }
#endif
  return peers;
}

void compare_rank_loss(int64_t pairs, int64_t bag, int64_t top, Device device) {
  std::vector<int64_t> offsets{0};  // bags differ in size: a quarter more or less
  for (int64_t b = 0; b < 2 * pairs; ++b) offsets.push_back(offsets.back() + bag + (b % 3 - 1) * bag / 4);
  std::vector<std::string> names{"own"};
  if (device == Device::cuda) names.emplace_back(kCubSort);
  register_comparison(
      {"rank_loss_forward", std::to_string(pairs) + "x2x" + std::to_string(bag), 0,
       4 * static_cast<double>(offsets.back()), 1e-5, names, device == Device::cuda ? kCubSort : "",
       [=] { return rank_loss_peers(offsets, pairs, top, device); }},
      device);
}

std::vector<Peer> dsmil_peers(const DsmilShape& shape, Device device) {
  struct Problem {
    Problem(const DsmilShape& s, Device where)
        : q(uniform_values(s.instances * s.query_width, 4), where),
          v(uniform_values(s.instances * s.value_width, 5), where),
          critical(std::vector<int64_t>{0}, where),
          attention(s.instances, where),
          pooled(s.value_width, where) {}
    DeviceBuffer<float> q, v;  // (N,Q), (N,V)
    DeviceBuffer<int64_t> critical;
    DeviceBuffer<float> attention, pooled;  // (N,1), (1,V)
  };
  const auto p = std::make_shared<Problem>(shape, device);
  const auto answer = [p] { return joined(p->attention.host(), p->pooled.host()); };
  const auto own = [p, shape, device](Stream stream) {
    dsmil<float>(device).forward(shape, p->q.data(), p->critical.data(), p->v.data(), p->attention.data(),
                                 p->pooled.data(), stream);
  };
  const auto chain = [p, shape, device](Stream stream) {
    const Gemm<float>& product = baseline_gemm(device);
    const int64_t n = shape.instances;
    product.multiply(false, true, n, 1, shape.query_width, p->q.data(), shape.query_width, p->q.data(),
                     shape.query_width, 0, p->attention.data(), 1, {}, stream);
    elementwise<float>(device).scale(p->attention.data(), static_cast<float>(shape.scale),
                                     p->attention.data(), n, stream);
    softmax<float>(device).forward(p->attention.data(), p->attention.data(), 1, n, stream);
    product.multiply(false, false, 1, shape.value_width, n, p->attention.data(), n, p->v.data(),
                     shape.value_width, 0, p->pooled.data(), shape.value_width, {}, stream);
  };
  return {{"own", own, answer}, {"gemm+softmax+gemm", chain, answer, vendor_choice}};
}

void compare_dsmil(int64_t instances, int64_t query, int64_t values, Device device) {
  const DsmilShape shape{instances, 1, query, values, 1 / std::sqrt(static_cast<double>(query))};
  const double numbers = static_cast<double>(instances) * static_cast<double>(query + values);
  register_comparison({"dsmil_forward",
                       std::to_string(instances) + "x" + std::to_string(query) + "+" + std::to_string(values),
                       2 * numbers,
                       4 * numbers,
                       1e-4,
                       {"own", "gemm+softmax+gemm"},
                       "gemm+softmax+gemm",
                       [=] { return dsmil_peers(shape, device); }},
                      device);
}

}  // namespace

void register_losses(Device device, bool quick) {
  if (quick) {
    compare_supcon(70, 20, device);
    compare_rank_loss(3, 40, 5, device);
    compare_dsmil(150, 16, 24, device);
    return;
  }
  for (const int64_t rows : {1024, 8192, 16384}) compare_supcon(rows, 128, device);
  compare_rank_loss(16, 2000, 10, device);
  compare_rank_loss(16, 20000, 10, device);
  for (const int64_t instances : {2000, 20000, 100000}) compare_dsmil(instances, 128, 512, device);
}

}  // namespace mt::bench
