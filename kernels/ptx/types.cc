#include "kernels/ptx/types.h"

#include <array>
#include <utility>

namespace mt::ptx {

Type type_named(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, Type>, 18> kNames{{{"pred", Type::pred},
                                                                             {"b8", Type::b8},
                                                                             {"b16", Type::b16},
                                                                             {"b32", Type::b32},
                                                                             {"b64", Type::b64},
                                                                             {"u8", Type::u8},
                                                                             {"u16", Type::u16},
                                                                             {"u32", Type::u32},
                                                                             {"u64", Type::u64},
                                                                             {"s8", Type::s8},
                                                                             {"s16", Type::s16},
                                                                             {"s32", Type::s32},
                                                                             {"s64", Type::s64},
                                                                             {"f32", Type::f32},
                                                                             {"f64", Type::f64},
                                                                             {"bf16", Type::bf16},
                                                                             {"tf32", Type::tf32},
                                                                             {"bf16x2", Type::bf16x2}}};
  for (const auto& [name, type] : kNames) {
    if (name == word) return type;
  }
  return Type::none;
}

int bytes_of(Type type) {
  switch (type) {
    case Type::none:
    case Type::pred:
      return 0;
    case Type::b8:
    case Type::u8:
    case Type::s8:
      return 1;
    case Type::b16:
    case Type::u16:
    case Type::s16:
    case Type::bf16:
      return 2;
    case Type::b64:
    case Type::u64:
    case Type::s64:
    case Type::f64:
      return 8;
    default:
      return 4;
  }
}

}  // namespace mt::ptx
