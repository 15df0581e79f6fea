#include "tests/harness/problem_test.h"

#include <algorithm>
#include <cmath>

namespace mt::testing {
namespace {

/// All bytes 0xFF, as in a fresh Buffer: NaN for floats, -1 for signed integers.
template <typename T>
std::vector<T> untouched(std::size_t n) {
  std::vector<T> values(n);
  if (n > 0) std::memset(values.data(), 0xFF, n * sizeof(T));
  return values;
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

std::size_t size_of(const Array& array) {
  return std::visit([](const auto& values) { return values.size(); }, array.values);
}

}  // namespace

PlacedArray::PlacedArray(const Array& array, Device device, std::size_t offset) {
  std::visit(
      [&]<typename T>(const std::vector<T>& values) {
        if (array.on_host) {
          const auto held = std::make_shared<std::vector<T>>(values);
          data_ = held->data();
          values_ = [held] { return Values(*held); };
          return;
        }
        std::vector<T> shifted = untouched<T>(offset);
        shifted.insert(shifted.end(), values.begin(), values.end());
        const auto buffer = std::make_shared<Buffer<T>>(shifted, device);
        data_ = buffer->data() + offset;
        values_ = [buffer, offset] {
          const std::vector<T> all = buffer->host();
          const auto begin = all.begin() + static_cast<std::ptrdiff_t>(offset);
          EXPECT_TRUE(same_bits(std::vector<T>(all.begin(), begin), untouched<T>(offset)))
              << "a kernel wrote in front of its output";
          return Values(std::vector<T>(begin, all.end()));
        };
      },
      array.values);
}

PlacedCall::PlacedCall(const std::vector<Array>& inputs, const std::vector<Array>& outputs, Device device,
                       const std::function<std::size_t(std::size_t)>& offset_of,
                       const std::vector<InPlace>& in_place) {
  std::size_t array = 0;
  const auto offset = [&] { return offset_of ? offset_of(array++) : 0; };
  for (const Array& input : inputs) inputs_.push_back(std::make_shared<PlacedArray>(input, device, offset()));
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    const std::size_t behind = offset();
    const auto shared =
        std::find_if(in_place.begin(), in_place.end(), [&](const InPlace& p) { return p.output == o; });
    if (shared != in_place.end()) {
      outputs_.push_back(inputs_[shared->input]);
    } else {
      Array blank = outputs[o];
      std::visit([]<typename T>(std::vector<T>& values) { values = untouched<T>(values.size()); },
                 blank.values);
      outputs_.push_back(std::make_shared<PlacedArray>(blank, device, behind));
    }
  }
}

std::vector<Values> PlacedCall::answers() const {
  std::vector<Values> all;
  for (const auto& output : outputs_) all.push_back(output->values());
  return all;
}

std::vector<void*> PlacedCall::pointers(const std::vector<std::shared_ptr<PlacedArray>>& arrays) {
  std::vector<void*> all;
  for (const auto& array : arrays) all.push_back(array->data());
  return all;
}

std::vector<Array> in_double(const std::vector<Array>& arrays) {
  std::vector<Array> all = arrays;
  for (Array& array : all) {
    if (const auto* floats = std::get_if<std::vector<float>>(&array.values); floats != nullptr) {
      array.values = Values(std::vector<double>(floats->begin(), floats->end()));
    }
  }
  return all;
}

int64_t elements_of(const std::vector<Array>& arrays) {
  std::size_t all = 0;
  for (const Array& array : arrays) all += size_of(array);
  return static_cast<int64_t>(all);
}

void expect_answers(const std::vector<Values>& got, const std::vector<Values>& want,
                    const std::function<double(std::size_t output, std::size_t i)>& bound,
                    const std::string& what) {
  for (std::size_t o = 0; o < got.size(); ++o) {
    const std::string name = what + ", output " + std::to_string(o);
    if (const auto* floats = std::get_if<std::vector<float>>(&got[o]); floats != nullptr) {
      expect_within(
          *floats, std::get<std::vector<double>>(want[o]), [&](std::size_t i) { return bound(o, i); }, name);
    } else if (const auto* doubles = std::get_if<std::vector<double>>(&got[o]); doubles != nullptr) {
      const auto& wanted = std::get<std::vector<double>>(want[o]);
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        const double value = (*doubles)[i];
        EXPECT_TRUE(value == wanted[i] || std::abs(value - wanted[i]) <= bound(o, i) ||
                    (std::isnan(value) && std::isnan(wanted[i])))
            << name << "[" << i << "]: got " << value << ", want " << wanted[i];
      }
    } else {
      EXPECT_EQ(got[o], want[o]) << name;
    }
  }
}

void expect_equal_answers(const std::vector<Values>& a, const std::vector<Values>& b,
                          const std::string& what) {
  for (std::size_t o = 0; o < a.size(); ++o) {
    std::visit(
        [&]<typename T>(const std::vector<T>& values) {
          EXPECT_TRUE(same_bits(values, std::get<std::vector<T>>(b[o])))
              << what << ": output " << o << " differs";
        },
        a[o]);
  }
}

void expect_jacobian(const std::function<std::vector<double>(const std::vector<double>&)>& forward,
                     const std::function<std::vector<double>(const std::vector<double>& y,
                                                             const std::vector<double>& dy)>& backward,
                     const std::vector<double>& x, const std::string& what) {
  const std::vector<double> y = forward(x);
  std::vector<std::vector<double>> plus, minus;  // of y, for a step in each x
  constexpr double kStep = 1e-5;  // truncation 1e-10, roundoff 1e-11 for values and derivatives of size 1
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::vector<double> moved = x;
    moved[i] = x[i] + kStep;
    plus.push_back(forward(moved));
    moved[i] = x[i] - kStep;
    minus.push_back(forward(moved));
  }
  for (std::size_t o = 0; o < y.size(); ++o) {
    std::vector<double> dy(y.size());
    dy[o] = 1;
    const std::vector<double> dx = backward(y, dy);
    ASSERT_EQ(dx.size(), x.size()) << what;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = (plus[i][o] - minus[i][o]) / (2 * kStep);
      EXPECT_TRUE(std::abs(dx[i] - want) <= 1e-7 * (1 + std::abs(want)))
          << what << ": dy" << o << "/dx" << i << " is " << dx[i] << ", differences say " << want;
    }
  }
}

void Hurts::look_at(const std::vector<Array>& inputs, const std::vector<Array>& outputs) {
  const int64_t size = outputs.empty() ? 0 : static_cast<int64_t>(size_of(outputs[0]));
  empty = empty || size == 0 || (!inputs.empty() && elements_of(inputs) == 0);
  one_element = one_element || (size == 1 && elements_of(inputs) <= static_cast<int64_t>(2 * inputs.size()));
  for (const Array& input : inputs) {
    const auto* floats = std::get_if<std::vector<float>>(&input.values);
    if (floats == nullptr) continue;
    for (const float value : *floats) {
      nan = nan || std::isnan(value);
      infinity = infinity || std::isinf(value);
    }
  }
}

}  // namespace mt::testing
