#include "train/cli/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "tensor/check.h"

namespace mt::train {
namespace {

// Set in a signal handler, read by many threads.
std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) {
  if (interrupted.exchange(true)) _exit(130);
}

}  // namespace

void catch_interrupts() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

void check_interrupted() {
  if (interrupted) throw Interrupted();
}

}  // namespace mt::train
