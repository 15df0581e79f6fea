#pragma once
// The tape: what was computed from what, and how gradients flow back.
//
// Every rule in autograd/ops_*.cc computes its value at once with a kernel and then calls record(). A node of
// the tape holds the rule's inputs, the values that its backward needs, and a sequence number. backward()
// visits the nodes behind a value in falling order of these numbers, which is a topological order and always
// the same one: gradients are added up in a fixed order.

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace mt {

/// Gradients of a rule's inputs, in the inputs' order; undefined tensors where nothing is wanted. Contiguous.
using Gradients = std::vector<Tensor>;
/// For each input of a rule: does anybody need its gradient?
using Wanted = std::vector<bool>;
/// From the gradient of the output (same shape as the output, contiguous) to those of the inputs.
using BackwardRule = std::function<Gradients(const Tensor& output_gradient, const Wanted& wanted)>;

/// One recorded operation.
struct Node {
  const char* operation = "";
  uint64_t sequence = 0;
  std::vector<std::shared_ptr<VariableState>> inputs;
  BackwardRule rule;  // empty once backward() has gone through
};

/// A value kept for the backward of `operation`. Kept by handle, not by copy: get() throws an Error that
/// names both operations when somebody has written to the storage in place since.
class Saved {
 public:
  Saved() = default;
  Saved(Tensor tensor, const char* operation);
  const Tensor& get() const;

 private:
  Tensor tensor_;
  uint64_t version_ = 0;
  const char* operation_ = "";
};

/// The output variable of a rule. It is put on the tape when the tape is on and an input requires a gradient,
/// or when `always` is set (recompute: parameters may hide inside the segment).
Variable record(const char* operation, Tensor output, const std::vector<Variable>& inputs, BackwardRule rule,
                bool always = false);

/// Adds d loss / d leaf to the grad of every leaf that requires it; `loss` has one element. Afterwards the
/// saved values are freed: a second backward through the same nodes is an Error.
void backward(const Variable& loss);
/// The same for an output of any shape with a given gradient of that shape.
void backward(const Variable& output, const Tensor& gradient);

/// False within a NoGradGuard: rules compute and forget.
bool tape_is_on();
/// Whether record() will put a rule with these inputs on the tape: one that will not be there need not
/// compute what only its backward reads.
bool is_recorded(const std::vector<Variable>& inputs);

/// Turns the tape off (or on) for this thread while it lives.
class TapeGuard {
 public:
  explicit TapeGuard(bool on);
  ~TapeGuard();
  TapeGuard(const TapeGuard&) = delete;
  TapeGuard& operator=(const TapeGuard&) = delete;

 private:
  bool before_;
};
class NoGradGuard : public TapeGuard {
 public:
  NoGradGuard() : TapeGuard(false) {}
};

/// Names of the operations on the tape behind `output`.
std::set<std::string> operations_behind(const Variable& output);

}  // namespace mt
