// Out-of-bounds accesses of kernels, seen by ASan: this program is built with it in every build (but TSan's).
// Each fault has its repaired twin, which must pass silently.

#include <gtest/gtest.h>

#include <vector>

#include "kernels/device/kernel.h"
#include "tensor/allocator.h"
#include "tensor/sanitizers.h"

// The deaths are expected: no time is spent on finding their source lines.
extern "C" const char* __asan_default_options() {
  return "symbolize=0";
}  // NOLINT(bugprone-reserved-identifier)

namespace mt::MT_BACKEND {
namespace {

static_assert(kAddressSanitizer, "built with -fsanitize=address");

/// Device memory of n floats on the SIMT machine.
class Floats {
 public:
  explicit Floats(std::size_t n) : bytes_(n * sizeof(float)) {
    data_ = static_cast<float*>(allocator(Device::simt).allocate(bytes_));
  }
  ~Floats() { release(); }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
  float* data() const { return data_; }
  void release() {
    if (!released_) allocator(Device::simt).deallocate(data_, bytes_);
    released_ = true;
  }

 private:
  std::size_t bytes_;
  float* data_;
  bool released_ = false;
};

__global__ void write_global(float* data, int offset) {
  data[static_cast<int>(threadIdx.x) + offset] = 1;
}

TEST(SimtMemoryDeathTest, GlobalWriteBehindTheEnd) {
  const Floats data(33);
  EXPECT_DEATH(launch<write_global>(1, 33, 0, nullptr, data.data(), 1), "heap-buffer-overflow");
  launch<write_global>(1, 33, 0, nullptr, data.data(), 0);
  EXPECT_EQ(data.data()[32], 1);
}

TEST(SimtMemoryDeathTest, GlobalWriteBeforeTheStart) {
  const Floats data(33);
  EXPECT_DEATH(launch<write_global>(1, 33, 0, nullptr, data.data(), -1), "heap-buffer-overflow");
}

__global__ void read_global(const float* data, float* sum, int n) {
  float total = 0;
  for (int i = 0; i < n; ++i) total += simt::ldg(data + i);
  *sum = total;
}

TEST(SimtMemoryDeathTest, GlobalReadBehindTheEnd) {
  const Floats data(7);
  const Floats sum(1);
  launch<write_global>(1, 7, 0, nullptr, data.data(), 0);
  EXPECT_DEATH(launch<read_global>(1, 1, 0, nullptr, data.data(), sum.data(), 8), "heap-buffer-overflow");
  launch<read_global>(1, 1, 0, nullptr, data.data(), sum.data(), 7);
  EXPECT_EQ(*sum.data(), 7);
}

TEST(SimtMemoryDeathTest, GlobalMemoryAfterItWasFreed) {
  Floats data(7);
  launch<write_global>(1, 7, 0, nullptr, data.data(), 0);
  data.release();
  EXPECT_DEATH(launch<write_global>(1, 7, 0, nullptr, data.data(), 0), "heap-use-after-free");
}

TEST(SimtMemoryDeathTest, UnwrittenGlobalMemoryIsPoison) {
  const Floats data(7);
  const Floats sum(1);
  launch<read_global>(1, 1, 0, nullptr, data.data(), sum.data(), 7);
  EXPECT_NE(*sum.data(), *sum.data());  // NaN
}

template <int kSize, typename T>
__global__ void write_static_shared(T* out, int offset) {
  SHARED(T, array, kSize);
  T* const where = array;  // hides the bound from the compiler, as a call would
  where[static_cast<int>(threadIdx.x) + offset] = static_cast<T>(threadIdx.x);
  simt::sync_threads();
  out[threadIdx.x] = where[threadIdx.x + static_cast<unsigned>(offset)];
}

TEST(SimtMemoryDeathTest, StaticSharedMemoryBehindTheEnd) {
  const Floats out(33);
  EXPECT_DEATH((launch<write_static_shared<33, float>>(1, 33, 0, nullptr, out.data(), 1)),
               "heap-buffer-overflow");
  launch<write_static_shared<33, float>>(1, 33, 0, nullptr, out.data(), 0);
  std::vector<char> bytes(5);  // off by one byte
  EXPECT_DEATH((launch<write_static_shared<5, char>>(1, 5, 0, nullptr, bytes.data(), 1)),
               "heap-buffer-overflow");
  launch<write_static_shared<5, char>>(1, 5, 0, nullptr, bytes.data(), 0);
  EXPECT_EQ(bytes[4], 4);
}

TEST(SimtMemoryDeathTest, StaticSharedMemoryBeforeTheStart) {
  const Floats out(33);
  EXPECT_DEATH((launch<write_static_shared<33, float>>(1, 33, 0, nullptr, out.data(), -1)),
               "heap-buffer-overflow");
}

__global__ void write_dynamic_shared(float* out) {
  DYN_SHARED(float, row);
  row[threadIdx.x] = 3;
  simt::sync_threads();
  out[threadIdx.x] = row[threadIdx.x];
}

TEST(SimtMemoryDeathTest, DynamicSharedMemoryBehindWhatTheLaunchAskedFor) {
  const Floats out(10);
  EXPECT_DEATH(launch<write_dynamic_shared>(1, 10, 39, nullptr, out.data()), "heap-buffer-overflow");
  launch<write_dynamic_shared>(1, 10, 40, nullptr, out.data());
  EXPECT_EQ(out.data()[9], 3);
}

template <int kBytes, bool kRepaired>
__global__ void read_before_the_wait(const float* in, float* out) {
  SHARED(float, tile, 32);
  constexpr unsigned kElements = kBytes / 4;
  simt::copy_async<kBytes>(tile + kElements * threadIdx.x, in + kElements * threadIdx.x);
  simt::commit_async();
  if (kRepaired) simt::wait_async<0>();
  out[threadIdx.x] = tile[kElements * threadIdx.x];
  simt::wait_async<0>();
}

TEST(SimtMemoryDeathTest, AsynchronousCopyIsReadBeforeItsWait) {
  const Floats in(32);
  const Floats out(8);
  launch<write_global>(1, 32, 0, nullptr, in.data(), 0);
  EXPECT_DEATH((launch<read_before_the_wait<16, false>>(1, 8, 0, nullptr, in.data(), out.data())),
               "use-after-poison");
  launch<read_before_the_wait<16, true>>(1, 8, 0, nullptr, in.data(), out.data());
  EXPECT_EQ(out.data()[7], 1);
  EXPECT_DEATH((launch<read_before_the_wait<8, false>>(1, 8, 0, nullptr, in.data(), out.data())),
               "use-after-poison");
  launch<read_before_the_wait<8, true>>(1, 8, 0, nullptr, in.data(), out.data());
  EXPECT_EQ(out.data()[7], 1);
}

__global__ void copy_row(const float* in, float* out, int count, bool predicated) {  // out: (8)
  SHARED(float, tile, 8);
  const int t = static_cast<int>(threadIdx.x);
  simt::copy_async<4>(tile + t, in + t, !predicated || t < count);
  simt::commit_async();
  simt::wait_async<0>();
  out[t] = tile[t];
}

TEST(SimtMemoryDeathTest, AsynchronousCopyFromBehindTheEnd) {
  const Floats in(7);
  const Floats out(8);
  launch<write_global>(1, 7, 0, nullptr, in.data(), 0);
  EXPECT_DEATH(launch<copy_row>(1, 8, 0, nullptr, in.data(), out.data(), 7, false), "heap-buffer-overflow");
  launch<copy_row>(1, 8, 0, nullptr, in.data(), out.data(), 7, true);
  EXPECT_EQ(out.data()[6], 1);
  EXPECT_EQ(out.data()[7], 0);
}

template <bool kRepaired>
__global__ void write_local(float* out, int n) {
  float local[8] = {};
  volatile float* where = local;
  for (int i = 0; i < (kRepaired ? 8 : n); ++i) where[i] = 1;
  simt::sync_threads();
  out[threadIdx.x] = where[7];
}

TEST(SimtMemoryDeathTest, LocalArrayOnTheStackOfAFiber) {
  const Floats out(4);
  EXPECT_DEATH(launch<write_local<false>>(1, 4, 0, nullptr, out.data(), 9),
               "stack-buffer-overflow|insufficient space");
  launch<write_local<true>>(1, 4, 0, nullptr, out.data(), 9);
  EXPECT_EQ(out.data()[0], 1);
}

}  // namespace
}  // namespace mt::MT_BACKEND
