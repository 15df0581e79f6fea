// kernels_gpu_bench [--device=cuda|simt] [--quick] [Google Benchmark's flags]: this project's kernels beside
// cuBLASLt, cuDNN and CUB. Unless flags say otherwise each row is timed three times for 0.03 seconds. On
// simt, which times nothing of interest, it shows that the program itself works.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "bench/gpu/comparison.h"
#include "kernels/device/device.h"
#include "kernels/vendor/vendor.h"
#include "tensor/check.h"

namespace {

int run(int argc, char** argv) {
  mt::Device device = mt::Device::cuda;
  bool quick = false;
  std::string least_time = "--benchmark_min_time=0.03";
  std::string repetitions = "--benchmark_repetitions=3";
  std::vector<char*> rest{argv[0], least_time.data(), repetitions.data()};  // of two flags the later counts
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
  if (device == mt::Device::cuda) {
    const std::string& missing = mt::vendor_missing();
    benchmark::AddCustomContext("vendor", missing.empty() ? "loaded" : missing);
    if (!missing.empty()) fmt::print(stderr, "note: not timed: vendor, vendor_tf32: {}\n", missing);
  }
  mt::bench::register_losses(device, quick);
  mt::bench::register_mining(device, quick);
  mt::bench::register_dense(device, quick);
  mt::bench::register_fusions(device, quick);
  mt::bench::register_norms(device, quick);
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
