// What correct kernels may rely on beyond machine_test.cc: asynchronous copies, matrix fragments, wide
// atomics and the arithmetic of bits, in every order.

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/device/fragment.h"
#include "tensor/rng.h"

namespace mt::MT_BACKEND {
namespace {

using simt::Layout;
using simt_machine::Order;
using simt_machine::Schedule;

class DialectTest : public ::testing::TestWithParam<Schedule> {
 protected:
  void SetUp() override { simt_machine::set_schedule(GetParam()); }
  void TearDown() override { simt_machine::set_schedule({}); }
};

// ---- Asynchronous copies

// Two stages, as a GEMM has them: the copy of the next tile is on its way while this one is read.
template <int kBytes>
__global__ void pipeline(const float* in, float* out, int tiles) {  // in, out: (tiles, 32 · kBytes / 4)
  constexpr int kElements = kBytes / 4;
  constexpr int kTile = 32 * kElements;
  SHARED(float, stage, 2 * kTile);  // (2, kTile)
  const int mine = static_cast<int>(threadIdx.x) * kElements;
  simt::copy_async<kBytes>(stage + mine, in + mine);
  simt::commit_async();
  for (int tile = 0; tile < tiles; ++tile) {
    const int next = tile + 1;
    simt::copy_async<kBytes>(stage + next % 2 * kTile + mine, in + (next < tiles ? next : 0) * kTile + mine,
                             next < tiles);
    simt::commit_async();
    simt::wait_async<1>();
    simt::sync_threads();
    for (int i = 0; i < kElements; ++i)  // what another thread has copied
      out[tile * kTile + mine + i] = stage[tile % 2 * kTile + kTile - 1 - mine - i];
    simt::sync_threads();
  }
  simt::wait_async<0>();
  for (int i = 0; i < kElements; ++i) out[tiles * kTile + mine + i] = stage[tiles % 2 * kTile + mine + i];
}

template <int kBytes>
void expect_pipeline_copies() {
  constexpr int kTile = 8 * kBytes;
  constexpr int kTiles = 5;
  alignas(16) float in[kTiles * kTile];
  std::iota(std::begin(in), std::end(in), 1.0F);
  std::vector<float> out((kTiles + 1) * kTile, -1);
  launch<pipeline<kBytes>>(1, 32, 0, nullptr, in, out.data(), kTiles);
  for (int tile = 0; tile < kTiles; ++tile) {
    for (int i = 0; i < kTile; ++i)
      ASSERT_EQ(out[static_cast<std::size_t>(tile * kTile + i)], in[tile * kTile + kTile - 1 - i]);
  }
  for (int i = 0; i < kTile; ++i)
    ASSERT_EQ(out[static_cast<std::size_t>(kTiles * kTile + i)], 0);  // not valid
}

TEST_P(DialectTest, AsynchronousCopiesArriveBehindTheirWait) {
  expect_pipeline_copies<4>();
  expect_pipeline_copies<8>();
  expect_pipeline_copies<16>();
}

// Each thread sees its own copies behind the wait; those of a younger group are not there yet.
__global__ void groups(const int* in, int* out) {  // in: (32), out: (3, 32)
  SHARED(int, value, 64);
  const unsigned t = threadIdx.x;
  simt::copy_async<4>(value + t, in + t);
  simt::commit_async();
  simt::copy_async<4>(value + 32 + t, in + t);
  simt::commit_async();
  simt::wait_async<1>();
  out[t] = value[t];
  out[32 + t] = value[32 + t];
  simt::wait_async<0>();
  out[64 + t] = value[32 + t];
}

TEST_P(DialectTest, WaitsForAllButTheNewestGroups) {
  std::vector<int> in(32);
  std::iota(in.begin(), in.end(), 100);
  std::vector<int> out(96);
  launch<groups>(1, 32, 0, nullptr, in.data(), out.data());
  for (std::size_t t = 0; t < 32; ++t) {
    EXPECT_EQ(out[t], in[t]);
    EXPECT_EQ(out[32 + t], 0x7B7B7B7B);
    EXPECT_EQ(out[64 + t], in[t]);
  }
}

// ---- Matrix fragments

float rounded(float value, simt::Tf32) {
  return simt::to_tf32(value);
}
float rounded(float value, simt::Bf16) {
  return simt::to_float(simt::to_bfloat16(value));
}
void assign(float& target, float value) {
  target = value;
}
void assign(simt::bfloat16& target, float value) {
  target = simt::to_bfloat16(value);
}

/// copy = source, `count` elements; for all lanes of the warp.
template <typename T>
void copy_to_shared(T* copy, const T* source, int count) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += 32) copy[i] = source[i];
  simt::sync_warp(simt::kFullMask);
}

