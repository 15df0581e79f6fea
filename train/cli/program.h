#pragma once
// What every program's main() does with errors.

#include <functional>
#include <string>

namespace mt::train {

/// Runs `body` and gives the exit code: its own, or after an error, of which it prints one line on stderr, 1
/// (2: wrong usage, 130: interrupted). `memory_advice` follows "out of memory". A file that grows beyond its
/// limit is an error of the write and no deadly signal.
int program_main(const std::function<int()>& body, const std::string& memory_advice = "");

}  // namespace mt::train
