#pragma once
// What fills are tested with.

#include "kernels/common/problem.h"
#include "kernels/fill/fill.h"

namespace mt {

inline ProblemSet<Fill> fill_problems() {
  ProblemSet<Fill> set;
  for (const float value : {0.0F, -0.0F, 1.5F, NAN, -INFINITY, 1e-45F}) {
    for (const int64_t n :
         {0, 1, 15, 16, 17, 100, 2051, 200001}) {  // around 16 lanes; a block's 2,048 elements and a tail
      set.problems.push_back(
          problem<Fill>(std::to_string(n) + " times " + std::to_string(value), {}, {{numbers(n)}},
                        [=]<typename T>(const Fill<T>& op, const Arguments<T>&, const Arguments<T>& out) {
                          op.constant(out[0], static_cast<T>(value), n, nullptr);
                        }));
      set.problems.back().large = n > 100000;
    }
  }
  set.holes = {{"OutputsMayBeInputs", "there is no input"},
               {"JacobianIsTheDerivative", "there is no input"},
               {"NaN", "there is no input; the value takes its turn"},
               {"infinity", "there is no input; the value takes its turn"}};
  return set;
}

}  // namespace mt
