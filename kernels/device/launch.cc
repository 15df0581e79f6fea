#include "kernels/device/launch.h"

#include <string_view>

#include "tensor/check.h"

namespace mt {

// g++: "… [with auto kKernel = mt::simt_backend::{anonymous}::name<4>]"; clang: "… [kKernel = &mt::…::name]".
std::string kernel_name(const char* signature) {
  std::string_view name(signature);
  constexpr std::string_view kMarker = "kKernel = ";
  const std::size_t start = name.find(kMarker);
  if (start == std::string_view::npos) return std::string(name);
  name.remove_prefix(start + kMarker.size());
  name = name.substr(0, name.rfind(']'));
  const std::size_t arguments = name.find('<');
  const std::size_t scope = name.substr(0, arguments).rfind("::");
  if (scope != std::string_view::npos) name.remove_prefix(scope + 2);
  if (name.starts_with('&')) name.remove_prefix(1);
  return std::string(name);
}

std::string describe(const LaunchConfig& c) {
  return fmt::format("{} <grid ({},{},{}), block ({},{},{}), {} shared bytes>", kernel_name(c.signature),
                     c.grid.x, c.grid.y, c.grid.z, c.block.x, c.block.y, c.block.z, c.shared_bytes);
}

void fail_launch(const LaunchConfig& config, const char* reason) {
  fail("{}: {}", describe(config), reason);
}

void fail_queued(const LaunchConfig& config, const char* reason) {
  fail("{}, or work queued before it: {}", describe(config), reason);
}

void fail_kernel(const std::string& text) {
  fail("{}", text);
}

void check_launch(const LaunchConfig& c) {
  const auto require = [&](bool ok, const char* reason) {
    if (!ok) fail_launch(c, reason);
  };
  require(c.grid.x >= 1 && c.grid.y >= 1 && c.grid.z >= 1,
          "the grid is empty; launch nothing for empty inputs");
  require(c.block.x >= 1 && c.block.y >= 1 && c.block.z >= 1, "the block is empty");
  require(c.grid.x <= 0x7fffffff && c.grid.y <= 65535 && c.grid.z <= 65535,
          "a grid has at most (2147483647,65535,65535) blocks");
  require(c.block.x <= 1024 && c.block.y <= 1024 && c.block.z <= 64 &&
              c.block.x * c.block.y * c.block.z <= kMaxThreadsPerBlock,
          "a block has at most 1024 threads, and at most 64 in z");
  require(c.shared_bytes >= 0, "shared memory cannot be negative");
}

}  // namespace mt
