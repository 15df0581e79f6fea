#include "train/interrupt.h"

#include <unistd.h>
#include <atomic>
#include <csignal>

#include "tensor/check.h"

namespace mt::train {
namespace {

volatile std::sig_atomic_t interrupted = 0;

void on_signal(int) {
  if (interrupted != 0) _exit(130);
  interrupted = 1;
}

}  // namespace

void catch_interrupts() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

void check_interrupted() {
  if (interrupted != 0) throw Interrupted();
}

}  // namespace mt::train
