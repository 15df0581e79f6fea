#pragma once
// What all networks share: named parameters and buffers in the order of PyTorch's state_dict.

#include <string>
#include <string_view>
#include <vector>

#include "autograd/arena.h"
#include "autograd/variable.h"

namespace mt {

/// How a parameter lies in memory compared with PyTorch.
enum class WeightLayout : uint8_t {
  same,       // as PyTorch has it
  conv_krsc,  // ours (K,R,S,C), PyTorch's (K,C,R,S)
};

/// What a parameter starts from; PyTorch's defaults.
enum class Initialisation : uint8_t {
  zeros,
  ones,
  linear_uniform,     // U(−1/√fan_in, 1/√fan_in): torch.nn.Linear's and Conv1d's weights and biases
  kaiming_normal_out  // N(0, 2/fan_out): torchvision's ResNet convolutions
};

/// A parameter (`parameter` defined) or a buffer (`buffer` defined: running statistics, say).
struct ModuleEntry {
  std::string name;  // PyTorch's: "layer1.0.conv1.weight"
  Variable parameter;
  Tensor buffer;
  WeightLayout layout = WeightLayout::same;

  bool is_parameter() const { return parameter.defined(); }
  const Tensor& tensor() const { return is_parameter() ? parameter.value() : buffer; }
};

/// Not copied or moved: layers hold handles to its parameters.
class Module {
 public:
  Module(DType dtype, uint64_t seed, Device device = Device::cpu)
      : dtype_(dtype), seed_(seed), device_(device) {}
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// In the order of PyTorch's state_dict.
  const std::vector<ModuleEntry>& entries() const { return entries_; }
  /// The entry of this name, or nullptr.
  const ModuleEntry* find(std::string_view name) const;
  /// Parameters that are not frozen, for a ParameterArena.
  std::vector<ParameterArena::Named> parameters() const;
  int64_t parameter_count() const;
  /// Freezes (or thaws) the parameters whose names start with `prefix`; the empty prefix means all.
  void set_requires_grad(bool wanted, std::string_view prefix = "");
  /// f32, or f64 for checks against the reference.
  DType dtype() const { return dtype_; }
  /// Where its parameters and buffers are, and its inputs must be. Counters and host buffers stay on the cpu.
  Device device() const { return device_; }
  /// One line about the architecture, for logs and errors.
  virtual std::string describe() const = 0;

  // For the layers that a module is built of (models/layers.h).
  /// A new parameter with initial values from Philox keyed by (seed, hash of its name), drawn on the cpu: the
  /// same bits on every device. fan is fan_in or
  /// fan_out, as `how` asks.
  Variable add_parameter(const std::string& name, const Shape& shape, Initialisation how, int64_t fan,
                         WeightLayout layout = WeightLayout::same);
  Tensor add_buffer(const std::string& name, const Shape& shape, double value);
  /// A buffer of one value that the host reads before it computes: it stays on the cpu.
  Tensor add_host_buffer(const std::string& name, double value);
  /// An i64 scalar 0 (num_batches_tracked), on the cpu.
  Tensor add_counter(const std::string& name);

 private:
  std::vector<ModuleEntry> entries_;
  DType dtype_;
  uint64_t seed_;
  Device device_;
};

}  // namespace mt
