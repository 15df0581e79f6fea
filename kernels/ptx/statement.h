#pragma once
// PTX text as a tree: what the parser makes of it, before anything is known about registers.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/ptx/types.h"

namespace mt::ptx {

/// One operand of an instruction.
struct Operand {
  enum class Kind : uint8_t {
    name,     // a register, special register, variable, parameter or label; `+ offset` behind a variable
    number,   // 12, -1, 0x1F, 0f3F800000, 0d3FF0000000000000: `bits`
    address,  // [base + offset]; the base is elements[0]
    list,     // {a, b, …}: elements
    sink,     // _
  };
  Kind kind = Kind::sink;
  std::string name;
  std::string second;    // q of p|q
  bool negated = false;  // !p
  uint64_t bits = 0;
  int64_t offset = 0;
  std::vector<Operand> elements;
};

/// An instruction as written: `@!%p1 ld.global.v2.f32 {%f1, %f2}, [%rd1+8];`
struct Statement {
  std::string guard;  // %p1, or empty
  bool guard_negated = false;
  std::string opcode;                  // ld
  std::vector<std::string> modifiers;  // global, v2, f32
  std::vector<Operand> operands;
  std::string text;                    // of the whole, for messages
  uint64_t used_bytes = ~uint64_t{0};  // .pragma "used_bytes_mask": of a load

  bool has(std::string_view modifier) const;
  /// The i-th modifier that is a type, or none.
  Type type(int i = 0) const;
  Space space() const;
};

/// A variable in memory: `.shared .align 128 .b8 name[32] = {…};`
struct Variable {
  std::string name;
  std::string space;  // shared, local, global, const, param
  int64_t alignment = 1;
  int64_t bytes = 0;
  bool is_extern = false;        // dynamic shared memory
  std::vector<uint8_t> initial;  // empty: zeros
};

/// One thing in a kernel's body, in order.
struct BodyItem {
  enum class Kind : uint8_t { statement, label, registers, variable, scope_begin, scope_end };
  Kind kind;
  Statement statement;
  std::string label;
  Type type = Type::none;          // registers: their type,
  std::vector<std::string> names;  // and names; those that end in < are families (%f< is %f0, %f1, …)
  Variable variable;
};

struct Entry {
  std::string name;
  std::vector<Variable> parameters;
  int64_t max_threads = 1024;  // .maxntid or .reqntid
  std::string body;            // the text between its braces, parsed when first launched
};

/// What stands in one PTX text.
struct ModuleText {
  int architecture = 0;  // of .target: 80, 90
  std::vector<Variable> variables;
  std::vector<Entry> entries;
};

/// Reads declarations and finds the entries. Throws Error with the line that it does not understand.
ModuleText parse_module(std::string_view text);
/// Throws Error that names the statement.
std::vector<BodyItem> parse_body(std::string_view body);

}  // namespace mt::ptx
