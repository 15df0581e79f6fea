#include "tensor/check.h"

#include "tensor/text.h"

namespace mt {
namespace {

constexpr std::size_t kMostBytes = 8192;

}  // namespace

Error::Error(const std::string& message, int exit_code)
    : std::runtime_error(printable(message, kMostBytes)), exit_code_(exit_code) {}

void throw_error(fmt::string_view format, fmt::format_args arguments) {
  throw Error(fmt::vformat(format, arguments));
}

}  // namespace mt
