// Bits, moves and packing (PTX ISA, "Logic and Shift Instructions", "Data Movement").

#include <algorithm>
#include <array>
#include <bit>

#include "kernels/ptx/access.h"
#include "kernels/ptx/lane_values.h"

namespace mt::ptx {
namespace {

struct And {
  template <typename T>
  static T of(T a, T b) {
    return static_cast<T>(a & b);
  }
};
struct Or {
  template <typename T>
  static T of(T a, T b) {
    return static_cast<T>(a | b);
  }
};
struct Xor {
  template <typename T>
  static T of(T a, T b) {
    return static_cast<T>(a ^ b);
  }
};
struct Not {
  template <typename T>
  static T of(T a) {
    return static_cast<T>(~a);
  }
};
struct ReverseBits {
  template <typename T>
  static T of(T a) {
    uint64_t reversed = 0;
    for (unsigned i = 0; i < 8 * sizeof(T); ++i)
      reversed |= (static_cast<uint64_t>(a) >> i & 1) << (8 * sizeof(T) - 1 - i);
    return static_cast<T>(reversed);
  }
};
struct Same {
  template <typename T>
  static T of(T a) {
    return a;
  }
};

template <typename Operation>
void run_predicate_logic(Warp& warp, const Instruction& in, LaneMask active) {
  set_predicate(warp, in.d, active, Operation::of(warp.predicate(in.a), warp.predicate(in.b)));
}

template <typename Operation>
void decode_logic(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  decoder.same_type_operands(statement, in, statement.type());
  if (in.type == Type::pred) {
    in.run = run_predicate_logic<Operation>;
    return;
  }
  set_handler(in, statement, choose_integer(in.type, [](auto zero) -> Handler {
                return run_binary<Operation, decltype(zero)>;
              }));
}

void run_predicate_not(Warp& warp, const Instruction& in, LaneMask active) {
  set_predicate(warp, in.d, active, ~warp.predicate(in.a));
}
void run_predicate_move(Warp& warp, const Instruction& in, LaneMask active) {
  set_predicate(warp, in.d, active, warp.predicate(in.a));
}

template <typename Operation>
void decode_integer_unary(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  decoder.same_type_operands(statement, in, statement.type());
  if (in.type == Type::pred) {
    in.run = run_predicate_not;  // the only one that knows predicates
    return;
  }
  set_handler(in, statement, choose_integer(in.type, [](auto zero) -> Handler {
                return run_unary<Operation, decltype(zero)>;
              }));
}

// Shifts: the amount is 32 bits wide and clamped to the size of the value.

template <typename T>
void run_shift_left(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> d(warp, in.d), a(warp, in.a);
  const LaneValues<uint32_t> b(warp, in.b);
  for_each_lane(active, [&](int lane) {
    const uint32_t amount = b[lane];
    d.set(lane, amount >= 8 * sizeof(T) ? T{0} : static_cast<T>(static_cast<Unsigned<T>>(a[lane]) << amount));
  });
}
template <typename T>
void run_shift_right(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> d(warp, in.d), a(warp, in.a);
  const LaneValues<uint32_t> b(warp, in.b);
  constexpr uint32_t kBits = 8 * sizeof(T);
  for_each_lane(active, [&](int lane) {
    const uint32_t amount = b[lane];
    const T beyond = std::is_signed_v<T> ? static_cast<T>(a[lane] >> (kBits - 1)) : T{0};
    d.set(lane, amount >= kBits ? beyond : static_cast<T>(a[lane] >> amount));
  });
}

template <bool kLeft>
void decode_shift(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  in.type = statement.type();
  in.d = decoder.destination(statement.operands.at(0), in.type);
  in.a = decoder.source(statement.operands.at(1), in.type);
  in.b = decoder.source(statement.operands.at(2), Type::u32);
  set_handler(in, statement, choose_integer(in.type, [](auto zero) -> Handler {
                using T = decltype(zero);
                return kLeft ? Handler{run_shift_left<T>} : Handler{run_shift_right<T>};
              }));
}

/// shf.l: the upper 32 bits of {b, a} << c; shf.r: the lower ones of {b, a} >> c.
void run_funnel_shift(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint32_t> d(warp, in.d), a(warp, in.a), b(warp, in.b), c(warp, in.c);
  const bool right = in.option != 0;
  const bool wraps = in.option2 != 0;
  for_each_lane(active, [&](int lane) {
    const uint64_t both = uint64_t{b[lane]} << 32 | a[lane];
    const uint32_t amount = wraps ? c[lane] & 31 : std::min(c[lane], 32U);
    d.set(lane, static_cast<uint32_t>(right ? both >> amount : (both << amount) >> 32));
  });
}
void decode_funnel_shift(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"l", "r", "wrap", "clamp"});
  decoder.same_type_operands(statement, in, Type::b32);
  in.option = statement.has("r") ? 1 : 0;
  in.option2 = statement.has("wrap") ? 1 : 0;
  in.run = run_funnel_shift;
}

