#pragma once
// Does a backward rule compute the derivative of its forward?

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "autograd/tape.h"

namespace mt {

struct GradcheckOptions {
  /// Inputs are moved by ±step and ±2 step. Keep them farther than that from kinks (ReLU's 0, ties of a
  /// maximum).
  double step = 1e-4;
  /// Allowed |rule − difference|, relative to the larger of 1 and the largest entry of the Jacobian: the
  /// square root of double's epsilon.
  double tolerance = 0x1p-26;
};

struct GradcheckResult {
  bool ok = true;
  /// The worst entry: which input and output element, both derivatives.
  std::string message;
  double worst_error = 0;
  /// The rules that the function recorded.
  std::set<const Rule*> rules;
};

using CheckedFunction = std::function<Variable(const std::vector<Variable>& inputs)>;

/// Compares the full Jacobian of `function` (every output element by every element of the inputs that require
/// a gradient) between backward() and five-point central differences: (8 (f(x+h) − f(x−h)) − (f(x+2h) −
/// f(x−2h))) / 12h, whose error is h⁴ f⁽⁵⁾/30 + 1.5 eps |f| / h. Inputs are f64 leaves. `function` must be
/// deterministic.
GradcheckResult gradcheck(const CheckedFunction& function, const std::vector<Variable>& inputs,
                          const GradcheckOptions& options = {});

}  // namespace mt
