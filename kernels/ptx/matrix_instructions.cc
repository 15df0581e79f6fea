// Tensor cores: wmma, mma.sync, ldmatrix, stmatrix (PTX ISA, "Warp Level Matrix Multiply-Accumulate
// Instructions").

#include <array>
#include <cstring>

#include "kernels/ptx/access.h"
#include "kernels/ptx/float_formats.h"
#include "kernels/ptx/lane_values.h"
#include "kernels/ptx/matrix_product.h"
#include "tensor/check.h"

namespace mt::ptx {
namespace {

constexpr int kSide = 16;  // of a wmma tile
constexpr int kMaxDepth = 16;

/// All matrix instructions take the whole warp.
void take_whole_warp(Decoder& decoder, Instruction& in) {
  in.flow = Flow::warp_operation;
  in.mask = decoder.constant(kAllLanes, false);
}

/// Products that a tensor core adds at once.
int block_of(Type type) {
  return type == Type::bf16 ? 8 : 4;
}
/// Elements of one 32-bit register.
int per_register(Type type) {
  return type == Type::bf16 ? 2 : 1;
}

float element(Warp& warp, Type type, Place place, int lane, int half) {
  const uint32_t bits = warp.lanes<uint32_t>(place.offset)[lane];
  if (type == Type::bf16) return of_bf16(static_cast<uint16_t>(bits >> (16 * half)));
  return type == Type::tf32 ? as_tf32(bits) : std::bit_cast<float>(bits);
}

// wmma. Which lane holds which element is nobody's business: a layout that no hardware has, so that code that
// relies on one goes wrong here.

/// Which element of a tile of `count` the i-th of `each` of a lane is.
int scrambled(int lane, int i, int each, int count) {
  return ((lane * each + i) * 37 + 11) % count;
}

struct Tile {
  int rows;
  int columns;
  int count() const { return rows * columns; }
  int each() const { return count() / kLanes; }
};
enum class Use : uint8_t { a, b, accumulator };
Tile tile_of(Use use, int depth) {
  return {use == Use::b ? depth : kSide, use == Use::a ? depth : kSide};
}

/// The matrix starts at [a + immediate], its leading dimension is in register b; `option`: use, `option2`:
/// column major.
template <bool kLoads>
void run_wmma_access(Warp& warp, const Instruction& in, LaneMask) {
  const Tile tile = tile_of(static_cast<Use>(in.option), in.elements);
  const auto bytes = static_cast<std::size_t>(bytes_of(in.type));
  const int halves = per_register(in.type);
  const uint64_t origin = address_of(warp, in, 0);
  const uint32_t leading = warp.lanes<uint32_t>(in.b)[0];
  for (int lane = 0; lane < kLanes; ++lane) {
    if (address_of(warp, in, lane) != origin || warp.lanes<uint32_t>(in.b)[lane] != leading)
      throw Fault("the lanes of a wmma name different matrices", lane);
    check_aligned("matrix of wmma", origin, 32, lane);
    check_aligned("leading dimension of wmma in bytes", leading * bytes, 16, lane);
    for (int i = 0; i < tile.each(); ++i) {
      const int at = scrambled(lane, i, tile.each(), tile.count());
      const auto row = static_cast<uint64_t>(at / tile.columns);
      const auto column = static_cast<uint64_t>(at % tile.columns);
      const uint64_t index = in.option2 != 0 ? column * leading + row : row * leading + column;
      const uint64_t address = origin + index * bytes;
      const Located found = locate(in.space, warp, address, bytes, lane);
      uint32_t& slot = warp.lanes<uint32_t>(in.list[static_cast<std::size_t>(i / halves)].offset)[lane];
      if (!kLoads) {
        check_write(found.bytes, bytes, found.name, address, lane);
        std::memcpy(found.bytes.data, &slot, bytes);
        found.bytes.set(bytes, state::kWritten);
        continue;
      }
      check_read(found.bytes, bytes, ~uint64_t{0}, found.name, address, lane);
      uint32_t value = 0;
      std::memcpy(&value, found.bytes.data, bytes);
      slot = i % halves == 0 ? value : slot | value << 16;
    }
  }
}

template <typename T>
struct Matrices {
  T a[kSide * kMaxDepth];  // (rows, depth)
  T b[kMaxDepth * kSide];  // (depth, columns)
  T c[kSide * kSide];      // (rows, columns)
};

/// The list holds D (8), A (4), B (4), C (8).
void run_wmma_product(Warp& warp, const Instruction& in, LaneMask) {
  const int depth = in.elements;
  const int halves = per_register(in.type);
  const Place* const d = in.list.data();
  const Place* const a = d + 8;
  const Place* const b = a + 4;
  const Place* const c = b + 4;
  Matrices<float> m;
  const int each = kSide * depth / kLanes;
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < each; ++i) {
      const int at = scrambled(lane, i, each, kSide * depth);
      m.a[at] = element(warp, in.type, a[i / halves], lane, i % halves);
      m.b[at] = element(warp, in.type, b[i / halves], lane, i % halves);
    }
    for (int i = 0; i < 8; ++i)
      m.c[scrambled(lane, i, 8, kSide * kSide)] = element(warp, Type::f32, c[i], lane, 0);
  }
  multiply_matrices(m.c, m.a, m.b, kSide, kSide, depth, block_of(in.type));
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < 8; ++i)
      warp.lanes<float>(d[i].offset)[lane] = m.c[scrambled(lane, i, 8, kSide * kSide)];
  }
}

