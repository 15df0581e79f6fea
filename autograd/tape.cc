#include "autograd/tape.h"

#include <algorithm>
#include <atomic>
#include <unordered_set>

#include "autograd/arithmetic.h"
#include "tensor/check.h"

namespace mt {
namespace {

thread_local bool tape_on = true;

uint64_t next_sequence() {
  static std::atomic<uint64_t> counter{0};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

/// A node and the value that it made, which must live until the node has run.
struct Visit {
  std::shared_ptr<Node> node;
  std::shared_ptr<VariableState> output;
};

/// All nodes behind `output`, newest first.
std::vector<Visit> visits_behind(const Variable& output) {
  std::vector<Visit> visits;
  std::unordered_set<const Node*> seen;
  const auto visit = [&](const std::shared_ptr<VariableState>& state) {
    if (state != nullptr && state->producer != nullptr && seen.insert(state->producer.get()).second) {
      visits.push_back({state->producer, state});
    }
  };
  visit(output.handle());
  for (std::size_t i = 0; i < visits.size(); ++i) {
    const std::shared_ptr<Node> node = visits[i].node;  // `visits` grows below
    for (const auto& input : node->inputs) visit(input);
  }
  std::sort(visits.begin(), visits.end(),
            [](const Visit& a, const Visit& b) { return a.node->sequence > b.node->sequence; });
  return visits;
}

void add_gradient(VariableState& target, const Tensor& gradient, const char* operation) {
  check(gradient.defined() && gradient.shape() == target.value.shape() &&
            gradient.dtype() == target.value.dtype() && gradient.is_contiguous(),
        "{} backward: the gradient {} does not fit the value {}", operation,
        gradient.defined() ? gradient.shape().str() : "(none)", target.value.shape().str());
  if (!target.grad.defined()) {
    target.grad = gradient;
  } else if (target.grad_is_in_arena || target.grad.storage().use_count() == 1) {
    add_to(target.grad, gradient);
  } else {
    target.grad = sum_of(target.grad, gradient);  // somebody else holds this tensor: leave it as it is
  }
}

void run_node(Node& node, VariableState& output) {
  if (!output.grad.defined()) return;  // nothing flowed back to here
  const char* name = node.rule->name;
  check(node.applied != nullptr,
        "{} backward: its saved values are freed; backward() can go through a tape only once", name);
  Wanted wanted(node.inputs.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    wanted[i] = node.inputs[i] != nullptr && node.inputs[i]->requires_grad;
  }
  const Tensor output_gradient = std::move(output.grad);
  output.grad = Tensor();
  const Gradients gradients = node.applied->backward(output_gradient, wanted);
  check(gradients.size() == node.inputs.size(), "{} backward: {} gradients for {} inputs", name,
        gradients.size(), node.inputs.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i]) add_gradient(*node.inputs[i], gradients[i], name);
  }
}

}  // namespace

Saved::Saved(Tensor tensor)
    : tensor_(std::move(tensor)), version_(tensor_.defined() ? tensor_.storage()->version() : 0) {}

const Tensor& Saved::get() const {
  check(operation_ != nullptr, "a rule's saves() leaves out a value that its backward reads");
  check(tensor_.defined(), "{} backward: nothing was saved", operation_);
  const Storage& storage = *tensor_.storage();
  check(storage.version() == version_,
        "{} backward: a value {} that it saved was overwritten in place by {}; call backward() before that, "
        "or let it write "
        "elsewhere",
        operation_, tensor_.shape().str(), storage.last_writer());
  return tensor_;
}

Variable record(std::unique_ptr<const AppliedRule> applied, Tensor output,
                const std::vector<Variable>& inputs, bool always) {
  Variable result(std::move(output));
  if (!is_recorded(inputs) && !(tape_on && always)) return result;
  const auto node = std::make_shared<Node>();
  node->rule = &applied->rule();
  node->sequence = next_sequence();
  for (const Variable& input : inputs) node->inputs.push_back(input.handle());
  node->applied = std::move(applied);
  result.state().requires_grad = true;
  result.state().producer = node;
  return result;
}

void backward(const Variable& loss) {
  check(loss.numel() == 1, "backward: a loss has one element, this value is {}; give its gradient too",
        loss.shape().str());
  backward(loss, ones_like(loss.value()));
}

void backward(const Variable& output, const Tensor& gradient) {
  VariableState& root = output.state();
  check(
      root.producer != nullptr,
      "backward: the value {} depends on nothing that requires a gradient, or was computed under NoGradGuard",
      root.value.shape().str());
  std::vector<Visit> visits = visits_behind(output);
  add_gradient(root, gradient, "backward");
  TapeGuard no_tape(false);
  for (Visit& visit : visits) {
    run_node(*visit.node, *visit.output);
    visit.node->applied = nullptr;  // frees the saved values while the older nodes still run
    visit.node->inputs.clear();
    visit.output = nullptr;
  }
}

bool tape_is_on() {
  return tape_on;
}

bool is_recorded(const std::vector<Variable>& inputs) {
  return tape_on && std::any_of(inputs.begin(), inputs.end(), [](const Variable& input) {
           return input.defined() && input.requires_grad();
         });
}

TapeGuard::TapeGuard(bool on) : before_(tape_on) {
  tape_on = on;
}
TapeGuard::~TapeGuard() {
  tape_on = before_;
}

std::vector<std::shared_ptr<const Node>> nodes_behind(const Variable& output) {
  std::vector<std::shared_ptr<const Node>> nodes;
  for (const Visit& visit : visits_behind(output)) nodes.push_back(visit.node);
  return nodes;
}

}  // namespace mt
