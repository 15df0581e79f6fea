#pragma once
// The tests that are made from an operation's problems (kernels/common/problem.h), for every device, version and order of threads.
// MT_PROBLEM_TESTS(Softmax, softmax, softmax_problems()) in OP_test.cc is all that an operation writes:
//
//   AgreesWithReference     every problem, within its bound; a call that must throw throws what it must; nothing else is touched
//   LargeOnesAgree          the same for what would take the SIMT machine minutes
//   SameBitsAlways          every order of threads and blocks on simt; 1, 2 and 3 threads on the cpu; a second run on cuda
//   AnyAlignment            arrays 1, 2 or 3 elements off, all of them and one alone: other vectors, other tails
//   OutputsMayBeInputs      where the header says so: the same bits
//   JacobianIsTheDerivative the reference's backward, every entry, against central differences of its forward
//   HurtsEnough             the set has an empty problem, one of one element, NaN and infinities
//
// A property without a single check fails, unless the set's `holes` say why. scripts/kernel_matrix.py prints the matrix.

#include <functional>
#include <memory>

#include "kernels/common/problem.h"
#include "kernels/device/device.h"
#include "tests/harness/error_of.h"
#include "tests/harness/kernel_test.h"

namespace mt::testing {

/// One array of a call, in device or host memory, `offset` elements behind an aligned address.
class PlacedArray {
 public:
  PlacedArray(const Array& array, Device device, std::size_t offset = 0);
  void* data() const { return data_; }
  /// What it holds now.
  Values values() const { return values_(); }

 private:
  void* data_ = nullptr;
  std::function<Values()> values_;
};

/// The arrays of one call; an output named in `in_place` is an input's array.
class PlacedCall {
 public:
  PlacedCall(const std::vector<Array>& inputs, const std::vector<Array>& outputs, Device device,
             const std::function<std::size_t(std::size_t)>& offset_of = {},
             const std::vector<InPlace>& in_place = {});
  template <typename T>
  Arguments<T> inputs() const {
    return Arguments<T>(pointers(inputs_));
  }
  template <typename T>
  Arguments<T> outputs() const {
    return Arguments<T>(pointers(outputs_));
  }
  std::vector<Values> answers() const;

 private:
  static std::vector<void*> pointers(const std::vector<std::shared_ptr<PlacedArray>>& arrays);
  std::vector<std::shared_ptr<PlacedArray>> inputs_;
  std::vector<std::shared_ptr<PlacedArray>> outputs_;
};

/// The numbers among them as doubles.
std::vector<Array> in_double(const std::vector<Array>& arrays);
int64_t elements_of(const std::vector<Array>& arrays);
/// Numbers within bound(output, i), all else equal. `want` is the reference's, numbers in double.
void expect_answers(const std::vector<Values>& got, const std::vector<Values>& want,
                    const std::function<double(std::size_t output, std::size_t i)>& bound,
                    const std::string& what);
void expect_equal_answers(const std::vector<Values>& a, const std::vector<Values>& b,
                          const std::string& what);
/// Row-major (outputs, inputs) by differences, against rows that the backward gave.
void expect_jacobian(const std::function<std::vector<double>(const std::vector<double>&)>& forward,
                     const std::function<std::vector<double>(const std::vector<double>& y,
                                                             const std::vector<double>& dy)>& backward,
                     const std::vector<double>& x, const std::string& what);
/// What HurtsEnough looks for in one problem's arrays.
struct Hurts {
  bool empty = false;
  bool one_element = false;
  bool nan = false;
  bool infinity = false;
  void look_at(const std::vector<Array>& inputs, const std::vector<Array>& outputs);
};

template <template <typename> class Op>
class ProblemTest : public KernelTest {
 protected:
  /// The front door, and the set; made once.
  virtual const Op<float>& front_door() const = 0;
  virtual const Op<double>& reference() const = 0;
  virtual const ProblemSet<Op>& set() const = 0;

  const Op<float>& op() const { return version_of(front_door()); }

