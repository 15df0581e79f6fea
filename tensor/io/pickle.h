#pragma once
// Interprets the subset of Python's pickle that torch.save writes. Nothing is imported or executed: names are
// given to a PickleHost, which knows a short list of them. Any other name, and whatever a pickle would make
// by calling it, is an opaque value: it has a class name and nothing else. Opcodes: CPython's
// Lib/pickletools.py.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace mt {

/// A Python value. Containers point to values owned by the arena; they may share and, in a hostile file, form
/// loops.
struct PickleValue {
  enum class Kind {
    none,
    boolean,
    integer,
    big_integer,
    real,
    text,
    bytes,
    tuple,
    list,
    dict,
    global,
    storage,
    tensor,
    opaque
  };

  Kind kind = Kind::none;
  int64_t integer = 0;  // integer, boolean; storage: number of the host's
  double real = 0;      // real
  std::string
      text;  // text; bytes; global, opaque: "module.name"; big_integer: two's complement, little endian
  std::vector<PickleValue*> items;  // tuple, list; dict: key, value, key, value, …
  Tensor tensor;                    // tensor
};

/// Owns values. Each opcode makes at most one.
class PickleArena {
 public:
  /// `budget_bytes`: the most that the values may take in all.
  explicit PickleArena(uint64_t budget_bytes) : left_(budget_bytes) {}
  /// Counts memory that a value takes beside itself.
  void take(uint64_t bytes) {
    check(bytes <= left_, "pickle: its values take more memory than any checkpoint's");
    left_ -= bytes;
  }
  PickleValue* make(PickleValue::Kind kind) {
    take(sizeof(PickleValue));
    values_.emplace_back();
    values_.back().kind = kind;
    return &values_.back();
  }

 private:
  uint64_t left_;
  std::deque<PickleValue> values_;
};

/// What a pickle may refer to.
class PickleHost {
 public:
  virtual ~PickleHost() = default;
  /// Whether `name` ("module.name") is more than an opaque value.
  virtual bool knows(std::string_view name) const = 0;
  /// The value of calling the known `name`. Throws Error when the arguments are not as expected.
  virtual PickleValue* call(PickleArena& arena, const std::string& name, const PickleValue& arguments) = 0;
  /// The value of a persistent id.
  virtual PickleValue* load_persistent(PickleArena& arena, const PickleValue& id) = 0;
};

/// Interprets one pickle at `position` of `bytes` and moves `position` behind it. Throws Error on a truncated
/// pickle and on an unknown opcode (named with its position).
PickleValue* run_pickle(std::string_view bytes, std::size_t& position, PickleHost& host, PickleArena& arena);

}  // namespace mt
