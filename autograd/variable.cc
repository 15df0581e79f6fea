#include "autograd/variable.h"

#include "autograd/arithmetic.h"
#include "tensor/check.h"

namespace mt {

Variable::Variable(Tensor value, bool requires_grad) : state_(std::make_shared<VariableState>()) {
  check(value.defined(), "variable: the tensor is undefined");
  check(value.is_contiguous(), "variable {}: rules want contiguous tensors; make a contiguous_copy() first",
        value.shape().str());
  state_->value = std::move(value);
  if (requires_grad) set_requires_grad(true);
}

VariableState& Variable::state() const {
  check(state_ != nullptr, "variable: undefined");
  return *state_;
}

void Variable::set_requires_grad(bool wanted) const {
  VariableState& self = state();
  check(self.producer == nullptr, "variable {}: only a leaf can be frozen or thawed; this one was computed",
        self.value.shape().str());
  check(!wanted || self.value.dtype() == DType::f32 || self.value.dtype() == DType::f64,
        "variable {}: gradients need f32 or f64 values, not {}", self.value.shape().str(),
        name_of(self.value.dtype()));
  self.requires_grad = wanted;
}

void Variable::zero_grad() const {
  check(!state().grad_is_in_arena, "variable {}: its gradient lies in an arena; call the arena's zero_grad()",
        shape().str());
  state().grad = Tensor();
}

double Variable::item() const {
  const Tensor held = moved_to(value(), Device::cpu);
  return dtype() == DType::f64 ? held.item<double>() : static_cast<double>(held.item<float>());
}

}  // namespace mt
