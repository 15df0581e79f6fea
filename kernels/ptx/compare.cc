// Comparison and selection (PTX ISA, "Comparison and Selection Instructions").

#include <array>
#include <cmath>
#include <type_traits>

#include "kernels/ptx/lane_values.h"
#include "tensor/check.h"

namespace mt::ptx {
namespace {

enum class Comparison : uint8_t { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };
/// How a comparison is combined with a predicate.
enum class Combination : uint8_t { none, conjunction, disjunction, exclusive };

template <typename T>
bool is_nan(T x) {
  if constexpr (std::is_floating_point_v<T>) return std::isnan(x);
  return false;
}

/// The ones that end in u are true where an operand is NaN.
template <Comparison kComparison, typename T>
bool holds(T a, T b) {
  if constexpr (kComparison == Comparison::num || kComparison == Comparison::nan) {
    const bool unordered = is_nan(a) || is_nan(b);
    return unordered == (kComparison == Comparison::nan);
  }
  switch (kComparison) {
    case Comparison::eq:
      return a == b;
    case Comparison::ne:
      return (a < b) || (a > b);  // false for NaN
    case Comparison::lt:
      return a < b;
    case Comparison::le:
      return a <= b;
    case Comparison::gt:
      return a > b;
    case Comparison::ge:
      return a >= b;
    case Comparison::equ:
      return !((a < b) || (a > b));
    case Comparison::neu:
      return !(a == b);
    case Comparison::ltu:
      return !(a >= b);
    case Comparison::leu:
      return !(a > b);
    case Comparison::gtu:
      return !(a <= b);
    default:
      return !(a < b);
  }
}

template <Comparison kComparison, typename T>
LaneMask compare(Warp& warp, const Instruction& in) {
  const LaneValues<T> a(warp, in.a), b(warp, in.b);
  uint32_t bits[kLanes];
#ifndef __clang__  // which vectorises without being told, and warns of the word
#pragma GCC ivdep
#endif
  for (int lane = 0; lane < kLanes; ++lane) bits[lane] = holds<kComparison>(a[lane], b[lane]) ? 1 : 0;
  LaneMask result = 0;
  for (int lane = 0; lane < kLanes; ++lane) result |= bits[lane] << lane;
  return result;
}

LaneMask combined(Combination combination, LaneMask result, LaneMask with) {
  switch (combination) {
    case Combination::conjunction:
      return result & with;
    case Combination::disjunction:
      return result | with;
    case Combination::exclusive:
      return result ^ with;
    default:
      return result;
  }
}

/// setp p|q, a, b, c: p is the comparison combined with c, q its opposite combined with c.
template <Comparison kComparison, typename T>
void run_set_predicate(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneMask result = compare<kComparison, T>(warp, in);
  const auto combination = static_cast<Combination>(in.option);
  LaneMask with = combination == Combination::none ? 0 : warp.predicate(in.c);
  if (in.negated) with = ~with;
  if (in.d != kNoPlace) set_predicate(warp, in.d, active, combined(combination, result, with));
  if (in.e != kNoPlace) set_predicate(warp, in.e, active, combined(combination, ~result, with));
}

/// set: all ones or 1.0F where the comparison holds, else 0.
template <Comparison kComparison, typename T>
void run_set(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneMask result = compare<kComparison, T>(warp, in);
  const LaneValues<uint32_t> d(warp, in.d);
  const uint32_t yes = in.type2 == Type::f32 ? std::bit_cast<uint32_t>(1.0F) : ~0U;
  for_each_lane(active, [&](int lane) { d.set(lane, contains(result, lane) ? yes : 0); });
}

template <Comparison kComparison, bool kPredicate>
Handler handler_for(Type type) {
  constexpr bool kFloatOnly = kComparison >= Comparison::equ;
  const auto choice = [](auto zero) -> Handler {
    using T = decltype(zero);
    if constexpr (kPredicate)
      return run_set_predicate<kComparison, T>;
    else
      return run_set<kComparison, T>;
  };
  return kFloatOnly || is_float(type) ? choose_float(type, choice) : choose_integer(type, choice);
}

struct NamedComparison {
  std::string_view name;
  Handler (*predicate)(Type);
  Handler (*value)(Type);
};
template <Comparison kComparison>
constexpr NamedComparison named(std::string_view name) {
  return {name, handler_for<kComparison, true>, handler_for<kComparison, false>};
}
constexpr std::array kComparisons{
    named<Comparison::eq>("eq"),   named<Comparison::ne>("ne"),   named<Comparison::lt>("lt"),
    named<Comparison::le>("le"),   named<Comparison::gt>("gt"),   named<Comparison::ge>("ge"),
    named<Comparison::lt>("lo"),   named<Comparison::le>("ls"),   named<Comparison::gt>("hi"),
    named<Comparison::ge>("hs"),   named<Comparison::equ>("equ"), named<Comparison::neu>("neu"),
    named<Comparison::ltu>("ltu"), named<Comparison::leu>("leu"), named<Comparison::gtu>("gtu"),
    named<Comparison::geu>("geu"), named<Comparison::num>("num"), named<Comparison::nan>("nan"),
};

const NamedComparison& comparison_of(const Statement& statement) {
  for (const NamedComparison& comparison : kComparisons) {
    if (!statement.modifiers.empty() && comparison.name == statement.modifiers[0]) return comparison;
  }
  unsupported(statement, "the comparison");
}

void decode_set_predicate(Decoder& decoder, const Statement& statement, Instruction& in) {
  const NamedComparison& comparison = comparison_of(statement);
  allow_modifiers(statement, {comparison.name, "and", "or", "xor"});
  in.type = statement.type();
  const auto combination = statement.has("and")   ? Combination::conjunction
                           : statement.has("or")  ? Combination::disjunction
                           : statement.has("xor") ? Combination::exclusive
                                                  : Combination::none;
  in.option = static_cast<uint8_t>(combination);
  const Operand& to = statement.operands.at(0);
  if (to.kind != Operand::Kind::sink && to.name != "_") in.d = decoder.predicate(to);
  if (!to.second.empty()) in.e = decoder.predicate(to.second);
  in.a = decoder.source(statement.operands.at(1), in.type);
  in.b = decoder.source(statement.operands.at(2), in.type);
  if (combination != Combination::none) {
    in.c = decoder.predicate(statement.operands.at(3));
    in.negated = statement.operands[3].negated;
  }
  set_handler(in, statement, comparison.predicate(in.type));
}

void decode_set(Decoder& decoder, const Statement& statement, Instruction& in) {
  const NamedComparison& comparison = comparison_of(statement);
  allow_modifiers(statement, {comparison.name});
  in.type2 = statement.type(0);
  in.type = statement.type(1);
  in.d = decoder.destination(statement.operands.at(0), in.type2);
  in.a = decoder.source(statement.operands.at(1), in.type);
  in.b = decoder.source(statement.operands.at(2), in.type);
  if (bytes_of(in.type2) != 4) unsupported(statement, "the type");
  set_handler(in, statement, comparison.value(in.type));
}

/// selp d, a, b, c: a where c holds, else b.
template <typename T>
void run_select(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> d(warp, in.d), a(warp, in.a), b(warp, in.b);
  const LaneMask takes_a = warp.predicate(in.c);
  for_each_lane(active, [&](int lane) { d.set(lane, contains(takes_a, lane) ? a[lane] : b[lane]); });
}
void decode_select(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  in.type = statement.type();
  in.d = decoder.destination(statement.operands.at(0), in.type);
  in.a = decoder.source(statement.operands.at(1), in.type);
  in.b = decoder.source(statement.operands.at(2), in.type);
  in.c = decoder.predicate(statement.operands.at(3));
  switch (bytes_of(in.type)) {
    case 2:
      in.run = run_select<uint16_t>;
      break;
    case 4:
      in.run = run_select<uint32_t>;
      break;
    case 8:
      in.run = run_select<uint64_t>;
      break;
    default:
      unsupported(statement, "the type");
  }
}

constexpr std::array kOpcodes{
    Opcode{"setp", decode_set_predicate},
    Opcode{"set", decode_set},
    Opcode{"selp", decode_select},
};

}  // namespace

std::span<const Opcode> compare_opcodes() {
  return kOpcodes;
}

}  // namespace mt::ptx
