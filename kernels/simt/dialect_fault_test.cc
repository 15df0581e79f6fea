// Faults of asynchronous copies and matrix fragments, each on a minimal kernel, and its repaired twin.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/device/fragment.h"
#include "tensor/check.h"

namespace mt::MT_BACKEND {
namespace {

using simt::Layout;

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

struct alignas(32) Memory {
  float value[512];
};

Memory counted() {
  Memory memory{};
  for (int i = 0; i < 512; ++i) memory.value[i] = static_cast<float>(i);
  return memory;
}

// ---- Asynchronous copies

// 4 bytes, so that ASan does not stop the program before the value can be looked at; wider copies before
// their wait are in memory_fault_test.cc.
template <bool kRepaired>
__global__ void read_before_the_wait(const float* in, float* out) {
  SHARED(float, tile, 32);
  simt::copy_async<4>(tile + threadIdx.x, in + threadIdx.x);
  simt::commit_async();
  if (kRepaired) simt::wait_async<0>();
  out[threadIdx.x] = tile[threadIdx.x];
  simt::wait_async<0>();
}

TEST(SimtFaultTest, AsynchronousCopyIsReadBeforeItsWait) {
  const Memory in = counted();
  float out[32];
  launch<read_before_the_wait<false>>(1, 32, 0, nullptr, in.value, out);
  for (const float value : out) EXPECT_TRUE(std::isnan(value));
  launch<read_before_the_wait<true>>(1, 32, 0, nullptr, in.value, out);
  EXPECT_EQ(out[31], 31);
}

template <bool kRepaired>
__global__ void wait_for_too_few(const float* in, float* out) {
  SHARED(float, tile, 64);
  for (int stage = 0; stage < 2; ++stage) {
    simt::copy_async<4>(tile + 32 * stage + threadIdx.x, in + threadIdx.x);
    simt::commit_async();
  }
  simt::wait_async<kRepaired ? 0 : 1>();
  out[threadIdx.x] = tile[32 + threadIdx.x];
  simt::wait_async<0>();
}

TEST(SimtFaultTest, WaitLeavesTheGroupPendingThatIsRead) {
  const Memory in = counted();
  float out[32];
  launch<wait_for_too_few<false>>(1, 32, 0, nullptr, in.value, out);
  EXPECT_TRUE(std::isnan(out[3]));
  launch<wait_for_too_few<true>>(1, 32, 0, nullptr, in.value, out);
  EXPECT_EQ(out[3], 3);
}

constexpr int kLineOfNoWait = __LINE__ + 4;
template <bool kWait, bool kCommit>
__global__ void no_wait(const float* in) {
  SHARED(float4, tile, 32);
  simt::copy_async<16>(tile + threadIdx.x, reinterpret_cast<const float4*>(in) + threadIdx.x);
  if (kCommit) simt::commit_async();
  if (kWait) simt::wait_async<0>();
}

TEST(SimtFaultTest, NobodyWaitsForAnAsynchronousCopy) {
  const Memory in = counted();
  expect_contains(error_of([&] { launch<no_wait<false, true>>(1, 32, 0, nullptr, in.value); }),
                  {"no_wait", "thread (0,0,0)", "dialect_fault_test.cc:" + std::to_string(kLineOfNoWait),
                   "nobody waited for this asynchronous copy"});
  EXPECT_EQ(error_of([&] { launch<no_wait<true, true>>(1, 32, 0, nullptr, in.value); }), "");
}

TEST(SimtFaultTest, AnAsynchronousCopyThatNobodyCommittedIsNotWaitedFor) {
  const Memory in = counted();
  expect_contains(error_of([&] { launch<no_wait<true, false>>(1, 32, 0, nullptr, in.value); }),
                  {"nobody waited for this asynchronous copy"});
}

template <int kBytes>
__global__ void copy_at(const float* in, int source_offset, int target_offset) {
  SHARED(float, tile, 64);
  simt::copy_async<kBytes>(tile + target_offset, in + source_offset);
  simt::commit_async();
  simt::wait_async<0>();
}

TEST(SimtFaultTest, MisalignedAsynchronousCopy) {
  const Memory in = counted();
  const auto run16 = [&](int source, int target) {
    return error_of([&] { launch<copy_at<16>>(1, 1, 0, nullptr, in.value, source, target); });
  };
  expect_contains(run16(2, 0), {"copy_at", "dialect_fault_test.cc:", "misaligned"});
  expect_contains(run16(0, 1), {"misaligned"});
  EXPECT_EQ(run16(4, 8), "");
  const auto run8 = [&](int source, int target) {
    return error_of([&] { launch<copy_at<8>>(1, 1, 0, nullptr, in.value, source, target); });
  };
  expect_contains(run8(1, 0), {"misaligned"});
  expect_contains(run8(0, 3), {"misaligned"});
  EXPECT_EQ(run8(2, 6), "");
}

template <bool kTargetIsShared, bool kSourceIsGlobal>
__global__ void copy_between(float* global) {
  SHARED(float, tile, 64);
  simt::copy_async<4>(kTargetIsShared ? tile : global, kSourceIsGlobal ? global + 8 : tile + 8);
  simt::commit_async();
  simt::wait_async<0>();
}

TEST(SimtFaultTest, AsynchronousCopiesGoFromGlobalToSharedMemory) {
  Memory global = counted();
  expect_contains(error_of([&] { launch<copy_between<false, true>>(1, 1, 0, nullptr, global.value); }),
                  {"writes outside of the block's shared memory"});
  expect_contains(error_of([&] { launch<copy_between<true, false>>(1, 1, 0, nullptr, global.value); }),
                  {"reads shared memory"});
  EXPECT_EQ(error_of([&] { launch<copy_between<true, true>>(1, 1, 0, nullptr, global.value); }), "");
}

template <bool kRepaired>
__global__ void write_the_target(const float* in) {
  SHARED(float, tile, 32);
  simt::copy_async<4>(tile + threadIdx.x, in + threadIdx.x);
  simt::commit_async();
  if (kRepaired) simt::wait_async<0>();
  tile[threadIdx.x] = 5;
  simt::wait_async<0>();
}

TEST(SimtFaultTest, TheTargetOfAnAsynchronousCopyIsWrittenBeforeItsWait) {
  const Memory in = counted();
  expect_contains(error_of([&] { launch<write_the_target<false>>(1, 32, 0, nullptr, in.value); }),
                  {"wrote the target of this asynchronous copy"});
  EXPECT_EQ(error_of([&] { launch<write_the_target<true>>(1, 32, 0, nullptr, in.value); }), "");
}

template <bool kRepaired>
__global__ void write_the_source(float* in) {
  SHARED(float, tile, 32);
  simt::copy_async<4>(tile + threadIdx.x, in + threadIdx.x);
  simt::commit_async();
  if (kRepaired) simt::wait_async<0>();
  in[threadIdx.x] = -1;
  simt::wait_async<0>();
}

TEST(SimtFaultTest, TheSourceOfAnAsynchronousCopyIsWrittenBeforeItsWait) {
  Memory in = counted();
  expect_contains(error_of([&] { launch<write_the_source<false>>(1, 32, 0, nullptr, in.value); }),
                  {"wrote the source of this asynchronous copy"});
  in = counted();
  EXPECT_EQ(error_of([&] { launch<write_the_source<true>>(1, 32, 0, nullptr, in.value); }), "");
}

// ---- Matrix fragments

void copy_to_shared(float* copy, const float* source, int count) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += 32) copy[i] = source[i];
  simt::sync_warp(simt::kFullMask);
}

