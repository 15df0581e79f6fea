#pragma once
// Registers as values of C++ types, and handlers made of an operation on one lane.

#include <bit>
#include <cstdint>
#include <type_traits>

#include "kernels/ptx/decoder.h"
#include "kernels/ptx/machine.h"

namespace mt::ptx {

template <std::size_t kBytes>
struct UnsignedOf;
template <>
struct UnsignedOf<1> {
  using Type = uint8_t;
};
template <>
struct UnsignedOf<2> {
  using Type = uint16_t;
};
template <>
struct UnsignedOf<4> {
  using Type = uint32_t;
};
template <>
struct UnsignedOf<8> {
  using Type = uint64_t;
};
template <typename T>
using Unsigned = typename UnsignedOf<sizeof(T)>::Type;

/// A register's 32 lanes as T. T of 8 bytes lie in wide registers, smaller ones in the low bits of 32-bit
/// ones.
template <typename T>
class LaneValues {
 public:
  using Slot = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  LaneValues(Warp& warp, int32_t offset) : slots_(warp.lanes<Slot>(offset)) {}
  T operator[](int lane) const { return std::bit_cast<T>(static_cast<Unsigned<T>>(slots_[lane])); }
  void set(int lane, T value) const { slots_[lane] = std::bit_cast<Unsigned<T>>(value); }

 private:
  Slot* slots_;
};

/// Writes the lanes of `active` of a predicate.
inline void set_predicate(Warp& warp, int32_t offset, LaneMask active, LaneMask values) {
  LaneMask& predicate = warp.predicate(offset);
  predicate = (predicate & ~active) | (values & active);
}

/// Handlers d = f(a), d = f(a, b), d = f(a, b, c) for an operation that is a class with a static
/// `T of(T a, …, const Instruction&)`.
template <typename Operation, typename T>
void run_unary(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> d(warp, in.d), a(warp, in.a);
  for_each_lane(active, [&](int lane) { d.set(lane, Operation::of(a[lane])); });
}
template <typename Operation, typename T>
void run_binary(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> d(warp, in.d), a(warp, in.a), b(warp, in.b);
  for_each_lane(active, [&](int lane) { d.set(lane, Operation::of(a[lane], b[lane])); });
}
template <typename Operation, typename T>
void run_ternary(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> d(warp, in.d), a(warp, in.a), b(warp, in.b), c(warp, in.c);
  for_each_lane(active, [&](int lane) { d.set(lane, Operation::of(a[lane], b[lane], c[lane])); });
}

/// choose(type, [](auto zero) -> Handler {…}) calls its argument with a value of the C++ type; null for
/// others.
template <typename F>
Handler choose_integer(Type type, F&& f) {
  switch (type) {
    case Type::b8:
    case Type::u8:
      return f(uint8_t{});
    case Type::s8:
      return f(int8_t{});
    case Type::b16:
    case Type::u16:
      return f(uint16_t{});
    case Type::s16:
      return f(int16_t{});
    case Type::b32:
    case Type::u32:
      return f(uint32_t{});
    case Type::s32:
      return f(int32_t{});
    case Type::b64:
    case Type::u64:
      return f(uint64_t{});
    case Type::s64:
      return f(int64_t{});
    default:
      return nullptr;
  }
}
template <typename F>
Handler choose_float(Type type, F&& f) {
  if (type == Type::f32) return f(float{});
  if (type == Type::f64) return f(double{});
  return nullptr;
}
template <typename F>
Handler choose_number(Type type, F&& f) {
  return is_float(type) ? choose_float(type, f) : choose_integer(type, f);
}

/// Sets the handler, or throws Error where there is none for the type.
inline void set_handler(Instruction& instruction, const Statement& statement, Handler handler) {
  if (handler == nullptr) unsupported(statement, "the type");
  instruction.run = handler;
}

}  // namespace mt::ptx
