#pragma once
// All parameters of a model in one flat block, so that an optimizer is one kernel call.

#include <string>
#include <vector>

#include "autograd/variable.h"

namespace mt {

/// Moves parameters into two flat tensors, one of values and one of gradients. Each parameter goes on as the
/// same Variable; its value and gradient become slices. Slices start at multiples of 64 bytes; the gaps stay
/// zero in values and gradients. Only an optimizer may change the values, and announces it with
/// values_changed().
class ParameterArena {
 public:
  struct Slice {
    std::string name;
    Variable parameter;
    int64_t offset = 0;  // elements from the arena's start
  };
  struct Named {
    std::string name;
    Variable parameter;
  };

  /// All of one dtype and device, no name twice, none in another arena. Values are kept, gradients start at
  /// zero.
  explicit ParameterArena(const std::vector<Named>& parameters);

  const std::vector<Slice>& slices() const { return slices_; }
  /// (size) every value / gradient, gaps included.
  const Tensor& values() const { return values_; }
  const Tensor& grads() const { return grads_; }
  int64_t size() const { return values_.numel(); }
  /// A new flat tensor of zeros as large as the arena: an optimizer's state.
  Tensor make_state() const;
  /// The slice of a parameter in the values, or in any flat tensor of this size (an optimizer's state, say).
  Tensor slice(const Slice& slice, const Tensor& flat) const;

  void zero_grad() const;
  /// Makes values that a tape has saved invalid: `writer` ("sgd step") is named when a backward wants them.
  void values_changed(const char* writer) const;

 private:
  Tensor values_;
  Tensor grads_;
  std::vector<Slice> slices_;
};

}  // namespace mt
