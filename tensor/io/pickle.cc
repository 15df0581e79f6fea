#include "tensor/io/pickle.h"

#include <bit>
#include <unordered_map>

namespace mt {
namespace {

using Kind = PickleValue::Kind;

class PickleMachine {
 public:
  PickleMachine(std::string_view bytes, std::size_t position, PickleHost& host, PickleArena& arena)
      : bytes_(bytes), position_(position), host_(host), arena_(arena) {}

  PickleValue* run() {
    while (true) {
      const auto opcode = static_cast<unsigned char>(take(1)[0]);
      if (opcode == '.') return pop();
      const bool known = push_constant(opcode) || push_data(opcode) || use_memo(opcode) || build(opcode);
      check(known, "pickle: opcode 0x{:02x} at byte {} is not one that tensors need", opcode, position_ - 1);
    }
  }

  std::size_t position() const { return position_; }

 private:
  static constexpr uint64_t kPointer = 2 * sizeof(void*);  // in a vector that grows

  // Reading bytes.
  std::string_view take(uint64_t count) {
    check(count <= bytes_.size() - position_, "pickle: ends in the middle, at byte {}; is the file complete?",
          bytes_.size());
    const std::string_view piece = bytes_.substr(position_, count);
    position_ += count;
    return piece;
  }
  uint64_t unsigned_number(unsigned width) {
    uint64_t value = 0;
    const std::string_view piece = take(width);
    for (unsigned i = 0; i < width; ++i)
      value |= static_cast<uint64_t>(static_cast<unsigned char>(piece[i])) << (8 * i);
    return value;
  }
  std::string_view line() {
    const std::size_t end = bytes_.find('\n', position_);
    check(end != std::string_view::npos, "pickle: ends in the middle, at byte {}; is the file complete?",
          bytes_.size());
    const std::string_view piece = bytes_.substr(position_, end - position_);
    position_ = end + 1;
    return piece;
  }

