#pragma once
// log.jsonl: one JSON object a line, in the order of what happened.

#include <cstdint>
#include <filesystem>
#include <string>

#include "tensor/io/sha256.h"

namespace mt::train {

class RunLog {
 public:
  /// How much of the file a run's state speaks of: what lies behind was written by a process that was killed
  /// before it could say so, and will be written again.
  struct Known {
    uint64_t bytes = 0;
    std::string sha256;  // of those bytes
  };

  /// Opens or makes the file and cuts it back to what is known. A file that is shorter than that (a truncated
  /// or a deleted one) keeps its whole lines, with a line of warning. Throws Error when the known bytes are
  /// others.
  RunLog(std::filesystem::path file, const Known& known);
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  /// Adds a line, which sync() writes.
  void add(const std::string& line) { buffer_ += line + "\n"; }
  /// Writes what was added and waits until it is on disk. Throws Error where that fails.
  void sync();
  /// Of what sync() has written.
  Known known() const { return {bytes_, hash_.hex_so_far()}; }

 private:
  void cut_back(const Known& known);

  std::filesystem::path path_;
  int file_ = -1;
  std::string buffer_;
  uint64_t bytes_ = 0;
  Sha256 hash_;
};

}  // namespace mt::train
