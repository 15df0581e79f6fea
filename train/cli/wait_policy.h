#pragma once

namespace mt::train {

/// Call first in main. Makes threads that wait for work sleep after about 0.1 ms. libgomp's own way is to
/// spin for milliseconds, which takes the processor from the threads that decode patches and, on a machine
/// that is busy with other things, from the very work that is waited for. libgomp reads its settings before
/// main, so the program starts itself once more with GOMP_SPINCOUNT set. Leaves settings of the user's own
/// (GOMP_SPINCOUNT, OMP_WAIT_POLICY) as they are; where starting again is not possible nothing changes.
void wait_without_spinning(char* const* argv);

}  // namespace mt::train
