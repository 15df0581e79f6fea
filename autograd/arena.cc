#include "autograd/arena.h"

#include <unordered_set>

#include "autograd/arithmetic.h"
#include "tensor/check.h"

namespace mt {

ParameterArena::ParameterArena(const std::vector<Named>& parameters) {
  check(!parameters.empty(), "parameter arena: no parameters given");
  const DType dtype = parameters[0].parameter.dtype();
  const Device device = parameters[0].parameter.device();
  const auto alignment = static_cast<int64_t>(64 / size_of(dtype));
  std::unordered_set<std::string> names;
  int64_t size = 0;
  for (const Named& named : parameters) {
    const VariableState& state = named.parameter.state();
    check(names.insert(named.name).second, "parameter arena: two parameters are called {}", named.name);
    check(state.value.dtype() == dtype && state.value.device() == device,
          "parameter arena: {} is {}, {} is {}", parameters[0].name, name_of(dtype), named.name,
          name_of(state.value.dtype()));
    check(!state.grad_is_in_arena, "parameter arena: {} is already in an arena", named.name);
    check(state.producer == nullptr, "parameter arena: {} was computed, it is no parameter", named.name);
    slices_.push_back({named.name, named.parameter, size});
    size += (state.value.numel() + alignment - 1) / alignment * alignment;
  }
  values_ = filled({size}, 0, dtype, device);
  grads_ = filled({size}, 0, dtype, device);
  for (const Slice& part : slices_) {
    VariableState& state = part.parameter.state();
    const Tensor value = slice(part, values_);
    add_to(value, contiguous_copy(state.value));  // 0 + value is exact (and turns -0 into 0)
    state.value = value;
    state.grad = slice(part, grads_);
    state.grad_is_in_arena = true;
  }
}

Tensor ParameterArena::make_state() const {
  return zeros_like(values_);
}

Tensor ParameterArena::slice(const Slice& part, const Tensor& flat) const {
  check(flat.numel() == size(), "parameter arena: a flat tensor of {} elements for an arena of {}",
        flat.numel(), size());
  const Shape& shape = part.parameter.shape();
  return flat.slice(0, part.offset, part.offset + shape.numel()).view(shape);
}

void ParameterArena::zero_grad() const {
  fill_with(grads_, 0);
}

void ParameterArena::values_changed(const char* writer) const {
  values_.storage()->bump_version(writer);
}

}  // namespace mt
