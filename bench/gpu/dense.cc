// Matrix products and convolutions beside cuBLASLt and cuDNN: every registered version of each, so that
// float32 is read beside float32 and TF32 beside TF32.

#include <fmt/format.h>

#include <memory>

#include "bench/gpu/comparison.h"
#include "kernels/activation/activation.h"
#include "kernels/common/tables.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/elementwise/elementwise.h"
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

/// Fused convolutions of each version beside the chain of operations that they replace; the ratio is taken
/// against the vendor's convolution in such a chain. Both end in `out` and are given a table.
template <typename Fused, typename Chain>
void compare_with_chain(const char* operation, const Conv2dShape& s,
                        const std::shared_ptr<DeviceBuffer<float>>& out, Device device, const Fused& fused,
                        const Chain& chain) {
  const auto answer = [out] {
    const auto values = out->host();
    return std::vector<double>(values.begin(), values.end());
  };
  std::vector<Peer> peers;
  std::string baseline;
  for (const auto& version : timed_versions<Conv2d<float>>(device)) {
    const std::string chain_name = peer_name(version) + "_chain";
    if (!version.name.starts_with(kVendorVersion))  // its fused functions are our own
      peers.push_back({peer_name(version), [fused, table = version.table] { fused(*table); }, answer});
    peers.push_back({chain_name, [chain, table = version.table] { chain(*table); }, answer});
    if (version.name == kVendorVersion) baseline = chain_name;
  }
  const double flops = 2.0 * static_cast<double>(s.n * s.out_h() * s.out_w() * s.k * s.r * s.s * s.c);
  register_comparison({operation, text_of(s), flops, 0, kTolerance, std::move(peers), baseline}, device);
}

/// With bias, residual and ReLU.
void compare_epilogue(const Conv2dShape& s, Device device) {
  const int64_t y_size = s.n * s.out_h() * s.out_w() * s.k;
  const auto of = [device](int64_t n, uint64_t seed) {
    return std::make_shared<DeviceBuffer<float>>(uniform_values(n, seed), device);
  };
  const auto x = of(s.n * s.h * s.w * s.c, 9);   // (N,H,W,C)
  const auto w = of(s.k * s.r * s.s * s.c, 10);  // (K,R,S,C)
  const auto bias = of(s.k, 12);                 // (K)
  const auto residual = of(y_size, 13);          // (N,P,Q,K)
  const auto y = std::make_shared<DeviceBuffer<float>>(y_size, device);
  const auto fused = [=](const Conv2d<float>& t) {
    t.forward_fused(x->data(), w->data(), y->data(), s,
                    {.bias = bias->data(), .residual = residual->data(), .relu = true}, nullptr);
  };
  const auto chain = [=](const Conv2d<float>& t) {
    t.forward(x->data(), w->data(), y->data(), s, nullptr);
    elementwise<float>(device).add_row(y->data(), bias->data(), y->data(), y_size / s.k, s.k, nullptr);
    elementwise<float>(device).add(y->data(), residual->data(), y->data(), y_size, nullptr);
    activation<float>(device).forward(ActivationKind::relu, y->data(), y->data(), y_size, nullptr);
  };
  compare_with_chain("conv2d_epilogue", s, y, device, fused, chain);
}

/// The stem, of 8-bit pixels.
void compare_pixels(const Conv2dShape& s, Device device) {
  std::vector<uint8_t> bytes(static_cast<std::size_t>(s.n * s.h * s.w * 3));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37 + i / 256);
  const auto pixels = std::make_shared<DeviceBuffer<uint8_t>>(bytes, device);  // (N,H,W,3)
  const auto w = std::make_shared<DeviceBuffer<float>>(uniform_values(s.k * s.r * s.s * 3, 10), device);
  const auto x = std::make_shared<DeviceBuffer<float>>(s.n * s.h * s.w * 3, device);
  const auto y = std::make_shared<DeviceBuffer<float>>(s.n * s.out_h() * s.out_w() * s.k, device);
  const ImageScaling scaling{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}, false};
  const auto fused = [=](const Conv2d<float>& t) {
    t.forward_pixels(pixels->data(), scaling, w->data(), y->data(), s, {}, nullptr);
  };
  const auto chain = [=](const Conv2d<float>& t) {
    copy<float>(device).image_to_float(pixels->data(), x->data(), s.n, s.h * s.w, scaling, nullptr);
    t.forward(x->data(), w->data(), y->data(), s, nullptr);
  };
  compare_with_chain("conv2d_pixels", s, y, device, fused, chain);
}

}  // namespace

void register_dense(Device device, bool quick) {
  if (quick) {
    compare_gemm(37, 29, 41, device);
    compare_conv2d({2, 9, 9, 5, 6, 3, 3, 2, 1}, device);
    compare_epilogue({2, 9, 9, 5, 6, 3, 3, 2, 1}, device);
    compare_pixels({2, 9, 9, 3, 6, 3, 3, 2, 1}, device);
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
  compare_epilogue({64, 56, 56, 64, 64, 3, 3, 1, 1}, device);
  compare_pixels({64, 224, 224, 3, 64, 7, 7, 2, 3}, device);
}

}  // namespace mt::bench
