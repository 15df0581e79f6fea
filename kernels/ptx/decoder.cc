#include "kernels/ptx/decoder.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>

#include "tensor/check.h"

namespace mt::ptx {
namespace {

int64_t rounded_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// An address ≥ `from` that is a multiple of `alignment` and of nothing more: code that needs more shows.
int64_t just_aligned(int64_t from, int64_t alignment) {
  const int64_t address = rounded_up(from, alignment);
  return address / alignment % 2 == 1 ? address : address + alignment;
}

std::string demangled(const std::string& name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string result = status == 0 ? text : name;
  std::free(text);
  return result;
}

/// Untouched bytes between arrays, so that the first one behind an end is nobody's.
constexpr int64_t kGap = 64;

}  // namespace

void unsupported(const Statement& statement, std::string_view what) {
  fail("PTX machine: {} is not supported: {}", what, statement.text);
}

void allow_modifiers(const Statement& statement, std::initializer_list<std::string_view> allowed) {
  for (const std::string& modifier : statement.modifiers) {
    if (type_named(modifier) != Type::none) continue;
    if (std::find(allowed.begin(), allowed.end(), modifier) == allowed.end())
      unsupported(statement, fmt::format("modifier .{}", modifier));
  }
}

Decoder::Decoder(Kernel& kernel, const SymbolTable& symbols)
    : kernel_(kernel), symbols_(symbols), scopes_(1) {
  const char* axes[3] = {"x", "y", "z"};
  for (int i = 0; i < 3; ++i) {
    const std::string axis = axes[i];
    kernel.thread[i] = special_["%tid." + axis] = new_fixed(4 * kLanes);
    kernel.threads[i] = special_["%ntid." + axis] = new_fixed(4 * kLanes);
    kernel.block[i] = special_["%ctaid." + axis] = new_fixed(4 * kLanes);
    kernel.blocks[i] = special_["%nctaid." + axis] = new_fixed(4 * kLanes);
  }
  kernel.lane = special_["%laneid"] = new_fixed(4 * kLanes);
  kernel.warp = special_["%warpid"] = new_fixed(4 * kLanes);
}

int32_t Decoder::new_fixed(int32_t bytes) {
  kernel_.fixed_bytes += bytes;
  return -kernel_.fixed_bytes;
}

Place Decoder::new_place(Type type) {
  const bool wide = bytes_of(type) == 8;
  const Place place{kernel_.register_bytes, wide};
  kernel_.register_bytes += wide ? 8 * kLanes : 4 * kLanes;  // predicates, too: keeps all aligned to 64 bytes
  kernel_.register_places.push_back(place);
  return place;
}

void Decoder::declare_registers(const BodyItem& item) {
  for (const std::string& name : item.names) scopes_.back().declared[name] = item.type;
}

Type Decoder::declared_type(const Scope& scope, const std::string& name) const {
  if (const auto found = scope.declared.find(name); found != scope.declared.end()) return found->second;
  const std::size_t digits = name.find_last_not_of("0123456789") + 1;
  const auto family = scope.declared.find(name.substr(0, digits) + '<');
  return family == scope.declared.end() ? Type::none : family->second;
}

Decoder::Register& Decoder::named(const std::string& name) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto found = scope->used.find(name); found != scope->used.end()) return found->second;
    const Type type = declared_type(*scope, name);
    if (type != Type::none) return scope->used[name] = {new_place(type), type};
  }
  fail("PTX machine: {} is no register, variable or special register that it knows, in {}", name,
       kernel_.pretty);
}

int32_t Decoder::constant(uint64_t value, bool wide) {
  const auto [found, is_new] = constants_.try_emplace({value, wide}, 0);
  if (is_new) {
    found->second = new_fixed(wide ? 8 * kLanes : 4 * kLanes);
    kernel_.constants.push_back({{found->second, wide}, value});
  }
  return found->second;
}

uint64_t Decoder::place_shared(const Variable& variable) {
  if (variable.is_extern) {
    kernel_.dynamic_shared_address = static_cast<uint32_t>(just_aligned(
        std::max<int64_t>(kDynamicSharedAddress, kernel_.dynamic_shared_address), variable.alignment));
    return kernel_.dynamic_shared_address;
  }
  const int64_t address = just_aligned(shared_end_, variable.alignment);
  shared_end_ = static_cast<uint32_t>(address + variable.bytes + kGap);
  check(shared_end_ <= kDynamicSharedAddress, "PTX machine: {} has too much static shared memory",
        kernel_.pretty);
  kernel_.shared_arrays.push_back({static_cast<uint32_t>(address), static_cast<uint32_t>(variable.bytes)});
  kernel_.static_shared_bytes = rounded_up(kernel_.static_shared_bytes, variable.alignment) + variable.bytes;
  return static_cast<uint64_t>(address);
}