void append_all(Decoder& decoder, const Statement& statement, Instruction& in, std::size_t count) {
  for (const Operand& operand : statement.operands) decoder.append(operand, Type::b32, in);
  if (in.list.size() != count) unsupported(statement, "the number of registers");
  for (const Place place : in.list) {
    if (place.wide || place.offset == kNoPlace) unsupported(statement, "a register");
  }
}

void decode_wmma(Decoder& decoder, const Statement& statement, Instruction& in) {
  take_whole_warp(decoder, in);
  const bool bf16 = statement.has("m16n16k16");
  if (!bf16 && !statement.has("m16n16k8")) unsupported(statement, "the shape");
  in.elements = bf16 ? 16 : 8;
  if (statement.has("mma")) {
    allow_modifiers(statement, {"mma", "sync", "aligned", "row", "col", "m16n16k16", "m16n16k8"});
    in.type = statement.type(1);
    if (statement.type(0) != Type::f32 || in.type != (bf16 ? Type::bf16 : Type::tf32))
      unsupported(statement, "the type");
    append_all(decoder, statement, in, 24);
    in.run = run_wmma_product;
    return;
  }
  allow_modifiers(statement, {"load", "store", "a", "b", "c", "d", "sync", "aligned", "row", "col",
                              "m16n16k16", "m16n16k8", "global", "shared", "shared::cta"});
  const bool loads = statement.has("load");
  in.type = statement.type();
  in.space = statement.space();
  const Use use = statement.has("a") ? Use::a : statement.has("b") ? Use::b : Use::accumulator;
  in.option = static_cast<uint8_t>(use);
  in.option2 = statement.has("col") ? 1 : 0;
  if (in.type != (use == Use::accumulator ? Type::f32 : bf16 ? Type::bf16 : Type::tf32))
    unsupported(statement, "the type");
  decoder.append(statement.operands.at(loads ? 0 : 1), Type::b32, in);
  decoder.address(statement.operands.at(loads ? 1 : 0), in);
  const Tile tile = tile_of(use, in.elements);
  if (static_cast<int>(in.list.size()) != tile.each() / per_register(in.type))
    unsupported(statement, "the number of registers");
  in.b = statement.operands.size() > 2
             ? decoder.source(statement.operands[2], Type::u32)
             : decoder.constant(static_cast<uint64_t>(in.option2 != 0 ? tile.rows : tile.columns), false);
  in.run = loads ? run_wmma_access<true> : run_wmma_access<false>;
}

// mma.sync: the layouts of the PTX ISA. With g = lane / 4, t = lane % 4 and e elements per register:
//   A (16, depth): register j holds row g + 8·(j mod 2), columns e·t … of its half j / 2 (each 4·e wide)
//   B (depth, 8):  register j holds rows e·t … of its part j, column g
//   C, D (16, 8):  register j holds row g + 8·(j / 2), column 2·t + j mod 2

constexpr int kColumns = 8;

void run_mma(Warp& warp, const Instruction& in, LaneMask) {
  const int depth = in.elements;
  const int halves = per_register(in.type);
  const int registers_of_a = kSide * depth / kLanes / halves;
  const int registers_of_b = registers_of_a / 2;
  const Place* const d = in.list.data();
  const Place* const a = d + 4;
  const Place* const b = a + registers_of_a;
  const Place* const c = b + registers_of_b;
  Matrices<float> m;
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4;
    const int t = lane % 4;
    for (int h = 0; h < halves; ++h) {
      for (int j = 0; j < registers_of_a; ++j)
        m.a[(g + j % 2 * 8) * depth + halves * t + h + j / 2 * 4 * halves] =
            element(warp, in.type, a[j], lane, h);
      for (int j = 0; j < registers_of_b; ++j)
        m.b[(halves * t + h + j * 4 * halves) * kColumns + g] = element(warp, in.type, b[j], lane, h);
    }
    for (int j = 0; j < 4; ++j)
      m.c[(g + j / 2 * 8) * kColumns + 2 * t + j % 2] = element(warp, Type::f32, c[j], lane, 0);
  }
  multiply_matrices(m.c, m.a, m.b, kSide, kColumns, depth, block_of(in.type));
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int j = 0; j < 4; ++j)
      warp.lanes<float>(d[j].offset)[lane] = m.c[(lane / 4 + j / 2 * 8) * kColumns + 2 * (lane % 4) + j % 2];
  }
}

