#include "tests/harness/run_program.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "tensor/check.h"
#include "tests/harness/temporary_folder.h"

namespace mt {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// Our environment with the additions in place of what they replace.
std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& additions) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    bool is_replaced = false;
    for (const auto& [name, value] : additions) is_replaced |= text.starts_with(name + "=");
    if (!is_replaced) result.push_back(text);
  }
  for (const auto& [name, value] : additions) result.push_back(name + "=" + value);
  return result;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

void set_limit(int resource, const std::optional<uint64_t>& limit) {
  if (!limit) return;
  const rlimit value{static_cast<rlim_t>(*limit), static_cast<rlim_t>(*limit)};
  if (setrlimit(static_cast<__rlimit_resource_t>(resource), &value) != 0) _exit(125);
}

/// In the child: only what is allowed between fork and exec.
[[noreturn]] void become(char* const* arguments, char* const* environment, int out, int err,
                         const ProgramOptions& options) {
  if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) _exit(125);
  set_limit(RLIMIT_FSIZE, options.file_bytes);
  set_limit(RLIMIT_AS, options.address_space);
  execve(arguments[0], arguments, environment);
  _exit(126);
}

int open_output(const std::string& path) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  check(file >= 0, "{}: cannot be written: {}", path, std::strerror(errno));
  return file;
}

}  // namespace

std::string ProgramResult::str() const {
  return fmt::format("exit code {}, signal {}{}, {:.2f} s\n--- stdout\n{}--- stderr\n{}---", exit_code,
                     signal, timed_out ? ", timed out" : "", seconds, out, err);
}

ProgramResult run_program(const std::vector<std::string>& command, const ProgramOptions& options) {
  const TemporaryFolder folder;
  const std::string out_path = folder / "out";
  const std::string err_path = folder / "err";
  std::vector<std::string> arguments = command;
  std::vector<std::string> environment = environment_with(options.environment);
  const std::vector<char*> argument_pointers = pointers_to(arguments);
  const std::vector<char*> environment_pointers = pointers_to(environment);
  const int out = open_output(out_path);
  const int err = open_output(err_path);
  const auto begin = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) become(argument_pointers.data(), environment_pointers.data(), out, err, options);
  close(out);
  close(err);
  check(child > 0, "{}: fork failed: {}", command[0], std::strerror(errno));

  ProgramResult result;
  bool is_signalled = false;
  int status = 0;
  while (true) {
    const pid_t ended = waitpid(child, &status, WNOHANG);
    check(ended >= 0, "{}: waitpid failed: {}", command[0], std::strerror(errno));
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (ended == child) break;
    if (!is_signalled && options.kill_when && options.kill_when(result.seconds)) {
      is_signalled = true;
      kill(child, options.kill_signal);
    }
    if (!result.timed_out && result.seconds > options.timeout) {
      result.timed_out = true;
      kill(child, SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  result.out = read_text(out_path);
  result.err = read_text(err_path);
  return result;
}

}  // namespace mt
