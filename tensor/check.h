#pragma once
// How every part of Microtome says that something is wrong.

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace mt {

/// The one exception type. Its text is one line that names the operation or file, what was wrong
/// (shape, offset, tag) and what to do about it. Programs print it behind `error: ` and leave with
/// `exit_code()`.
class Error : public std::runtime_error {
 public:
  /// What a message quotes may come from a file: control characters and what is not UTF-8 are written as \xNN.
  explicit Error(const std::string& message, int exit_code = 1);
  /// 1 error, 2 wrong usage, 130 interrupted.
  int exit_code() const noexcept { return exit_code_; }

 private:
  int exit_code_;
};

/// A wrong flag or value: exit code 2.
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(message, 2) {}
};

/// A device has no memory for a tensor. What can be done in smaller parts is tried again in smaller parts.
class OutOfMemory : public Error {
 public:
  explicit OutOfMemory(const std::string& message) : Error(message) {}
};

/// The user interrupted the run (SIGINT, SIGTERM): exit code 130.
class Interrupted : public Error {
 public:
  Interrupted() : Error("interrupted; run the same command again to go on from the last checkpoint", 130) {}
};

[[noreturn]] void throw_error(fmt::string_view format, fmt::format_args arguments);

/// Throws an Error with a formatted message.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw_error(format, fmt::make_format_args(args...));
}

/// Throws an Error with a formatted message unless `ok`. The message is only formatted on failure.
template <typename... Args>
void check(bool ok, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) [[unlikely]] {
    throw_error(format, fmt::make_format_args(args...));
  }
}

}  // namespace mt
