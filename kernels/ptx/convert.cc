// cvt and cvta (PTX ISA, "Data Movement and Conversion Instructions").

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/ptx/float_formats.h"
#include "kernels/ptx/lane_values.h"

namespace mt::ptx {
namespace {

/// A float rounded to a whole number.
template <typename T>
T whole(T value, Rounding rounding) {
  switch (rounding) {
    case Rounding::zero:
      return std::trunc(value);
    case Rounding::down:
      return std::floor(value);
    case Rounding::up:
      return std::ceil(value);
    default:
      return std::nearbyint(value);  // the processor rounds to nearest even
  }
}

/// Whole numbers of a float, clamped to the range of To. NaN becomes 0, or 2^63 where one side has 64 bits.
template <typename To, typename From>
To to_integer(From value, Rounding rounding) {
  if (std::isnan(value)) {
    if constexpr (sizeof(To) == 8 || sizeof(From) == 8) {
      return static_cast<To>(To{1} << (8 * sizeof(To) - 1));
    } else {
      return 0;
    }
  }
  const auto rounded = static_cast<double>(whole(value, rounding));
  const double end = std::ldexp(1.0, std::numeric_limits<To>::digits);  // the first number above
  if (rounded >= end) return std::numeric_limits<To>::max();
  if (rounded < (std::is_signed_v<To> ? -end : 0.0)) return std::numeric_limits<To>::min();
  return static_cast<To>(rounded);
}

/// A wider number in a narrower float, rounded away from `nearest`'s answer where that lies on the wrong
/// side.
template <typename To, typename From>
To rounded_to(From value, Rounding rounding) {
  const auto nearest = static_cast<To>(value);
  if (rounding == Rounding::nearest || std::isnan(nearest)) return nearest;
  // Exactly comparable: every number of 64 bits fits into long double.
  const auto exact = static_cast<long double>(value);
  const auto got = static_cast<long double>(nearest);
  constexpr To kInfinity = std::numeric_limits<To>::infinity();
  const bool down = rounding == Rounding::down || (rounding == Rounding::zero && exact > 0);
  if (down && got > exact) return std::nextafter(nearest, -kInfinity);
  if (!down && got < exact) return std::nextafter(nearest, kInfinity);
  return nearest;
}

template <typename To, typename From>
To convert(From value, const Instruction& in) {
  constexpr bool kFromFloat = std::is_floating_point_v<From>;
  constexpr bool kToFloat = std::is_floating_point_v<To>;
  if constexpr (kFromFloat && kToFloat) {
    if (in.option != 0) value = whole(value, in.rounding);
    To result = in.option != 0 ? static_cast<To>(value) : rounded_to<To>(value, in.rounding);
    if (in.saturate) result = !(result > 0) ? To{0} : std::min(result, To{1});
    return result;
  } else if constexpr (kFromFloat) {
    return to_integer<To>(value, in.rounding);
  } else if constexpr (kToFloat) {
    return rounded_to<To>(value, in.rounding);
  } else {
    if (in.saturate) {
      if (std::cmp_greater(value, std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
      if (std::cmp_less(value, std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    }
    return static_cast<To>(value);
  }
}

/// The source may lie in a wider register; the result is extended to its register by its own sign.
template <typename To, typename From>
void run_convert(Warp& warp, const Instruction& in, LaneMask active) {
  const Place from = in.list[1];
  const Place to = in.list[0];
  From values[kLanes];
  if (from.wide) {
    const uint64_t* const slots = warp.lanes<uint64_t>(from.offset);
    for (int lane = 0; lane < kLanes; ++lane)
      values[lane] = std::bit_cast<From>(static_cast<Unsigned<From>>(slots[lane]));
  } else {
    const uint32_t* const slots = warp.lanes<uint32_t>(from.offset);
    for (int lane = 0; lane < kLanes; ++lane)
      values[lane] = std::bit_cast<From>(static_cast<Unsigned<From>>(slots[lane]));
  }
  const auto extended = [](To value) {
    if constexpr (std::is_floating_point_v<To>)
      return static_cast<uint64_t>(std::bit_cast<Unsigned<To>>(value));
    else
      return static_cast<uint64_t>(static_cast<int64_t>(value));
  };
  if (to.wide) {
    uint64_t* const slots = warp.lanes<uint64_t>(to.offset);
    for_each_lane(active, [&](int lane) { slots[lane] = extended(convert<To>(values[lane], in)); });
  } else {
    uint32_t* const slots = warp.lanes<uint32_t>(to.offset);
    for_each_lane(active, [&](int lane) {
      slots[lane] = static_cast<uint32_t>(extended(convert<To>(values[lane], in)));
    });
  }
}

template <typename From>
Handler handler_to(Type to) {
  return choose_number(to, [](auto zero) -> Handler { return run_convert<decltype(zero), From>; });
}

// Short formats.

void run_to_bf16(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint16_t> d(warp, in.d);
  const LaneValues<float> a(warp, in.a);
  for_each_lane(active, [&](int lane) { d.set(lane, to_bf16(a[lane])); });
}
void run_cut_to_bf16(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint16_t> d(warp, in.d);
  const LaneValues<float> a(warp, in.a);
  for_each_lane(active, [&](int lane) {
    const uint32_t bits = std::bit_cast<uint32_t>(a[lane]);
    d.set(lane, std::isnan(a[lane]) ? to_bf16(a[lane]) : static_cast<uint16_t>(bits >> 16));
  });
}
void run_to_bf16x2(Warp& warp, const Instruction& in, LaneMask active) {  // a in the upper half
  const LaneValues<uint32_t> d(warp, in.d);
  const LaneValues<float> a(warp, in.a), b(warp, in.b);
  for_each_lane(active, [&](int lane) { d.set(lane, uint32_t{to_bf16(a[lane])} << 16 | to_bf16(b[lane])); });
}
void run_from_bf16(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<float> d(warp, in.d);
  const LaneValues<uint16_t> a(warp, in.a);
  for_each_lane(active, [&](int lane) { d.set(lane, of_bf16(a[lane])); });
}
template <bool kTiesAway>
void run_to_tf32(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<float> d(warp, in.d), a(warp, in.a);
  for_each_lane(active, [&](int lane) { d.set(lane, to_tf32(a[lane], kTiesAway)); });
}

void decode_short_format(Decoder& decoder, const Statement& statement, Instruction& in, Type to, Type from) {
  in.d = decoder.destination(statement.operands.at(0), to);
  in.a = decoder.source(statement.operands.at(1), from);
  if (to == Type::bf16x2) in.b = decoder.source(statement.operands.at(2), from);
  if (to == Type::tf32 && from == Type::f32) {
    if (statement.has("rz")) unsupported(statement, "modifier .rz");
    in.run = statement.has("rna") ? run_to_tf32<true> : run_to_tf32<false>;
    return;
  }
  if (to == Type::bf16 && from == Type::f32 && statement.has("rz")) {
    in.run = run_cut_to_bf16;
    return;
  }
  if (to != Type::f32 && !statement.has("rn")) unsupported(statement, "the rounding");
  if (to == Type::bf16 && from == Type::f32)
    in.run = run_to_bf16;
  else if (to == Type::bf16x2 && from == Type::f32)
    in.run = run_to_bf16x2;
  else if (to == Type::f32 && from == Type::bf16)
    in.run = run_from_bf16;
  else
    unsupported(statement, "the type");
}

void decode_convert(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi", "sat"});
  const Type to = statement.type(0);
  const Type from = statement.type(1);
  const auto is_short = [](Type type) {
    return type == Type::bf16 || type == Type::bf16x2 || type == Type::tf32;
  };
  if (is_short(to) || is_short(from)) return decode_short_format(decoder, statement, in, to, from);
  for (const auto& [name, rounding] :
       {std::pair{"rz", Rounding::zero}, {"rm", Rounding::down}, {"rp", Rounding::up}}) {
    if (statement.has(name) || statement.has(std::string(name) + "i")) in.rounding = rounding;
  }
  in.option =
      statement.has("rni") || statement.has("rzi") || statement.has("rmi") || statement.has("rpi") ? 1 : 0;
  in.saturate = statement.has("sat");
  in.list = {decoder.any_destination(statement.operands.at(0)),
             decoder.any_source(statement.operands.at(1), from)};
  set_handler(in, statement, choose_number(from, [&](auto zero) { return handler_to<decltype(zero)>(to); }));
}

// Generic addresses: a window for shared memory and one for local memory; global addresses are themselves.

void run_to_window(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint64_t> d(warp, in.d), a(warp, in.a);
  for_each_lane(active, [&](int lane) { d.set(lane, a[lane] + static_cast<uint64_t>(in.immediate)); });
}
void decode_convert_address(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"to", "global", "shared", "local", "const", "shared::cta"});
  decoder.same_type_operands(statement, in, Type::u64);
  if (statement.type() != Type::u64) unsupported(statement, "the type");
  const Space space = statement.space();
  const uint64_t window = space == Space::shared ? kSharedWindow : space == Space::local ? kLocalWindow : 0;
  in.immediate = static_cast<int64_t>(statement.has("to") ? -window : window);
  in.run = run_to_window;
}

constexpr std::array kOpcodes{
    Opcode{"cvt", decode_convert},
    Opcode{"cvta", decode_convert_address},
};

}  // namespace

std::span<const Opcode> convert_opcodes() {
  return kOpcodes;
}

}  // namespace mt::ptx