// Counts: their result has 32 bits.

struct CountOnes {
  static uint32_t of(uint64_t value, int) { return static_cast<uint32_t>(std::popcount(value)); }
};
struct CountLeadingZeros {
  static uint32_t of(uint64_t value, int bits) {
    return static_cast<uint32_t>(std::countl_zero(value) - (64 - bits));
  }
};

template <typename Operation, typename T>
void run_count(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint32_t> d(warp, in.d);
  const LaneValues<T> a(warp, in.a);
  for_each_lane(active, [&](int lane) { d.set(lane, Operation::of(a[lane], 8 * sizeof(T))); });
}
template <typename Operation>
void decode_count(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  in.type = statement.type();
  in.d = decoder.destination(statement.operands.at(0), Type::u32);
  in.a = decoder.source(statement.operands.at(1), in.type);
  if (in.type != Type::b32 && in.type != Type::b64) unsupported(statement, "the type");
  in.run = in.type == Type::b32 ? Handler{run_count<Operation, uint32_t>}
                                : Handler{run_count<Operation, uint64_t>};
}

/// bfind: the highest bit that differs from the sign, from the lowest (or with .shiftamt from the highest)
/// on.
template <typename T>
void run_find_bit(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint32_t> d(warp, in.d);
  const LaneValues<T> a(warp, in.a);
  for_each_lane(active, [&](int lane) {
    const T value = std::is_signed_v<T> && a[lane] < 0 ? static_cast<T>(~a[lane]) : a[lane];
    const auto bits = static_cast<Unsigned<T>>(value);
    const auto highest = static_cast<uint32_t>(std::bit_width(bits)) - 1;
    d.set(lane, bits == 0        ? ~0U
                : in.option != 0 ? 8 * static_cast<uint32_t>(sizeof(T)) - 1 - highest
                                 : highest);
  });
}
void decode_find_bit(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"shiftamt"});
  in.type = statement.type();
  in.option = statement.has("shiftamt") ? 1 : 0;
  in.d = decoder.destination(statement.operands.at(0), Type::u32);
  in.a = decoder.source(statement.operands.at(1), in.type);
  set_handler(in, statement,
              choose_integer(in.type, [](auto zero) -> Handler { return run_find_bit<decltype(zero)>; }));
}

/// bfe d, a, position, length: sign bits fill what lies beyond.
template <typename T>
void run_extract_field(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> d(warp, in.d), a(warp, in.a);
  const LaneValues<uint32_t> b(warp, in.b), c(warp, in.c);
  constexpr uint32_t kBits = 8 * sizeof(T);
  for_each_lane(active, [&](int lane) {
    const auto value = static_cast<uint64_t>(static_cast<Unsigned<T>>(a[lane]));
    const uint32_t position = b[lane] & 255;
    const uint32_t length = c[lane] & 255;
    const bool sign =
        std::is_signed_v<T> && length > 0 && (value >> std::min(position + length - 1, kBits - 1) & 1) != 0;
    uint64_t result = 0;
    for (uint32_t i = 0; i < kBits; ++i) {
      const bool bit = i < length && position + i < kBits ? (value >> (position + i) & 1) != 0 : sign;
      result |= uint64_t{bit} << i;
    }
    d.set(lane, static_cast<T>(result));
  });
}
void decode_extract_field(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  in.type = statement.type();
  in.d = decoder.destination(statement.operands.at(0), in.type);
  in.a = decoder.source(statement.operands.at(1), in.type);
  in.b = decoder.source(statement.operands.at(2), Type::u32);
  in.c = decoder.source(statement.operands.at(3), Type::u32);
  set_handler(in, statement, choose_integer(in.type, [](auto zero) -> Handler {
                return run_extract_field<decltype(zero)>;
              }));
}

