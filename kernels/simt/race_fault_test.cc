// Data races, each on a minimal kernel, and its repaired twin, which must pass silently. Racecheck reports
// both source lines. In builds with -fsanitize=thread only; tests/race_check.py runs it.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "kernels/device/fragment.h"
#include "tensor/check.h"

// Races are what these tests expect: each becomes an Error, and the same one is looked for more than once.
extern "C" const char* __tsan_default_options() {  // NOLINT(bugprone-reserved-identifier)
  return "halt_on_error=0:exitcode=0:suppress_equal_stacks=0:suppress_equal_addresses=0";
}

namespace mt::MT_BACKEND {
namespace {

using simt_machine::Order;

/// The Error of a launch under racecheck in either of two orders, as tests/race_check.py takes them; "" when
/// there is none in both. (TSan remembers four accesses to a word: what many threads read and one wrote may
/// hide in one order.)
std::string race_in(const std::function<void()>& launch_it) {
  simt_machine::set_race_check(true);
  std::string text;
  for (const simt_machine::Schedule schedule :
       {simt_machine::Schedule{Order::ascending, 1}, {Order::reversed, 2}}) {
    simt_machine::set_schedule(schedule);
    try {
      launch_it();
    } catch (const Error& error) {
      text = error.what();
    }
  }
  simt_machine::set_schedule({});
  simt_machine::set_race_check(false);
  return text;
}

/// What happens at one of two lines (an asynchronous copy: at its issue or in its wait) has both.
struct Lines {
  Lines(int only) : first(only), second(only) {}  // NOLINT
  Lines(int one, int other) : first(one), second(other) {}
  int first;
  int second;
};

/// A race between these two lines of this file, in either order.
void expect_race(const std::function<void()>& launch_it, const std::string& kernel, Lines here, Lines there) {
  const std::string text = race_in(launch_it);
  EXPECT_NE(text.find(kernel), std::string::npos) << text;
  EXPECT_NE(text.find("data race"), std::string::npos) << text;
  const auto names = [&](int line) {
    return text.find("kernels/simt/race_fault_test.cc:" + std::to_string(line) + ",") != std::string::npos;
  };
  for (const Lines& lines : {here, there})
    EXPECT_TRUE(names(lines.first) || names(lines.second)) << lines.first << " in: " << text;
}

void expect_silence(const std::function<void()>& launch_it) {
  EXPECT_EQ(race_in(launch_it), "");
}

// ---- Shared memory

constexpr int kShared = __LINE__;
template <bool kRepaired>
__global__ void read_neighbour(int* out) {
  SHARED(int, value, 64);
  value[threadIdx.x] = 1;
  if (kRepaired) simt::sync_threads();
  out[threadIdx.x] = value[(threadIdx.x + 32) % 64];
}

TEST(SimtRaceTest, SharedMemoryWithoutABarrier) {
  int out[64];
  expect_race([&] { launch<read_neighbour<false>>(1, 64, 0, nullptr, out); }, "read_neighbour", kShared + 4,
              kShared + 6);
  expect_silence([&] { launch<read_neighbour<true>>(1, 64, 0, nullptr, out); });
}

constexpr int kDynamic = __LINE__;
template <bool kRepaired>
__global__ void write_the_same(int* out) {
  DYN_SHARED(int, value);
  if (!kRepaired || threadIdx.x == 0) value[0] = static_cast<int>(threadIdx.x);
  simt::sync_threads();
  out[threadIdx.x] = value[0];
}

TEST(SimtRaceTest, TwoThreadsWriteOneWordOfDynamicSharedMemory) {
  int out[32];
  expect_race([&] { launch<write_the_same<false>>(1, 32, 4, nullptr, out); }, "write_the_same", kDynamic + 4,
              kDynamic + 4);
  expect_silence([&] { launch<write_the_same<true>>(1, 32, 4, nullptr, out); });
}

// A loop over tiles needs a barrier before and one after the use of the tile.
constexpr int kLoop = __LINE__;
template <bool kFirst, bool kSecond>
__global__ void sum_of_tiles(const int* in, int* out, int tiles) {
  SHARED(int, tile, 64);
  int sum = 0;
  for (int i = 0; i < tiles; ++i) {
    tile[threadIdx.x] = in[64 * i + static_cast<int>(threadIdx.x)];
    if (kFirst) simt::sync_threads();
    sum += tile[63 - threadIdx.x];
    if (kSecond) simt::sync_threads();
  }
  out[threadIdx.x] = sum;
}

TEST(SimtRaceTest, BothBarriersOfALoopOverTiles) {
  const std::vector<int> in(256, 1);
  std::vector<int> out(64);
  const auto run = [&](auto kernel) { kernel(in.data(), out.data()); };
  const auto neither_first = [](const int* a, int* b) {
    launch<sum_of_tiles<false, true>>(1, 64, 0, nullptr, a, b, 4);
  };
  const auto not_second = [](const int* a, int* b) {
    launch<sum_of_tiles<true, false>>(1, 64, 0, nullptr, a, b, 4);
  };
  const auto both = [](const int* a, int* b) {
    launch<sum_of_tiles<true, true>>(1, 64, 0, nullptr, a, b, 4);
  };
  expect_race([&] { run(neither_first); }, "sum_of_tiles", kLoop + 6, kLoop + 8);
  expect_race([&] { run(not_second); }, "sum_of_tiles", kLoop + 6, kLoop + 8);
  expect_silence([&] { run(both); });
}

// One barrier between, but not between these two: thread 0 writes behind the barrier what others read behind
// the same one. A single sync object for all barriers would call this ordered.
constexpr int kGeneration = __LINE__;
template <bool kRepaired>
__global__ void write_behind_the_same_barrier(int* out) {
  SHARED(int, value, 2);
  if (threadIdx.x == 0) value[0] = 1;
  simt::sync_threads();
  if (threadIdx.x == 0) value[kRepaired ? 1 : 0] = 2;
  out[threadIdx.x] = value[0];
  simt::sync_threads();
  out[threadIdx.x] += value[0];
}

TEST(SimtRaceTest, BarriersOrderOnlyWhatLiesOnTheirTwoSides) {
  int out[64];
  expect_race([&] { launch<write_behind_the_same_barrier<false>>(1, 64, 0, nullptr, out); },
              "write_behind_the_same_barrier", kGeneration + 6, kGeneration + 7);
  expect_silence([&] { launch<write_behind_the_same_barrier<true>>(1, 64, 0, nullptr, out); });
}

constexpr int kVectors = __LINE__;
template <bool kRepaired>
__global__ void exchange_vectors(float* out) {  // out: (64, 4)
  SHARED(float4, tile, 64);
  simt::store_shared_vector(tile + threadIdx.x, float4{1, 2, 3, 4});
  if (kRepaired) simt::sync_threads();
  const float4 four = simt::load_vector<float4>(tile + 63 - threadIdx.x);
  out[threadIdx.x] = four.x + four.w;
}

TEST(SimtRaceTest, VectorsInSharedMemoryWithoutABarrier) {
  std::vector<float> out(64);
  expect_race([&] { launch<exchange_vectors<false>>(1, 64, 0, nullptr, out.data()); }, "exchange_vectors",
              kVectors + 4, kVectors + 6);
  expect_silence([&] { launch<exchange_vectors<true>>(1, 64, 0, nullptr, out.data()); });
}

// ---- Global memory

constexpr int kGlobal = __LINE__;
template <bool kRepaired>
__global__ void shift_in_place(int* data) {
  const int next = data[threadIdx.x + 1];
  if (kRepaired) simt::sync_threads();
  data[threadIdx.x] = next;
}

TEST(SimtRaceTest, GlobalMemoryWithinABlock) {
  std::vector<int> data(65);
  expect_race([&] { launch<shift_in_place<false>>(1, 64, 0, nullptr, data.data()); }, "shift_in_place",
              kGlobal + 3, kGlobal + 5);
  expect_silence([&] { launch<shift_in_place<true>>(1, 64, 0, nullptr, data.data()); });
}

constexpr int kBlocks = __LINE__;
template <bool kRepaired>
__global__ void halo(const int* in, int* data) {  // one block's last element is the next one's first
  const unsigned i = blockIdx.x * (kRepaired ? blockDim.x : blockDim.x - 1) + threadIdx.x;
  data[i] = in[i];
}

TEST(SimtRaceTest, GlobalMemoryBetweenBlocks) {
  const std::vector<int> in(128);
  std::vector<int> data(128);
  expect_race([&] { launch<halo<false>>(4, 32, 0, nullptr, in.data(), data.data()); }, "halo", kBlocks + 4,
              kBlocks + 4);
  expect_silence([&] { launch<halo<true>>(4, 32, 0, nullptr, in.data(), data.data()); });
}

// A barrier orders its own block's threads only.
constexpr int kHandOver = __LINE__;
template <bool kRepaired>
__global__ void hand_over_between_blocks(int* data, int* out) {
  if (blockIdx.x == 0 && threadIdx.x == 0) data[0] = 7;
  simt::sync_threads();
  if (kRepaired ? blockIdx.x == 0 : true) out[blockIdx.x * blockDim.x + threadIdx.x] = data[0];
}

TEST(SimtRaceTest, BarriersDoNotOrderBlocks) {
  int data[1] = {0};
  std::vector<int> out(64);
  expect_race([&] { launch<hand_over_between_blocks<false>>(2, 32, 0, nullptr, data, out.data()); },
              "hand_over_between_blocks", kHandOver + 3, kHandOver + 5);
  expect_silence([&] { launch<hand_over_between_blocks<true>>(2, 32, 0, nullptr, data, out.data()); });
}

__global__ void add_one(int* data) {
  data[threadIdx.x] += 1;
}

TEST(SimtRaceTest, LaunchesFollowEachOther) {
  std::vector<int> data(64);
  expect_silence([&] {
    launch<add_one>(1, 64, 0, nullptr, data.data());
    launch<shift_in_place<true>>(1, 32, 0, nullptr, data.data());
    for (int& value : data) ++value;  // and the host
    launch<add_one>(1, 64, 0, nullptr, data.data());
  });
}

TEST(SimtRaceTest, MoreBlocksThanAreKeptAtATime) {
  std::vector<int> in(128 * 40);
  std::vector<int> data(128 * 40);
  expect_silence([&] { launch<halo<true>>(40, 128, 0, nullptr, in.data(), data.data()); });
  expect_race([&] { launch<halo<false>>(40, 128, 0, nullptr, in.data(), data.data()); }, "halo", kBlocks + 4,
              kBlocks + 4);
}

// ---- Warps

constexpr int kWarp = __LINE__;
template <bool kRepaired>
__global__ void exchange_in_a_warp(int* out) {
  SHARED(int, value, 32);
  value[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kRepaired) simt::sync_warp(simt::kFullMask);
  out[threadIdx.x] = value[31 - threadIdx.x];
}

TEST(SimtRaceTest, LanesOfAWarpWithoutSyncWarp) {
  int out[32];
  expect_race([&] { launch<exchange_in_a_warp<false>>(1, 32, 0, nullptr, out); }, "exchange_in_a_warp",
              kWarp + 4, kWarp + 6);
  expect_silence([&] { launch<exchange_in_a_warp<true>>(1, 32, 0, nullptr, out); });
}

// CUDA promises no order of memory for shuffles and votes.
constexpr int kShuffle = __LINE__;
template <bool kRepaired>
__global__ void shuffle_is_no_barrier(int* out) {
  SHARED(int, value, 32);
  value[threadIdx.x] = static_cast<int>(threadIdx.x);
  const int lane = simt::shuffle(simt::kFullMask, static_cast<int>(threadIdx.x), 31 - threadIdx.x);
  if (kRepaired) simt::sync_warp(simt::kFullMask);
  out[threadIdx.x] = value[lane];
}

TEST(SimtRaceTest, AShuffleOrdersNoMemory) {
  int out[32];
  expect_race([&] { launch<shuffle_is_no_barrier<false>>(1, 32, 0, nullptr, out); }, "shuffle_is_no_barrier",
              kShuffle + 4, kShuffle + 7);
  expect_silence([&] { launch<shuffle_is_no_barrier<true>>(1, 32, 0, nullptr, out); });
}

// sync_warp orders the lanes of its mask and no others.
constexpr int kHalves = __LINE__;
template <bool kRepaired>
__global__ void halves_of_a_warp(int* out) {
  SHARED(int, value, 32);
  value[threadIdx.x] = static_cast<int>(threadIdx.x);
  simt::sync_warp(threadIdx.x < 16 ? 0xffffU : 0xffff0000U);
  out[threadIdx.x] = value[kRepaired ? threadIdx.x ^ 15U : 31 - threadIdx.x];
}

TEST(SimtRaceTest, SyncWarpOfHalfAWarpDoesNotOrderTheOther) {
  int out[32];
  expect_race([&] { launch<halves_of_a_warp<false>>(1, 32, 0, nullptr, out); }, "halves_of_a_warp",
              kHalves + 4, kHalves + 6);
  expect_silence([&] { launch<halves_of_a_warp<true>>(1, 32, 0, nullptr, out); });
}

constexpr int kFragment = __LINE__;
template <bool kRepaired>
__global__ void read_a_stored_fragment(float* out) {
  SHARED(float, tile, 256);
  simt::Accumulator<simt::Tf32> c;
  simt::fill(c, 2.0F);
  simt::store_accumulator(tile, c, 16);
  if (kRepaired) simt::sync_warp(simt::kFullMask);
  for (unsigned i = threadIdx.x; i < 256; i += 32) out[i] = tile[i];
}

TEST(SimtRaceTest, AStoredFragmentIsReadWithoutSyncWarp) {
  float out[256];
  expect_race([&] { launch<read_a_stored_fragment<false>>(1, 32, 0, nullptr, out); },
              "read_a_stored_fragment", kFragment + 6, kFragment + 8);
  expect_silence([&] { launch<read_a_stored_fragment<true>>(1, 32, 0, nullptr, out); });
}

// ---- Asynchronous copies

constexpr int kCopy = __LINE__;
template <bool kRepaired>
__global__ void read_anothers_copy(const float* in, float* out) {
  SHARED(float, tile, 64);
  simt::copy_async<4>(tile + threadIdx.x, in + threadIdx.x);
  simt::commit_async();
  simt::wait_async<0>();
  if (kRepaired) simt::sync_threads();  // a thread's wait is for its own copies
  out[threadIdx.x] = tile[63 - threadIdx.x];
}

TEST(SimtRaceTest, AnAsynchronousCopyOfAnotherThreadWithoutABarrier) {
  const std::vector<float> in(64, 1);
  std::vector<float> out(64);
  expect_race([&] { launch<read_anothers_copy<false>>(1, 64, 0, nullptr, in.data(), out.data()); },
              "read_anothers_copy", Lines(kCopy + 4, kCopy + 6), kCopy + 8);
  expect_silence([&] { launch<read_anothers_copy<true>>(1, 64, 0, nullptr, in.data(), out.data()); });
}

constexpr int kRefill = __LINE__;
template <bool kRepaired>
__global__ void refill_too_early(const float* in, float* out) {
  SHARED(float, tile, 64);
  tile[threadIdx.x] = 3;
  simt::sync_threads();
  out[threadIdx.x] = tile[63 - threadIdx.x];
  if (kRepaired) simt::sync_threads();
  simt::copy_async<4>(tile + threadIdx.x, in + threadIdx.x);
  simt::commit_async();
  simt::wait_async<0>();
}

TEST(SimtRaceTest, AnAsynchronousCopyOverwritesWhatOthersStillRead) {
  const std::vector<float> in(64, 1);
  std::vector<float> out(64);
  expect_race([&] { launch<refill_too_early<false>>(1, 64, 0, nullptr, in.data(), out.data()); },
              "refill_too_early", kRefill + 6, Lines(kRefill + 8, kRefill + 10));
  expect_silence([&] { launch<refill_too_early<true>>(1, 64, 0, nullptr, in.data(), out.data()); });
}

// ---- Atomics

constexpr int kAtomic = __LINE__;
template <bool kRepaired>
__global__ void read_a_counter(int* count, int* out) {
  if (threadIdx.x < 32) simt::atomic_add(count, 1);
  if (kRepaired) simt::sync_threads();
  if (threadIdx.x >= 32) out[threadIdx.x] = *count;
}

TEST(SimtRaceTest, AtomicsDoNotRaceAmongThemselvesButWithPlainReads) {
  int count = 0;
  std::vector<int> out(64);
  expect_race([&] { launch<read_a_counter<false>>(1, 64, 0, nullptr, &count, out.data()); }, "read_a_counter",
              kAtomic + 3, kAtomic + 5);
  expect_silence([&] { launch<read_a_counter<true>>(1, 64, 0, nullptr, &count, out.data()); });
}

// A histogram in shared memory: cleared by some, counted by others, read by the first.
constexpr int kHistogram = __LINE__;
template <bool kRepaired>
__global__ void histogram(unsigned* out) {  // out: (64)
  SHARED(unsigned, bins, 64);
  bins[threadIdx.x] = 0;
  simt::sync_threads();
  if (threadIdx.x < 10) simt::atomic_add(&bins[threadIdx.x * 5 + 7], 1U);
  if (kRepaired) simt::sync_threads();
  out[threadIdx.x] = bins[threadIdx.x];
}

TEST(SimtRaceTest, AHistogramIsReadWhileOthersCount) {
  std::vector<unsigned> out(64);
  expect_race([&] { launch<histogram<false>>(1, 64, 0, nullptr, out.data()); }, "histogram", kHistogram + 6,
              kHistogram + 8);
  expect_silence([&] { launch<histogram<true>>(1, 64, 0, nullptr, out.data()); });
}

// Relaxed: who sees the flag does not see what was written before it.
constexpr int kFlag = __LINE__;
template <bool kRepaired>
__global__ void publish_by_flag(int* flag, int* data, int* out) {
  if (threadIdx.x == 0) {
    *data = 5;
    simt::atomic_exchange(flag, 1);
  }
  if (kRepaired) simt::sync_threads();
  if (simt::atomic_add(flag, 0) == 1) out[threadIdx.x] = *data;
}

TEST(SimtRaceTest, AtomicsOrderNoOtherMemory) {
  int flag = 0;
  int data = 0;
  std::vector<int> out(64);
  expect_race(
      [&] {
        flag = 0;
        launch<publish_by_flag<false>>(1, 64, 0, nullptr, &flag, &data, out.data());
      },
      "publish_by_flag", kFlag + 4, kFlag + 8);
  expect_silence([&] {
    flag = 0;
    launch<publish_by_flag<true>>(1, 64, 0, nullptr, &flag, &data, out.data());
  });
}

// ---- Barriers removed from the outside, as tests/race_check.py does it with the real kernels

TEST(SimtRaceTest, ARemovedBarrierIsMissed) {
  int out[64];
  simt_machine::remove_barrier("simt/race_fault_test.cc", kShared + 5);
  expect_race([&] { launch<read_neighbour<true>>(1, 64, 0, nullptr, out); }, "read_neighbour", kShared + 4,
              kShared + 6);
  simt_machine::remove_barrier("", 0);
  expect_silence([&] { launch<read_neighbour<true>>(1, 64, 0, nullptr, out); });
}

TEST(SimtRaceTest, TheStoryNamesBothThreadsAndBlocks) {
  int out[64];
  const std::string text = race_in([&] { launch<read_neighbour<false>>(1, 64, 0, nullptr, out); });
  EXPECT_NE(text.find("of block (0,0,0) writes at"), std::string::npos) << text;
  EXPECT_NE(text.find("of block (0,0,0) reads at"), std::string::npos) << text;
}

}  // namespace
}  // namespace mt::MT_BACKEND
