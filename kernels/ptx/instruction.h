#pragma once
// A kernel as the machine runs it: instructions with their handlers, registers as places in a warp's memory.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/ptx/statement.h"
#include "kernels/ptx/types.h"

namespace mt::ptx {

class Warp;
struct Instruction;
/// Computes an instruction for the lanes of `active`. Throws Fault.
using Handler = void (*)(Warp& warp, const Instruction& instruction, LaneMask active);

/// What an instruction does to a path of execution, beside its handler.
enum class Flow : uint8_t {
  plain,           // goes on with the next instruction
  branch,          // to `target`
  exit,            // the lanes leave
  barrier,         // wait for the block
  warp_operation,  // wait until all lanes of the mask in register `mask` are here
};

/// A register, constant or special register of a warp: 32 lanes of 4 or 8 bytes each; a predicate is 4 bytes,
/// one bit per lane. Offsets are in bytes from the middle of the warp's register memory (negative: constants
/// and special registers, which no instruction writes).
struct Place {
  int32_t offset = 0;
  bool wide = false;  // 8 bytes per lane
};
inline constexpr int32_t kNoPlace = INT32_MAX;

/// Fields that a handler does not use keep their values here.
struct Instruction {
  Handler run = nullptr;
  Flow flow = Flow::plain;
  uint8_t option = 0;  // each family of instructions has its own meaning: a comparison, a direction, …
  uint8_t option2 = 0;
  uint8_t elements = 1;  // of a vector access; the depth of a matrix product
  Type type = Type::none;
  Type type2 = Type::none;
  Space space = Space::generic;
  Rounding rounding = Rounding::nearest;
  bool wide_address = true;  // a holds 64 bits per lane
  bool saturate = false;
  bool flush = false;    // .ftz: subnormal numbers are zeros
  bool negated = false;  // of predicate source c
  bool guard_negated = false;
  int32_t guard = kNoPlace;  // predicate under which it runs
  int32_t d = kNoPlace;      // destination
  int32_t a = kNoPlace;      // sources
  int32_t b = kNoPlace;
  int32_t c = kNoPlace;
  int32_t e = kNoPlace;
  int32_t mask = kNoPlace;  // of a warp operation
  uint32_t target = 0;      // of a branch
  int64_t immediate = 0;    // offset of an address
  int64_t immediate2 = 0;
  uint64_t used_bytes = ~uint64_t{0};
  std::vector<Place> list;  // a vector's or fragment's registers
  std::string text;         // for messages
};

/// An array in shared memory, at its address in the shared window.
struct SharedArray {
  uint32_t address = 0;
  uint32_t bytes = 0;
};

struct Kernel {
  std::string name;    // as linked
  std::string pretty;  // for people
  std::vector<Instruction> code;
  std::vector<Place> register_places;
  int32_t register_bytes = 0;  // written by instructions, at offsets from 0 on
  int32_t fixed_bytes = 0;     // constants and special registers, at negative offsets
  struct Constant {
    Place place;
    uint64_t value;
  };
  std::vector<Constant> constants;
  int32_t thread[3], threads[3], block[3], blocks[3], lane, warp;  // special registers
  struct Parameter {
    int64_t offset;
    int64_t bytes;
  };
  std::vector<Parameter> parameters;
  int64_t parameter_bytes = 0;
  std::vector<SharedArray> shared_arrays;  // static ones
  int64_t static_shared_bytes = 0;         // that they need without the gaps between them
  uint32_t dynamic_shared_address = 0;     // 0: none
  int64_t local_bytes = 0;                 // of each thread
  int64_t max_threads = 1024;
};

/// Places an entry's variables, chooses a handler for each instruction. `address_of` gives the address of a
/// module's global variable, or 0. Throws Error that names an instruction, modifier or operand that it does
/// not know.
struct SymbolTable {
  const ModuleText* module;
  const std::vector<std::pair<std::string, uint64_t>>* globals;
};
Kernel decode(const Entry& entry, const SymbolTable& symbols);

}  // namespace mt::ptx