  // The stack. Values below the last mark cannot be reached before the mark is taken away.
  PickleValue* push(PickleValue* value) {
    arena_.take(kPointer);
    stack_.push_back(value);
    return value;
  }
  PickleValue* push(Kind kind) { return push(arena_.make(kind)); }
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleValue*& top() {
    check(stack_.size() > floor(), "pickle: takes more than it has at byte {}", position_ - 1);
    return stack_.back();
  }
  PickleValue* top(Kind kind, const char* what) {
    check(top()->kind == kind, "pickle: needs a {} at byte {}", what, position_ - 1);
    return stack_.back();
  }
  PickleValue* pop() {
    PickleValue* value = top();
    stack_.pop_back();
    return value;
  }
  std::vector<PickleValue*> pop_to_mark() {
    check(!marks_.empty(), "pickle: no mark at byte {}", position_ - 1);
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleValue*> values(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return values;
  }

  // Constants and empty containers: no operand. Each group answers whether the opcode was one of its own.
  bool push_constant(unsigned char opcode) {
    switch (opcode) {
      case 'N':
        push(Kind::none);
        return true;
      case 0x88:  // NEWTRUE
      case 0x89:  // NEWFALSE
        push(Kind::boolean)->integer = opcode == 0x88 ? 1 : 0;
        return true;
      case '}':
        push(Kind::dict);
        return true;
      case ']':
        push(Kind::list);
        return true;
      case ')':
        push(Kind::tuple);
        return true;
      case '(':
        arena_.take(kPointer);
        marks_.push_back(stack_.size());
        return true;
      default:
        return false;
    }
  }

  // Numbers and strings: the operand follows.
  bool push_data(unsigned char opcode) {
    switch (opcode) {
      case 'J':  // BININT
        push(Kind::integer)->integer = static_cast<int32_t>(unsigned_number(4));
        return true;
      case 'K':  // BININT1
        push(Kind::integer)->integer = static_cast<int64_t>(unsigned_number(1));
        return true;
      case 'M':  // BININT2
        push(Kind::integer)->integer = static_cast<int64_t>(unsigned_number(2));
        return true;
      case 0x8A:  // LONG1
        push_long(take(unsigned_number(1)));
        return true;
      case 0x8B:  // LONG4
        push_long(take(unsigned_number(4)));
        return true;
      case 'G': {  // BINFLOAT, big endian
        uint64_t bits = 0;
        for (const char byte : take(8)) bits = bits << 8 | static_cast<unsigned char>(byte);
        push(Kind::real)->real = std::bit_cast<double>(bits);
        return true;
      }
      case 'X':  // BINUNICODE
      case 'T':  // BINSTRING
        push_text(Kind::text, take(unsigned_number(4)));
        return true;
      case 0x8C:  // SHORT_BINUNICODE
      case 'U':   // SHORT_BINSTRING
        push_text(Kind::text, take(unsigned_number(1)));
        return true;
      case 0x8D:  // BINUNICODE8
        push_text(Kind::text, take(unsigned_number(8)));
        return true;
      case 'B':  // BINBYTES
        push_text(Kind::bytes, take(unsigned_number(4)));
        return true;
      case 0x8E:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        push_text(Kind::bytes, take(unsigned_number(8)));
        return true;
      case 'C':  // SHORT_BINBYTES
        push_text(Kind::bytes, take(unsigned_number(1)));
        return true;
      default:
        return false;
    }
  }

  void push_text(Kind kind, std::string_view text) {
    arena_.take(text.size());
    push(kind)->text = text;
  }

  void push_long(std::string_view digits) {
    if (digits.size() > 8) {
      push_text(Kind::big_integer, digits);
      return;
    }
    uint64_t value = !digits.empty() && (digits.back() & 0x80) != 0 ? ~uint64_t{0} : 0;
    for (std::size_t i = digits.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(digits[i]);
    push(Kind::integer)->integer = static_cast<int64_t>(value);
  }

  // The memo, and the opcodes that only frame the stream.
  bool use_memo(unsigned char opcode) {
    switch (opcode) {
      case 0x80: {  // PROTO
        const uint64_t protocol = unsigned_number(1);
        check(protocol >= 2 && protocol <= 5, "pickle: protocol {} is not known", protocol);
        return true;
      }
      case 0x95:  // FRAME
        check(unsigned_number(8) <= bytes_.size() - position_, "pickle: a frame reaches beyond the end");
        return true;
      case 'q':  // BINPUT
        remember(unsigned_number(1));
        return true;
      case 'r':  // LONG_BINPUT
        remember(unsigned_number(4));
        return true;
      case 0x94:  // MEMOIZE
        remember(memo_.size());
        return true;
      case 'h':  // BINGET
        push(remembered(unsigned_number(1)));
        return true;
      case 'j':  // LONG_BINGET
        push(remembered(unsigned_number(4)));
        return true;
      case '0':  // POP
        pop();
        return true;
      case '1':  // POP_MARK
        pop_to_mark();
        return true;
      case '2':  // DUP
        push(top());
        return true;
      default:
        return false;
    }
  }

  void remember(uint64_t number) {
    constexpr uint64_t kMemoEntry = 48;
    arena_.take(kMemoEntry);
    memo_[number] = top();
  }
  PickleValue* remembered(uint64_t number) {
    const auto found = memo_.find(number);
    check(found != memo_.end(), "pickle: asks for memo {}, which nothing was put in", number);
    return found->second;
  }

  // Containers, names, and calls.
  bool build(unsigned char opcode) {
    switch (opcode) {
      case 't': {
        std::vector<PickleValue*> items = pop_to_mark();
        push(Kind::tuple)->items = std::move(items);
        return true;
      }
      case 0x85:  // TUPLE1 to TUPLE3
      case 0x86:
      case 0x87:
        make_tuple(opcode - 0x84U);
        return true;
      case 'a': {  // APPEND
        PickleValue* item = pop();
        append(Kind::list, "list", {item});
        return true;
      }
      case 'e':  // APPENDS
        append(Kind::list, "list", pop_to_mark());
        return true;
      case 's': {  // SETITEM
        PickleValue* value = pop();
        PickleValue* key = pop();
        append(Kind::dict, "dict", {key, value});
        return true;
      }
      case 'u': {  // SETITEMS
        const std::vector<PickleValue*> items = pop_to_mark();
        check(items.size() % 2 == 0, "pickle: a key without value at byte {}", position_ - 1);
        append(Kind::dict, "dict", items);
        return true;
      }
      case 'b':  // BUILD: the attributes of an OrderedDict (a state dict's _metadata), which nobody needs
        pop();
        append(Kind::dict, "dict", {});
        return true;
      case 0x8F:  // EMPTY_SET
        push(Kind::opaque)->text = "builtins.set";
        return true;
      case 0x90:  // ADDITEMS
        pop_to_mark();
        top(Kind::opaque, "set");
        return true;
      case 0x91:  // FROZENSET
        pop_to_mark();
        push(Kind::opaque)->text = "builtins.frozenset";
        return true;
      default:
        return refer(opcode);
    }
  }

  bool refer(unsigned char opcode) {
    switch (opcode) {
      case 'c': {  // GLOBAL
        const std::string module(line());
        push_global(module, std::string(line()));
        return true;
      }
      case 0x93: {  // STACK_GLOBAL
        const std::string name = top(Kind::text, "name")->text;
        pop();
        const std::string module = top(Kind::text, "module")->text;
        pop();
        push_global(module, name);
        return true;
      }
      case 0x92:  // NEWOBJ_EX: a call with keywords too
        pop();
        call();
        return true;
      case 'R':   // REDUCE
      case 0x81:  // NEWOBJ
        call();
        return true;
      case 'Q': {  // BINPERSID
        const PickleValue* id = pop();
        push(host_.load_persistent(arena_, *id));
        return true;
      }
      default:
        return false;
    }
  }

  void push_global(const std::string& module, const std::string& name) {
    std::string full = module + "." + name;
    arena_.take(full.size());
    push(host_.knows(full) ? Kind::global : Kind::opaque)->text = std::move(full);
  }

  /// What a known function makes of its arguments; a call of anything else is not made.
  void call() {
    const PickleValue* arguments = top(Kind::tuple, "tuple");
    pop();
    const PickleValue* function = pop();
    if (function->kind == Kind::opaque) {
      push_text(Kind::opaque, function->text);
      return;
    }
    check(function->kind == Kind::global, "pickle: needs a function at byte {}", position_ - 1);
    push(host_.call(arena_, function->text, *arguments));
  }

  void make_tuple(unsigned count) {
    std::vector<PickleValue*> items(count);
    for (unsigned i = count; i-- > 0;) items[i] = pop();
    push(Kind::tuple)->items = std::move(items);
  }

  /// To the container on top of the stack; an opaque one keeps nothing.
  void append(Kind kind, const char* what, const std::vector<PickleValue*>& items) {
    if (top()->kind == Kind::opaque) return;
    std::vector<PickleValue*>& all = top(kind, what)->items;
    arena_.take(items.size() * kPointer);
    all.insert(all.end(), items.begin(), items.end());
  }

  std::string_view bytes_;
  std::size_t position_;
  PickleHost& host_;
  PickleArena& arena_;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<uint64_t, PickleValue*> memo_;
};

}  // namespace

PickleValue* run_pickle(std::string_view bytes, std::size_t& position, PickleHost& host, PickleArena& arena) {
  check(position <= bytes.size(), "pickle: begins beyond the end of the file");
  PickleMachine machine(bytes, position, host, arena);
  PickleValue* value = machine.run();
  position = machine.position();
  return value;
}

}  // namespace mt
