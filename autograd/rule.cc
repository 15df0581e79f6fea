#include "autograd/rule.h"

#include "tensor/check.h"

namespace mt {
namespace {

std::vector<const Rule*>& table() {
  static std::vector<const Rule*> rules;
  return rules;
}

}  // namespace

std::span<const Rule* const> rules() {
  return table();
}

const Rule& enter_rule(const Rule& rule) {
  table().push_back(&rule);
  return rule;
}

void check_one_device(const char* operation, const std::vector<Variable>& inputs) {
  const Variable* first = nullptr;
  for (const Variable& input : inputs) {
    if (!input.defined()) continue;
    if (first == nullptr) first = &input;
    check(input.device() == first->device(), "{}: an input on {}, the others on {}", operation,
          name_of(input.device()), name_of(first->device()));
  }
}

}  // namespace mt
