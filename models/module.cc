#include "models/module.h"

#include <cmath>

#include "autograd/arithmetic.h"
#include "autograd/dispatch.h"
#include "tensor/check.h"
#include "tensor/rng.h"

namespace mt {
namespace {

void draw(const Tensor& target, const std::string& name, uint64_t seed, Initialisation how, int64_t fan) {
  check(fan >= 1, "module: {} has nothing to scale its initial values by", name);
  RandomStream random(seed, Purpose::init, 0, hash64(name));
  const float uniform_bound = 1.0F / std::sqrt(static_cast<float>(fan));
  const float normal_deviation = std::sqrt(2.0F / static_cast<float>(fan));
  by_dtype(target.dtype(), "module",
           [&]<typename T>() {  // float numbers in both types, so that f64 is the same network
             for (T& value : target.span<T>()) {
               value = how == Initialisation::linear_uniform ? random.uniform(-uniform_bound, uniform_bound)
                                                             : normal_deviation * random.normal();
             }
           });
}

}  // namespace

const ModuleEntry* Module::find(std::string_view name) const {
  for (const ModuleEntry& entry : entries_) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

std::vector<ParameterArena::Named> Module::parameters() const {
  std::vector<ParameterArena::Named> named;
  for (const ModuleEntry& entry : entries_) {
    if (entry.is_parameter() && entry.parameter.requires_grad())
      named.push_back({entry.name, entry.parameter});
  }
  return named;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const ModuleEntry& entry : entries_) {
    if (entry.is_parameter()) count += entry.parameter.numel();
  }
  return count;
}

void Module::set_requires_grad(bool wanted, std::string_view prefix) {
  for (const ModuleEntry& entry : entries_) {
    if (entry.is_parameter() && entry.name.starts_with(prefix)) entry.parameter.set_requires_grad(wanted);
  }
}

Variable Module::add_parameter(const std::string& name, const Shape& shape, Initialisation how, int64_t fan,
                               WeightLayout layout) {
  check(find(name) == nullptr, "module: {} is there already", name);
  const Tensor value = filled(shape, how == Initialisation::ones ? 1 : 0, dtype_);
  if (how == Initialisation::linear_uniform || how == Initialisation::kaiming_normal_out) {
    draw(value, name, seed_, how, fan);
  }
  Variable parameter(moved_to(value, device_), /*requires_grad=*/true);
  entries_.push_back({name, parameter, Tensor(), layout});
  return parameter;
}

Tensor Module::add_buffer(const std::string& name, const Shape& shape, double value) {
  check(find(name) == nullptr, "module: {} is there already", name);
  Tensor buffer = filled(shape, value, dtype_, device_);
  entries_.push_back({name, Variable(), buffer, WeightLayout::same});
  return buffer;
}

Tensor Module::add_host_buffer(const std::string& name, double value) {
  check(find(name) == nullptr, "module: {} is there already", name);
  Tensor buffer = filled({1}, value, dtype_);
  entries_.push_back({name, Variable(), buffer, WeightLayout::same});
  return buffer;
}

Tensor Module::add_counter(const std::string& name) {
  Tensor counter = Tensor::of(std::vector<int64_t>{0}, Shape{});
  entries_.push_back({name, Variable(), counter, WeightLayout::same});
  return counter;
}

}  // namespace mt
