#pragma once
// What decode functions use: operands to places, with the checks of the PTX ISA on their sizes.

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/ptx/instruction.h"

namespace mt::ptx {

/// The names of one kernel.
class Decoder {
 public:
  Decoder(Kernel& kernel, const SymbolTable& symbols);

  /// A register, constant, special register or address of a variable, read as `type`: of exactly its size.
  int32_t source(const Operand& operand, Type type);
  int32_t destination(const Operand& operand, Type type);
  /// Of any size, as loads, stores and conversions allow.
  Place any_source(const Operand& operand, Type type);
  Place any_destination(const Operand& operand);
  /// A predicate, or a number in place of one.
  int32_t predicate(const Operand& operand);
  int32_t predicate(const std::string& name);
  bool is_predicate(const std::string& name) { return named(name).type == Type::pred; }
  int32_t constant(uint64_t value, bool wide);
  /// d, a, b, c, e from the operands in this order, all of one type.
  void same_type_operands(const Statement& statement, Instruction& instruction, Type type);
  /// [base + offset] into a and immediate.
  void address(const Operand& operand, Instruction& instruction);
  /// {r0, r1, …} or a single register, appended to the instruction's list.
  void append(const Operand& operand, Type type, Instruction& instruction);

  void declare_registers(const BodyItem& item);
  void declare_variable(const Variable& variable);
  void begin_scope() { scopes_.emplace_back(); }
  void end_scope() { scopes_.pop_back(); }

 private:
  struct Register {
    Place place;
    Type type;
  };
  struct Scope {
    std::map<std::string, Type, std::less<>> declared;  // names, and families that end in <
    std::map<std::string, Register, std::less<>> used;
    std::map<std::string, uint64_t, std::less<>> variables;  // name → address
  };
  Register& named(const std::string& name);
  Type declared_type(const Scope& scope, const std::string& name) const;
  Place new_place(Type type);
  int32_t new_fixed(int32_t bytes);
  /// Address of a variable or parameter. False if there is none of this name.
  bool find_symbol(const std::string& name, uint64_t& address);
  uint64_t place_shared(const Variable& variable);

  Kernel& kernel_;
  const SymbolTable& symbols_;
  std::vector<Scope> scopes_;
  std::map<std::string, int32_t, std::less<>> special_;
  std::map<std::pair<uint64_t, bool>, int32_t> constants_;
  uint32_t shared_end_ = 0;
};

/// Fills an instruction from a statement. Throws Error for what it does not support.
using DecodeFunction = void (*)(Decoder& decoder, const Statement& statement, Instruction& instruction);
struct Opcode {
  std::string_view name;
  DecodeFunction decode;
};
std::span<const Opcode> arithmetic_opcodes();
std::span<const Opcode> approximate_opcodes();
std::span<const Opcode> bit_opcodes();
std::span<const Opcode> compare_opcodes();
std::span<const Opcode> convert_opcodes();
std::span<const Opcode> memory_opcodes();
std::span<const Opcode> copy_opcodes();
std::span<const Opcode> warp_opcodes();
std::span<const Opcode> matrix_opcodes();

[[noreturn]] void unsupported(const Statement& statement, std::string_view what);
/// Throws Error for modifiers that are no types and not among these, so that none is ignored in silence.
void allow_modifiers(const Statement& statement, std::initializer_list<std::string_view> allowed);

/// Where things stand in the shared window, which is what .shared addresses count from.
inline constexpr uint32_t kDynamicSharedAddress = 0x40000;
inline constexpr uint32_t kSharedWindowBytes = 0x80000;
/// Generic addresses of the windows, far from any real address.
inline constexpr uint64_t kSharedWindow = 0x7e00'0000'0000'0000;
inline constexpr uint64_t kLocalWindow = 0x7d00'0000'0000'0000;
inline constexpr uint32_t kLocalWindowBytes = 0x100'0000;

}  // namespace mt::ptx
