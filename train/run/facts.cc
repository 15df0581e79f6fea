#include "train/run/facts.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>

#include "tensor/io/input_file.h"
#include "tensor/io/sha256.h"
#include "tensor/text.h"
#include "train/cli/version.h"

namespace mt::train {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? printable(name.data()) : "unknown";
}

std::string cpu_name() {
  std::ifstream lines("/proc/cpuinfo");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos)
      return printable(line.substr(colon + 2));
  }
  return "unknown";
}

}  // namespace

std::string shell_quoted(const std::string& word) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

RunFacts take_facts(const RunFiles& files, int argc, const char* const* argv) {
  RunFacts facts;
  facts.date = fmt::format("{:%Y-%m-%d %H:%M}", fmt::gmtime(std::chrono::system_clock::now()));
  facts.host = host_name();
  facts.cpu = cpu_name();
  facts.version = kVersion;
  facts.commit = source_commit();
  for (int i = 0; i < argc; ++i) facts.command += (i > 0 ? " " : "") + shell_quoted(argv[i]);
  facts.command = printable(facts.command, 4000);
  if (std::filesystem::exists(files.manifest()))
    facts.manifest_sha256 = sha256(read_file(files.manifest().string()));
  return facts;
}

}  // namespace mt::train
