#include "train/cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "train/cli/terminal.h"

namespace mt::train {
namespace {

double seconds_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

constexpr int kMostCells = 24;
constexpr int kFewestCells = 6;

std::string bar(double share, int cells) {
  const int full = std::clamp(static_cast<int>(share * cells), 0, cells);
  std::string text;
  for (int i = 0; i < cells; ++i) text += i < full ? "━" : "─";
  return text;
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::max(seconds, 0.0) + 0.5);
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      total_(total),
      unit_(std::move(unit)),
      terminal_(isatty(STDOUT_FILENO) != 0),
      begin_(std::chrono::steady_clock::now()),
      drawn_(begin_ - std::chrono::seconds(1)) {}

Progress::~Progress() {
  finish();
}

void Progress::start_at(int64_t done) {
  done_ = start_ = done;
}

void Progress::advance(int64_t count) {
  done_ += count;
  if (terminal_) {
    if (seconds_since(drawn_) >= 0.1) draw(false);
  } else if (total_ > 0 && seconds_since(drawn_) >= 5 && done_ * 10 / total_ != printed_tenth_) {
    draw(false);
  }
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  draw(true);
}

void Progress::draw(bool last) {
  drawn_ = std::chrono::steady_clock::now();
  printed_tenth_ = total_ > 0 ? done_ * 10 / total_ : 0;
  const double seconds = seconds_since(begin_);
  const double rate = seconds > 0 ? static_cast<double>(done_ - start_) / seconds : 0;
  const std::string label = fmt::format("  {:<24} ", label_);
  std::string text = fmt::format("{}/{} {}", done_, total_, unit_);
  // Of what takes longer than a second each, its seconds.
  if (rate >= 1) text += fmt::format("  {:.{}f}/s", rate, rate < 10 ? 1 : 0);
  if (rate > 0 && rate < 1) text += fmt::format("  {:.1f} s each", 1 / rate);
  if (last) {
    text += "  " + duration_text(seconds);
  } else if (rate > 0) {
    text += "  " + duration_text(static_cast<double>(total_ - done_) / rate) + " left";
  }
  if (!note_.empty()) text += "  " + note_;
  const int columns = terminal_columns(STDOUT_FILENO);
  if (columns == 0) {
    std::printf("%s%s\n", label.c_str(), text.c_str());
  } else {
    // The bar takes what is left: a line that wraps cannot be redrawn.
    std::string begin = label;
    const int cells = std::min(columns - 1 - width_of(label) - width_of(text) - 1, kMostCells);
    if (!last && cells >= kFewestCells)
      begin += bar(total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 1, cells) + " ";
    std::printf("\r\033[K%s%s", last ? (begin + text).c_str() : cut_to(begin + text, columns - 1).c_str(),
                last ? "\n" : "");
  }
  std::fflush(stdout);
}

}  // namespace mt::train
