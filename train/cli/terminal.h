#pragma once
// How text fits a terminal.

#include <string>
#include <string_view>
#include <vector>

namespace mt::train {

/// Columns of the terminal that a stream (STDOUT_FILENO) writes to; nothing where it is none.
int terminal_columns(int stream);

/// Columns that text in UTF-8 takes where each character takes one.
int width_of(std::string_view utf8);

/// The first `columns` of it; what was cut off is an ellipsis.
std::string cut_to(std::string_view utf8, int columns);

/// Lines of at most `columns`, broken at blanks; a longer word stands on a line of its own. Line feeds stay.
std::vector<std::string> wrap(std::string_view utf8, int columns);

}  // namespace mt::train
