#include "kernels/device/device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

#include "kernels/common/tables.h"
#include "kernels/device/launch.h"
#include "kernels/device/pool.h"
#include "kernels/softmax/softmax.h"
#include "tensor/check.h"
#include "tensor/tensor.h"

namespace mt {
namespace {

/// A source that counts, and that can run dry.
class CountingMemory final : public MemorySource {
 public:
  void* allocate(std::size_t bytes) override {
    if (used + bytes > limit) return nullptr;
    used += bytes;
    ++allocations;
    return std::malloc(bytes);
  }
  void deallocate(void* pointer, std::size_t bytes) noexcept override {
    used -= bytes;
    std::free(pointer);
  }
  std::size_t used = 0;
  std::size_t limit = std::size_t{1} << 30;
  int allocations = 0;
};

TEST(CachingPoolTest, HandsFreedBlocksOutAgain) {
  CountingMemory memory;
  CachingPool pool(Device::simt, memory, true);
  void* first = pool.allocate(1000);
  pool.deallocate(first, 1000);
  EXPECT_EQ(pool.cached_bytes(), 1024U);
  void* second = pool.allocate(1020);  // rounds to the same 1024
  EXPECT_EQ(second, first);
  EXPECT_EQ(memory.allocations, 1);
  pool.deallocate(second, 1020);
  memory.limit = memory.used;
  void* large = nullptr;
  memory.limit = 4096;
  large = pool.allocate(4096);  // fits only once the kept block has gone back
  EXPECT_EQ(pool.cached_bytes(), 0U);
  pool.deallocate(large, 4096);
  memory.limit = 0;
  EXPECT_THROW(pool.allocate(8192), Error);
}

TEST(CachingPoolTest, KeepsToItsLimit) {
  CountingMemory memory;
  CachingPool pool(Device::simt, memory, true);
  pool.set_limit(2048);
  void* first = pool.allocate(1024);
  EXPECT_THROW(pool.allocate(1025), OutOfMemory);
  void* second = pool.allocate(1024);
  pool.deallocate(second, 1024);
  EXPECT_THROW(pool.allocate(1536), OutOfMemory);
  pool.set_limit(0);
  void* large = pool.allocate(4096);
  pool.deallocate(large, 4096);
  pool.deallocate(first, 1024);
}

TEST(CachingPoolTest, GivesKeptBlocksBackAtItsEnd) {
  CountingMemory memory;
  {
    CachingPool pool(Device::simt, memory, true);
    pool.deallocate(pool.allocate(1000), 1000);
    EXPECT_EQ(memory.used, 1024U);
  }
  EXPECT_EQ(memory.used, 0U);
}

TEST(CachingPoolTest, CountsLiveAndPeakBytes) {
  CountingMemory memory;
  CachingPool pool(Device::simt, memory, true);
  void* a = pool.allocate(512);
  void* b = pool.allocate(1024);
  EXPECT_EQ(pool.live_bytes(), 1536U);
  pool.deallocate(b, 1024);
  EXPECT_EQ(pool.live_bytes(), 512U);
  EXPECT_EQ(pool.peak_bytes(), 1536U);
  pool.reset_peak();
  EXPECT_EQ(pool.peak_bytes(), 512U);
  pool.deallocate(a, 512);
}

TEST(CachingPoolTest, WastesAtMostAnEighthOfLargeBlocks) {
  CountingMemory memory;
  CachingPool pool(Device::simt, memory, true);
  for (const std::size_t bytes : {std::size_t{1} << 20, (std::size_t{1} << 20) + 1, std::size_t{7777777}}) {
    void* pointer = pool.allocate(bytes);
    EXPECT_GE(pool.live_bytes(), bytes);
    EXPECT_LE(pool.live_bytes(), bytes + bytes / 8);
    pool.deallocate(pointer, bytes);
  }
}

class DeviceTest : public ::testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (!device_is_present(GetParam())) GTEST_SKIP() << "no NVIDIA GPU";
  }
};

