// cp.async (PTX ISA, "Data Movement and Conversion Instructions: Asynchronous copy"). A copy is made when its
// thread waits for it; until then its target is pending, and whoever reads or writes it is at fault.

#include <array>

#include "kernels/ptx/access.h"
#include "kernels/ptx/lane_values.h"
#include "tensor/check.h"

namespace mt::ptx {
namespace {

/// d: the target's address in shared memory; a: the source; b: bytes of the source, behind which zeros
/// follow; c: a predicate under which there are only zeros.
void run_copy(Warp& warp, const Instruction& in, LaneMask active) {
  const auto bytes = static_cast<std::size_t>(in.elements);
  for_each_lane(active, [&](int lane) {
    const uint64_t target = read_register(warp, in.list[0], lane) + static_cast<uint64_t>(in.immediate2);
    const uint64_t source = address_of(warp, in, lane);
    check_aligned("target of cp.async", target, bytes, lane);
    check_aligned("source of cp.async", source, bytes, lane);
    std::size_t filled = in.b == kNoPlace ? bytes : warp.lanes<uint32_t>(in.b)[lane];
    if (in.c != kNoPlace && contains(warp.predicate(in.c), lane) != in.negated) filled = 0;
    if (filled > bytes)
      throw Fault(fmt::format("cp.async of {} bytes from a source of {}", bytes, filled), lane);
    const Located to = locate<Space::shared>(warp, target, bytes, lane);
    check_write(to.bytes, bytes, to.name, target, lane);
    Located from{};
    if (filled > 0) {
      from = locate<Space::global>(warp, source, filled, lane);
      check_read(from.bytes, filled, ~uint64_t{0}, from.name, source, lane);
    }
    to.bytes.set(bytes, state::kPending);
    warp.copies().add(lane, {to.bytes, from.bytes, static_cast<int>(bytes), static_cast<int>(filled)});
  });
}

void run_commit(Warp& warp, const Instruction&, LaneMask active) {
  for_each_lane(active, [&](int lane) { warp.copies().commit(lane); });
}
void run_wait_group(Warp& warp, const Instruction& in, LaneMask active) {
  for_each_lane(active, [&](int lane) { warp.copies().wait(lane, static_cast<uint64_t>(in.immediate)); });
}
void run_wait_all(Warp& warp, const Instruction&, LaneMask active) {
  for_each_lane(active, [&](int lane) { warp.copies().wait_all(lane); });
}

void decode_copy(Decoder& decoder, const Statement& statement, Instruction& in) {
  if (!statement.has("async")) unsupported(statement, "this copy");
  if (statement.has("commit_group")) {
    in.run = run_commit;
    return;
  }
  if (statement.has("wait_all")) {
    in.run = run_wait_all;
    return;
  }
  if (statement.has("wait_group")) {
    in.immediate = static_cast<int64_t>(statement.operands.at(0).bits);
    in.run = run_wait_group;
    return;
  }
  allow_modifiers(
      statement, {"async", "ca", "cg", "shared", "shared::cta", "global", "L2::128B", "L2::256B", "L2::64B"});
  const Operand& target = statement.operands.at(0);
  decoder.address(target, in);
  in.list = {{in.a, in.wide_address}};
  in.immediate2 = in.immediate;
  decoder.address(statement.operands.at(1), in);
  const uint64_t bytes = statement.operands.at(2).bits;
  if (bytes != 16 && (statement.has("cg") || (bytes != 4 && bytes != 8)))
    unsupported(statement, "the number of bytes");
  in.elements = static_cast<uint8_t>(bytes);
  if (statement.operands.size() > 3) {
    const Operand& last = statement.operands[3];
    const bool is_predicate = last.kind == Operand::Kind::name && decoder.is_predicate(last.name);
    if (is_predicate) {
      in.c = decoder.predicate(last);
      in.negated = last.negated;
    } else {
      in.b = decoder.source(last, Type::u32);
    }
  }
  in.run = run_copy;
}

constexpr std::array kOpcodes{Opcode{"cp", decode_copy}};

}  // namespace

std::span<const Opcode> copy_opcodes() {
  return kOpcodes;
}

}  // namespace mt::ptx