/// bfi d, a, b, position, length: the low bits of a into b.
template <typename T>
void run_insert_field(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> d(warp, in.d), a(warp, in.a), b(warp, in.b);
  const LaneValues<uint32_t> c(warp, in.c), e(warp, in.e);
  constexpr uint32_t kBits = 8 * sizeof(T);
  for_each_lane(active, [&](int lane) {
    const uint32_t position = c[lane] & 255;
    const uint32_t length = e[lane] & 255;
    T result = b[lane];
    for (uint32_t i = 0; i < length && position + i < kBits; ++i) {
      const T bit = T{1} << (position + i);
      result = (a[lane] >> i & 1) != 0 ? result | bit : result & ~bit;
    }
    d.set(lane, result);
  });
}
void decode_insert_field(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  in.type = statement.type();
  in.d = decoder.destination(statement.operands.at(0), in.type);
  in.a = decoder.source(statement.operands.at(1), in.type);
  in.b = decoder.source(statement.operands.at(2), in.type);
  in.c = decoder.source(statement.operands.at(3), Type::u32);
  in.e = decoder.source(statement.operands.at(4), Type::u32);
  if (in.type != Type::b32 && in.type != Type::b64) unsupported(statement, "the type");
  in.run = in.type == Type::b32 ? Handler{run_insert_field<uint32_t>} : Handler{run_insert_field<uint64_t>};
}

/// prmt: four bytes chosen from {b, a}; a selector's highest bit copies the byte's sign.
void run_permute(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint32_t> d(warp, in.d), a(warp, in.a), b(warp, in.b), c(warp, in.c);
  for_each_lane(active, [&](int lane) {
    const uint64_t both = uint64_t{b[lane]} << 32 | a[lane];
    uint32_t result = 0;
    for (int i = 0; i < 4; ++i) {
      const uint32_t selector = c[lane] >> (4 * i) & 15;
      auto byte = static_cast<uint32_t>(both >> (8 * (selector & 7)) & 255);
      if ((selector & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
      result |= byte << (8 * i);
    }
    d.set(lane, result);
  });
}
void decode_permute(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  decoder.same_type_operands(statement, in, Type::b32);
  in.run = run_permute;
}

/// lop3: bit i of the table is the result where a, b, c are the bits of i, a the highest.
void run_logic3(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint32_t> d(warp, in.d), a(warp, in.a), b(warp, in.b), c(warp, in.c), table(warp, in.e);
  for_each_lane(active, [&](int lane) {
    uint32_t result = 0;
    for (uint32_t i = 0; i < 8; ++i) {
      const uint32_t match = ((i & 4) != 0 ? a[lane] : ~a[lane]) & ((i & 2) != 0 ? b[lane] : ~b[lane]) &
                             ((i & 1) != 0 ? c[lane] : ~c[lane]);
      result |= (table[lane] >> i & 1) != 0 ? match : 0;
    }
    d.set(lane, result);
  });
}
void decode_logic3(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  decoder.same_type_operands(statement, in, Type::b32);
  in.run = run_logic3;
}

/// dp2a, dp4a: c + Σ a_i · b_i of 16-bit a (or bytes) and bytes b, unsigned.
template <int kProducts>
void run_dot(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint32_t> d(warp, in.d), a(warp, in.a), b(warp, in.b), c(warp, in.c);
  constexpr int kBitsOfA = kProducts == 2 ? 16 : 8;
  const int first = in.option != 0 ? 16 : 0;
  for_each_lane(active, [&](int lane) {
    uint32_t sum = c[lane];
    for (int i = 0; i < kProducts; ++i)
      sum += (a[lane] >> (kBitsOfA * i) & ((1U << kBitsOfA) - 1)) * (b[lane] >> (first + 8 * i) & 255);
    d.set(lane, sum);
  });
}
template <int kProducts>
void decode_dot(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"lo", "hi"});
  if (statement.type(0) != Type::u32 || statement.type(1) != Type::u32) unsupported(statement, "the type");
  decoder.same_type_operands(statement, in, Type::u32);
  in.option = statement.has("hi") ? 1 : 0;
  in.run = run_dot<kProducts>;
}

