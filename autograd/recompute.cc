#include "autograd/recompute.h"

#include "autograd/arithmetic.h"
#include "autograd/rule.h"

namespace mt {
namespace {

thread_local bool recomputing = false;

class RecomputingGuard {
 public:
  RecomputingGuard() : before_(recomputing) { recomputing = true; }
  ~RecomputingGuard() { recomputing = before_; }
  RecomputingGuard(const RecomputingGuard&) = delete;
  RecomputingGuard& operator=(const RecomputingGuard&) = delete;

 private:
  bool before_;
};

/// y = segment(x); backward: the segment again, with a tape
struct Recompute {
  static constexpr const char* kName = "recompute";
  Segment segment;
  Saved x;
  auto saves() { return std::tie(x); }

  Tensor forward(const Tensor& input) const {
    NoGradGuard no_tape;
    return segment(Variable(input)).value();
  }
  Gradients backward(const Tensor& dy, const Wanted& wanted) const {
    const Variable again(x.get(), wanted[0]);  // a leaf: the inner tape ends here
    {
      TapeGuard tape(true);
      RecomputingGuard guard;
      const Variable result = segment(again);
      if (result.state().producer != nullptr) mt::backward(result, dy);
    }
    if (wanted[0] && !again.grad().defined()) return {zeros_like(again.value())};
    return {again.grad()};
  }
};

}  // namespace

Variable recompute(Segment segment, const Variable& input) {
  if (!tape_is_on()) return segment(input);
  auto rule = std::make_unique<AppliedRuleOf<Recompute>>(Recompute{std::move(segment), input.value()});
  Tensor output = rule->applied().forward(input.value());
  return record(std::move(rule), std::move(output), {input}, /*always=*/true);
}

bool is_recomputing() {
  return recomputing;
}

}  // namespace mt
