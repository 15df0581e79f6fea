#include "kernels/device/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "kernels/common/tables.h"
#include "kernels/device/host_runtime.h"
#include "kernels/device/launch.h"
#include "kernels/device/memory_pool.h"
#include "kernels/device/queued_check.h"
#include "kernels/fill/fill.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/softmax/softmax.h"
#include "tensor/check.h"
#include "tensor/tensor.h"
#include "tests/harness/error_of.h"

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

TEST_P(DeviceTest, AQueuedCopyHasReadItsSourceWhenItReturns) {
  const Tensor target = Tensor::empty({2, 40000}, DType::i32, GetParam());
  for (const int64_t n : {1, 40000, 7}) {
    for (int round = 0; round < 40; ++round) {  // more than the staging memory holds at once
      std::vector<int> values(static_cast<std::size_t>(n), round);
      queue_copy_to_device(GetParam(), target.raw(), values.data(), values.size() * sizeof(int));
      std::fill(values.begin(), values.end(), -1);
    }
    std::vector<int> back(static_cast<std::size_t>(n));
    copy_bytes(back.data(), Device::cpu, target.raw(), GetParam(), back.size() * sizeof(int));
    EXPECT_EQ(back, std::vector<int>(static_cast<std::size_t>(n), 39));
  }
  queue_copy_to_device(GetParam(), nullptr, nullptr, 0);
}

TEST_P(DeviceTest, AGraphDoesItsWorkWheneverItIsReplayed) {
  const OwnedStream stream(GetParam());
  const Tensor source = Tensor::empty({4}, DType::i32, GetParam());
  const Tensor target = Tensor::empty({4}, DType::i32, GetParam());
  std::vector<int> values{1, 2, 3, 4};
  Graph graph(GetParam(), stream.get(), [&] {
    copy_bytes(target.raw(), GetParam(), source.raw(), GetParam(), source.bytes(), stream.get());
  });
  ASSERT_TRUE(graph.recorded());
  for (int round = 0; round < 2; ++round) {
    values[0] = 10 + round;
    copy_bytes(source.raw(), GetParam(), values.data(), Device::cpu, source.bytes());
    graph.replay(stream.get());
    std::vector<int> back(4);
    copy_bytes(back.data(), Device::cpu, target.raw(), GetParam(), target.bytes(), stream.get());
    EXPECT_EQ(back, values);
  }
}

TEST(CudaGraphTest, WhatWaitsForTheDeviceCannotBeRecorded) {
  if (!device_is_present(Device::cuda)) GTEST_SKIP() << "no NVIDIA GPU";
  const OwnedStream stream(Device::cuda);
  const Tensor target = Tensor::empty({1}, DType::i32, Device::cuda);
  const Graph waits(Device::cuda, stream.get(), [&] { synchronize(Device::cuda, stream.get()); });
  EXPECT_FALSE(waits.recorded());
  const int value = 1;
  const Graph stages(Device::cuda, stream.get(), [&] {
    queue_copy_to_device(Device::cuda, target.raw(), &value, sizeof(value), stream.get());
  });
  EXPECT_FALSE(stages.recorded());
  const Graph nothing(Device::cuda, stream.get(), [] {});
  EXPECT_FALSE(nothing.recorded());
  synchronize(Device::cuda);  // and no error is left behind
}

TEST(FailureLedgerTest, TheFirstCheckThatFailedIsDescribed) {
  FailureLedger ledger;
  const auto describe = [](const char* name) {
    return [name](int64_t index) { return fmt::format("{} at {}", name, index); };
  };
  const FailureBits a = ledger.announce(describe("a"));
  const FailureBits b = ledger.announce(describe("b"));
  const int64_t far = (int64_t{1} << kFailureIndexBits) - 1;
  EXPECT_LT(a | static_cast<FailureBits>(far), b);  // whatever index a names, it is said first
  EXPECT_EQ(ledger.settle(std::min(b | 3, b | 7), 2), "b at 3");
  EXPECT_EQ(ledger.size(), 0U);
  EXPECT_EQ(ledger.announce(describe("c")), a);  // numbers begin anew
  EXPECT_EQ(ledger.settle(kNoFailure, 1), "");
  EXPECT_EQ(ledger.size(), 0U);
  EXPECT_EQ(ledger.settle(a | 1, 0), "");  // of nobody
}

TEST(FailureLedgerTest, ACheckThatWasAnnouncedWhileOthersWereReadIsNotForgotten) {
  FailureLedger ledger;
  const auto describe = [](int64_t index) { return fmt::format("at {}", index); };
  ledger.announce(describe);
  const FailureBits later = ledger.announce(describe);
  EXPECT_EQ(ledger.settle(kNoFailure, 1), "");  // the word was copied before `later` was announced
  EXPECT_EQ(ledger.settle(later | 5, 2), "at 5");
}

