#pragma once
// What a long stage shows on the terminal.

#include <chrono>
#include <cstdint>
#include <string>

namespace mt::train {

/// One line that is redrawn at most ten times a second: label, bar, count, rate, time left, and a note. When
/// stdout is no terminal it prints a plain line at the start of each tenth of the work and at the end.
class Progress {
 public:
  /// `unit` is what is counted: "patches", "steps", "epochs".
  Progress(std::string label, int64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Work that was done before this process (a resumed stage): not part of the rate.
  void start_at(int64_t done);
  void advance(int64_t count = 1);
  /// Something to show behind the numbers: "loss 0.31".
  void note(std::string text) { note_ = std::move(text); }
  /// Draws the last state and ends the line. Called by the destructor too.
  void finish();

 private:
  void draw(bool last);

  std::string label_;
  int64_t total_;
  std::string unit_;
  std::string note_;
  int64_t done_ = 0;
  int64_t start_ = 0;
  int64_t printed_tenth_ = -1;
  bool terminal_;
  bool finished_ = false;
  std::chrono::steady_clock::time_point begin_;
  std::chrono::steady_clock::time_point drawn_;
};

/// "3 h 12 min", "4 min 05 s", "12 s".
std::string duration_text(double seconds);

}  // namespace mt::train