void decode_mma(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"sync", "aligned", "m16n8k4", "m16n8k8", "m16n8k16", "row", "col"});
  take_whole_warp(decoder, in);
  in.type = statement.type(1);
  in.elements = statement.has("m16n8k16") ? 16 : statement.has("m16n8k8") ? 8 : 4;
  const bool known =
      (in.type == Type::bf16 && in.elements >= 8) || (in.type == Type::tf32 && in.elements <= 8);
  if (!known || statement.type(0) != Type::f32 || statement.type(2) != in.type ||
      statement.type(3) != Type::f32)
    unsupported(statement, "the type or shape");
  const int registers_of_a = kSide * in.elements / kLanes / per_register(in.type);
  append_all(decoder, statement, in, static_cast<std::size_t>(8 + registers_of_a + registers_of_a / 2));
  in.run = run_mma;
}

// ldmatrix and stmatrix: 8×8 matrices of 16-bit elements; lane 8·m + r gives the address of row r of matrix
// m, 16 bytes. Register m of a lane holds elements 2·t and 2·t + 1 of row g, or with .trans of column g.

template <bool kLoads>
void run_matrix_rows(Warp& warp, const Instruction& in, LaneMask) {
  const int count = in.elements;
  const bool transposed = in.option != 0;
  uint16_t elements[4][8][8];
  const auto each_element = [&](const auto& f) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const int g = lane / 4;
      const int t = lane % 4 * 2;
      for (int m = 0; m < count; ++m) {
        uint32_t& slot = warp.lanes<uint32_t>(in.list[static_cast<std::size_t>(m)].offset)[lane];
        f(slot, transposed ? elements[m][t][g] : elements[m][g][t],
          transposed ? elements[m][t + 1][g] : elements[m][g][t + 1]);
      }
    }
  };
  if (!kLoads) {
    each_element([](uint32_t slot, uint16_t& low, uint16_t& high) {
      low = static_cast<uint16_t>(slot);
      high = static_cast<uint16_t>(slot >> 16);
    });
  }
  for (int lane = 0; lane < 8 * count; ++lane) {
    const uint64_t address = address_of(warp, in, lane);
    check_aligned(kLoads ? "row of ldmatrix" : "row of stmatrix", address, 16, lane);
    const Located found = locate(in.space, warp, address, 16, lane);
    if (found.name != std::string_view("shared")) throw Fault("a matrix row outside of shared memory", lane);
    if (kLoads) {
      check_read(found.bytes, 16, ~uint64_t{0}, found.name, address, lane);
      std::memcpy(elements[lane / 8][lane % 8], found.bytes.data, 16);
    } else {
      check_write(found.bytes, 16, found.name, address, lane);
      std::memcpy(found.bytes.data, elements[lane / 8][lane % 8], 16);
      found.bytes.set(16, state::kWritten);
    }
  }
  if (kLoads) {
    each_element([](uint32_t& slot, uint16_t low, uint16_t high) { slot = uint32_t{high} << 16 | low; });
  }
}

template <bool kLoads>
void decode_matrix_rows(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"sync", "aligned", "m8n8", "x1", "x2", "x4", "trans", "shared", "shared::cta"});
  take_whole_warp(decoder, in);
  if (!statement.has("m8n8") || statement.type() != Type::b16) unsupported(statement, "the shape");
  in.elements = statement.has("x4") ? 4 : statement.has("x2") ? 2 : 1;
  in.option = statement.has("trans") ? 1 : 0;
  in.space = statement.space();
  decoder.append(statement.operands.at(kLoads ? 0 : 1), Type::b32, in);
  decoder.address(statement.operands.at(kLoads ? 1 : 0), in);
  if (in.list.size() != in.elements) unsupported(statement, "the number of registers");
  in.run = run_matrix_rows<kLoads>;
}

constexpr std::array kOpcodes{
    Opcode{"wmma", decode_wmma},
    Opcode{"mma", decode_mma},
    Opcode{"ldmatrix", decode_matrix_rows<true>},
    Opcode{"stmatrix", decode_matrix_rows<false>},
};

}  // namespace

std::span<const Opcode> matrix_opcodes() {
  return kOpcodes;
}

}  // namespace mt::ptx
