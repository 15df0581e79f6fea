// InstanceNorm, forward and backward, beside what this device's memory needs for as many bytes (the rows of
// `memory`).

#include <fmt/format.h>

#include <memory>

#include "bench/gpu/comparison.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/norm/norm.h"

namespace mt::bench {
namespace {

std::vector<double> joined(const DeviceBuffer<float>& a, const DeviceBuffer<float>& b) {
  std::vector<double> all;
  for (const auto& part : {a.host(), b.host()}) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// With scale, shift and ReLU, as in a ResNet.
struct Maps {
  Maps(int64_t images, int64_t places, int64_t channels, Device where)
      : n(images),
        pixels(places),
        c(channels),
        op(norm<float>(where)),
        x(uniform_values(n * pixels * c, 14), where),
        dy(uniform_values(n * pixels * c, 15), where),
        gamma(uniform_values(c, 16, 0.5F, 1.5F), where),
        beta(uniform_values(c, 17), where),
        y(n * pixels * c, where),
        dx(n * pixels * c, where),
        mean(n * c, where),
        inv_std(n * c, where),
        dgamma(c, where),
        dbeta(c, where) {}
  void forward(Stream stream) const {
    op.instance_forward(x.data(), gamma.data(), beta.data(), nullptr, true, y.data(), mean.data(),
                        inv_std.data(), n, pixels, c, 1e-5F, stream);
  }
  void backward(Stream stream) const {
    op.instance_backward(x.data(), y.data(), dy.data(), gamma.data(), mean.data(), inv_std.data(), true,
                         dx.data(), nullptr, dgamma.data(), dbeta.data(), n, pixels, c, stream);
  }
  int64_t n, pixels, c;
  const Norm<float>& op;
  DeviceBuffer<float> x, dy;          // (N,P,C)
  DeviceBuffer<float> gamma, beta;    // (C)
  DeviceBuffer<float> y, dx;          // (N,P,C)
  DeviceBuffer<float> mean, inv_std;  // (N,C)
  DeviceBuffer<float> dgamma, dbeta;  // (C)
};

/// The bytes are those of every map once: x and y forward; x, y, dy and dx backward.
void time_instance_norm(int64_t n, int64_t pixels, int64_t c, Device device) {
  const std::string shape = fmt::format("{}x{}x{}", n, pixels, c);
  const double map_bytes = 4 * static_cast<double>(n) * static_cast<double>(pixels) * static_cast<double>(c);
  register_comparison({"instance_norm_forward",
                       shape,
                       0,
                       2 * map_bytes,
                       0,
                       {"own"},
                       "",
                       [=] {
                         const auto p = std::make_shared<Maps>(n, pixels, c, device);
                         return std::vector<Peer>{{"own", [p](Stream stream) { p->forward(stream); },
                                                   [p] { return joined(p->y, p->mean); }}};
                       }},
                      device);
  register_comparison({"instance_norm_backward",
                       shape,
                       0,
                       4 * map_bytes,
                       0,
                       {"own"},
                       "",
                       [=] {
                         const auto p = std::make_shared<Maps>(n, pixels, c, device);
                         p->forward(nullptr);
                         return std::vector<Peer>{{"own", [p](Stream stream) { p->backward(stream); },
                                                   [p] { return joined(p->dx, p->dgamma); }}};
                       }},
                      device);
}

/// n floats read and written: what this device's memory gives, beside which `bytes/s` of other rows is read.
void time_memory(int64_t n, Device device) {
  struct Floats {
    Floats(int64_t count, Device where) : x(uniform_values(count, 14), where), y(count, where) {}
    DeviceBuffer<float> x, y;  // (n)
  };
  register_comparison({"memory",
                       std::to_string(n),
                       0,
                       8 * static_cast<double>(n),
                       0,
                       {"own"},
                       "",
                       [=] {
                         const auto p = std::make_shared<Floats>(n, device);
                         return std::vector<Peer>{{"own",
                                                   [p, n, &op = elementwise<float>(device)](Stream stream) {
                                                     op.scale(p->x.data(), 1, p->y.data(), n, stream);
                                                   },
                                                   [p] { return joined(p->y, p->y); }}};
                       }},
                      device);
}

}  // namespace

void register_norms(Device device, bool quick) {
  if (quick) {
    time_memory(3000, device);
    time_instance_norm(2, 9, 20, device);
    return;
  }
  time_memory(64 << 20, device);
  // ResNet-18's maps at 224 pixels, 64 images: after the stem, of the first and of the last stage.
  for (const auto& [pixels, channels] : {std::pair{112 * 112, 64}, {56 * 56, 64}, {7 * 7, 512}}) {
    time_instance_norm(64, pixels, channels, device);
  }
}

}  // namespace mt::bench
