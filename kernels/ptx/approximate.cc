// Roots, reciprocals and the approximate instructions of the special function unit (PTX ISA, "Floating Point
// Instructions").

#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/ptx/lane_values.h"

namespace mt::ptx {
namespace {

struct SquareRoot {
  template <typename T>
  static T of(T a) {
    return std::sqrt(a);
  }
};
struct Reciprocal {
  template <typename T>
  static T of(T a) {
    return 1 / a;
  }
};
template <typename Operation>
void decode_exact(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"rn"});
  decoder.same_type_operands(statement, in, statement.type());
  set_handler(in, statement, choose_float(in.type, [](auto zero) -> Handler {
                return run_unary<Operation, decltype(zero)>;
              }));
}

template <typename T>
T flushed(T a) {
  return std::fpclassify(a) == FP_SUBNORMAL ? std::copysign(T{0}, a) : a;
}

// Approximations. Correctly rounded, or in the reversed order moved away from zero by as many units in the
// last place as the ISA allows.

/// Units in the last place of float that the ISA's bound on the relative error is worth at least.
template <int kUlps>
float moved(float value, bool moves) {
  if (!moves || !std::isfinite(value) || value == 0) return value;
  for (int i = 0; i < kUlps; ++i)
    value = std::nextafter(value, std::copysign(std::numeric_limits<float>::infinity(), value));
  return value;
}

struct Exp2 {
  static constexpr int kUlps = 2;  // "2 ulp"
  static double of(double a) { return std::exp2(a); }
};
struct Log2 {
  static constexpr int kUlps = 1;  // relative 2^-22; near 1 absolute 2^-22, which is more
  static double of(double a) { return std::log2(a); }
};
struct Sine {
  static constexpr int kUlps = 0;  // absolute 2^-20.5
  static double of(double a) { return std::sin(a); }
};
struct Cosine {
  static constexpr int kUlps = 0;
  static double of(double a) { return std::cos(a); }
};
struct HyperbolicTangent {
  static constexpr int kUlps = 4096;  // relative 2^-11
  static double of(double a) { return std::tanh(a); }
};
struct ApproximateReciprocal {
  static constexpr int kUlps = 1;  // "1 ulp"
  static double of(double a) { return 1 / a; }
};
struct ApproximateRoot {
  static constexpr int kUlps = 1;  // relative 2^-23
  static double of(double a) { return std::sqrt(a); }
};
struct ReciprocalRoot {
  static constexpr int kUlps = 1;  // relative 2^-22.9
  static double of(double a) { return 1 / std::sqrt(a); }
};

template <typename Operation>
void run_approximate(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<float> d(warp, in.d), a(warp, in.a);
  const bool moves = warp.block().launch().order == Order::reversed;
  for_each_lane(active, [&](int lane) {
    const float x = in.flush ? flushed(a[lane]) : a[lane];
    const auto exact = static_cast<float>(Operation::of(static_cast<double>(x)));
    // The ISA's table of special values: two to the power of ±0, or of a subnormal, is 1 exactly.
    const bool is_special = std::is_same_v<Operation, Exp2> && flushed(x) == 0;
    const float y = moved<Operation::kUlps>(exact, moves && !is_special);
    d.set(lane, in.flush ? flushed(y) : y);
  });
}

/// rcp.approx.ftz.f64: the upper half of the result only.
void run_approximate_reciprocal64(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<double> d(warp, in.d), a(warp, in.a);
  for_each_lane(active, [&](int lane) {
    const auto bits = std::bit_cast<uint64_t>(1 / flushed(a[lane]));
    d.set(lane, flushed(std::bit_cast<double>(bits & 0xffffffff00000000U)));
  });
}

template <typename Operation>
void decode_approximate(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"approx", "ftz"});
  decoder.same_type_operands(statement, in, statement.type());
  if (!statement.has("approx") || in.type != Type::f32) unsupported(statement, "the type");
  in.flush = statement.has("ftz");
  in.run = run_approximate<Operation>;
}

template <typename Exact, typename Approximate>
void decode_root(Decoder& decoder, const Statement& statement, Instruction& in) {
  if (statement.has("approx") && statement.type() == Type::f32)
    return decode_approximate<Approximate>(decoder, statement, in);
  if (!statement.has("approx")) return decode_exact<Exact>(decoder, statement, in);
  if (statement.opcode != "rcp") unsupported(statement, "the type");
  decoder.same_type_operands(statement, in, Type::f64);
  in.run = run_approximate_reciprocal64;
}

constexpr std::array kOpcodes{
    Opcode{"sqrt", decode_root<SquareRoot, ApproximateRoot>},
    Opcode{"rcp", decode_root<Reciprocal, ApproximateReciprocal>},
    Opcode{"rsqrt", decode_approximate<ReciprocalRoot>},
    Opcode{"ex2", decode_approximate<Exp2>},
    Opcode{"lg2", decode_approximate<Log2>},
    Opcode{"sin", decode_approximate<Sine>},
    Opcode{"cos", decode_approximate<Cosine>},
    Opcode{"tanh", decode_approximate<HyperbolicTangent>},
};

}  // namespace

std::span<const Opcode> approximate_opcodes() {
  return kOpcodes;
}

}  // namespace mt::ptx