void Decoder::declare_variable(const Variable& variable) {
  uint64_t address = 0;
  if (variable.space == "shared") {
    address = place_shared(variable);
  } else if (variable.space == "local") {
    address = static_cast<uint64_t>(rounded_up(kernel_.local_bytes, variable.alignment));
    kernel_.local_bytes = static_cast<int64_t>(address) + variable.bytes;
  } else {
    fail("PTX machine: .{} variables inside of a kernel are not supported", variable.space);
  }
  scopes_.back().variables[variable.name] = address;
}

bool Decoder::find_symbol(const std::string& name, uint64_t& address) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto found = scope->variables.find(name); found != scope->variables.end()) {
      address = found->second;
      return true;
    }
  }
  // Shared arrays of the module belong to each kernel that names them.
  for (const Variable& variable : symbols_.module->variables) {
    if (variable.name == name && variable.space == "shared") {
      address = scopes_.front().variables[name] = place_shared(variable);
      return true;
    }
  }
  for (const auto& [symbol, place] : *symbols_.globals) {
    if (symbol == name) {
      address = place;
      return true;
    }
  }
  return false;
}

Place Decoder::any_source(const Operand& operand, Type type) {
  const bool wide = bytes_of(type) == 8;
  if (operand.kind == Operand::Kind::number) {
    const int bytes = bytes_of(type);
    const uint64_t mask = bytes == 0 || bytes == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * bytes)) - 1;
    return {constant(operand.bits & mask, wide), wide};
  }
  check(operand.kind == Operand::Kind::name, "PTX machine: an operand of {} is no register or number",
        kernel_.pretty);
  if (const auto found = special_.find(operand.name); found != special_.end()) return {found->second, false};
  if (operand.name == "WARP_SZ") return {constant(kLanes, wide), wide};
  uint64_t address = 0;
  if (find_symbol(operand.name, address))
    return {constant(address + static_cast<uint64_t>(operand.offset), wide), wide};
  return named(operand.name).place;
}

int32_t Decoder::source(const Operand& operand, Type type) {
  if (type == Type::pred) return predicate(operand);
  const Place place = any_source(operand, type);
  check(place.wide == (bytes_of(type) == 8),
        "PTX machine: operand {} is not as wide as its instruction's type, in {}", operand.name,
        kernel_.pretty);
  return place.offset;
}

Place Decoder::any_destination(const Operand& operand) {
  if (operand.kind == Operand::Kind::sink) return {kNoPlace, false};
  check(operand.kind == Operand::Kind::name, "PTX machine: a destination in {} is no register",
        kernel_.pretty);
  return named(operand.name).place;
}

int32_t Decoder::destination(const Operand& operand, Type type) {
  if (type == Type::pred) return predicate(operand);
  const Place place = any_destination(operand);
  check(place.offset == kNoPlace || place.wide == (bytes_of(type) == 8),
        "PTX machine: destination {} is not as wide as its instruction's type, in {}", operand.name,
        kernel_.pretty);
  return place.offset;
}

int32_t Decoder::predicate(const Operand& operand) {
  if (operand.kind == Operand::Kind::number) return constant(operand.bits != 0 ? kAllLanes : 0, false);
  return predicate(operand.name);
}

int32_t Decoder::predicate(const std::string& name) {
  const Register& found = named(name);
  check(found.type == Type::pred, "PTX machine: {} is no predicate, in {}", name, kernel_.pretty);
  return found.place.offset;
}

void Decoder::same_type_operands(const Statement& statement, Instruction& instruction, Type type) {
  instruction.type = type;
  if (statement.operands.size() < 2 || statement.operands.size() > 5)
    unsupported(statement, "the number of operands");
  instruction.d = destination(statement.operands[0], type);
  int32_t* const sources[4] = {&instruction.a, &instruction.b, &instruction.c, &instruction.e};
  for (std::size_t i = 1; i < statement.operands.size(); ++i)
    *sources[i - 1] = source(statement.operands[i], type);
}

void Decoder::address(const Operand& operand, Instruction& instruction) {
  check(operand.kind == Operand::Kind::address && operand.elements.size() == 1,
        "PTX machine: an address is no [base + offset], in {}", kernel_.pretty);
  const Operand& base = operand.elements[0];
  instruction.immediate = operand.offset;
  const Place place = any_source(base, Type::b64);
  // 32-bit addresses are those of shared and local memory.
  instruction.a = place.offset;
  instruction.wide_address = place.wide;
}

