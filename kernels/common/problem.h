#pragma once
// The problems of an operation, as data: OP_problems.h lists calls of the functions of its table with their inputs (ordinary ones and
// ones chosen to hurt) and the error that the answer may have. tests/harness/problem_test.h makes
// the tests from the list.

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "tensor/rng.h"

namespace mt {

using Values = std::variant<std::vector<float>, std::vector<double>, std::vector<uint8_t>,
                            std::vector<int32_t>, std::vector<int64_t>>;

/// One array of a call. Floats are the operation's numbers: the reference gets them as doubles. All other types are what they are.
struct Array {
  Values values;
  bool on_host = false;  // in host memory on every device
};

inline std::vector<float> numbers(int64_t n) {
  return std::vector<float>(static_cast<std::size_t>(n));
}
inline Array on_host(Values values) {
  return {std::move(values), true};
}

/// The arrays of one call, as pointers; T: float, or double in the reference.
template <typename T>
class Arguments {
 public:
  explicit Arguments(std::vector<void*> pointers) : pointers_(std::move(pointers)) {}
  /// Numbers.
  T* operator[](std::size_t i) const { return static_cast<T*>(pointers_[i]); }
  /// Anything else.
  template <typename U>
  U* as(std::size_t i) const {
    return static_cast<U*>(pointers_[i]);
  }

 private:
  std::vector<void*> pointers_;
};

/// What error bounds are made of.
struct Answer {
  std::vector<std::vector<double>> inputs;   // the numbers among the inputs; others are empty
  std::vector<std::vector<double>> outputs;  // the reference's
};

/// An output and an input that are one array.
struct InPlace {
  std::size_t output;
  std::size_t input;
};

/// One call of a function of Op's table.
template <template <typename> class Op>
struct Problem {
  std::string name;
  std::vector<Array> inputs;
  /// Of these types and sizes. What a call leaves alone must hold its old value.
  std::vector<Array> outputs;
  std::function<void(const Op<float>& op, const Arguments<float>& in, const Arguments<float>& out)> run;
  std::function<void(const Op<double>& op, const Arguments<double>& in, const Arguments<double>& out)>
      reference;
  /// The largest error that element i of an output of numbers may have; null: none. Other outputs are equal.
  std::function<double(const Answer& answer, std::size_t output, std::size_t i)> bound = {};
  std::vector<InPlace> updated = {};   // always: what is added to, say
  std::vector<InPlace> in_place = {};  // where the caller likes
  /// What the call throws instead of answering.
  std::string error = {};
  /// Would take the SIMT machine minutes.
  bool large = false;
};

/// call(op, in, out) is written once, for float and double: [=]<typename T>(const Op<T>& op, const Arguments<T>& in, const Arguments<T>&
/// out) { … }.
template <template <typename> class Op, typename Call>
Problem<Op> problem(std::string name, std::vector<Array> inputs, std::vector<Array> outputs, Call call) {
  return {std::move(name), std::move(inputs), std::move(outputs),
          [call](const auto& op, const auto& in, const auto& out) { call(op, in, out); },
          [call](const auto& op, const auto& in, const auto& out) { call(op, in, out); }};
}

/// A forward and its backward, in double.
template <template <typename> class Op>
struct Derivative {
  std::string name;
  std::vector<double> x;
  std::function<std::vector<double>(const Op<double>& op, const std::vector<double>& x)> forward;
  std::function<std::vector<double>(const Op<double>& op, const std::vector<double>& x,
                                    const std::vector<double>& y, const std::vector<double>& dy)>
      backward;
};

/// A property that an operation cannot be tested for, and why.
struct Hole {
  std::string property;
  std::string reason;
};

template <template <typename> class Op>
struct ProblemSet {
  std::vector<Problem<Op>> problems;
  std::vector<Derivative<Op>> derivatives;
  std::vector<Hole> holes = {};
};

/// `count` floats in [low, high), the same for ever for one seed.
inline std::vector<float> problem_values(int64_t count, uint64_t seed, float low = -1, float high = 1) {
  RandomStream random(seed, Purpose::test);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = random.uniform(low, high);
  return values;
}

inline std::vector<double> as_doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

/// Unit roundoff of float, and its smallest normal number.
inline constexpr double kUnitRoundoff = 0x1p-24;
inline constexpr double kSmallestNormal = 0x1p-126;

/// roundoffs · u · |the answer|, and what lies below float's normal range.
inline std::function<double(const Answer&, std::size_t, std::size_t)> relative_bound(double roundoffs) {
  return [roundoffs](const Answer& answer, std::size_t output, std::size_t i) {
    return roundoffs * kUnitRoundoff * std::abs(answer.outputs[output][i]) + kSmallestNormal;
  };
}

}  // namespace mt
