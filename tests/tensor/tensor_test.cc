#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tensor/allocator.h"
#include "tensor/denormals.h"
#include "tensor/parallel.h"
#include "tensor/sanitizers.h"

namespace mt {
namespace {

Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return Tensor::of(values, shape);
}

TEST(TensorTest, ViewsShareTheirStorage) {
  const Tensor t = counting({2, 3, 4});
  const Tensor row = t.select(0, 1).slice(0, 1, 3);  // (2,4)
  EXPECT_EQ(row.shape(), Shape({2, 4}));
  EXPECT_EQ(*row.data<float>(), 16.0F);
  EXPECT_TRUE(row.is_contiguous());
  EXPECT_EQ(row.storage(), t.storage());
  const Tensor turned = t.permute({2, 0, 1});
  EXPECT_EQ(turned.shape(), Shape({4, 2, 3}));
  EXPECT_EQ(turned.stride(0), 1);
  EXPECT_FALSE(turned.is_contiguous());
  EXPECT_EQ(t.view({-1, 12}).shape(), Shape({2, 12}));
  EXPECT_EQ(t.slice(2, 0, 1).expand({2, 3, 9}).stride(2), 0);
}

TEST(TensorTest, MistakesNameTheShape) {
  const Tensor t = counting({2, 3});
  EXPECT_THROW(t.view({4, 2}), Error);
  EXPECT_THROW(t.transpose(0, 1).view({6}), Error);
  EXPECT_THROW(t.select(0, 2), Error);
  EXPECT_THROW(static_cast<void>(t.data<double>()), Error);
  try {
    t.slice(1, 2, 5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "slice: [2, 5) of dimension 1 of tensor (2,3)");
  }
  EXPECT_THROW(Shape({int64_t{1} << 40, int64_t{1} << 40}), Error);
}

TEST(TensorTest, ViewOfStaysInsideItsStorage) {
  const Tensor t = counting({10});
  const std::vector<int64_t> strides{4, 1};
  EXPECT_NO_THROW(Tensor::view_of(t.storage(), 1, {3, 1}, strides, DType::f32));
  EXPECT_THROW(Tensor::view_of(t.storage(), 2, {3, 1}, strides, DType::f32), Error);
  const std::vector<int64_t> huge{INT64_MAX / 2, 1};
  EXPECT_THROW(Tensor::view_of(t.storage(), 0, {3, 1}, huge, DType::f32), Error);
}

TEST(TensorTest, StorageCountsAnnouncedWrites) {
  const Tensor t = counting({3});
  const uint64_t before = t.storage()->version();
  t.storage()->bump_version("sgd");
  EXPECT_EQ(t.storage()->version(), before + 1);
  EXPECT_STREQ(t.storage()->last_writer(), "sgd");
}

TEST(TensorTest, HalfTypesWidenExactly) {
  EXPECT_EQ(f16_to_float(0x3C00), 1.0F);
  EXPECT_EQ(f16_to_float(0x0001), 0x1p-24F);
  EXPECT_EQ(f16_to_float(0xFBFF), -65504.0F);
  EXPECT_EQ(bf16_to_float(0x3F80), 1.0F);
  EXPECT_EQ(float_to_bf16(1.00390625F), 0x3F80);  // half way: to even
  EXPECT_EQ(float_to_bf16(1.01171875F), 0x3F82);
}

TEST(AllocatorTest, CountsLiveAndPeakBytes) {
  Allocator& cpu = allocator(Device::cpu);
  const std::size_t live = cpu.live_bytes();
  cpu.reset_peak();
  { const Tensor t = Tensor::empty({1 << 20}); }
  EXPECT_EQ(cpu.live_bytes(), live);
  EXPECT_GE(cpu.peak_bytes(), live + (4U << 20));
}

TEST(AllocatorTest, BlocksOfEverNewSizesDoNotPileUp) {
  Allocator& cpu = allocator(Device::cpu);
  cpu.reset_peak();
  { const Tensor largest = Tensor::empty({64 << 20}); }  // 256 MiB: the most that is in use at once
  const std::size_t most = std::max(cpu.peak_bytes(), cpu.live_bytes() + cpu.cached_bytes());
  for (int64_t elements = 1 << 18; elements <= 64 << 20;
       elements += elements / 8) {  // 1 to 256 MiB: 2 GiB in all
    const Tensor t = Tensor::empty({elements});
    EXPECT_LE(cpu.live_bytes() + cpu.cached_bytes(), most) << "with " << elements << " elements";
  }
}

TEST(AllocatorTest, ABlockIsHandedOutAgain) {
  if (kAddressSanitizer) GTEST_SKIP() << "nothing is kept under AddressSanitizer";
  Allocator& cpu = allocator(Device::cpu);
  { const Tensor t = Tensor::empty({1 << 20}); }
  const std::size_t cached = cpu.cached_bytes();
  const Tensor again = Tensor::empty({1 << 20});
  EXPECT_EQ(cpu.cached_bytes(), cached - (4U << 20));
}

TEST(ParallelTest, CoversEveryItemOnceAndRethrows) {
  std::vector<std::atomic<int>> counts(1001);
  parallel_for(1001, 7, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++counts[static_cast<std::size_t>(i)];
  });
  for (const auto& count : counts) EXPECT_EQ(count.load(), 1);
  EXPECT_THROW(parallel_for(100, 1, [](int64_t begin, int64_t) { check(begin != 57, "item {}", begin); }),
               Error);
}

TEST(DenormalsTest, AreZeroInTheThreadThatAsksAndInThoseThatItStarts) {
#if defined(__x86_64__) || defined(__aarch64__)
  const volatile float tiny = 1e-30F;
  EXPECT_GT(tiny * 1e-10F, 0.0F);
  std::atomic<int> zeros{0};
  std::thread([&] {
    flush_denormals();
    parallel_for(64, 1, [&](int64_t, int64_t) { zeros += tiny * 1e-10F == 0.0F ? 1 : 0; });
    std::thread([&] { zeros += tiny * 1e-10F == 0.0F ? 1 : 0; }).join();
  }).join();
  EXPECT_EQ(zeros, 65);
  EXPECT_GT(tiny * 1e-10F, 0.0F) << "the threads that were there before keep them";
#else
  GTEST_SKIP() << "this processor is not asked to flush denormals";
#endif
}

}  // namespace
}  // namespace mt