  PlacedCall run(const Problem<Op>& problem, const std::function<std::size_t(std::size_t)>& offset_of = {},
                 const InPlace* in_place = nullptr) {
    std::vector<InPlace> shared = problem.updated;
    if (in_place != nullptr) shared.push_back(*in_place);
    PlacedCall call(problem.inputs, problem.outputs, device(), offset_of, shared);
    problem.run(op(), call.template inputs<float>(), call.template outputs<float>());
    ++checks_;
    return call;
  }

  /// Against the reference, within the bounds.
  void expect_agreement(const Problem<Op>& problem, const std::vector<Values>& got, const std::string& how) {
    const PlacedCall call(in_double(problem.inputs), in_double(problem.outputs), Device::cpu, {},
                          problem.updated);
    problem.reference(reference(), call.template inputs<double>(), call.template outputs<double>());
    const std::vector<Values> want = call.answers();
    Answer answer;
    for (const Array& input : in_double(problem.inputs)) {
      const auto* doubles = std::get_if<std::vector<double>>(&input.values);
      answer.inputs.push_back(doubles == nullptr ? std::vector<double>() : *doubles);
    }
    for (const Values& values : want) {
      const auto* doubles = std::get_if<std::vector<double>>(&values);
      answer.outputs.push_back(doubles == nullptr ? std::vector<double>() : *doubles);
    }
    const auto bound = [&](std::size_t output, std::size_t i) {
      return problem.bound ? problem.bound(answer, output, i) : 0.0;
    };
    expect_answers(got, want, bound, problem.name + how);
  }

  void agrees(bool large) {
    for (const Problem<Op>& problem : set().problems) {
      if (problem.large != large) continue;
      if (problem.error.empty()) {
        expect_agreement(problem, run(problem).answers(), "");
        continue;
      }
      EXPECT_EQ(error_of([&] {
                  run(problem);
                  synchronize(device());
                }),
                problem.error)
          << problem.name;
    }
    done(large ? "LargeOnesAgree" : "AgreesWithReference");
  }

  void same_bits_always() {
    std::vector<std::vector<Values>> first;  // answers of each problem
    const auto all_again = [&](const std::string& how) {
      std::size_t next = 0;
      for (const Problem<Op>& problem : set().problems) {
        if (!problem.error.empty() || (problem.large && device() != Device::cpu)) continue;
        const std::vector<Values> answers = run(problem).answers();
        if (next == first.size()) first.push_back(answers);
        expect_equal_answers(answers, first[next++], problem.name + how);
      }
    };
    if (device() == Device::cpu) {
      for_thread_counts([&](int threads) { all_again(", threads " + std::to_string(threads)); });
    } else {
      all_again(", in this order");
      if (device() == Device::cuda || GetParam().schedule.order != simt_machine::Order::ascending) {
        simt_machine::set_schedule({});
        all_again(", ascending");
      }
    }
    done("SameBitsAlways");
  }

  void any_alignment() {
    std::size_t turn = 0;
    for (const Problem<Op>& problem : set().problems) {
      if (!problem.error.empty() || problem.large || elements_of(problem.inputs) > 2500) continue;
      // Over the set all offsets come with all arrays.
      const std::size_t offset = 1 + turn % 3;
      const std::size_t alone = turn / 3 % (problem.inputs.size() + problem.outputs.size());
      const std::string how = ", " + std::to_string(offset) + " elements off: ";
      expect_agreement(problem, run(problem, [&](std::size_t) { return offset; }).answers(),
                       how + "all arrays");
      const auto only = [&](std::size_t array) { return array == alone ? offset : 0; };
      expect_agreement(problem, run(problem, only).answers(), how + "array " + std::to_string(alone));
      ++turn;
    }
    done("AnyAlignment");
  }

  void outputs_may_be_inputs() {
    for (const Problem<Op>& problem : set().problems) {
      if (problem.large) continue;
      const std::vector<Values> apart =
          problem.in_place.empty() ? std::vector<Values>() : run(problem).answers();
      for (const InPlace& place : problem.in_place) {
        const std::string how =
            ", output " + std::to_string(place.output) + " in input " + std::to_string(place.input);
        expect_equal_answers(run(problem, {}, &place).answers(), apart, problem.name + how);
      }
    }
    done("OutputsMayBeInputs");
  }

