// Matrix products and convolutions beside cuBLASLt and cuDNN: every registered version of each, so that
// float32 is read beside float32 and TF32 beside TF32.

#include <fmt/format.h>

#include <memory>

#include "bench/gpu/comparison.h"
#include "kernels/common/tables.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/gemm/gemm.h"

namespace mt::bench {
namespace {

/// Of inputs in [-1, 1): products rounded to bfloat16 lie within this of the largest element.
constexpr double kTolerance = 0.02;

template <typename Table>
std::string peer_name(const Version<Table>& version) {
  return version.name.empty() ? "own" : std::string(version.name);
}

/// Whether a version multiplies on tensor cores, which GPUs before sm_80 do not have in this form.
bool needs_tensor_cores(std::string_view version) {
  return version == "tf32" || version == "tf32x3" || version == "bf16";
}

/// Naive versions are there to be read.
template <typename Table>
std::vector<Version<Table>> timed_versions(Device device) {
  register_device_operations();
  const bool tensor_cores = device == Device::simt || device_runtime(device).architecture() >= 80;
  std::vector<Version<Table>> versions;
  for (const auto& version : device_versions<Table>(device)) {
    const bool runs_here = tensor_cores || !needs_tensor_cores(version.name);
    if (version.name != "naive" && runs_here) versions.push_back(version);
  }
  return versions;
}

std::string baseline_of(const std::vector<Peer>& peers) {
  for (const Peer& peer : peers) {
    if (peer.name == kVendorVersion) return peer.name;
  }
  return "";
}

struct Matrices {
  Matrices(int64_t m, int64_t n, int64_t k, Device device)
      : a(uniform_values(m * k, 7), device), b(uniform_values(n * k, 8), device), c(m * n, device) {}
  DeviceBuffer<float> a, b, c;  // (m,k), (n,k), (m,n)
};

/// "64x56x56x64_k128_3x3_s2": N,H,W,C, filters, taps, stride.
std::string text_of(const Conv2dShape& s) {
  return fmt::format("{}x{}x{}x{}_k{}_{}x{}_s{}", s.n, s.h, s.w, s.c, s.k, s.r, s.s, s.stride);
}

void compare_gemm(int64_t m, int64_t n, int64_t k, Device device) {
  const auto p = std::make_shared<Matrices>(m, n, k, device);
  std::vector<Peer> peers;
  for (const auto& version : timed_versions<Gemm<float>>(device)) {
    const auto run = [p, m, n, k, table = version.table] {
      table->multiply(false, true, m, n, k, p->a.data(), k, p->b.data(), k, 0, p->c.data(), n, {}, nullptr);
    };
    const auto answer = [p] {
      const auto c = p->c.host();
      return std::vector<double>(c.begin(), c.end());
    };
    peers.push_back({peer_name(version), run, answer});
  }
  const double flops = 2 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const auto shape = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
  const std::string baseline = baseline_of(peers);
  register_comparison({"gemm", shape, flops, 0, kTolerance, std::move(peers), baseline}, device);
}

void compare_conv2d(const Conv2dShape& s, Device device) {
  const int64_t x_size = s.n * s.h * s.w * s.c;
  const int64_t w_size = s.k * s.r * s.s * s.c;
  const int64_t y_size = s.n * s.out_h() * s.out_w() * s.k;
  struct Tensors {
    Tensors(int64_t x_size, int64_t w_size, int64_t y_size, Device device)
        : x(uniform_values(x_size, 9), device),
          w(uniform_values(w_size, 10), device),
          dy(uniform_values(y_size, 11), device),
          y(y_size, device),
          dx(x_size, device),
          dw(w_size, device) {}
    DeviceBuffer<float> x, w, dy;  // (N,H,W,C), (K,R,S,C), (N,P,Q,K)
    DeviceBuffer<float> y, dx, dw;
  };
  const auto p = std::make_shared<Tensors>(x_size, w_size, y_size, device);
  const std::string shape = text_of(s);
  const double flops = 2 * static_cast<double>(y_size) * static_cast<double>(s.r * s.s * s.c);
  const auto compare = [&](const char* pass, auto run_of, DeviceBuffer<float> Tensors::*out) {
    std::vector<Peer> peers;
    for (const auto& version : timed_versions<Conv2d<float>>(device)) {
      peers.push_back({peer_name(version), [p, s, run_of, table = version.table] { run_of(*table, *p, s); },
                       [p, out] {
                         const auto values = ((*p).*out).host();
                         return std::vector<double>(values.begin(), values.end());
                       }});
    }
    const std::string baseline = baseline_of(peers);
    register_comparison({pass, shape, flops, 0, kTolerance, std::move(peers), baseline}, device);
  };
  using Table = Conv2d<float>;
  compare(
      "conv2d_forward",
      [](const Table& t, Tensors& v, const Conv2dShape& z) {
        t.forward(v.x.data(), v.w.data(), v.y.data(), z, nullptr);
      },
      &Tensors::y);
  compare(
      "conv2d_backward_data",
      [](const Table& t, Tensors& v, const Conv2dShape& z) {
        t.backward_data(v.dy.data(), v.w.data(), v.dx.data(), z, nullptr);
      },
      &Tensors::dx);
  compare(
      "conv2d_backward_weights",
      [](const Table& t, Tensors& v, const Conv2dShape& z) {
        t.backward_weights(v.x.data(), v.dy.data(), v.dw.data(), z, nullptr);
      },
      &Tensors::dw);
}

}  // namespace

void register_dense(Device device, bool quick) {
  if (quick) {
    compare_gemm(37, 29, 41, device);
    compare_conv2d({2, 9, 9, 5, 6, 3, 3, 2, 1}, device);
    return;
  }
  compare_gemm(4096, 4096, 4096, device);
  compare_gemm(100352, 64, 576, device);
  compare_gemm(2000, 128, 512, device);
  // ResNet-18's shapes at 224 pixels, 64 images.
  compare_conv2d({64, 224, 224, 3, 64, 7, 7, 2, 3}, device);
  compare_conv2d({64, 56, 56, 64, 64, 3, 3, 1, 1}, device);
  compare_conv2d({64, 56, 56, 64, 128, 3, 3, 2, 1}, device);
  compare_conv2d({64, 28, 28, 128, 128, 3, 3, 1, 1}, device);
  compare_conv2d({64, 56, 56, 64, 128, 1, 1, 2, 0}, device);
  compare_conv2d({64, 7, 7, 512, 512, 3, 3, 1, 1}, device);
}

}  // namespace mt::bench
