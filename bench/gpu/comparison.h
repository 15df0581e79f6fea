#pragma once
// Times several ways to compute the same thing on a device, beside each other in one process: their answers
// are compared first, then each is a Google benchmark, timed by the device's events, with the data left in L2
// ("warm") and with L2 written over before each run ("cold").

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/device/device.h"
#include "tensor/allocator.h"

namespace mt::bench {

/// n elements of device memory.
template <typename T>
class DeviceBuffer {
 public:
  DeviceBuffer(int64_t n, Device device)
      : bytes_(static_cast<std::size_t>(n) * sizeof(T)),
        device_(device),
        data_(static_cast<T*>(allocator(device).allocate(bytes_))) {}
  DeviceBuffer(const std::vector<T>& values, Device device)
      : DeviceBuffer(static_cast<int64_t>(values.size()), device) {
    copy_bytes(data_, device, values.data(), Device::cpu, bytes_);
  }
  ~DeviceBuffer() { allocator(device_).deallocate(data_, bytes_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  T* data() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> values(bytes_ / sizeof(T));
    copy_bytes(values.data(), Device::cpu, data_, device_, bytes_);
    return values;
  }

 private:
  std::size_t bytes_;
  Device device_;
  T* data_;
};

/// One way to compute the answer.
struct Peer {
  std::string name;           // "own", "cuBLASLt"
  std::function<void()> run;  // queues the work in the default stream
  /// What run() left behind; peers must agree within `tolerance` of the largest element.
  std::function<std::vector<double>()> answer;
};

struct Comparison {
  std::string operation;  // "supcon_forward"
  std::string shape;      // "8192x128"
  double flops = 0;
  double bytes = 0;  // the least that must move
  double tolerance = 1e-4;
  std::vector<Peer> peers;  // the first is ours, the baseline is named by `baseline`
  std::string baseline;     // peer that the ratio is taken against; "" where this build has none
};

/// Runs each peer once and compares; throws Error when two disagree. Then registers
/// OPERATION/SHAPE/PEER/{warm,cold}. Peers must stay alive, so the comparison is kept.
void register_comparison(Comparison comparison, Device device);

/// What to compare: defined one file for each family. `quick` makes shapes that the SIMT machine runs in
/// seconds.
void register_losses(Device device, bool quick);
void register_mining(Device device, bool quick);
void register_dense(Device device, bool quick);
void register_fusions(Device device, bool quick);

/// Values in [low, high), the same for ever.
std::vector<float> uniform_values(int64_t n, uint64_t seed, float low = -1, float high = 1);

}  // namespace mt::bench
