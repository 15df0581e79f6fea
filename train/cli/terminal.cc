#include "train/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

namespace mt::train {
namespace {

bool starts_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
}

}  // namespace

int terminal_columns(int stream) {
  winsize size{};
  if (isatty(stream) == 0 || ioctl(stream, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

int width_of(std::string_view utf8) {
  return static_cast<int>(std::count_if(utf8.begin(), utf8.end(), starts_character));
}

std::string cut_to(std::string_view utf8, int columns) {
  if (width_of(utf8) <= columns) return std::string(utf8);
  if (columns <= 0) return "";
  std::string cut;
  int characters = 0;
  for (const char byte : utf8) {
    if (starts_character(byte) && ++characters == columns) break;
    cut += byte;
  }
  return cut + "…";
}

std::vector<std::string> wrap(std::string_view utf8, int columns) {
  std::vector<std::string> lines(1);
  while (!utf8.empty()) {
    const std::size_t end = std::min(utf8.find_first_of(" \n"), utf8.size());
    const std::string_view word = utf8.substr(0, end);
    std::string& line = lines.back();
    if (!line.empty() && width_of(line) + 1 + width_of(word) > columns) {
      lines.emplace_back(word);
    } else {
      if (!line.empty()) line += ' ';
      line += word;
    }
    if (end < utf8.size() && utf8[end] == '\n') lines.emplace_back();
    utf8.remove_prefix(std::min(end + 1, utf8.size()));
  }
  return lines;
}

}  // namespace mt::train