// mov, and mov with {…} on one side.

int bits_of_part(const Instruction& in) {
  return 8 * bytes_of(in.type) / static_cast<int>(in.list.size());
}

void run_pack(Warp& warp, const Instruction& in, LaneMask active) {
  const int bits = bits_of_part(in);
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  const Place d{in.d, bytes_of(in.type) == 8};
  for_each_lane(active, [&](int lane) {
    uint64_t packed = 0;
    for (std::size_t i = 0; i < in.list.size(); ++i)
      packed |= (read_register(warp, in.list[i], lane) & mask) << (static_cast<std::size_t>(bits) * i);
    write_register(warp, d, lane, packed);
  });
}
void run_unpack(Warp& warp, const Instruction& in, LaneMask active) {
  const int bits = bits_of_part(in);
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  const Place a{in.a, bytes_of(in.type) == 8};
  for_each_lane(active, [&](int lane) {
    const uint64_t packed = read_register(warp, a, lane);
    for (std::size_t i = 0; i < in.list.size(); ++i) {
      if (in.list[i].offset != kNoPlace)
        write_register(warp, in.list[i], lane, packed >> (static_cast<std::size_t>(bits) * i) & mask);
    }
  });
}

void decode_move(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {});
  in.type = statement.type();
  const Operand& to = statement.operands.at(0);
  const Operand& from = statement.operands.at(1);
  if (from.kind == Operand::Kind::list || to.kind == Operand::Kind::list) {
    const bool packs = from.kind == Operand::Kind::list;
    const std::size_t parts = (packs ? from : to).elements.size();
    if (parts != 2 && parts != 4) unsupported(statement, "the number of parts");
    const Type part = bytes_of(in.type) == 8 && parts == 2 ? Type::b32 : Type::b16;
    decoder.append(packs ? from : to, part, in);
    if (packs)
      in.d = decoder.destination(to, in.type);
    else
      in.a = decoder.source(from, in.type);
    in.run = packs ? run_pack : run_unpack;
    return;
  }
  decoder.same_type_operands(statement, in, in.type);
  if (in.type == Type::pred)
    in.run = run_predicate_move;
  else if (bytes_of(in.type) == 8)
    in.run = run_unary<Same, uint64_t>;
  else if (bytes_of(in.type) == 4)
    in.run = run_unary<Same, uint32_t>;
  else if (bytes_of(in.type) == 2)
    in.run = run_unary<Same, uint16_t>;
  else
    unsupported(statement, "the type");
}

constexpr std::array kOpcodes{
    Opcode{"and", decode_logic<And>},
    Opcode{"or", decode_logic<Or>},
    Opcode{"xor", decode_logic<Xor>},
    Opcode{"not", decode_integer_unary<Not>},
    Opcode{"brev", decode_integer_unary<ReverseBits>},
    Opcode{"shl", decode_shift<true>},
    Opcode{"shr", decode_shift<false>},
    Opcode{"shf", decode_funnel_shift},
    Opcode{"popc", decode_count<CountOnes>},
    Opcode{"clz", decode_count<CountLeadingZeros>},
    Opcode{"bfind", decode_find_bit},
    Opcode{"bfe", decode_extract_field},
    Opcode{"bfi", decode_insert_field},
    Opcode{"prmt", decode_permute},
    Opcode{"lop3", decode_logic3},
    Opcode{"dp2a", decode_dot<2>},
    Opcode{"dp4a", decode_dot<4>},
    Opcode{"mov", decode_move},
};

}  // namespace

std::span<const Opcode> bit_opcodes() {
  return kOpcodes;
}

}  // namespace mt::ptx
