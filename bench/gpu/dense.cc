// Matrix products and convolutions beside cuBLASLt and cuDNN: every registered version of each, so that
// float32 is read beside float32 and TF32 beside TF32.

#include <fmt/format.h>

#include <algorithm>
#include <functional>
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

/// Naive versions are there to be read; the vendor's take part where they load.
template <typename Table>
std::vector<Version<Table>> timed_versions(Device device) {
  register_device_operations();
  const bool tensor_cores = device == Device::simt || device_runtime(device).architecture() >= 80;
  std::vector<Version<Table>> versions;
  for (const auto& version : device_versions<Table>(device)) {
    const bool runs_here = (tensor_cores || !needs_tensor_cores(version.name)) &&
                           (version.is_there == nullptr || version.is_there());
    if (version.name != "naive" && runs_here) versions.push_back(version);
  }
  return versions;
}

template <typename Table>
std::vector<std::string> names_of(const std::vector<Version<Table>>& versions) {
  std::vector<std::string> names;
  for (const auto& version : versions) names.push_back(peer_name(version));
  return names;
}

/// The vendor's float32, where it takes part.
std::string baseline_of(const std::vector<std::string>& names) {
  const auto found = std::find(names.begin(), names.end(), kVendorVersion);
  return found == names.end() ? "" : *found;
}

/// Who computed a version's last call, where that is not plain.
template <typename Table>
std::function<std::string()> choice_of(const Version<Table>& version) {
  return version.name.starts_with(kVendorVersion) ? vendor_choice : std::function<std::string()>();
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
  const auto versions = timed_versions<Gemm<float>>(device);
  const auto make = [=] {
    const auto p = std::make_shared<Matrices>(m, n, k, device);
    std::vector<Peer> peers;
    for (const auto& version : versions) {
      const auto run = [p, m, n, k, table = version.table](Stream stream) {
        table->multiply(false, true, m, n, k, p->a.data(), k, p->b.data(), k, 0, p->c.data(), n, {}, stream);
      };
      const auto answer = [p] {
        const auto c = p->c.host();
        return std::vector<double>(c.begin(), c.end());
      };
      peers.push_back({peer_name(version), run, answer, choice_of(version)});
    }
    return peers;
  };
  const double flops = 2 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const auto shape = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
  const auto names = names_of(versions);
  register_comparison({"gemm", shape, flops, 0, kTolerance, names, baseline_of(names), make}, device);
}

struct Tensors {
  Tensors(const Conv2dShape& s, Device device)
      : x(uniform_values(s.n * s.h * s.w * s.c, 9), device),
        w(uniform_values(s.k * s.r * s.s * s.c, 10), device),
        dy(uniform_values(s.n * s.out_h() * s.out_w() * s.k, 11), device),
        y(s.n * s.out_h() * s.out_w() * s.k, device),
        dx(s.n * s.h * s.w * s.c, device),
        dw(s.k * s.r * s.s * s.c, device) {}
  DeviceBuffer<float> x, w, dy;  // (N,H,W,C), (K,R,S,C), (N,P,Q,K)
  DeviceBuffer<float> y, dx, dw;
};

using RunPass = void (*)(const Conv2d<float>& table, Tensors& tensors, const Conv2dShape& s, Stream stream);

void compare_pass(const char* pass, const Conv2dShape& s, RunPass run, DeviceBuffer<float> Tensors::*out,
                  Device device) {
  const auto versions = timed_versions<Conv2d<float>>(device);
  const auto make = [=] {
    const auto p = std::make_shared<Tensors>(s, device);
    std::vector<Peer> peers;
    for (const auto& version : versions) {
      peers.push_back({peer_name(version),
                       [=, table = version.table](Stream stream) { run(*table, *p, s, stream); },
                       [p, out] {
                         const auto values = ((*p).*out).host();
                         return std::vector<double>(values.begin(), values.end());
                       },
                       choice_of(version)});
    }
    return peers;
  };
  const double flops = 2.0 * static_cast<double>(s.n * s.out_h() * s.out_w() * s.k * s.r * s.s * s.c);
  const auto names = names_of(versions);
  register_comparison({pass, text_of(s), flops, 0, kTolerance, names, baseline_of(names), make}, device);
}

void compare_conv2d(const Conv2dShape& s, Device device) {
  compare_pass(
      "conv2d_forward", s,
      [](const Conv2d<float>& t, Tensors& v, const Conv2dShape& z, Stream stream) {
        t.forward(v.x.data(), v.w.data(), v.y.data(), z, stream);
      },
      &Tensors::y, device);
  compare_pass(
      "conv2d_backward_data", s,
      [](const Conv2d<float>& t, Tensors& v, const Conv2dShape& z, Stream stream) {
        t.backward_data(v.dy.data(), v.w.data(), v.dx.data(), z, stream);
      },
      &Tensors::dx, device);
  compare_pass(
      "conv2d_backward_weights", s,
      [](const Conv2d<float>& t, Tensors& v, const Conv2dShape& z, Stream stream) {
        t.backward_weights(v.x.data(), v.dy.data(), v.dw.data(), z, stream);
      },
      &Tensors::dw, device);
}