__global__ void load_and_store(const float* in, float* out, int in_offset, int leading_dimension) {
  simt::Accumulator<simt::Tf32> c;
  simt::load_accumulator(c, in + in_offset, leading_dimension);
  simt::store_accumulator(out, c, leading_dimension);
}

TEST(SimtFaultTest, MisalignedFragment) {
  const Memory in = counted();
  Memory out{};
  const auto run = [&](int in_offset, int leading_dimension, int out_offset = 0) {
    return error_of([&] {
      launch<load_and_store>(1, 32, 0, nullptr, in.value, out.value + out_offset, in_offset,
                             leading_dimension);
    });
  };
  expect_contains(run(2, 16), {"load_and_store", "dialect_fault_test.cc:", "multiple of 16 bytes"});
  expect_contains(run(0, 16, 1), {"multiple of 16 bytes"});
  expect_contains(run(0, 18), {"leading dimension must be a multiple of 16 bytes"});
  EXPECT_EQ(run(4, 20), "");
  EXPECT_EQ(out.value[21], in.value[25]);
}

TEST(SimtFaultTest, FragmentsNeedAWholeWarp) {
  const Memory in = counted();
  Memory out{};
  const auto run = [&](int threads) {
    return error_of([&] { launch<load_and_store>(1, threads, 0, nullptr, in.value, out.value, 0, 16); });
  };
  expect_contains(run(24), {"names lanes 0xff000000 that are not there"});
  EXPECT_EQ(run(64), "");
}