void Decoder::append(const Operand& operand, Type type, Instruction& instruction) {
  if (operand.kind == Operand::Kind::list) {
    for (const Operand& element : operand.elements) append(element, type, instruction);
  } else if (operand.kind == Operand::Kind::sink) {
    instruction.list.push_back({kNoPlace, false});
  } else {
    instruction.list.push_back(any_source(operand, type));
  }
}

namespace {

DecodeFunction decode_function(const Statement& statement) {
  static const auto* table = [] {
    auto* all = new std::map<std::string_view, DecodeFunction>;
    for (const auto& opcodes :
         {arithmetic_opcodes(), approximate_opcodes(), bit_opcodes(), compare_opcodes(), convert_opcodes(),
          memory_opcodes(), copy_opcodes(), warp_opcodes(), matrix_opcodes()}) {
      for (const Opcode& opcode : opcodes) all->emplace(opcode.name, opcode.decode);
    }
    return all;
  }();
  const auto found = table->find(statement.opcode);
  if (found == table->end()) unsupported(statement, fmt::format("instruction \"{}\"", statement.opcode));
  return found->second;
}

void place_parameters(const Entry& entry, Kernel& kernel, std::vector<BodyItem>& items) {
  std::map<std::string, int64_t, std::less<>> offsets;
  for (const Variable& parameter : entry.parameters) {
    const int64_t offset = rounded_up(kernel.parameter_bytes, parameter.alignment);
    kernel.parameters.push_back({offset, parameter.bytes});
    kernel.parameter_bytes = offset + parameter.bytes;
    offsets[parameter.name] = offset;
  }
  // A parameter's name stands for its offset.
  const auto resolve = [&](auto&& self, Operand& operand) -> void {
    const auto found = offsets.find(operand.name);
    if (operand.kind == Operand::Kind::name && found != offsets.end()) {
      operand.kind = Operand::Kind::number;
      operand.bits = static_cast<uint64_t>(found->second + operand.offset);
    }
    for (Operand& element : operand.elements) self(self, element);
  };
  for (BodyItem& item : items) {
    for (Operand& operand : item.statement.operands) resolve(resolve, operand);
  }
}

}  // namespace

Kernel decode(const Entry& entry, const SymbolTable& symbols) {
  Kernel kernel;
  kernel.name = entry.name;
  kernel.pretty = demangled(entry.name);
  kernel.max_threads = entry.max_threads;
  Decoder decoder(kernel, symbols);
  std::vector<BodyItem> items = parse_body(entry.body);
  place_parameters(entry, kernel, items);
  std::map<std::string, uint32_t, std::less<>> labels;
  std::vector<std::pair<std::size_t, std::string>> branches;
  for (const BodyItem& item : items) {
    switch (item.kind) {
      case BodyItem::Kind::registers:
        decoder.declare_registers(item);
        break;
      case BodyItem::Kind::variable:
        decoder.declare_variable(item.variable);
        break;
      case BodyItem::Kind::scope_begin:
        decoder.begin_scope();
        break;
      case BodyItem::Kind::scope_end:
        decoder.end_scope();
        break;
      case BodyItem::Kind::label:
        check(labels.emplace(item.label, kernel.code.size()).second,
              "PTX machine: label {} stands twice in {}, which is not supported", item.label, kernel.pretty);
        break;
      case BodyItem::Kind::statement: {
        const Statement& statement = item.statement;
        Instruction& instruction = kernel.code.emplace_back();
        instruction.text = statement.text;
        instruction.used_bytes = statement.used_bytes;
        if (!statement.guard.empty()) instruction.guard = decoder.predicate(statement.guard);
        instruction.guard_negated = statement.guard_negated;
        decode_function(statement)(decoder, statement, instruction);
        if (instruction.flow == Flow::branch)
          branches.emplace_back(kernel.code.size() - 1, statement.operands.at(0).name);
        break;
      }
    }
  }
  kernel.code.emplace_back().flow = Flow::exit;  // whoever falls out of the body
  kernel.code.back().text = "(end of the kernel)";
  for (const auto& [at, label] : branches) {
    const auto found = labels.find(label);
    check(found != labels.end(), "PTX machine: no label {} in {}", label, kernel.pretty);
    kernel.code[at].target = found->second;
  }
  kernel.fixed_bytes = static_cast<int32_t>(rounded_up(kernel.fixed_bytes, 64));
  return kernel;
}

}  // namespace mt::ptx
