#include "autograd/recompute.h"

#include "autograd/arithmetic.h"

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

}  // namespace

Variable recompute(Segment segment, const Variable& input) {
  if (!tape_is_on()) return segment(input);
  Tensor output;
  {
    NoGradGuard no_tape;
    output = segment(input.detach()).value();
  }
  BackwardRule rule = [segment = std::move(segment), saved = Saved(input.value(), "recompute")](
                          const Tensor& gradient, const Wanted& wanted) {
    const Variable again(saved.get(), wanted[0]);  // a leaf: the inner tape ends here
    {
      TapeGuard tape(true);
      RecomputingGuard guard;
      const Variable result = segment(again);
      if (result.state().producer != nullptr) backward(result, gradient);
    }
    if (wanted[0] && !again.grad().defined()) return Gradients{zeros_like(again.value())};
    return Gradients{again.grad()};
  };
  return record("recompute", output, {input}, std::move(rule), /*always=*/true);
}

bool is_recomputing() {
  return recomputing;
}

}  // namespace mt
