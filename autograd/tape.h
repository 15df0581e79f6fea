#pragma once
// The tape: what was computed from what, and how gradients flow back.
//
// Every rule (autograd/rule.h) computes its value at once with a kernel and is then put on the tape by record(). A node of the tape holds
// the rule with what its backward reads, the rule's inputs, and a sequence number. backward() visits the nodes behind a value in falling
// order of these numbers, which is a topological order and always the same one: gradients are added up in a fixed order.

#include <memory>
#include <vector>

#include "autograd/variable.h"

namespace mt {

/// Gradients of a rule's inputs, in the inputs' order; undefined tensors where nothing is wanted. Contiguous.
using Gradients = std::vector<Tensor>;
/// For each input of a rule: is it there, and does anybody need its gradient?
using Wanted = std::vector<bool>;

/// A value kept for a backward. Kept by handle, not by copy: get() throws an Error that names both operations
/// when somebody has written to the storage in place since.
class Saved {
 public:
  Saved() = default;
  Saved(Tensor tensor);  // NOLINT(google-explicit-constructor): a rule's forward writes `y = output`
  const Tensor& get() const;
  /// Undefined where nothing was saved.
  Tensor get_or_none() const { return tensor_.defined() ? get() : Tensor(); }
  /// What was saved, whatever has become of it.
  const Tensor& kept() const { return tensor_; }
  /// The operation to name in errors: apply() calls it for what a rule lists in saves().
  void belongs_to(const char* operation) { operation_ = operation; }

 private:
  Tensor tensor_;
  uint64_t version_ = 0;
  const char* operation_ = nullptr;
};

/// A row of the table of rules.
struct Rule {
  const char* name;  // the operation, as errors name it
};

/// A rule applied once, on the tape.
class AppliedRule {
 public:
  AppliedRule() = default;
  virtual ~AppliedRule() = default;
  AppliedRule(const AppliedRule&) = delete;
  AppliedRule& operator=(const AppliedRule&) = delete;

  virtual const Rule& rule() const = 0;
  /// From the gradient of the output (same shape as the output, contiguous) to those of the inputs.
  virtual Gradients backward(const Tensor& output_gradient, const Wanted& wanted) const = 0;
  /// What it keeps for that.
  const std::vector<const Saved*>& saved() const { return saved_; }

 protected:
  std::vector<const Saved*> saved_;
};

/// One recorded operation.
struct Node {
  const Rule* rule = nullptr;
  uint64_t sequence = 0;
  std::vector<std::shared_ptr<VariableState>> inputs;  // null where the rule has none
  std::unique_ptr<const AppliedRule> applied;          // empty once backward() has gone through
};

/// The output variable of a rule. It is put on the tape when the tape is on and an input requires a gradient,
/// or when `always` is set (recompute: parameters may hide inside the segment).
Variable record(std::unique_ptr<const AppliedRule> applied, Tensor output,
                const std::vector<Variable>& inputs, bool always = false);

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

/// The nodes of the tape behind `output`, newest first.
std::vector<std::shared_ptr<const Node>> nodes_behind(const Variable& output);

}  // namespace mt