/// What a fused convolution and the chain that it replaces need: made once for all peers.
struct FusedProblem {
  std::shared_ptr<DeviceBuffer<float>> out;
  std::function<void(const Conv2d<float>&table, Stream stream)> fused, chain;
};

/// Fused convolutions of each version beside the chain of operations that they replace; the ratio is taken
/// against the vendor's convolution in such a chain.
void compare_with_chain(const char* operation, const Conv2dShape& s, Device device,
                        const std::function<FusedProblem()>& problem) {
  const auto versions = timed_versions<Conv2d<float>>(device);
  // Of the vendor's versions the fused functions are our own.
  const auto has_fused = [](const auto& version) { return !version.name.starts_with(kVendorVersion); };
  const auto chain_name = [](const auto& version) { return peer_name(version) + "_chain"; };
  std::vector<std::string> names;
  std::string baseline;
  for (const auto& version : versions) {
    if (has_fused(version)) names.push_back(peer_name(version));
    names.push_back(chain_name(version));
    if (version.name == kVendorVersion) baseline = names.back();
  }
  const auto make = [=] {
    const FusedProblem p = problem();
    const auto answer = [p] {
      const auto values = p.out->host();
      return std::vector<double>(values.begin(), values.end());
    };
    std::vector<Peer> peers;
    for (const auto& version : versions) {
      const Conv2d<float>& table = *version.table;
      if (has_fused(version))
        peers.push_back({peer_name(version), [p, &table](Stream stream) { p.fused(table, stream); }, answer});
      peers.push_back({chain_name(version), [p, &table](Stream stream) { p.chain(table, stream); }, answer,
                       choice_of(version)});
    }
    return peers;
  };
  const double flops = 2.0 * static_cast<double>(s.n * s.out_h() * s.out_w() * s.k * s.r * s.s * s.c);
  register_comparison({operation, text_of(s), flops, 0, kTolerance, names, baseline, make}, device);
}

/// With bias, residual and ReLU.
FusedProblem epilogue_problem(const Conv2dShape& s, Device device) {
  const int64_t y_size = s.n * s.out_h() * s.out_w() * s.k;
  const auto of = [device](int64_t n, uint64_t seed) {
    return std::make_shared<DeviceBuffer<float>>(uniform_values(n, seed), device);
  };
  const auto x = of(s.n * s.h * s.w * s.c, 9);   // (N,H,W,C)
  const auto w = of(s.k * s.r * s.s * s.c, 10);  // (K,R,S,C)
  const auto bias = of(s.k, 12);                 // (K)
  const auto residual = of(y_size, 13);          // (N,P,Q,K)
  const auto y = std::make_shared<DeviceBuffer<float>>(y_size, device);
  const auto fused = [=](const Conv2d<float>& t, Stream stream) {
    t.forward_fused(x->data(), w->data(), y->data(), s,
                    {.bias = bias->data(), .residual = residual->data(), .relu = true}, stream);
  };
  const auto chain = [=](const Conv2d<float>& t, Stream stream) {
    t.forward(x->data(), w->data(), y->data(), s, stream);
    elementwise<float>(device).add_row(y->data(), bias->data(), y->data(), y_size / s.k, s.k, stream);
    elementwise<float>(device).add(y->data(), residual->data(), y->data(), y_size, stream);
    activation<float>(device).forward(ActivationKind::relu, y->data(), y->data(), y_size, stream);
  };
  return {y, fused, chain};
}

/// The stem, of 8-bit pixels.
FusedProblem pixels_problem(const Conv2dShape& s, Device device) {
  std::vector<uint8_t> bytes(static_cast<std::size_t>(s.n * s.h * s.w * 3));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37 + i / 256);
  const auto pixels = std::make_shared<DeviceBuffer<uint8_t>>(bytes, device);  // (N,H,W,3)
  const auto w = std::make_shared<DeviceBuffer<float>>(uniform_values(s.k * s.r * s.s * 3, 10), device);
  const auto x = std::make_shared<DeviceBuffer<float>>(s.n * s.h * s.w * 3, device);
  const auto y = std::make_shared<DeviceBuffer<float>>(s.n * s.out_h() * s.out_w() * s.k, device);
  const ImageScaling scaling{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}, false};
  const auto fused = [=](const Conv2d<float>& t, Stream stream) {
    t.forward_pixels(pixels->data(), scaling, w->data(), y->data(), s, {}, stream);
  };
  const auto chain = [=](const Conv2d<float>& t, Stream stream) {
    copy<float>(device).image_to_float(pixels->data(), x->data(), s.n, s.h * s.w, scaling, stream);
    t.forward(x->data(), w->data(), y->data(), s, stream);
  };
  return {y, fused, chain};
}

void compare_epilogue(const Conv2dShape& s, Device device) {
  compare_with_chain("conv2d_epilogue", s, device, [=] { return epilogue_problem(s, device); });
}

void compare_pixels(const Conv2dShape& s, Device device) {
  compare_with_chain("conv2d_pixels", s, device, [=] { return pixels_problem(s, device); });
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
