// Branches, barriers and operations of a warp (PTX ISA, "Control Flow", "Parallel Synchronization").

#include <array>
#include <bit>

#include "kernels/ptx/lane_values.h"
#include "tensor/check.h"

namespace mt::ptx {
namespace {

void decode_branch(Decoder&, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"uni"});
  in.flow = Flow::branch;
}
void decode_exit(Decoder&, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"uni"});
  in.flow = Flow::exit;
}

void run_trap(Warp&, const Instruction&, LaneMask active) {
  throw Fault("trap", std::countr_zero(active));
}
void decode_trap(Decoder&, const Statement&, Instruction& in) {
  in.run = run_trap;
}

void run_nothing(Warp&, const Instruction&, LaneMask) {}

/// bar.sync a{, b}; bar.warp.sync mask.
void decode_barrier(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"sync", "warp", "aligned", "cta"});
  if (!statement.has("sync")) unsupported(statement, "this barrier");
  in.run = run_nothing;
  if (statement.has("warp")) {
    in.flow = Flow::warp_operation;
    in.mask = decoder.source(statement.operands.at(0), Type::b32);
    return;
  }
  in.flow = Flow::barrier;
  in.a = decoder.source(statement.operands.at(0), Type::u32);
  if (statement.operands.size() > 1) in.b = decoder.source(statement.operands[1], Type::u32);
}

enum class Shuffle : uint8_t { up, down, butterfly, index };

/// c holds the segments: bits 0-4 clamp the source lane, bits 8-12 are the bits of a lane that a segment
/// shares.
void run_shuffle(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint32_t> d(warp, in.d), a(warp, in.a), b(warp, in.b), c(warp, in.c);
  uint32_t got[kLanes];
  LaneMask in_range = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!contains(active, lane)) continue;
    const int distance = static_cast<int>(b[lane] & 31);
    const int clamp = static_cast<int>(c[lane] & 31);
    const int segment = static_cast<int>(c[lane] >> 8 & 31);
    const int last = (lane & segment) | (clamp & ~segment);
    int from = lane;
    bool inside = false;
    switch (static_cast<Shuffle>(in.option)) {
      case Shuffle::up:
        from = lane - distance;
        inside = from >= last;
        break;
      case Shuffle::down:
        from = lane + distance;
        inside = from <= last;
        break;
      case Shuffle::butterfly:
        from = lane ^ distance;
        inside = from <= last;
        break;
      case Shuffle::index:
        from = (lane & segment) | (distance & ~segment);
        inside = from <= last;
        break;
    }
    if (!inside) from = lane;
    if (!contains(active, from))
      throw Fault(fmt::format("shuffle from lane {}, which does not take part", from), lane);
    got[lane] = a[from];
    in_range |= LaneMask{inside} << lane;
  }
  for_each_lane(active, [&](int lane) { d.set(lane, got[lane]); });
  if (in.e != kNoPlace) set_predicate(warp, in.e, active, in_range);
}

void decode_shuffle(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"sync", "up", "down", "bfly", "idx"});
  if (!statement.has("sync")) unsupported(statement, "a shuffle without a mask");
  in.flow = Flow::warp_operation;
  in.option = static_cast<uint8_t>(statement.has("up")     ? Shuffle::up
                                   : statement.has("down") ? Shuffle::down
                                   : statement.has("bfly") ? Shuffle::butterfly
                                                           : Shuffle::index);
  in.d = decoder.destination(statement.operands.at(0), Type::b32);
  if (!statement.operands[0].second.empty()) in.e = decoder.predicate(statement.operands[0].second);
  in.a = decoder.source(statement.operands.at(1), Type::b32);
  in.b = decoder.source(statement.operands.at(2), Type::b32);
  in.c = decoder.source(statement.operands.at(3), Type::b32);
  in.mask = decoder.source(statement.operands.at(4), Type::b32);
  in.run = run_shuffle;
}

