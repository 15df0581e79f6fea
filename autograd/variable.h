#pragma once
// A value that remembers how it came to be, so that gradients can flow back through it.

#include <memory>
#include <string>

#include "tensor/tensor.h"

namespace mt {

struct Node;  // one recorded operation; autograd/tape.h

/// What all copies of a Variable share.
struct VariableState {
  Tensor value;
  Tensor grad;                     // undefined until a gradient arrives
  bool requires_grad = false;      // gradients are wanted here, or further back
  bool grad_is_in_arena = false;   // grad is a slice of a ParameterArena: added to, never replaced
  std::shared_ptr<Node> producer;  // nothing for a leaf (input, parameter)
};

/// A handle: copying a Variable copies the handle, never the value.
class Variable {
 public:
  /// No value; defined() is false.
  Variable() = default;
  /// A leaf of a contiguous tensor. Gradients are kept for it when `requires_grad`; that needs f32 or f64.
  explicit Variable(Tensor value, bool requires_grad = false);

  bool defined() const { return state_ != nullptr; }
  const Tensor& value() const { return state().value; }
  /// Sum of the gradients since the last zero_grad(), in the value's shape; undefined when none arrived.
  const Tensor& grad() const { return state().grad; }
  bool requires_grad() const { return state().requires_grad; }
  /// Only for leaves: freezes (false) or thaws (true) a parameter.
  void set_requires_grad(bool wanted) const;
  /// Forgets the gradient. A parameter in an arena is zeroed through the arena instead.
  void zero_grad() const;
  /// The same value without history: nothing flows back through it.
  Variable detach() const { return Variable(value()); }

  const Shape& shape() const { return value().shape(); }
  int64_t dim(int i) const { return value().dim(i); }
  int rank() const { return value().rank(); }
  int64_t numel() const { return value().numel(); }
  DType dtype() const { return value().dtype(); }
  Device device() const { return value().device(); }
  /// The only element of a one-element value, as double; on a device it waits for it.
  double item() const;

  VariableState& state() const;
  const std::shared_ptr<VariableState>& handle() const { return state_; }
  explicit Variable(std::shared_ptr<VariableState> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<VariableState> state_;
};

}  // namespace mt