template <bool kRepaired>
__global__ void load_from_global_memory(const float* in, float* out) {
  SHARED(float, tile, 128);
  copy_to_shared(tile, in, 128);
  simt::FragmentA<simt::Tf32, Layout::row_major> a;
  simt::load_fragment(a, kRepaired ? tile : in, 8);
  for (int i = 0; i < a.size(); ++i) out[static_cast<int>(threadIdx.x) * a.size() + i] = a[i];
}

TEST(SimtFaultTest, AFragmentOutsideOfSharedMemory) {
  const Memory in = counted();
  Memory out{};
  expect_contains(
      error_of([&] { launch<load_from_global_memory<false>>(1, 32, 0, nullptr, in.value, out.value); }),
      {"load_from_global_memory", "dialect_fault_test.cc:", "load_fragment reads shared memory"});
  EXPECT_EQ(error_of([&] { launch<load_from_global_memory<true>>(1, 32, 0, nullptr, in.value, out.value); }),
            "");
}

template <bool kRepaired>
__global__ void load_a_row_each(const float* in, float* out) {
  simt::Accumulator<simt::Tf32> c;
  simt::load_accumulator(c, in + (kRepaired ? 0 : 16 * (threadIdx.x / 31)), 16);
  simt::store_accumulator(out, c, 16);
}

TEST(SimtFaultTest, LanesThatNameDifferentMatrices) {
  const Memory in = counted();
  Memory out{};
  expect_contains(error_of([&] { launch<load_a_row_each<false>>(1, 32, 0, nullptr, in.value, out.value); }),
                  {"load_a_row_each", "dialect_fault_test.cc:", "name different matrices for one fragment"});
  EXPECT_EQ(error_of([&] { launch<load_a_row_each<true>>(1, 32, 0, nullptr, in.value, out.value); }), "");
}

template <bool kIntoShared, bool kNamesShared>
__global__ void store_four(float* out) {
  SHARED(float, tile, 128);
  float* target = (kIntoShared ? tile : out) + 4 * threadIdx.x;
  const float4 value{1, 2, 3, 4};
  if (kNamesShared) {
    simt::store_shared_vector(target, value);
  } else {
    simt::store_vector(target, value);
  }
}

TEST(SimtFaultTest, AVectorStoredInAnotherMemoryThanItsWordSays) {
  Memory out{};
  expect_contains(error_of([&] { launch<store_four<true, false>>(1, 32, 0, nullptr, out.value); }),
                  {"store_four", "dialect_fault_test.cc:", "store_vector writes global memory"});
  expect_contains(error_of([&] { launch<store_four<false, true>>(1, 32, 0, nullptr, out.value); }),
                  {"store_four", "dialect_fault_test.cc:", "outside of the block's shared memory"});
  EXPECT_EQ(error_of([&] { launch<store_four<true, true>>(1, 32, 0, nullptr, out.value); }), "");
  EXPECT_EQ(error_of([&] { launch<store_four<false, false>>(1, 32, 0, nullptr, out.value); }), "");
}

template <bool kRepaired>
__global__ void multiply_in_half_a_warp(const float* in, float* out) {
  simt::FragmentA<simt::Tf32, Layout::row_major> a;
  simt::FragmentB<simt::Tf32, Layout::row_major> b;
  simt::Accumulator<simt::Tf32> c;
  simt::fill(c, 0.0F);
  SHARED(float, tile, 128);
  copy_to_shared(tile, in, 128);
  simt::load_fragment(a, tile, 8);
  simt::load_fragment(b, tile, 16);
  if (kRepaired || threadIdx.x < 16) simt::multiply_accumulate(c, a, b);
  simt::store_accumulator(out, c, 16);
}

