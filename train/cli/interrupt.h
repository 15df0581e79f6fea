#pragma once
// Ctrl-C and SIGTERM end a run at the next safe place with exit code 130; a second one ends it at once.

namespace mt::train {

void catch_interrupts();
/// Throws Interrupted when the user asked to stop. Called between steps, patches and epochs.
void check_interrupted();

}  // namespace mt::train
