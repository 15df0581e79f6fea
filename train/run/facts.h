#pragma once
// Where, when and by what a result was made: what a page needs to be filed.

#include <string>

#include "train/run/run_files.h"

namespace mt::train {

struct RunFacts {
  std::string date;             // UTC, "2026-11-27 20:15"
  std::string host;             // this machine's name
  std::string cpu;              // its processor
  std::string version;          // of the program
  std::string commit;           // of its source; "unknown" where it was built from no repository
  std::string command;          // as a shell would take it
  std::string manifest_sha256;  // of the manifest's bytes: slides, labels, split, files

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("date", self.date);
    visitor("host", self.host);
    visitor("cpu", self.cpu);
    visitor("version", self.version);
    visitor("commit", self.commit);
    visitor("command", self.command);
    visitor("manifest_sha256", self.manifest_sha256);
  }
};

/// The facts of this process, for a run with these files.
RunFacts take_facts(const RunFiles& files, int argc, const char* const* argv);

/// A word as a shell takes it: in quotes where it must be.
std::string shell_quoted(const std::string& word);

}  // namespace mt::train