TEST_P(DeviceTest, AFailedCheckIsSaidOnceAndTheNextOnesGoOn) {
  if (GetParam() == Device::cpu) GTEST_SKIP() << "the cpu checks as it computes";
  const std::vector<float> bad{1, NAN, 2};
  const Tensor gradients = Tensor::empty({3}, DType::f32, GetParam());
  const auto& op = optimizer<float>(GetParam());
  const auto require = [&](const char* error) {
    op.require_finite(gradients.data<float>(), 3, error, nullptr);
  };
  for (int round = 0; round < 2; ++round) {
    copy_bytes(gradients.raw(), GetParam(), bad.data(), Device::cpu, gradients.bytes());
    EXPECT_EQ(error_of([&] {
                require("first");
                require("second");
                std::vector<float> back(3);
                copy_bytes(back.data(), Device::cpu, gradients.raw(), GetParam(), gradients.bytes());
              }),
              "first");
    const std::vector<float> good{1, 2, 3};
    copy_bytes(gradients.raw(), GetParam(), good.data(), Device::cpu, gradients.bytes());
    EXPECT_EQ(error_of([&] {
                require("third");
                synchronize(GetParam());
              }),
              "no error");
  }
}

/// A device on which some kernel has failed: whoever waits is told.
class BrokenRuntime final : public HostRuntime {
 public:
  BrokenRuntime() : HostRuntime("broken") {}
  void synchronize(Stream) override { fail("cuda: an illegal memory access was encountered"); }
};

TEST(DeviceErrorTest, WhatADestructorWaitsForThrowsNothing) {
  BrokenRuntime broken;
  DeviceRuntime& simt = device_runtime(Device::simt);
  register_device(Device::simt, &broken);
  EXPECT_THROW(synchronize(Device::simt), Error);
  static_assert(noexcept(settle(Device::simt, nullptr)));
  settle(Device::simt, nullptr);
  register_device(Device::simt, &simt);
}

/// `--gpu N` in a process of its own, as the driver reads its environment once.
class ChooseGpuTest : public ::testing::Test {
 protected:
  void SetUp() override { ::testing::FLAGS_gtest_death_test_style = "threadsafe"; }
  [[noreturn]] static void choose(const char* visible, int64_t number) {
    unsetenv("CUDA_DEVICE_ORDER");
    if (visible == nullptr) {
      unsetenv("CUDA_VISIBLE_DEVICES");
    } else {
      setenv("CUDA_VISIBLE_DEVICES", visible, 1);
    }
    const std::string error = error_of([&] { choose_gpu(number); });
    const char* order = std::getenv("CUDA_DEVICE_ORDER");
    const char* chosen = std::getenv("CUDA_VISIBLE_DEVICES");
    fmt::print(stderr, "{}; {}; {}", error, chosen == nullptr ? "all" : chosen,
               order == nullptr ? "any order" : order);
    std::exit(0);
  }
};

TEST_F(ChooseGpuTest, OfAllItIsTheOneThatNvidiaSmiNumbersSo) {
  EXPECT_EXIT(choose(nullptr, 3), ::testing::ExitedWithCode(0), "^no error; 3; PCI_BUS_ID$");
}

TEST_F(ChooseGpuTest, OfThoseThatTheEnvironmentNamesItIsTheOneAtThatPlace) {
  EXPECT_EXIT(choose("2,GPU-8932f937,0", 1), ::testing::ExitedWithCode(0),
              "^no error; GPU-8932f937; any order$");
}

TEST_F(ChooseGpuTest, ANumberBeyondTheListIsRefused) {
  EXPECT_EXIT(choose("2,5", 2), ::testing::ExitedWithCode(0),
              "^--gpu 2: CUDA_VISIBLE_DEVICES=2,5 names 2 of them, counted from 0; 2,5; any order$");
  EXPECT_EXIT(choose("", 0), ::testing::ExitedWithCode(0), "names 0 of them");
  EXPECT_EXIT(choose(nullptr, -1), ::testing::ExitedWithCode(0), "^--gpu -1: GPUs are counted from 0; all;");
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

// The driver reports what went wrong in earlier work when something is launched.
TEST(LaunchTest, WhatTheDriverSaysMayBeTheFaultOfEarlierWork) {
  const LaunchConfig config{"[with auto kKernel = mt::simt_backend::scale]", 7, 128, 0, nullptr};
  EXPECT_EQ(
      error_of([&] { fail_queued(config, "an illegal memory access was encountered"); }),
      "scale <grid (7,1,1), block (128,1,1), 0 shared bytes>, or work queued before it: an illegal memory "
      "access was encountered");
}

TEST(LaunchTest, ACudaLaunchWithoutADriverIsOneErrorThatNamesIt) {
  if (find_device_table<Fill<float>>(Device::cuda) == nullptr || device_is_present(Device::cuda))
    GTEST_SKIP() << "needs a build for cuda on a machine without a GPU";
  EXPECT_NE(error_of([] {
              fill<float>(Device::cuda).constant(nullptr, 0, 8, nullptr);
            }).find("or work queued before it: "),
            std::string::npos);
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