constexpr int kStride = 48;  // of all matrices in memory, wider than they are

// Two tiles beside each other: c (16,16) += a (16, 2·kDepth) · b (2·kDepth, 16), then c = 2c + 1.
template <typename P, Layout kLayoutA, Layout kLayoutB>
__global__ void tile_product(const typename P::Element* global_a, int lda,
                             const typename P::Element* global_b, int ldb, float* c, int ldc) {
  SHARED(typename P::Element, a, kStride * 2 * P::kDepth);
  SHARED(typename P::Element, b, kStride * 2 * P::kDepth);
  copy_to_shared(a, global_a, kStride * 2 * P::kDepth);
  copy_to_shared(b, global_b, kStride * 2 * P::kDepth);
  DYN_SHARED(float, sum);  // (16, 20)
  simt::FragmentA<P, kLayoutA> fragment_a;
  simt::FragmentB<P, kLayoutB> fragment_b;
  simt::Accumulator<P> accumulator;
  simt::load_accumulator(accumulator, c, ldc);
  for (int k = 0; k < 2 * P::kDepth; k += P::kDepth) {
    simt::load_fragment(fragment_a, kLayoutA == Layout::row_major ? a + k : a + k * lda, lda);
    simt::load_fragment(fragment_b, kLayoutB == Layout::row_major ? b + k * ldb : b + k, ldb);
    if constexpr (sizeof(typename P::Element) == sizeof(float)) {
      simt::round_fragment(fragment_a);
      simt::round_fragment(fragment_b);
    }
    simt::multiply_accumulate(accumulator, fragment_a, fragment_b);
  }
  for (int i = 0; i < accumulator.size(); ++i) accumulator[i] = 2 * accumulator[i] + 1;
  simt::store_accumulator(sum, accumulator, 20);
  simt::sync_warp(simt::kFullMask);
  for (unsigned i = threadIdx.x; i < 256; i += 32)
    c[static_cast<int>(i / 16) * ldc + static_cast<int>(i % 16)] = sum[i / 16 * 20 + i % 16];
}

template <typename P, Layout kLayoutA, Layout kLayoutB>
void expect_product() {
  using Element = typename P::Element;
  constexpr int kDepth = 2 * P::kDepth;
  alignas(32) Element a[kStride * kDepth]{};
  alignas(32) Element b[kStride * kDepth]{};
  alignas(32) float c[kStride * 16]{};
  float a_values[16][kDepth];
  float b_values[kDepth][16];
  RandomStream random(5, Purpose::test);
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < kDepth; ++k) {
      a_values[i][k] = random.uniform(-1, 1);
      b_values[k][i] = random.uniform(-1, 1);
      assign(a[kLayoutA == Layout::row_major ? i * kStride + k : k * kStride + i], a_values[i][k]);
      assign(b[kLayoutB == Layout::row_major ? k * kStride + i : i * kStride + k], b_values[k][i]);
    }
    for (int j = 0; j < 16; ++j) c[i * kStride + j] = static_cast<float>(i - j);
  }
  launch<tile_product<P, kLayoutA, kLayoutB>>(1, 32, 16 * 20 * 4, nullptr, a, kStride, b, kStride, c,
                                              kStride);
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      double want = i - j;
      double magnitude = std::abs(want);
      for (int k = 0; k < kDepth; ++k) {
        const double term = static_cast<double>(rounded(a_values[i][k], P{})) *
                            static_cast<double>(rounded(b_values[k][j], P{}));
        want += term;
        magnitude += std::abs(term);
      }
      // kDepth + 1 additions, a product and an addition, each rounded to float32; the products are exact.
      const double bound = (kDepth + 3) * 0x1p-24 * (2 * magnitude + 1);
      ASSERT_LE(std::abs(static_cast<double>(c[i * kStride + j]) - (2 * want + 1)), bound) << i << ", " << j;
    }
  }
}

