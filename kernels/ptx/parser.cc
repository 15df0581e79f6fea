// PTX text to statements and declarations (PTX ISA 9.0, chapters "Syntax" and "Directives").

#include <algorithm>
#include <cstring>

#include "kernels/ptx/lexer.h"
#include "kernels/ptx/statement.h"
#include "tensor/check.h"

namespace mt::ptx {

bool Statement::has(std::string_view modifier) const {
  return std::find(modifiers.begin(), modifiers.end(), modifier) != modifiers.end();
}

Type Statement::type(int i) const {
  for (const std::string& modifier : modifiers) {
    const Type type = type_named(modifier);
    if (type != Type::none && i-- == 0) return type;
  }
  return Type::none;
}

Space Statement::space() const {
  for (const std::string& modifier : modifiers) {
    const std::string_view word = std::string_view(modifier).substr(0, modifier.find(':'));
    if (word == "global" || word == "const") return Space::global;
    if (word == "shared") return Space::shared;
    if (word == "local") return Space::local;
    if (word == "param") return Space::parameter;
  }
  return Space::generic;
}

namespace {

Operand parse_operand(Lexer& lexer);

std::vector<Operand> parse_list(Lexer& lexer, std::string_view close) {
  std::vector<Operand> elements;
  while (!lexer.take(close)) {
    elements.push_back(parse_operand(lexer));
    if (lexer.peek() != close) lexer.expect(",");
  }
  return elements;
}

/// "+ 8", "+ -8" or "-8" behind a name.
int64_t parse_offset(Lexer& lexer) {
  if (lexer.take("+")) return lexer.integer();
  return lexer.peek() == "-" ? lexer.integer() : 0;
}

Operand parse_operand(Lexer& lexer) {
  Operand operand;
  if (lexer.take("{")) {
    operand.kind = Operand::Kind::list;
    operand.elements = parse_list(lexer, "}");
  } else if (lexer.take("[")) {
    operand.kind = Operand::Kind::address;
    operand.elements.push_back(parse_operand(lexer));
    operand.offset = operand.elements[0].offset;
    operand.elements[0].offset = 0;
    while (lexer.take(",")) operand.elements.push_back(parse_operand(lexer));
    lexer.expect("]");
  } else if (lexer.at_number()) {
    operand.kind = Operand::Kind::number;
    operand.bits = lexer.number();
  } else if (lexer.take("_")) {
    operand.kind = Operand::Kind::sink;
  } else {
    operand.negated = lexer.take("!");
    operand.kind = Operand::Kind::name;
    operand.name = lexer.next();
    if (lexer.take("|")) operand.second = lexer.next();
    operand.offset = parse_offset(lexer);
  }
  return operand;
}

std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = text.find(by);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

Statement parse_statement(Lexer& lexer) {
  Statement statement;
  const std::size_t start = lexer.position();
  if (lexer.take("@")) {
    statement.guard_negated = lexer.take("!");
    statement.guard = lexer.next();
  }
  std::vector<std::string> words = split(lexer.next(), '.');
  statement.opcode = words.front();
  statement.modifiers.assign(words.begin() + 1, words.end());
  while (lexer.peek() != ";") {
    statement.operands.push_back(parse_operand(lexer));
    if (lexer.peek() != ";") lexer.expect(",");
  }
  statement.text = lexer.text_since(start);
  lexer.expect(";");
  return statement;
}

void store(std::vector<uint8_t>& bytes, uint64_t bits, int size) {
  for (int i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(bits >> (8 * i)));
}

/// Behind its state space: `.align 8 .b8 name[32] = {1, 2}`. Parameters end at a comma or parenthesis.
Variable parse_variable(Lexer& lexer, std::string space) {
  Variable variable;
  variable.space = std::move(space);
  Type type = Type::none;
  while (lexer.peek().starts_with('.')) {
    const std::string_view word = lexer.next();
    if (word == ".align") variable.alignment = lexer.integer();
    if (const Type found = type_named(word.substr(1)); found != Type::none) type = found;
    if (word == ".v2" || word == ".v4") lexer.fail_here("vector variables are not supported");
  }
  if (type == Type::none) lexer.fail_here("a variable's type was expected");
  variable.name = lexer.next();
  const int size = bytes_of(type);
  variable.alignment = std::max<int64_t>(variable.alignment, size);
  int64_t count = 1;
  while (lexer.take("[")) {
    count = lexer.peek() == "]" ? 0 : count * lexer.integer();
    lexer.expect("]");
  }
  variable.bytes = count * size;
  if (lexer.take("=")) {
    const bool braces = lexer.take("{");
    do {
      if (!lexer.at_number()) lexer.fail_here("only numbers initialise variables here");
      store(variable.initial, lexer.number(), size);
    } while (lexer.take(","));
    if (braces) lexer.expect("}");
    variable.initial.resize(static_cast<std::size_t>(variable.bytes));
  }
  return variable;
}

bool is_space(std::string_view word) {
  return word == ".shared" || word == ".local" || word == ".global" || word == ".const" || word == ".param";
}

Entry parse_entry(Lexer& lexer) {
  Entry entry;
  entry.name = lexer.next();
  if (lexer.take("(")) {
    while (!lexer.take(")")) {
      lexer.expect(".param");
      entry.parameters.push_back(parse_variable(lexer, "param"));
      if (lexer.peek() != ")") lexer.expect(",");
    }
  }
  while (!lexer.take("{")) {
    const std::string_view word = lexer.next();
    if (word.empty()) lexer.fail_here("a kernel's body was expected");
    if (word == ".maxntid" || word == ".reqntid") {
      entry.max_threads = lexer.integer();
      while (lexer.take(",")) entry.max_threads *= lexer.integer();
    }
  }
  entry.body = lexer.skip_block();
  return entry;
}

/// ".sm_90a" of a .target list.
int architecture_of(std::string_view word) {
  constexpr std::string_view kPrefix = "sm_";
  if (!word.starts_with(kPrefix)) return 0;
  int architecture = 0;
  for (const char c : word.substr(kPrefix.size())) {
    if (c < '0' || c > '9') break;
    architecture = architecture * 10 + (c - '0');
  }
  return architecture;
}

}  // namespace

ModuleText parse_module(std::string_view text) {
  ModuleText module;
  Lexer lexer(text);
  bool is_extern = false;
  while (!lexer.at_end()) {
    const std::string word(lexer.next());
    if (word == ".version" || word == ".address_size") {
      lexer.next();
    } else if (word == ".target") {
      do {
        module.architecture = std::max(module.architecture, architecture_of(lexer.next()));
      } while (lexer.take(","));
    } else if (word == ".extern") {
      is_extern = true;
    } else if (word == ".visible" || word == ".weak" || word == ".common") {
      // says who may link to it
    } else if (word == ".entry") {
      module.entries.push_back(parse_entry(lexer));
    } else if (is_space(word)) {
      module.variables.push_back(parse_variable(lexer, word.substr(1)));
      module.variables.back().is_extern = is_extern;
      is_extern = false;
      lexer.expect(";");
    } else if (word == ".file" || word == ".loc") {
      fail("PTX: {} directives are not supported; compile without -lineinfo", word);
    } else {
      fail("PTX: directive {} is not supported", word);
    }
  }
  return module;
}

std::vector<BodyItem> parse_body(std::string_view body) {
  using Kind = BodyItem::Kind;
  std::vector<BodyItem> items;
  const auto add = [&](Kind kind) -> BodyItem& {
    items.push_back({kind, {}, {}, Type::none, {}, {}});
    return items.back();
  };
  uint64_t used_bytes = ~uint64_t{0};
  Lexer lexer(body);
  while (!lexer.at_end()) {
    const std::string word(lexer.peek());
    if (lexer.take("{")) {
      add(Kind::scope_begin);
    } else if (lexer.take("}")) {
      add(Kind::scope_end);
    } else if (lexer.take(";")) {
      continue;
    } else if (lexer.take(".reg")) {
      BodyItem& item = add(Kind::registers);
      item.type = type_named(lexer.next().substr(1));
      do {
        std::string name(lexer.next());
        if (lexer.take("<")) {
          lexer.integer();
          lexer.expect(">");
          name += '<';
        }
        item.names.push_back(std::move(name));
      } while (lexer.take(","));
      lexer.expect(";");
      check(item.type != Type::none, "PTX: registers {} are of a type that is not supported",
            item.names.front());
    } else if (is_space(word)) {
      lexer.next();
      add(Kind::variable).variable = parse_variable(lexer, word.substr(1));
      lexer.expect(";");
    } else if (lexer.take(".pragma")) {
      // A load whose value is used in part only: the rest may be memory that nobody wrote.
      constexpr std::string_view kUsedBytes = "\"used_bytes_mask ";
      const std::string pragma(lexer.next());
      if (pragma.starts_with(kUsedBytes))
        used_bytes = std::stoull(pragma.substr(kUsedBytes.size()), nullptr, 0);
      lexer.expect(";");
    } else if (word.starts_with('.')) {
      fail("PTX: directive {} is not supported inside of a kernel", word);
    } else {
      Lexer ahead = lexer;  // a label is a name and a colon
      ahead.next();
      if (ahead.take(":")) {
        add(Kind::label).label = word;
        lexer = ahead;
        continue;
      }
      Statement& statement = add(Kind::statement).statement;
      statement = parse_statement(lexer);
      statement.used_bytes = used_bytes;
      used_bytes = ~uint64_t{0};
    }
  }
  return items;
}

}  // namespace mt::ptx