TEST_P(DeviceTest, CopiesThereAndBack) {
  const std::vector<int> values{1, 2, 3, 4, 5};
  const std::size_t bytes = values.size() * sizeof(int);
  const Tensor a = Tensor::empty({5}, DType::i32, GetParam());
  const Tensor b = Tensor::empty({5}, DType::i32, GetParam());
  std::vector<int> back(5);
  copy_bytes(a.raw(), GetParam(), values.data(), Device::cpu, bytes);
  copy_bytes(b.raw(), GetParam(), a.raw(), GetParam(), bytes);
  copy_bytes(back.data(), Device::cpu, b.raw(), GetParam(), bytes);
  EXPECT_EQ(back, values);
}

TEST_P(DeviceTest, TimesAStream) {
  const OwnedStream stream(GetParam());
  Event start(GetParam());
  Event stop(GetParam());
  start.record(stream.get());
  stop.record(stream.get());
  EXPECT_GE(stop.seconds_since(start), 0);
  synchronize(GetParam(), stream.get());
}

TEST_P(DeviceTest, WhatIsCopiedInAnotherStreamIsThereBehindItsEvent) {
  const OwnedStream stream(GetParam());
  const PinnedMemory staging(GetParam(), 3 * sizeof(int));
  auto* values = static_cast<int*>(staging.data());
  const Tensor target = Tensor::empty({3}, DType::i32, GetParam());
  Event copied(GetParam());
  copied.wait();  // was never recorded
  for (int round = 0; round < 3; ++round) {
    copied.wait();  // the copy has read the values before they change
    for (int i = 0; i < 3; ++i) values[i] = 10 * round + i;
    device_runtime(GetParam()).copy_to_device_async(target.raw(), values, staging.bytes(), stream.get());
    copied.record(stream.get());
    copied.let_wait(nullptr);
    std::vector<int> back(3);
    copy_bytes(back.data(), Device::cpu, target.raw(), GetParam(), staging.bytes());
    EXPECT_EQ(back, (std::vector<int>{10 * round, 10 * round + 1, 10 * round + 2}));
  }
}

TEST(SimtStreamTest, ACopyIsMadeNoEarlierThanSomebodyWaitsForIt) {
  const OwnedStream stream(Device::simt);
  const std::vector<int> before{1, 2};
  std::vector<int> after{3, 4};
  const Tensor target = Tensor::empty({2}, DType::i32, Device::simt);
  copy_bytes(target.raw(), Device::simt, before.data(), Device::cpu, 8);
  device_runtime(Device::simt).copy_to_device_async(target.raw(), after.data(), 8, stream.get());
  std::vector<int> back(2);
  copy_bytes(back.data(), Device::cpu, target.raw(), Device::simt, 8);
  EXPECT_EQ(back, before);
  after[0] = 5;  // too early: the copy will see it
  synchronize(Device::simt, stream.get());
  copy_bytes(back.data(), Device::cpu, target.raw(), Device::simt, 8);
  EXPECT_EQ(back, (std::vector<int>{5, 4}));
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceTest, ::testing::Values(Device::cpu, Device::simt, Device::cuda),
                         [](const auto& setting) { return name_of(setting.param); });

TEST(DeviceTablesTest, EveryLinkedOperationIsRegisteredOnce) {
  ASSERT_TRUE(has_device_table<Softmax<float>>(Device::simt));
  register_device_operations();
  EXPECT_EQ(device_versions<Softmax<float>>(Device::simt).size(), 2U);  // "" and "naive"
}

TEST(DeviceTablesTest, AMissingTableIsOneClearError) {
  struct Nothing {};
  try {
    device_table<Nothing>(Device::simt, "nothing");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "nothing: this build has no simt version; use --device cpu");
  }
}

TEST(LaunchTest, KernelNamesAreCutFromWhatEachCompilerSays) {
  EXPECT_EQ(kernel_name("constexpr const char* mt::kernel_signature() [with auto kKernel = "
                        "mt::simt_backend::{anonymous}::scale<4>]"),
            "scale<4>");
  EXPECT_EQ(kernel_name("const char *mt::kernel_signature() [kKernel = &mt::simt_backend::(anonymous "
                        "namespace)::scale]"),
            "scale");
  EXPECT_EQ(
      kernel_name("… [with auto kKernel = cuda_backend::_GLOBAL__N__81c2f8b8_4_k_cu_main::scale<mt::A>]"),
      "scale<mt::A>");
}

}  // namespace
}  // namespace mt