TEST_P(DialectTest, FragmentsMultiplyInEveryLayout) {
  constexpr Layout kRow = Layout::row_major;
  constexpr Layout kColumn = Layout::column_major;
  expect_product<simt::Tf32, kRow, kRow>();
  expect_product<simt::Tf32, kRow, kColumn>();
  expect_product<simt::Tf32, kColumn, kRow>();
  expect_product<simt::Tf32, kColumn, kColumn>();
  expect_product<simt::Bf16, kRow, kRow>();
  expect_product<simt::Bf16, kRow, kColumn>();
  expect_product<simt::Bf16, kColumn, kRow>();
  expect_product<simt::Bf16, kColumn, kColumn>();
}

// The split of 3×TF32: a = big + small to 21 bits or more; small·small is left out.
__global__ void split_product(const float* global_a, const float* global_b, float* c) {
  // a: (16,8), b: (8,16), c: (16,16)
  using simt::Tf32;
  SHARED(float, a, 16 * 8);
  SHARED(float, b, 8 * 16);
  copy_to_shared(a, global_a, 16 * 8);
  copy_to_shared(b, global_b, 8 * 16);
  simt::FragmentA<Tf32, Layout::row_major> a_big, a_small;
  simt::FragmentB<Tf32, Layout::row_major> b_big, b_small;
  simt::load_fragment(a_big, a, 8);
  simt::load_fragment(b_big, b, 16);
  for (int i = 0; i < a_big.size(); ++i) {
    const float x = a_big[i];
    a_big[i] = simt::to_tf32(x);
    a_small[i] = simt::to_tf32(x - a_big[i]);
  }
  for (int i = 0; i < b_big.size(); ++i) {
    const float x = b_big[i];
    b_big[i] = simt::to_tf32(x);
    b_small[i] = simt::to_tf32(x - b_big[i]);
  }
  simt::Accumulator<Tf32> sum;
  simt::fill(sum, 0.0F);
  simt::multiply_accumulate(sum, a_small, b_big);
  simt::multiply_accumulate(sum, a_big, b_small);
  simt::multiply_accumulate(sum, a_big, b_big);
  simt::store_accumulator(c, sum, 16);
}

TEST_P(DialectTest, ThreeTf32ProductsGiveNearlyFloat32) {
  alignas(32) float a[16 * 8];
  alignas(32) float b[8 * 16];
  alignas(32) float c[16 * 16];
  RandomStream random(6, Purpose::test);
  for (float& x : a) x = random.uniform(-1, 1);
  for (float& x : b) x = random.uniform(-1, 1);
  launch<split_product>(1, 32, 0, nullptr, a, b, c);
  double tf32_error = 0;
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      double want = 0;
      double magnitude = 0;
      double tf32 = 0;
      for (int k = 0; k < 8; ++k) {
        const double term = static_cast<double>(a[i * 8 + k]) * static_cast<double>(b[k * 16 + j]);
        want += term;
        magnitude += std::abs(term);
        tf32 += static_cast<double>(simt::to_tf32(a[i * 8 + k])) *
                static_cast<double>(simt::to_tf32(b[k * 16 + j]));
      }
      tf32_error = std::max(tf32_error, std::abs(tf32 - want));
      // small·small <= 2^-22 of a product, each small part rounded to 2^-11 of itself, 24 additions.
      const double bound = (24 * 0x1p-24 + 3 * 0x1p-22) * magnitude;
      ASSERT_LE(std::abs(static_cast<double>(c[i * 16 + j]) - want), bound);
    }
  }
  EXPECT_GT(tf32_error, 0x1p-13);  // one product alone would not have passed
}

