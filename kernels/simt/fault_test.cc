// One kernel for each fault that the machine claims to catch by itself, and its repaired twin, which must
// pass silently. Faults of memory are ASan's to see: memory_fault_test.cc.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/device/kernel.h"
#include "kernels/simt/machine.h"
#include "tensor/check.h"

namespace mt::MT_BACKEND {
namespace {

/// The text of the Error that f throws; "" when it throws none.
std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void expect_contains(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' in: " << text;
}

template <bool kRepaired>
__global__ void some_leave_before_the_barrier(int n) {
  if (!kRepaired && static_cast<int>(threadIdx.x) >= n) return;
  simt::sync_threads();
}

TEST(SimtFaultTest, BarrierAfterSomeHaveLeft) {
  const std::string error =
      error_of([] { launch<some_leave_before_the_barrier<false>>(2, 64, 0, nullptr, 40); });
  expect_contains(error,
                  {"some_leave_before_the_barrier", "block (64,1,1)", "block (0,0,0)", "barrier divergence",
                   "thread (0,0,0) waits at the barrier", "fault_test.cc:", "thread (40,0,0) has left"});
  EXPECT_EQ(error_of([] { launch<some_leave_before_the_barrier<true>>(2, 64, 0, nullptr, 40); }), "");
}

constexpr int kLineBefore = __LINE__;
template <bool kRepaired>
__global__ void barriers_on_different_lines() {
  if (kRepaired || threadIdx.x < 32) {
    simt::sync_threads();
  } else {
    simt::sync_threads();
  }
}

TEST(SimtFaultTest, BarriersOnDifferentLines) {
  const std::string error = error_of([] { launch<barriers_on_different_lines<false>>(1, 64, 0, nullptr); });
  expect_contains(error, {"barrier divergence", "fault_test.cc:" + std::to_string(kLineBefore + 4),
                          "thread (32,0,0) waits at the barrier", ":" + std::to_string(kLineBefore + 6)});
  EXPECT_EQ(error_of([] { launch<barriers_on_different_lines<true>>(1, 64, 0, nullptr); }), "");
}

template <bool kRepaired>
__global__ void some_skip_the_barrier_for_a_shuffle() {
  if (!kRepaired && threadIdx.x < 32) simt::sync_threads();
  simt::shuffle(simt::kFullMask, 1, 0);
  if (kRepaired || threadIdx.x >= 32) simt::sync_threads();
}

TEST(SimtFaultTest, BarrierOfOneWarpBeforeAndOfAnotherAfterAShuffle) {
  const std::string error =
      error_of([] { launch<some_skip_the_barrier_for_a_shuffle<false>>(1, 64, 0, nullptr); });
  expect_contains(error, {"barrier divergence", "thread (32,0,0) waits at the barrier"});
  EXPECT_EQ(error_of([] { launch<some_skip_the_barrier_for_a_shuffle<true>>(1, 64, 0, nullptr); }), "");
}

__global__ void shuffle_with_mask(unsigned mask, unsigned source) {
  simt::shuffle(mask, 1.0F, source);
}

TEST(SimtFaultTest, MaskNamesAThreadThatTheBlockDoesNotHave) {
  const auto run = [](unsigned mask) { launch<shuffle_with_mask>(1, 20, 0, nullptr, mask, 0U); };
  expect_contains(
      error_of([&] { run(simt::kFullMask); }),
      {"shuffle_with_mask", "thread (0,0,0)", "fault_test.cc:", "lanes 0xfff00000 that are not there"});
  EXPECT_EQ(error_of([&] { run(0xfffffU); }), "");
}

template <bool kRepaired>
__global__ void mask_names_a_lane_that_left() {
  if (threadIdx.x == 3) return;
  simt::ballot(kRepaired ? ~8U : simt::kFullMask, true);
}

TEST(SimtFaultTest, MaskNamesAThreadThatHasLeft) {
  for (const auto order : {simt_machine::Order::ascending, simt_machine::Order::reversed}) {
    simt_machine::set_schedule({order, 0});
    const std::string error = error_of([] { launch<mask_names_a_lane_that_left<false>>(1, 32, 0, nullptr); });
    // Ascending, the others see that lane 3 is gone; reversed, they wait for it until it goes.
    expect_contains(error, {"mask_names_a_lane_that_left", "fault_test.cc:", "0xffffffff"});
    EXPECT_EQ(error_of([] { launch<mask_names_a_lane_that_left<true>>(1, 32, 0, nullptr); }), "");
  }
  simt_machine::set_schedule({});
}

__global__ void mask_without_the_caller(unsigned mask) {
  if (threadIdx.x < 9) simt::sync_warp(mask);
}

TEST(SimtFaultTest, MaskDoesNotNameTheCaller) {
  expect_contains(error_of([] { launch<mask_without_the_caller>(1, 32, 0, nullptr, 0xffU); }),
                  {"thread (8,0,0)", "does not name the calling lane 8"});
  EXPECT_EQ(error_of([] { launch<mask_without_the_caller>(1, 32, 0, nullptr, 0x1ffU); }), "");
}

TEST(SimtFaultTest, ShuffleReadsALaneOutsideOfItsMask) {
  const auto run = [](unsigned source) { launch<shuffle_with_mask>(1, 4, 0, nullptr, 0xfU, source); };
  expect_contains(error_of([&] { run(4); }),
                  {"shuffle reads lane 4, which its mask 0x0000000f does not name"});
  EXPECT_EQ(error_of([&] { run(3); }), "");
}

template <bool kRepaired>
__global__ void different_masks() {
  simt::ballot(kRepaired || threadIdx.x % 2 == 0 ? simt::kFullMask : 0xfffffffeU, true);
}

TEST(SimtFaultTest, LanesDisagreeOnTheMask) {
  expect_contains(error_of([] { launch<different_masks<false>>(1, 32, 0, nullptr); }),
                  {"warp divergence", "with mask 0xffffffff", "with mask 0xfffffffe"});
  EXPECT_EQ(error_of([] { launch<different_masks<true>>(1, 32, 0, nullptr); }), "");
}

template <bool kRepaired>
__global__ void different_operations() {
  if (kRepaired || threadIdx.x < 16) {
    simt::shuffle(simt::kFullMask, 1, 0);
  } else {
    simt::shuffle(simt::kFullMask, 1, 0);
  }
}

TEST(SimtFaultTest, LanesOfAWarpMeetAtDifferentLines) {
  expect_contains(error_of([] { launch<different_operations<false>>(1, 32, 0, nullptr); }),
                  {"warp divergence", "thread (16,0,0) waits at the warp operation"});
  EXPECT_EQ(error_of([] { launch<different_operations<true>>(1, 32, 0, nullptr); }), "");
}

__global__ void nothing() {}

TEST(SimtFaultTest, LaunchLimits) {
  const auto run = [](Extent grid, Extent block, int64_t shared) {
    return error_of([&] { launch<nothing>(grid, block, shared, nullptr); });
  };
  expect_contains(run(1, 1025, 0), {"nothing", "block (1025,1,1)", "at most 1024 threads"});
  expect_contains(run(1, Extent(32, 32, 2), 0), {"at most 1024 threads"});
  expect_contains(run(1, Extent(1, 1, 65), 0), {"64 in z"});
  expect_contains(run(0, 32, 0), {"the grid is empty"});
  expect_contains(run(Extent(1, 65536), 32, 0), {"a grid has at most"});
  EXPECT_EQ(run(1, Extent(16, 16, 4), 0), "");
}

TEST(SimtFaultTest, DynamicSharedMemoryIsLimitedByArchitecture) {
  const auto run = [](int64_t bytes) { return error_of([&] { launch<nothing>(1, 1, bytes, nullptr); }); };
  struct Limit {
    int sm;
    int64_t kib;
  };
  for (const Limit limit : {Limit{75, 64}, {80, 163}, {86, 99}, {89, 99}, {90, 227}, {100, 227}, {120, 99}}) {
    simt_machine::set_architecture(limit.sm);
    EXPECT_EQ(run(limit.kib * 1024), "");
    expect_contains(run(limit.kib * 1024 + 1), {"sm_" + std::to_string(limit.sm), "dynamic shared memory"});
  }
  simt_machine::set_architecture(75);
  EXPECT_NE(error_of([] { simt_machine::set_architecture(50); }), "");
}

template <int kFloats>
__global__ void large_static_array() {
  SHARED(float, array, kFloats);
  array[threadIdx.x] = 0;
}

TEST(SimtFaultTest, StaticSharedMemoryIsLimited) {
  expect_contains(error_of([] { launch<large_static_array<12 * 1024 + 1>>(1, 32, 0, nullptr); }),
                  {"49156 bytes of static shared memory; a block may have 49152"});
  EXPECT_EQ(error_of([] { launch<large_static_array<12 * 1024>>(1, 32, 0, nullptr); }), "");
}

TEST(SimtFaultTest, StaticAndDynamicSharedMemoryAreLimitedTogether) {
#ifdef __clang__
  const char* name = "large_static_array <grid";  // clang leaves out the template arguments
#else
  const char* name = "large_static_array<1024> <grid";
#endif
  const auto run = [](int64_t dynamic) {
    return error_of([&] { launch<large_static_array<1024>>(1, 32, dynamic, nullptr); });
  };
  for (const int sm : {75, 80, 86, 90, 100}) {
    simt_machine::set_architecture(sm);
    const int64_t rest = simt_machine::shared_bytes_limit(sm) - 4096;
    EXPECT_EQ(run(rest), "");
    expect_contains(run(rest + 1),
                    {name, "4096 bytes of static and", "sm_" + std::to_string(sm) + " gives a block"});
  }
  simt_machine::set_architecture(75);
}

__global__ void copy_four(const float* in, float* out, int offset) {
  simt::store_vector(out, simt::load_vector<float4>(in + offset));
}

TEST(SimtFaultTest, MisalignedVectorLoadAndStore) {
  alignas(16) float in[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  alignas(16) float out[8] = {};
  expect_contains(error_of([&] { launch<copy_four>(1, 1, 0, nullptr, in, out, 3); }),
                  {"copy_four", "fault_test.cc:", "misaligned vector access"});
  expect_contains(error_of([&] { launch<copy_four>(1, 1, 0, nullptr, in, out + 1, 0); }), {"misaligned"});
  EXPECT_EQ(error_of([&] { launch<copy_four>(1, 1, 0, nullptr, in, out, 4); }), "");
  EXPECT_EQ(out[3], 7);
}

template <bool kRepaired, typename T>
__global__ void read_unwritten_shared(T* out) {
  SHARED(T, value, 32);
  if (kRepaired || threadIdx.x != 5) value[threadIdx.x] = 1;
  simt::sync_threads();
  T sum = 0;
  for (int i = 0; i < 32; ++i) sum += value[i];
  out[threadIdx.x] = sum;
}

TEST(SimtFaultTest, UnwrittenSharedMemoryIsPoisonOfItsType) {
  float sums[32];
  for (int repeat = 0; repeat < 2; ++repeat) {  // poisoned anew, not only when fresh from the heap
    launch<read_unwritten_shared<true, float>>(1, 32, 0, nullptr, sums);
    EXPECT_EQ(sums[0], 32);
    launch<read_unwritten_shared<false, float>>(2, 32, 0, nullptr, sums);
    EXPECT_TRUE(std::isnan(sums[0]));
  }
  int counts[32];
  launch<read_unwritten_shared<true, int>>(1, 32, 0, nullptr, counts);
  EXPECT_EQ(counts[0], 32);
  launch<read_unwritten_shared<false, int>>(1, 32, 0, nullptr, counts);
  EXPECT_EQ(counts[0], 31 + 0x7B7B7B7B);
}

template <bool kRepaired>
__global__ void read_unwritten_dynamic(float* out) {
  DYN_SHARED(float, value);
  if (kRepaired) value[threadIdx.x] = 2;
  out[threadIdx.x] = value[threadIdx.x];
}

TEST(SimtFaultTest, UnwrittenDynamicSharedMemoryIsPoison) {
  float out[8];
  launch<read_unwritten_dynamic<false>>(1, 8, 32, nullptr, out);
  EXPECT_TRUE(std::isnan(out[7]));
  launch<read_unwritten_dynamic<true>>(1, 8, 32, nullptr, out);
  EXPECT_EQ(out[7], 2);
}

__global__ void launch_again() {
  launch<nothing>(1, 1, 0, nullptr);
}

TEST(SimtFaultTest, LaunchFromInsideOfAKernel) {
  expect_contains(error_of([] { launch<launch_again>(1, 1, 0, nullptr); }),
                  {"launched from inside of a kernel"});
}

TEST(SimtFaultTest, TheMachineWorksAfterAFault) {
  for (int repeat = 0; repeat < 3; ++repeat) {
    EXPECT_NE(error_of([] { launch<some_leave_before_the_barrier<false>>(1, 64, 0, nullptr, 40); }), "");
    EXPECT_EQ(error_of([] { launch<some_leave_before_the_barrier<true>>(1, 64, 0, nullptr, 40); }), "");
  }
}

}  // namespace
}  // namespace mt::MT_BACKEND
