#pragma once
// The table of rules: everything that gradients can flow through. A rule is one struct in ops_*.cc (and recompute.cc):
//
//   struct Softmax {                                     // y = eˣ / Σ eˣ; dx = y (dy − Σ dy y)
//     static constexpr const char* kName = "softmax";    the operation, as errors name it
//                                                        its options, if any
//     Saved y;                                           what its backward reads,
//     auto saves() { return std::tie(y); }               all of it (left out where nothing is saved)
//     Tensor forward(const Tensor& x);                   the inputs' values; undefined where there is none
//     Gradients backward(const Tensor& dy, const Wanted& wanted) const;
//   };
//
// and apply(Softmax{}, x) computes it and puts it on the tape. A rule that can be applied is in the table: there is no second list.

#include <span>
#include <tuple>
#include <utility>

#include "autograd/tape.h"

namespace mt {

/// Every rule of the program.
std::span<const Rule* const> rules();
/// Enters a rule in the table, before main().
const Rule& enter_rule(const Rule& rule);

template <typename R>
class AppliedRuleOf final : public AppliedRule {
 public:
  explicit AppliedRuleOf(R applied) : applied_(std::move(applied)) {
    if constexpr (requires { applied_.saves(); }) {
      std::apply([&](auto&... kept) { (kept.belongs_to(R::kName), ...), saved_ = {&kept...}; },
                 applied_.saves());
    }
  }
  const Rule& rule() const override { return kEntered; }
  Gradients backward(const Tensor& output_gradient, const Wanted& wanted) const override {
    return applied_.backward(output_gradient, wanted);
  }
  const R& applied() const { return applied_; }

 private:
  inline static const Rule kRow{R::kName};
  inline static const Rule& kEntered = enter_rule(kRow);
  R applied_;
};

inline Tensor value_or_none(const Variable& variable) {
  return variable.defined() ? variable.value() : Tensor();
}

/// Throws an Error where inputs lie on different devices.
void check_one_device(const char* operation, const std::vector<Variable>& inputs);

/// The output of rule.forward(the inputs' values), on the tape with what the rule saved. An input may be
/// undefined: "there is none".
template <typename R, typename... Inputs>
Variable apply(R rule, const Inputs&... inputs) {
  check_one_device(R::kName, {inputs...});
  Tensor output = rule.forward(value_or_none(inputs)...);
  return record(std::make_unique<AppliedRuleOf<R>>(std::move(rule)), std::move(output), {inputs...});
}
/// The same for a rule of any number of inputs: rule.forward(vector of their values).
template <typename R>
Variable apply_to_all(R rule, const std::vector<Variable>& inputs) {
  check_one_device(R::kName, inputs);
  std::vector<Tensor> values;
  for (const Variable& input : inputs) values.push_back(value_or_none(input));
  Tensor output = rule.forward(values);
  return record(std::make_unique<AppliedRuleOf<R>>(std::move(rule)), std::move(output), inputs);
}

}  // namespace mt
