#include "bench/gpu/device_buffer.h"

#include <algorithm>
#include <cstddef>
#include <set>

namespace mt::bench {
namespace {

/// More than twice any GPU's L2: 50 MiB on an H100, 126 on a B200.
constexpr std::size_t kBeyondL2 = std::size_t{256} << 20;

std::set<RotatingMemory*>& alive() {
  static std::set<RotatingMemory*> memories;
  return memories;
}

int64_t turn = 0;

}  // namespace

RotatingMemory::RotatingMemory(std::size_t bytes, Device device)
    : bytes_(bytes),
      stride_((bytes + 255) / 256 * 256),
      device_(device),
      data_(static_cast<std::byte*>(allocator(device).allocate(stride_))) {
  alive().insert(this);
}

RotatingMemory::~RotatingMemory() {
  alive().erase(this);
  release();
}

void RotatingMemory::release() {
  allocator(device_).deallocate(data_, stride_ * static_cast<std::size_t>(copies_));
}

void* RotatingMemory::data() const {
  return data_ + stride_ * static_cast<std::size_t>(turn % copies_);
}

void RotatingMemory::replicate(int64_t count) {
  if (count == copies_) return;
  auto* more =
      static_cast<std::byte*>(allocator(device_).allocate(stride_ * static_cast<std::size_t>(count)));
  for (int64_t i = 0; i < count; ++i)
    copy_bytes(more + stride_ * static_cast<std::size_t>(i), device_, data_, device_, bytes_);
  synchronize(device_);
  release();
  data_ = more;
  copies_ = count;
}

std::size_t rotating_bytes() {
  std::size_t sum = 0;
  for (const RotatingMemory* memory : alive()) sum += memory->bytes();
  return sum;
}

int64_t copies_beyond_l2(int64_t most) {
  const std::size_t bytes = std::max<std::size_t>(rotating_bytes(), 1);
  return std::clamp<int64_t>(static_cast<int64_t>((kBeyondL2 + bytes - 1) / bytes), 1, most);
}

void replicate_all(int64_t count) {
  for (RotatingMemory* memory : alive()) memory->replicate(count);
}

void set_turn(int64_t next) {
  turn = next;
}

}  // namespace mt::bench
