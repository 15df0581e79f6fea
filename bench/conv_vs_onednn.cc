// Our convolutions against oneDNN's, layer by layer of a ResNet-18, in one process and in alternation.
// oneDNN chooses its layouts freely (format_tag::any) and its reorders are not timed: this is its direct
// convolution at its best. Usage: conv_vs_onednn [images = 16] [pixels = 224] [base width = 64] [repetitions
// = 9]

#include <dnnl.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/conv2d/conv2d.h"
#include "tensor/parallel.h"

namespace {

using mt::Conv2dShape;

struct Layer {
  Conv2dShape shape;
  int count;  // how often ResNet-18 has it
};

std::vector<Layer> resnet18(int64_t images, int64_t pixels, int64_t base) {
  const auto layer = [&](int64_t h, int64_t c, int64_t k, int64_t filter, int64_t stride, int count) {
    return Layer{{.n = images,
                  .h = h,
                  .w = h,
                  .c = c,
                  .k = k,
                  .r = filter,
                  .s = filter,
                  .stride = stride,
                  .padding = filter / 2},
                 count};
  };
  std::vector<Layer> layers{layer(pixels, 3, base, 7, 2, 1), layer(pixels / 4, base, base, 3, 1, 4)};
  for (int stage = 1; stage < 4; ++stage) {
    const int64_t h = pixels / 4 >> (stage - 1);
    const int64_t c = base << (stage - 1);
    layers.push_back(layer(h, c, 2 * c, 3, 2, 1));
    layers.push_back(layer(h, c, 2 * c, 1, 2, 1));
    layers.push_back(layer(h / 2, 2 * c, 2 * c, 3, 1, 3));
  }
  return layers;
}

/// One convolution of oneDNN with its memories; run() computes it once.
class OneDnn {
 public:
  OneDnn(const Conv2dShape& d, const std::string& pass, const dnnl::engine& engine) : stream_(engine) {
    const auto any = [](const dnnl::memory::dims& dims) {
      return dnnl::memory::desc(dims, dnnl::memory::data_type::f32, dnnl::memory::format_tag::any);
    };
    const auto x = any({d.n, d.c, d.h, d.w});
    const auto w = any({d.k, d.c, d.r, d.s});
    const auto y = any({d.n, d.k, d.out_h(), d.out_w()});
    const dnnl::memory::dims stride{d.stride, d.stride};
    const dnnl::memory::dims padding{d.padding, d.padding};
    const auto direct = dnnl::algorithm::convolution_direct;
    const dnnl::convolution_forward::desc forward(dnnl::prop_kind::forward_training, direct, x, w, y, stride,
                                                  padding, padding);
    const dnnl::convolution_forward::primitive_desc hint(forward, engine);
    if (pass == "forward") {
      primitive_ = dnnl::convolution_forward(hint);
      take(hint, {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, engine);
    } else if (pass == "backward data") {
      const dnnl::convolution_backward_data::desc desc(direct, x, w, y, stride, padding, padding);
      const dnnl::convolution_backward_data::primitive_desc chosen(desc, engine, hint);
      primitive_ = dnnl::convolution_backward_data(chosen);
      take(chosen, {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST}, engine);
    } else {
      const dnnl::convolution_backward_weights::desc desc(direct, x, w, y, stride, padding, padding);
      const dnnl::convolution_backward_weights::primitive_desc chosen(desc, engine, hint);
      primitive_ = dnnl::convolution_backward_weights(chosen);
      take(chosen, {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}, engine);
    }
  }
  void run() {
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  template <typename Description>
  void take(const Description& chosen, const std::vector<int>& arguments, const dnnl::engine& engine) {
    for (const int argument : arguments) {
      const auto desc = chosen.query_md(dnnl::query::exec_arg_md, argument);
      dnnl::memory memory(desc, engine);
      auto* values = static_cast<float*>(memory.get_data_handle());
      std::fill_n(values, desc.get_size() / sizeof(float), 0.5F);
      arguments_.emplace(argument, memory);
    }
  }
  dnnl::stream stream_;
  dnnl::primitive primitive_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

struct Times {
  double ours = 0;
  double onednn = 0;
};

/// Times both in alternation and prints a line. Returns the medians.
Times compare(const Layer& layer, const std::string& pass, int repetitions, const dnnl::engine& engine) {
  const Conv2dShape& d = layer.shape;
  std::vector<float> x(static_cast<std::size_t>(d.n * d.h * d.w * d.c), 0.5F);
  std::vector<float> w(static_cast<std::size_t>(d.k * d.r * d.s * d.c), 0.5F);
  std::vector<float> y(static_cast<std::size_t>(d.n * d.out_h() * d.out_w() * d.k), 0.5F);
  const auto& table = mt::conv2d<float>(mt::Device::cpu);
  const auto ours = [&] {
    if (pass == "forward")
      table.forward(x.data(), w.data(), y.data(), d, nullptr);
    else if (pass == "backward data")
      table.backward_data(y.data(), w.data(), x.data(), d, nullptr);
    else
      table.backward_weights(x.data(), y.data(), w.data(), d, nullptr);
  };
  OneDnn peer(d, pass, engine);
  ours();
  peer.run();
  std::vector<double> our_times;
  std::vector<double> peer_times;
  std::vector<double> ratios;
  for (int i = 0; i < repetitions; ++i) {
    our_times.push_back(seconds(ours));
    peer_times.push_back(seconds([&] { peer.run(); }));
    ratios.push_back(peer_times.back() / our_times.back());
  }
  const Times times{quantile(our_times, 0.5), quantile(peer_times, 0.5)};
  const double gflop = 2e-9 * static_cast<double>(d.n * d.out_h() * d.out_w() * d.k * d.r * d.s * d.c);
  std::printf(
      "%-17s %dx%dx%-4d -> %-4d %dx%d/%d  x%d | ours %8.2f ms %6.1f GFLOP/s | oneDNN %8.2f ms %6.1f GFLOP/s "
      "| rate %.2f (%.2f-%.2f)\n",
      pass.c_str(), static_cast<int>(d.h), static_cast<int>(d.w), static_cast<int>(d.c),
      static_cast<int>(d.k), static_cast<int>(d.r), static_cast<int>(d.s), static_cast<int>(d.stride),
      layer.count, times.ours * 1e3, gflop / times.ours, times.onednn * 1e3, gflop / times.onednn,
      quantile(ratios, 0.5), quantile(ratios, 0.1), quantile(ratios, 0.9));
  std::fflush(stdout);
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, int fallback) { return argc > i ? std::atoi(argv[i]) : fallback; };
  const auto layers = resnet18(argument(1, 16), argument(2, 224), argument(3, 64));
  const int repetitions = std::max(1, argument(4, 9));
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  std::printf("%d threads; rate = oneDNN's time / ours (10 %% - 90 %% quantile)\n", mt::thread_count());
  for (const char* pass : {"forward", "backward data", "backward weights"}) {
    Times total;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (i == 0 && std::string(pass) == "backward data") continue;  // nobody needs the gradient of the image
      const Times times = compare(layers[i], pass, repetitions, engine);
      total.ours += times.ours * layers[i].count;
      total.onednn += times.onednn * layers[i].count;
    }
    std::printf("%-17s all layers: ours %.1f ms, oneDNN %.1f ms, rate %.2f\n\n", pass, total.ours * 1e3,
                total.onednn * 1e3, total.onednn / total.ours);
  }
  return 0;
}
