// Integer and floating-point arithmetic (PTX ISA, "Integer Arithmetic", "Floating Point Instructions").

#include <algorithm>
#include <array>
#include <cfenv>
#include <cmath>
#include <limits>

#include "kernels/ptx/lane_values.h"

namespace mt::ptx {

namespace {

/// Integers wrap: computed without a sign.
template <typename T>
using Wrapping = std::conditional_t<(sizeof(T) < 4), uint32_t, Unsigned<T>>;

struct Add {
  template <typename T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>)
      return a + b;
    else
      return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
  }
};
struct Subtract {
  template <typename T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>)
      return a - b;
    else
      return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
  }
};
struct Multiply {
  template <typename T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>)
      return a * b;
    else
      return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
  }
};
struct MultiplyHigh {
  template <typename T>
  static T of(T a, T b) {
    __extension__ using Int128 = __int128;
    using Twice = std::conditional_t<sizeof(T) == 8, Int128, int64_t>;
    return static_cast<T>((static_cast<Twice>(a) * static_cast<Twice>(b)) >> (8 * sizeof(T)));
  }
};
struct MultiplyAdd {  // of integers, low half
  template <typename T>
  static T of(T a, T b, T c) {
    return Add::of(Multiply::of(a, b), c);
  }
};
struct FusedMultiplyAdd {
  template <typename T>
  static T of(T a, T b, T c) {
    return std::fma(a, b, c);
  }
};
struct Divide {
  template <typename T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      return a / b;
    } else {
      if (b == 0) return static_cast<T>(~Unsigned<T>{0});
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return static_cast<T>(-static_cast<Wrapping<T>>(a));
      }
      return static_cast<T>(a / b);
    }
  }
};
struct Remainder {
  template <typename T>
  static T of(T a, T b) {
    if (b == 0) return a;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    return static_cast<T>(a % b);
  }
};
struct Minimum {  // of floats: the other one where one is NaN, -0 before +0
  template <typename T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(a)) return b;
      if (std::isnan(b)) return a;
      if (a == b) return std::signbit(a) ? a : b;
    }
    return a < b ? a : b;
  }
};
struct Maximum {
  template <typename T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(a)) return b;
      if (std::isnan(b)) return a;
      if (a == b) return std::signbit(a) ? b : a;
    }
    return a > b ? a : b;
  }
};
struct Negate {
  template <typename T>
  static T of(T a) {
    if constexpr (std::is_floating_point_v<T>)
      return -a;
    else
      return static_cast<T>(-static_cast<Wrapping<T>>(a));
  }
};
struct Absolute {
  template <typename T>
  static T of(T a) {
    if constexpr (std::is_floating_point_v<T>)
      return std::fabs(a);
    else
      return std::is_signed_v<T> && a < 0 ? Negate::of(a) : a;
  }
};
struct CopySign {  // copysign d, a, b: the sign of a on b
  template <typename T>
  static T of(T a, T b) {
    return std::copysign(b, a);
  }
};
struct Saturate {  // to [0, 1]; NaN becomes 0
  template <typename T>
  static T of(T a) {
    return !(a > 0) ? T{0} : a > 1 ? T{1} : a;
  }
};

// Rounding other than to nearest: with the processor's mode changed; volatile keeps the compiler from
// computing before.
class RoundingMode {
 public:
  explicit RoundingMode(Rounding rounding) : before_(std::fegetround()) {
    std::fesetround(rounding == Rounding::zero   ? FE_TOWARDZERO
                    : rounding == Rounding::down ? FE_DOWNWARD
                    : rounding == Rounding::up   ? FE_UPWARD
                                                 : FE_TONEAREST);
  }
  ~RoundingMode() { std::fesetround(before_); }
  RoundingMode(const RoundingMode&) = delete;
  RoundingMode& operator=(const RoundingMode&) = delete;

 private:
  int before_;
};

template <typename Operation, typename T>
void run_rounded_binary(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> d(warp, in.d), a(warp, in.a), b(warp, in.b);
  const RoundingMode mode(in.rounding);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!contains(active, lane)) continue;
    volatile T x = a[lane], y = b[lane];
    volatile T result = Operation::of(T{x}, T{y});
    d.set(lane, result);
  }
}
template <typename T>
void run_rounded_fma(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> d(warp, in.d), a(warp, in.a), b(warp, in.b), c(warp, in.c);
  const RoundingMode mode(in.rounding);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!contains(active, lane)) continue;
    volatile T x = a[lane], y = b[lane], z = c[lane];
    volatile T result = std::fma(T{x}, T{y}, T{z});
    d.set(lane, result);
  }
}

/// Behind the handler of an instruction with .sat.
template <Handler kHandler>
void run_saturated(Warp& warp, const Instruction& in, LaneMask active) {
  kHandler(warp, in, active);
  const LaneValues<float> d(warp, in.d);
  for_each_lane(active, [&](int lane) { d.set(lane, Saturate::of(d[lane])); });
}

void read_rounding(const Statement& statement, Instruction& in) {
  if (statement.has("rz")) in.rounding = Rounding::zero;
  if (statement.has("rm")) in.rounding = Rounding::down;
  if (statement.has("rp")) in.rounding = Rounding::up;
}