__global__ void own_elements(float* out) {  // out: (32, 8): the positions that each lane holds
  alignas(32) static const auto positions = [] {
    struct {
      alignas(32) float value[256];
    } all{};
    for (int i = 0; i < 256; ++i) all.value[i] = static_cast<float>(i);
    return all;
  }();
  simt::Accumulator<simt::Bf16> c;
  simt::load_accumulator(c, positions.value, 16);
  for (int i = 0; i < c.size(); ++i) out[static_cast<int>(threadIdx.x) * 8 + i] = c[i];
}

TEST(DialectScheduleTest, WhoHoldsWhichElementChangesWithTheSchedule) {
  const auto under = [](Schedule schedule) {
    simt_machine::set_schedule(schedule);
    std::vector<float> out(256);
    launch<own_elements>(1, 32, 0, nullptr, out.data());
    simt_machine::set_schedule({});
    return out;
  };
  const auto ascending = under({Order::ascending, 0});
  EXPECT_NE(ascending, under({Order::reversed, 0}));
  EXPECT_NE(under({Order::fair, 1}), under({Order::fair, 2}));
  std::vector<float> in_order(256);
  std::iota(in_order.begin(), in_order.end(), 0.0F);
  EXPECT_NE(ascending, in_order);
  std::vector<float> sorted = ascending;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, in_order);  // each element belongs to one lane
}

// ---- Atomics, bits, rounding

__global__ void wide_atomics(int64_t* signed_words, uint64_t* unsigned_words) {  // (4), (4)
  const auto t = static_cast<int64_t>(blockIdx.x * blockDim.x + threadIdx.x);
  const int64_t large = (int64_t{1} << 40) + t;
  simt::atomic_add(signed_words, -large);
  simt::atomic_min(signed_words + 1, -large);
  simt::atomic_max(signed_words + 2, t);
  simt::atomic_cas(signed_words + 3, int64_t{0}, int64_t{-7});
  simt::atomic_add(unsigned_words, uint64_t{1} << 33);
  simt::atomic_min(unsigned_words + 1, static_cast<uint64_t>(large));
  simt::atomic_max(unsigned_words + 2, static_cast<uint64_t>(large));
  simt::atomic_or(unsigned_words + 3, uint64_t{1} << (t % 64));
}

TEST_P(DialectTest, AtomicsOn64Bits) {
  std::vector<int64_t> a{0, 0, -5, 0};
  std::vector<uint64_t> b{0, ~uint64_t{0}, 0, 0};
  launch<wide_atomics>(3, 33, 0, nullptr, a.data(), b.data());
  constexpr int64_t kLarge = int64_t{1} << 40;
  EXPECT_EQ(a, (std::vector<int64_t>{-99 * kLarge - 99 * 98 / 2, -kLarge - 98, 98, -7}));
  EXPECT_EQ(b, (std::vector<uint64_t>{uint64_t{99} << 33, uint64_t{1} << 40, (uint64_t{1} << 40) + 98,
                                      ~uint64_t{0}}));
}

TEST(DialectBitsTest, CountsBits) {
  EXPECT_EQ(simt::popcount(0xF0F0U), 8);
  EXPECT_EQ(simt::popcount(int64_t{-1}), 64);
  EXPECT_EQ(simt::count_leading_zeros(1), 31);
  EXPECT_EQ(simt::count_leading_zeros(0U), 32);
  EXPECT_EQ(simt::count_leading_zeros(uint64_t{1}), 63);
  EXPECT_EQ(simt::find_first_set(0), 0);
  EXPECT_EQ(simt::find_first_set(0x50U), 5);
  EXPECT_EQ(simt::find_first_set(int64_t{1} << 62), 63);
  EXPECT_EQ(simt::float_of(simt::bits_of(-0.75F)), -0.75F);
}

