#include "kernels/ptx/fixture.h"

#include <fmt/format.h>

namespace mt::ptx::testing {

std::string kernel_text(int parameters, const std::string& body, const std::string& declarations) {
  std::string list;
  std::string loads;
  for (int i = 0; i < parameters; ++i) {
    list += fmt::format("{}.param .u64 p{}", i == 0 ? "" : ", ", i);
    loads += fmt::format("ld.param.u64 %a{}, [p{}];\n", i, i);
  }
  return fmt::format(R"(
.version 9.0
.target sm_90
.address_size 64
{}
.visible .entry k({})
{{
  .reg .pred %p<16>;
  .reg .b16 %rs<16>;
  .reg .b32 %r<64>;
  .reg .f32 %f<64>;
  .reg .b64 %rd<64>;
  .reg .b64 %a<8>;
  .reg .f64 %fd<16>;
  {}{}
}}
)",
                     declarations, list, loads, body);
}

void run_text(const std::string& text, const std::vector<uint64_t>& arguments,
              const Configuration& configuration) {
  Module module(text);
  Launch launch;
  launch.kernel = &module.kernel("k");
  launch.grid = configuration.grid;
  launch.block = configuration.block;
  launch.dynamic_shared_bytes = configuration.dynamic_shared_bytes;
  launch.order = configuration.order;
  launch.parameters.resize(arguments.size() * sizeof(uint64_t));
  if (!arguments.empty()) std::memcpy(launch.parameters.data(), arguments.data(), launch.parameters.size());
  run(launch);
}

}  // namespace mt::ptx::testing