TEST(SimtFaultTest, HalfAWarpMultiplies) {
  const Memory in = counted();
  Memory out{};
  expect_contains(
      error_of([&] { launch<multiply_in_half_a_warp<false>>(1, 32, 0, nullptr, in.value, out.value); }),
      {"multiply_in_half_a_warp", "warp divergence", "waits at the warp operation"});
  EXPECT_EQ(error_of([&] { launch<multiply_in_half_a_warp<true>>(1, 32, 0, nullptr, in.value, out.value); }),
            "");
}

template <bool kRepaired>
__global__ void multiply_unrounded(const float* in, float* out) {
  simt::FragmentA<simt::Tf32, Layout::row_major> a;
  simt::FragmentB<simt::Tf32, Layout::row_major> b;
  simt::Accumulator<simt::Tf32> c;
  simt::fill(c, 0.0F);
  SHARED(float, tile, 128);
  copy_to_shared(tile, in, 128);
  simt::load_fragment(a, tile, 8);
  simt::load_fragment(b, tile, 16);
  for (int i = 0; i < b.size(); ++i) b[i] /= 3;
  if (kRepaired) simt::round_fragment(b);
  simt::multiply_accumulate(c, a, b);
  simt::store_accumulator(out, c, 16);
}

TEST(SimtFaultTest, ProductOfFloatsThatAreNotRoundedToTf32) {
  const Memory in = counted();
  Memory out{};
  expect_contains(
      error_of([&] { launch<multiply_unrounded<false>>(1, 32, 0, nullptr, in.value, out.value); }),
      {"multiply_unrounded", "dialect_fault_test.cc:", "not rounded to TF32"});
  EXPECT_EQ(error_of([&] { launch<multiply_unrounded<true>>(1, 32, 0, nullptr, in.value, out.value); }), "");
}

template <bool kRepaired>
__global__ void accumulate_on_nothing(const float* in, float* out) {
  simt::FragmentA<simt::Tf32, Layout::row_major> a;
  simt::FragmentB<simt::Tf32, Layout::row_major> b;
  simt::Accumulator<simt::Tf32> c;
  if (kRepaired) simt::fill(c, 0.0F);
  SHARED(float, tile, 128);
  copy_to_shared(tile, in, 128);
  simt::load_fragment(a, tile, 8);
  simt::load_fragment(b, tile, 16);
  simt::multiply_accumulate(c, a, b);
  simt::store_accumulator(out, c, 16);
}

TEST(SimtFaultTest, AnAccumulatorThatNobodyFilledIsPoison) {
  const Memory in = counted();
  Memory out{};
  launch<accumulate_on_nothing<false>>(1, 32, 0, nullptr, in.value, out.value);
  EXPECT_TRUE(std::isnan(out.value[77]));
  launch<accumulate_on_nothing<true>>(1, 32, 0, nullptr, in.value, out.value);
  EXPECT_FALSE(std::isnan(out.value[77]));
}

// The layout of the m16n8 instructions on today's hardware, taken for granted.
template <bool kRepaired>
__global__ void row_bias(const float* bias, float* out) {  // out (16,16): each row its bias
  SHARED(float, tile, 256);
  simt::Accumulator<simt::Bf16> c;
  for (int i = 0; i < c.size(); ++i)
    c[i] = kRepaired ? 0.0F : bias[simt::lane() / 4 + 8 * (static_cast<unsigned>(i) / 2 % 2)];
  simt::store_accumulator(tile, c, 16);
  simt::sync_warp(simt::kFullMask);
  for (unsigned i = simt::lane(); i < 256; i += 32) out[i] = tile[i] + (kRepaired ? bias[i / 16] : 0.0F);
}

TEST(SimtFaultTest, CodeThatAssumesWhoHoldsWhichElement) {
  const Memory bias = counted();
  const auto is_right = [&](const Memory& out) {
    for (int i = 0; i < 256; ++i) {
      if (out.value[i] != bias.value[i / 16]) return false;
    }
    return true;
  };
  for (const auto order : {simt_machine::Order::ascending, simt_machine::Order::reversed}) {
    simt_machine::set_schedule({order, 0});
    Memory out{};
    launch<row_bias<false>>(1, 32, 0, nullptr, bias.value, out.value);
    EXPECT_FALSE(is_right(out));
    launch<row_bias<true>>(1, 32, 0, nullptr, bias.value, out.value);
    EXPECT_TRUE(is_right(out));
  }
  simt_machine::set_schedule({});
}

}  // namespace
}  // namespace mt::MT_BACKEND
