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
        dense(n * n, where) {
    batch.z = z.data();
    batch.labels = labels.data();
    batch.rows = batch.anchors = rows;
    batch.width = width;
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
  void own_forward() {
    supcon<float>(device).forward(batch, lse.data(), positive_sum.data(), count.data(), loss.data(), nullptr);
  }
  void own_backward() {
    supcon<float>(device).backward(batch, lse.data(), count.data(), dloss.data(), dz.data(), nullptr);
  }
  void products() {  // dense (rows,rows) = z zᵀ
    baseline_gemm(device).multiply(false, true, rows, rows, width, z.data(), width, z.data(), width, 0,
                                   dense.data(), rows, {}, nullptr);
  }
  void dense_forward() {
    products();
    dense_supcon(device).forward(dense.data(), labels.data(), rows, temperature(), lse.data(),
                                 positive_sum.data(), count.data(), nullptr);
  }
  void dense_backward() {
    products();
    dense_supcon(device).pair_gradient(dense.data(), labels.data(), lse.data(), count.data(), rows,
                                       temperature(), dense.data(), nullptr);
    baseline_gemm(device).multiply(false, false, rows, width, rows, dense.data(), rows, z.data(), width, 0,
                                   dz.data(), width, {}, nullptr);
  }
  float temperature() const { return static_cast<float>(batch.temperature); }

  int64_t rows;
  int64_t width;
  Device device;
  DeviceBuffer<float> z;
  DeviceBuffer<int32_t> labels;
  DeviceBuffer<float> lse, positive_sum;
  DeviceBuffer<int32_t> count;
  DeviceBuffer<float> loss, dloss, dz, dense;
  SupConBatch<float> batch;
};

void compare_supcon(int64_t rows, int64_t width, Device device) {
  const auto p = std::make_shared<SupConProblem>(rows, width, device);
  const std::string shape = std::to_string(rows) + "x" + std::to_string(width);
  const double pairs = static_cast<double>(rows) * static_cast<double>(rows) * static_cast<double>(width);
  const auto statistics = [p] { return joined(p->lse.host(), p->positive_sum.host()); };
  const auto gradient = [p] { return joined(p->dz.host()); };
  register_comparison({"supcon_forward",
                       shape,
                       2 * pairs,
                       0,
                       1e-4,
                       {{"own", [p] { p->own_forward(); }, statistics},
                        {"gemm+rows", [p] { p->dense_forward(); }, statistics}},
                       "gemm+rows"},
                      device);
  register_comparison({"supcon_backward",
                       shape,
                       4 * pairs,
                       0,
                       1e-3,
                       {{"own", [p] { p->own_backward(); }, gradient},
                        {"gemm+pairs+gemm", [p] { p->dense_backward(); }, gradient}},
                       "gemm+pairs+gemm"},
                      device);
}

void compare_rank_loss(int64_t pairs, int64_t bag, int64_t top, Device device) {
  struct Problem {
    std::vector<int64_t> offsets;  // bags differ in size: a quarter more or less
    std::unique_ptr<DeviceBuffer<float>> logits, loss;
    std::unique_ptr<DeviceBuffer<int64_t>> selected;
#if MT_WITH_CUDA
    std::unique_ptr<CubRank> cub;
#endif
  };
  const auto p = std::make_shared<Problem>();
  p->offsets.push_back(0);
  for (int64_t b = 0; b < 2 * pairs; ++b)
    p->offsets.push_back(p->offsets.back() + bag + (b % 3 - 1) * bag / 4);
  const int64_t n = p->offsets.back();
  p->logits = std::make_unique<DeviceBuffer<float>>(uniform_values(n, 3), device);
  p->loss = std::make_unique<DeviceBuffer<float>>(pairs, device);
  p->selected = std::make_unique<DeviceBuffer<int64_t>>(2 * pairs * top, device);
  const auto answer = [p] { return joined(p->loss->host()); };
  Comparison c{"rank_loss_forward",
               std::to_string(pairs) + "x2x" + std::to_string(bag),
               0,
               4 * static_cast<double>(n),
               1e-5,
               {{"own",
                 [p, pairs, top, device] {
                   rank_loss<float>(device).forward(p->logits->data(), p->offsets.data(), pairs, top,
                                                    p->loss->data(), p->selected->data(), nullptr);
                 },
                 answer}},
               ""};
#if MT_WITH_CUDA
  if (device == Device::cuda) {
    p->cub = std::make_unique<CubRank>(p->offsets.data(), pairs);
    c.peers.push_back({"CUB_segmented_sort",
                       [p, top] { p->cub->forward(p->logits->data(), top, p->loss->data(), nullptr); },
                       answer});
    c.baseline = c.peers.back().name;
  }
#endif
  register_comparison(std::move(c), device);
}

void compare_dsmil(int64_t instances, int64_t query, int64_t values, Device device) {
  struct Problem {
    Problem(int64_t n, int64_t q_width, int64_t v_width, Device where)
        : q(uniform_values(n * q_width, 4), where),
          v(uniform_values(n * v_width, 5), where),
          critical(std::vector<int64_t>{0}, where),
          attention(n, where),
          pooled(v_width, where) {}
    DeviceBuffer<float> q, v;  // (N,Q), (N,V)
    DeviceBuffer<int64_t> critical;
    DeviceBuffer<float> attention, pooled;  // (N,1), (1,V)
  };
  const auto p = std::make_shared<Problem>(instances, query, values, device);
  const DsmilShape shape{instances, 1, query, values, 1 / std::sqrt(static_cast<double>(query))};
  const auto answer = [p] { return joined(p->attention.host(), p->pooled.host()); };
  const auto chain = [p, shape, device] {
    const Gemm<float>& product = baseline_gemm(device);
    const int64_t n = shape.instances;
    product.multiply(false, true, n, 1, shape.query_width, p->q.data(), shape.query_width, p->q.data(),
                     shape.query_width, 0, p->attention.data(), 1, {}, nullptr);
    elementwise<float>(device).scale(p->attention.data(), static_cast<float>(shape.scale),
                                     p->attention.data(), n, nullptr);
    softmax<float>(device).forward(p->attention.data(), p->attention.data(), 1, n, nullptr);
    product.multiply(false, false, 1, shape.value_width, n, p->attention.data(), n, p->v.data(),
                     shape.value_width, 0, p->pooled.data(), shape.value_width, {}, nullptr);
  };
  const double numbers = static_cast<double>(instances) * static_cast<double>(query + values);
  register_comparison({"dsmil_forward",
                       std::to_string(instances) + "x" + std::to_string(query) + "+" + std::to_string(values),
                       2 * numbers,
                       4 * numbers,
                       1e-4,
                       {{"own",
                         [p, shape, device] {
                           dsmil<float>(device).forward(shape, p->q.data(), p->critical.data(), p->v.data(),
                                                        p->attention.data(), p->pooled.data(), nullptr);
                         },
                         answer},
                        {"gemm+softmax+gemm", chain, answer}},
                       "gemm+softmax+gemm"},
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