LaneMask votes(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneMask predicate = warp.predicate(in.a);
  return (in.negated ? ~predicate : predicate) & active;
}
void run_ballot(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneMask for_it = votes(warp, in, active);
  const LaneValues<uint32_t> d(warp, in.d);
  for_each_lane(active, [&](int lane) { d.set(lane, for_it); });
}
void run_all(Warp& warp, const Instruction& in, LaneMask active) {
  set_predicate(warp, in.d, active, votes(warp, in, active) == active ? kAllLanes : 0);
}
void run_any(Warp& warp, const Instruction& in, LaneMask active) {
  set_predicate(warp, in.d, active, votes(warp, in, active) != 0 ? kAllLanes : 0);
}
void run_uniform(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneMask for_it = votes(warp, in, active);
  set_predicate(warp, in.d, active, for_it == active || for_it == 0 ? kAllLanes : 0);
}

void decode_vote(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"sync", "ballot", "all", "any", "uni"});
  if (!statement.has("sync")) unsupported(statement, "a vote without a mask");
  in.flow = Flow::warp_operation;
  const bool ballot = statement.has("ballot");
  in.d = ballot ? decoder.destination(statement.operands.at(0), Type::b32)
                : decoder.predicate(statement.operands.at(0));
  in.a = decoder.predicate(statement.operands.at(1));
  in.negated = statement.operands[1].negated;
  in.mask = decoder.source(statement.operands.at(2), Type::b32);
  in.run = ballot                 ? run_ballot
           : statement.has("all") ? run_all
           : statement.has("any") ? run_any
                                  : run_uniform;
}

/// match.any: the lanes with the same value.
void run_match(Warp& warp, const Instruction& in, LaneMask active) {
  LaneMask same[kLanes];
  for_each_lane(active, [&](int lane) {
    same[lane] = 0;
    const uint64_t own =
        in.list[0].wide ? warp.lanes<uint64_t>(in.a)[lane] : warp.lanes<uint32_t>(in.a)[lane];
    for (int other = 0; other < kLanes; ++other) {
      const uint64_t value =
          in.list[0].wide ? warp.lanes<uint64_t>(in.a)[other] : warp.lanes<uint32_t>(in.a)[other];
      if (contains(active, other) && value == own) same[lane] |= 1U << other;
    }
  });
  const LaneValues<uint32_t> d(warp, in.d);
  for_each_lane(active, [&](int lane) { d.set(lane, same[lane]); });
}
void decode_match(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"any", "sync"});
  in.flow = Flow::warp_operation;
  in.type = statement.type();
  in.d = decoder.destination(statement.operands.at(0), Type::b32);
  in.a = decoder.source(statement.operands.at(1), in.type);
  in.list = {{in.a, bytes_of(in.type) == 8}};
  in.mask = decoder.source(statement.operands.at(2), Type::b32);
  in.run = run_match;
}

/// The lanes that happen to be together.
void run_active_mask(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<uint32_t> d(warp, in.d);
  for_each_lane(active, [&](int lane) { d.set(lane, active); });
}
void decode_active_mask(Decoder& decoder, const Statement& statement, Instruction& in) {
  in.d = decoder.destination(statement.operands.at(0), Type::b32);
  in.run = run_active_mask;
}

constexpr std::array kOpcodes{
    Opcode{"bra", decode_branch},   Opcode{"ret", decode_exit},
    Opcode{"exit", decode_exit},    Opcode{"trap", decode_trap},
    Opcode{"bar", decode_barrier},  Opcode{"barrier", decode_barrier},
    Opcode{"shfl", decode_shuffle}, Opcode{"vote", decode_vote},
    Opcode{"match", decode_match},  Opcode{"activemask", decode_active_mask},
};

}  // namespace

std::span<const Opcode> warp_opcodes() {
  return kOpcodes;
}

}  // namespace mt::ptx
