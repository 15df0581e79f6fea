#include "tensor/check.h"

namespace mt {

void throw_error(fmt::string_view format, fmt::format_args arguments) {
  throw Error(fmt::vformat(format, arguments));
}

}  // namespace mt