template <typename Operation>
void decode_binary(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"rn", "rz", "rm", "rp", "sat", "lo"});
  const Type type = statement.type();
  decoder.same_type_operands(statement, in, type);
  read_rounding(statement, in);
  set_handler(in, statement, choose_number(type, [](auto zero) -> Handler {
                return run_binary<Operation, decltype(zero)>;
              }));
  if (in.rounding != Rounding::nearest) {
    set_handler(in, statement, choose_float(type, [](auto zero) -> Handler {
                  return run_rounded_binary<Operation, decltype(zero)>;
                }));
  }
  if (statement.has("sat")) {
    if (type != Type::f32 || in.rounding != Rounding::nearest) unsupported(statement, "modifier .sat here");
    in.run = run_saturated<run_binary<Operation, float>>;
  }
}

template <typename Operation>
void decode_plain_binary(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"rn"});
  decoder.same_type_operands(statement, in, statement.type());
  set_handler(in, statement, choose_number(in.type, [](auto zero) -> Handler {
                return run_binary<Operation, decltype(zero)>;
              }));
}

template <typename Operation>
void decode_unary(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"rn"});
  decoder.same_type_operands(statement, in, statement.type());
  set_handler(in, statement, choose_number(in.type, [](auto zero) -> Handler {
                return run_unary<Operation, decltype(zero)>;
              }));
}

template <typename Operation>
void decode_float_binary(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  decoder.same_type_operands(statement, in, statement.type());
  set_handler(in, statement, choose_float(in.type, [](auto zero) -> Handler {
                return run_binary<Operation, decltype(zero)>;
              }));
}

void decode_remainder(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  decoder.same_type_operands(statement, in, statement.type());
  set_handler(in, statement, choose_integer(in.type, [](auto zero) -> Handler {
                return run_binary<Remainder, decltype(zero)>;
              }));
}

// Products twice as wide as their factors.

template <typename T>
using Doubled = std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>,
                                   std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;

template <typename T, bool kAdds>
void run_wide_product(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<Doubled<T>> d(warp, in.d), c(warp, kAdds ? in.c : in.d);
  const LaneValues<T> a(warp, in.a), b(warp, in.b);
  for_each_lane(active, [&](int lane) {
    const auto product =
        static_cast<Doubled<T>>(static_cast<Doubled<T>>(a[lane]) * static_cast<Doubled<T>>(b[lane]));
    d.set(lane, kAdds ? Add::of(product, c[lane]) : product);
  });
}

template <bool kAdds>
void decode_wide_product(Decoder& decoder, const Statement& statement, Instruction& in) {
  const Type type = statement.type();
  const Type wide = bytes_of(type) == 2 ? Type::b32 : Type::b64;
  if (bytes_of(type) != 2 && bytes_of(type) != 4) unsupported(statement, "the type");
  in.d = decoder.destination(statement.operands.at(0), wide);
  in.a = decoder.source(statement.operands.at(1), type);
  in.b = decoder.source(statement.operands.at(2), type);
  if (kAdds) in.c = decoder.source(statement.operands.at(3), wide);
  set_handler(in, statement, choose_integer(type, [](auto zero) -> Handler {
                using T = decltype(zero);
                if constexpr (sizeof(T) == 2 || sizeof(T) == 4)
                  return run_wide_product<T, kAdds>;
                else
                  return nullptr;
              }));
}

void decode_multiply(Decoder& decoder, const Statement& statement, Instruction& in) {
  if (statement.has("wide")) return decode_wide_product<false>(decoder, statement, in);
  if (!statement.has("hi")) return decode_binary<Multiply>(decoder, statement, in);
  decoder.same_type_operands(statement, in, statement.type());
  set_handler(in, statement, choose_integer(in.type, [](auto zero) -> Handler {
                return run_binary<MultiplyHigh, decltype(zero)>;
              }));
}

void decode_fma(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"rn", "rz", "rm", "rp", "sat"});
  decoder.same_type_operands(statement, in, statement.type());
  read_rounding(statement, in);
  set_handler(in, statement, choose_float(in.type, [&](auto zero) -> Handler {
                using T = decltype(zero);
                return in.rounding == Rounding::nearest ? Handler{run_ternary<FusedMultiplyAdd, T>}
                                                        : Handler{run_rounded_fma<T>};
              }));
  if (statement.has("sat")) {
    if (in.type != Type::f32 || in.rounding != Rounding::nearest)
      unsupported(statement, "modifier .sat here");
    in.run = run_saturated<run_ternary<FusedMultiplyAdd, float>>;
  }
}

void decode_multiply_add(Decoder& decoder, const Statement& statement, Instruction& in) {
  if (is_float(statement.type())) return decode_fma(decoder, statement, in);
  if (statement.has("wide")) return decode_wide_product<true>(decoder, statement, in);
  allow_modifiers(statement, {"lo"});
  decoder.same_type_operands(statement, in, statement.type());
  set_handler(in, statement, choose_integer(in.type, [](auto zero) -> Handler {
                return run_ternary<MultiplyAdd, decltype(zero)>;
              }));
}

constexpr std::array kOpcodes{
    Opcode{"add", decode_binary<Add>},
    Opcode{"sub", decode_binary<Subtract>},
    Opcode{"mul", decode_multiply},
    Opcode{"mad", decode_multiply_add},
    Opcode{"fma", decode_fma},
    Opcode{"div", decode_plain_binary<Divide>},
    Opcode{"rem", decode_remainder},
    Opcode{"min", decode_plain_binary<Minimum>},
    Opcode{"max", decode_plain_binary<Maximum>},
    Opcode{"neg", decode_unary<Negate>},
    Opcode{"abs", decode_unary<Absolute>},
    Opcode{"copysign", decode_float_binary<CopySign>},
};

}  // namespace

std::span<const Opcode> arithmetic_opcodes() {
  return kOpcodes;
}

}  // namespace mt::ptx
