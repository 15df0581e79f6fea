#pragma once
// The SIMT machine: runs a kernel's threads as fibers, one block after another, on the calling thread, and
// stops with an Error that names the kernel, block, thread and source line at the first thing that CUDA
// forbids. See README.md.

#include <cstddef>
#include <cstdint>

#include "kernels/device/launch.h"

namespace mt::simt_machine {

/// In which order threads that could run do run, and blocks follow each other. A correct kernel gives the
/// same bits in all.
///   ascending, reversed: by index, each until it waits.
///   fair: after every wait, yield and atomic a random thread of the block.
///   unfair: random threads of one warp for as long as one of them can run, then another warp. Finds missing
///   barriers
///           between warps that a fair order nearly never shows.
enum class Order : uint8_t { ascending, reversed, fair, unfair };

struct Schedule {
  Order order = Order::ascending;
  uint64_t seed = 0;
};

/// Of all launches from now on. Not to be changed during one.
void set_schedule(Schedule schedule);
Schedule schedule();

/// The GPU whose limit on dynamic shared memory holds: 75, 80, 86, 89, 90, 100 or 120. 75 at first: the
/// smallest.
void set_architecture(int sm);
/// Dynamic shared bytes that a block may ask for.
int64_t shared_bytes_limit(int sm);

/// Whether launches from now on are checked for data races (race_check.h); an error where the build cannot.
void set_race_check(bool on);
/// From now on the barrier (sync_threads, sync_warp or wait_async) at this line is not there, in every
/// kernel: for tests of the checks. The path may be its end: "softmax.cu". Line 0: all barriers are there
/// again.
void remove_barrier(const char* path, int line);

/// Runs body(context) once for each thread of each block.
void run(const LaunchConfig& config, void (*body)(const void*), const void* context);

// ---- Called from inside a kernel, by kernels/simt/kernel.h

struct Index3 {
  unsigned x;
  unsigned y;
  unsigned z;
};
// CUDA's names; kernel.h brings them into the kernels' namespace. Set by the machine at each switch.
extern constinit thread_local Index3 threadIdx;
extern constinit thread_local Index3 blockIdx;
extern constinit thread_local Index3 blockDim;
extern constinit thread_local Index3 gridDim;

struct SourceLine {
  const char* file;
  int line;
};

/// Returns when every thread of the block has come here.
void wait_at_barrier(SourceLine where);

enum class WarpOperation : uint8_t { sync, shuffle, ballot, fragment };
/// Returns when every lane of `mask` has come here with the same mask. shuffle: `value` of lane `source`;
/// ballot: the bits of the lanes whose value is not 0; others: nothing of meaning. `mask` must name the
/// caller and only lanes that are there.
uint64_t warp_operation(WarpOperation operation, unsigned mask, uint64_t value, unsigned source,
                        SourceLine where);
/// A fragment operation of all 32 lanes: the last that comes calls perform(argument of each lane).
void warp_collective(void* argument, void (*perform)(void* const* arguments), SourceLine where);
/// The calling thread's lane; threads are numbered x first.
unsigned lane();
unsigned warp();

/// A point where another thread may go on (atomics); does nothing under ascending and reversed.
void yield();

/// The block's array for this declaration (`tag` is its identity): exactly `bytes` long, filled with
/// `poison`.
void* static_shared(const void* tag, std::size_t bytes, unsigned char poison, SourceLine where);
void* dynamic_shared(unsigned char poison);

/// Whether these bytes lie in the block's shared memory.
bool in_shared_memory(const void* pointer, std::size_t bytes);

/// cp.async: see async_queue.h.
void copy_async(void* target, const void* source, std::size_t bytes, bool valid, unsigned char poison,
                SourceLine where);
void commit_async();
void wait_async(unsigned pending, SourceLine where);

/// Ends the launch with an Error about the calling thread.
[[noreturn]] void fault(SourceLine where, const char* reason);

}  // namespace mt::simt_machine
