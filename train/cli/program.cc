#include "train/cli/program.h"

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

#include "tensor/check.h"
#include "tensor/denormals.h"

namespace mt::train {
namespace {

int say(const std::string& message, int exit_code) {
  std::fflush(stdout);
  std::fprintf(stderr, "error: %s\n", message.c_str());
  return exit_code;
}

}  // namespace

int program_main(const std::function<int()>& body, const std::string& memory_advice) {
  std::signal(SIGXFSZ, SIG_IGN);
  flush_denormals();
  try {
    const int code = body();
    // What was printed into a full disk is lost, and the exit code says so.
    const bool is_printed = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
    return is_printed ? code : say("the standard output cannot be written", 1);
  } catch (const OutOfMemory& error) {
    return say(error.what() + memory_advice, 1);
  } catch (const Error& error) {
    return say(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return say("out of memory" + memory_advice, 1);
  } catch (const std::system_error& error) {
    const bool no_thread = error.code() == std::errc::resource_unavailable_try_again;
    return say(no_thread ? "out of memory or of threads: no thread could be started" : error.what(), 1);
  } catch (const std::exception& error) {
    return say(error.what(), 1);
  }
}

}  // namespace mt::train
