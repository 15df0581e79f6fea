// kernels_gpu_bench [--device=cuda|simt] [--quick] [Google Benchmark's flags]: this project's kernels beside
// cuBLASLt, cuDNN and CUB. On simt, which times nothing of interest, it shows that the program itself works.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "bench/gpu/comparison.h"
#include "kernels/device/device.h"
#include "tensor/check.h"

namespace {

int run(int argc, char** argv) {
  mt::Device device = mt::Device::cuda;
  bool quick = false;
  std::vector<char*> rest{argv[0]};
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag.starts_with("--device=")) {
      device = mt::parse_device(flag.substr(9));
    } else if (flag == "--quick") {
      quick = true;
    } else {
      rest.push_back(argv[i]);
    }
  }
  mt::require_device(device);
  int count = static_cast<int>(rest.size());
  benchmark::Initialize(&count, rest.data());
  if (benchmark::ReportUnrecognizedArguments(count, rest.data())) return 2;
  benchmark::AddCustomContext("device", mt::device_runtime(device).description());
  mt::bench::register_losses(device, quick);
  mt::bench::register_mining(device, quick);
  mt::bench::register_dense(device, quick);
  mt::bench::register_fusions(device, quick);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
