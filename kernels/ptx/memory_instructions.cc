// Loads, stores, atomics and fences (PTX ISA, "Data Movement", "Parallel Synchronization").

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "kernels/ptx/access.h"
#include "kernels/ptx/lane_values.h"
#include "tensor/check.h"

namespace mt::ptx {

void fail_misaligned(const char* what, uint64_t address, std::size_t alignment, int lane) {
  throw Fault(fmt::format("misaligned {}: 0x{:x} is no multiple of {} bytes", what, address, alignment),
              lane);
}

namespace {

/// Caches and scopes say when and where data moves, not what is moved.
void allow_memory_modifiers(const Statement& statement) {
  allow_modifiers(statement, {"global",
                              "shared",
                              "shared::cta",
                              "local",
                              "param",
                              "param::entry",
                              "const",
                              "v2",
                              "v4",
                              "nc",
                              "ca",
                              "cg",
                              "cs",
                              "lu",
                              "cv",
                              "wb",
                              "wt",
                              "weak",
                              "cta",
                              "gpu",
                              "sys",
                              "relaxed",
                              "acquire",
                              "release",
                              "acq_rel",
                              "volatile",
                              "L1::evict_last",
                              "L1::evict_first",
                              "L1::no_allocate",
                              "L2::128B",
                              "L2::64B",
                              "L2::256B"});
}

template <Space kSpace, int kBytes, int kElements>
void run_load(Warp& warp, const Instruction& in, LaneMask active) {
  constexpr std::size_t kTotal = std::size_t{kBytes} * kElements;
  const int fill = is_signed(in.type) ? 64 - 8 * kBytes : 0;
  for_each_lane(active, [&](int lane) {
    const uint64_t address = address_of(warp, in, lane);
    check_aligned("read", address, kTotal, lane);
    const Located found = locate<kSpace>(warp, address, kTotal, lane);
    check_read(found.bytes, kTotal, in.used_bytes, found.name, address, lane);
    for (int i = 0; i < kElements; ++i) {
      uint64_t value = 0;
      std::memcpy(&value, found.bytes.data + i * kBytes, kBytes);
      if (fill != 0) value = static_cast<uint64_t>(static_cast<int64_t>(value << fill) >> fill);
      const Place place = in.list[static_cast<std::size_t>(i)];
      if (place.offset != kNoPlace) write_register(warp, place, lane, value);
    }
  });
}

template <Space kSpace, int kBytes, int kElements>
void run_store(Warp& warp, const Instruction& in, LaneMask active) {
  constexpr std::size_t kTotal = std::size_t{kBytes} * kElements;
  for_each_lane(active, [&](int lane) {
    const uint64_t address = address_of(warp, in, lane);
    check_aligned("write", address, kTotal, lane);
    const Located found = locate<kSpace>(warp, address, kTotal, lane);
    check_write(found.bytes, kTotal, found.name, address, lane);
    for (int i = 0; i < kElements; ++i) {
      const uint64_t value = read_register(warp, in.list[static_cast<std::size_t>(i)], lane);
      std::memcpy(found.bytes.data + i * kBytes, &value, kBytes);
    }
    if (!found.bytes.all(kTotal, state::kWritten)) found.bytes.set(kTotal, state::kWritten);
  });
}

/// Of the launch's parameters.
template <int kBytes, int kElements>
void run_parameter_load(Warp& warp, const Instruction& in, LaneMask active) {
  const std::vector<std::byte>& parameters = warp.block().launch().parameters;
  const int fill = is_signed(in.type) ? 64 - 8 * kBytes : 0;
  for_each_lane(active, [&](int lane) {
    const uint64_t address = address_of(warp, in, lane);
    check_aligned("read", address, std::size_t{kBytes} * kElements, lane);
    if (address > parameters.size() || parameters.size() - address < std::size_t{kBytes} * kElements)
      throw Fault(fmt::format("parameters out of bounds: byte {} of {}", address, parameters.size()), lane);
    for (int i = 0; i < kElements; ++i) {
      uint64_t value = 0;
      std::memcpy(&value, parameters.data() + address + static_cast<std::size_t>(i) * kBytes, kBytes);
      if (fill != 0) value = static_cast<uint64_t>(static_cast<int64_t>(value << fill) >> fill);
      write_register(warp, in.list[static_cast<std::size_t>(i)], lane, value);
    }
  });
}

template <Space kSpace, int kBytes, int kElements>
Handler load_or_store(bool loads) {
  if constexpr (kBytes * kElements > 16) {
    return nullptr;
  } else if constexpr (kSpace == Space::parameter) {
    return loads ? Handler{run_parameter_load<kBytes, kElements>} : nullptr;
  } else {
    return loads ? Handler{run_load<kSpace, kBytes, kElements>}
                 : Handler{run_store<kSpace, kBytes, kElements>};
  }
}
template <Space kSpace, int kBytes>
Handler for_elements(bool loads, int elements) {
  return elements == 1   ? load_or_store<kSpace, kBytes, 1>(loads)
         : elements == 2 ? load_or_store<kSpace, kBytes, 2>(loads)
                         : load_or_store<kSpace, kBytes, 4>(loads);
}
template <Space kSpace>
Handler for_bytes(bool loads, int bytes, int elements) {
  switch (bytes) {
    case 1:
      return for_elements<kSpace, 1>(loads, elements);
    case 2:
      return for_elements<kSpace, 2>(loads, elements);
    case 4:
      return for_elements<kSpace, 4>(loads, elements);
    case 8:
      return for_elements<kSpace, 8>(loads, elements);
    default:
      return nullptr;
  }
}

template <bool kLoads>
void decode_access(Decoder& decoder, const Statement& statement, Instruction& in) {
  allow_memory_modifiers(statement);
  in.type = statement.type();
  in.space = statement.space();
  const int elements = statement.has("v4") ? 4 : statement.has("v2") ? 2 : 1;
  decoder.address(statement.operands.at(kLoads ? 1 : 0), in);
  const Operand& values = statement.operands.at(kLoads ? 0 : 1);
  decoder.append(values, in.type, in);
  if (static_cast<int>(in.list.size()) != elements) unsupported(statement, "the number of elements");
  for (const Place place : in.list) {
    if (bytes_of(in.type) == 8 && !place.wide && place.offset != kNoPlace)
      unsupported(statement, "the register's size");
  }
  const int bytes = bytes_of(in.type);
  Handler handler = nullptr;
  switch (in.space) {
    case Space::global:
      handler = for_bytes<Space::global>(kLoads, bytes, elements);
      break;
    case Space::shared:
      handler = for_bytes<Space::shared>(kLoads, bytes, elements);
      break;
    case Space::local:
      handler = for_bytes<Space::local>(kLoads, bytes, elements);
      break;
    case Space::parameter:
      handler = for_bytes<Space::parameter>(kLoads, bytes, elements);
      break;
    case Space::generic:
      handler = for_bytes<Space::generic>(kLoads, bytes, elements);
      break;
  }
  set_handler(in, statement, handler);
}

// Atomics.

enum class Atomic : uint8_t {
  add,
  minimum,
  maximum,
  conjunction,
  disjunction,
  exclusive,
  exchange,
  compare_exchange,
  increment,
  decrement
};

template <typename T>
T updated(Atomic operation, T old, T b, T c) {
  switch (operation) {
    case Atomic::add:
      return static_cast<T>(static_cast<Unsigned<T>>(old) + static_cast<Unsigned<T>>(b));
    case Atomic::minimum:
      return std::min(old, b);
    case Atomic::maximum:
      return std::max(old, b);
    case Atomic::conjunction:
      return old & b;
    case Atomic::disjunction:
      return old | b;
    case Atomic::exclusive:
      return old ^ b;
    case Atomic::exchange:
      return b;
    case Atomic::compare_exchange:
      return old == b ? c : old;
    case Atomic::increment:
      return old >= b ? T{0} : static_cast<T>(old + 1);
    case Atomic::decrement:
      return old == 0 || old > b ? b : static_cast<T>(old - 1);
  }
  return old;
}

template <typename T>
void run_atomic(Warp& warp, const Instruction& in, LaneMask active) {
  const LaneValues<T> b(warp, in.b), c(warp, in.c == kNoPlace ? in.b : in.c);
  const auto operation = static_cast<Atomic>(in.option);
  for_each_lane(active, [&](int lane) {
    const uint64_t address = address_of(warp, in, lane);
    check_aligned("atomic", address, sizeof(T), lane);
    const Located found = locate(in.space, warp, address, sizeof(T), lane);
    check_read(found.bytes, sizeof(T), ~uint64_t{0}, found.name, address, lane);
    // Blocks may run on several threads of the host.
    const std::atomic_ref<T> word(*reinterpret_cast<T*>(found.bytes.data));
    T old = word.load();
    while (!word.compare_exchange_weak(old, updated(operation, old, b[lane], c[lane]))) {
    }
    if (in.d != kNoPlace) LaneValues<T>(warp, in.d).set(lane, old);
  });
}

/// atom gives the value before, red gives nothing.
template <bool kGives>
void decode_atomic(Decoder& decoder, const Statement& statement, Instruction& in) {
  static constexpr std::array<std::pair<std::string_view, Atomic>, 10> kNames{
      {{"add", Atomic::add},
       {"min", Atomic::minimum},
       {"max", Atomic::maximum},
       {"and", Atomic::conjunction},
       {"or", Atomic::disjunction},
       {"xor", Atomic::exclusive},
       {"exch", Atomic::exchange},
       {"cas", Atomic::compare_exchange},
       {"inc", Atomic::increment},
       {"dec", Atomic::decrement}}};
  allow_modifiers(statement, {"global",  "shared",  "shared::cta", "cta", "gpu", "sys", "relaxed",
                              "acquire", "release", "acq_rel",     "add", "min", "max", "and",
                              "or",      "xor",     "exch",        "cas", "inc", "dec"});
  in.type = statement.type();
  in.space = statement.space();
  for (const auto& [name, operation] : kNames) {
    if (statement.has(name)) in.option = static_cast<uint8_t>(operation);
  }
  const std::size_t first = kGives ? 1 : 0;
  if (kGives) in.d = decoder.destination(statement.operands.at(0), in.type);
  decoder.address(statement.operands.at(first), in);
  in.b = decoder.source(statement.operands.at(first + 1), in.type);
  if (statement.has("cas")) in.c = decoder.source(statement.operands.at(first + 2), in.type);
  set_handler(in, statement, choose_integer(in.type, [](auto zero) -> Handler {
                if constexpr (sizeof(zero) >= 4)
                  return run_atomic<decltype(zero)>;
                else
                  return nullptr;
              }));
}

/// One warp after another runs, and what it writes is there for everybody: nothing is left for a fence to do.
void run_nothing(Warp&, const Instruction&, LaneMask) {}
void decode_fence(Decoder&, const Statement& statement, Instruction& in) {
  allow_modifiers(statement, {"cta", "gl", "sys", "gpu", "sc", "acq_rel"});
  in.run = run_nothing;
}
void decode_prefetch(Decoder&, const Statement&, Instruction& in) {
  in.run = run_nothing;
}

constexpr std::array kOpcodes{
    Opcode{"ld", decode_access<true>},   Opcode{"ldu", decode_access<true>},
    Opcode{"st", decode_access<false>},  Opcode{"atom", decode_atomic<true>},
    Opcode{"red", decode_atomic<false>}, Opcode{"membar", decode_fence},
    Opcode{"fence", decode_fence},       Opcode{"prefetch", decode_prefetch},
};

}  // namespace

std::span<const Opcode> memory_opcodes() {
  return kOpcodes;
}

}  // namespace mt::ptx