__global__ void ranks(const int* keep, int* rank) {  // (40): how many lanes before this one keep theirs
  const unsigned mask = threadIdx.x < 32 ? simt::kFullMask : 0xffU;
  rank[threadIdx.x] = simt::popcount(simt::ballot(mask, keep[threadIdx.x] != 0) & simt::lanes_below());
}

TEST_P(DialectTest, BallotAndPopcountRankTheLanes) {
  std::vector<int> keep(40);
  for (std::size_t t = 0; t < 40; ++t) keep[t] = t % 3 == 1 ? 1 : 0;
  std::vector<int> rank(40);
  launch<ranks>(1, 40, 0, nullptr, keep.data(), rank.data());
  for (std::size_t t = 0; t < 40; ++t)
    EXPECT_EQ(rank[t], std::accumulate(keep.begin() + static_cast<std::ptrdiff_t>(t / 32 * 32),
                                       keep.begin() + static_cast<std::ptrdiff_t>(t), 0));
}

TEST(DialectRoundingTest, Tf32IsNearestWithTiesAwayFromZero) {
  const float ulp = 0x1p-10F;  // of TF32 in [1, 2)
  EXPECT_EQ(simt::to_tf32(1 + 0.25F * ulp), 1);
  EXPECT_EQ(simt::to_tf32(1 + 0.5F * ulp), 1);  // a tie; away from zero would give 1 + ulp
  EXPECT_EQ(simt::to_tf32(-1 - 0.5F * ulp), -1);
  EXPECT_EQ(simt::to_tf32(1 + 0.5F * ulp + 0x1p-23F), 1 + ulp);
  EXPECT_EQ(simt::to_tf32(1 + 1.5F * ulp), 1 + 2 * ulp);
  EXPECT_EQ(simt::to_tf32(2 - 0x1p-23F), 2);
  EXPECT_EQ(simt::to_tf32(0x1.fffffep127F), INFINITY);
  EXPECT_EQ(simt::to_tf32(-INFINITY), -INFINITY);
  EXPECT_TRUE(std::isnan(simt::to_tf32(NAN)));
  EXPECT_EQ(simt::to_tf32(-0.0F), 0.0F);
}

TEST(DialectRoundingTest, Bfloat16IsNearestWithTiesToEven) {
  const auto through = [](float value) { return simt::to_float(simt::to_bfloat16(value)); };
  const float ulp = 0x1p-7F;  // of bfloat16 in [1, 2)
  EXPECT_EQ(through(1 + 0.5F * ulp), 1);
  EXPECT_EQ(through(1 + 1.5F * ulp), 1 + 2 * ulp);
  EXPECT_EQ(through(1 + 0.51F * ulp), 1 + ulp);
  EXPECT_EQ(through(-3.0F), -3.0F);
  EXPECT_EQ(through(0x1.fffffep127F), INFINITY);
  EXPECT_EQ(through(-INFINITY), -INFINITY);
  EXPECT_TRUE(std::isnan(through(NAN)));
  EXPECT_TRUE(std::isnan(through(simt::float_of(0x7f800001U))));  // rounding must not make it infinite
}

std::string schedule_name(const ::testing::TestParamInfo<Schedule>& info) {
  constexpr const char* kOrders[] = {"ascending", "reversed", "fair", "unfair"};
  return kOrders[static_cast<std::size_t>(info.param.order)] + std::to_string(info.param.seed);
}

INSTANTIATE_TEST_SUITE_P(Schedules, DialectTest,
                         ::testing::Values(Schedule{Order::ascending, 0}, Schedule{Order::reversed, 0},
                                           Schedule{Order::fair, 1}, Schedule{Order::fair, 2},
                                           Schedule{Order::unfair, 1}, Schedule{Order::unfair, 2}),
                         schedule_name);

}  // namespace
}  // namespace mt::MT_BACKEND