  void jacobian() {
    if (device() != Device::cpu) return;
    for (const Derivative<Op>& derivative : set().derivatives) {
      expect_jacobian([&](const std::vector<double>& x) { return derivative.forward(reference(), x); },
                      [&](const std::vector<double>& y, const std::vector<double>& dy) {
                        return derivative.backward(reference(), derivative.x, y, dy);
                      },
                      derivative.x, derivative.name);
      ++checks_;
    }
    done("JacobianIsTheDerivative");
  }

  void hurts_enough() {
    if (device() != Device::cpu) return;
    Hurts all;
    for (const Problem<Op>& problem : set().problems) all.look_at(problem.inputs, problem.outputs);
    for (const auto& [name, there] : {std::pair{"an empty problem", all.empty},
                                      {"one element", all.one_element},
                                      {"NaN", all.nan},
                                      {"infinity", all.infinity}}) {
      ++checks_;
      EXPECT_TRUE(there || is_hole(name)) << "no problem has " << name;
    }
    done("HurtsEnough");
  }

 private:
  bool is_hole(const std::string& property) const {
    for (const Hole& hole : set().holes) {
      if (hole.property == property) return true;
    }
    return false;
  }

  /// The count for the matrix. A property that checked nothing must say why.
  void done(const std::string& property) {
    RecordProperty("checks", checks_);
    for (const Hole& hole : set().holes) {
      if (hole.property != property) continue;
      EXPECT_EQ(checks_, 0) << "a hole that is none: " << hole.reason;
      RecordProperty("hole", hole.reason);
      GTEST_SKIP() << "hole: " << hole.reason;
    }
    EXPECT_GT(checks_, 0) << "nothing was checked, and no hole says why";
  }

  int checks_ = 0;
};

}  // namespace mt::testing

/// Op: the table's template; door: the operation's front door; problems: an expression that gives its ProblemSet.
#define MT_PROBLEM_TESTS(Op, door, problems)                                                       \
  class Op##Problems : public mt::testing::ProblemTest<mt::Op> {                                   \
   protected:                                                                                      \
    const mt::Op<float>& front_door() const override { return mt::door<float>(device()); }         \
    const mt::Op<double>& reference() const override { return mt::door<double>(mt::Device::cpu); } \
    const mt::ProblemSet<mt::Op>& set() const override {                                           \
      static const mt::ProblemSet<mt::Op> made = problems;                                         \
      return made;                                                                                 \
    }                                                                                              \
  };                                                                                               \
  TEST_P(Op##Problems, AgreesWithReference) {                                                      \
    agrees(false);                                                                                 \
  }                                                                                                \
  TEST_P(Op##Problems, LargeOnesAgree) {                                                           \
    if (!skips_large_case()) agrees(true);                                                         \
  }                                                                                                \
  TEST_P(Op##Problems, SameBitsAlways) {                                                           \
    same_bits_always();                                                                            \
  }                                                                                                \
  TEST_P(Op##Problems, AnyAlignment) {                                                             \
    any_alignment();                                                                               \
  }                                                                                                \
  TEST_P(Op##Problems, OutputsMayBeInputs) {                                                       \
    outputs_may_be_inputs();                                                                       \
  }                                                                                                \
  MT_ON_EVERY_DEVICE(Op##Problems, mt::Op<float>);                                                 \
  class Op##ReferenceProblems : public Op##Problems {};                                            \
  TEST_P(Op##ReferenceProblems, JacobianIsTheDerivative) {                                         \
    jacobian();                                                                                    \
  }                                                                                                \
  TEST_P(Op##ReferenceProblems, HurtsEnough) {                                                     \
    hurts_enough();                                                                                \
  }                                                                                                \
  INSTANTIATE_TEST_SUITE_P(Devices, Op##ReferenceProblems,                                         \
                           ::testing::ValuesIn(mt::testing::settings_for(mt::Device::cpu, {""})),  \
                           mt::testing::setting_name)
