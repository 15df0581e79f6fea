// What correct kernels may rely on: indices, barriers, shuffles, votes, atomics, shared memory, in every
// order.

#include "kernels/simt/machine.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

using simt_machine::Order;
using simt_machine::Schedule;

class MachineTest : public ::testing::TestWithParam<Schedule> {
 protected:
  void SetUp() override { simt_machine::set_schedule(GetParam()); }
  void TearDown() override { simt_machine::set_schedule({}); }
};

__global__ void write_indices(int* seen) {  // (grid z, y, x, block z, y, x)
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  seen[block * blockDim.x * blockDim.y * blockDim.z + thread] += static_cast<int>(1 + thread + 1000 * block);
}

TEST_P(MachineTest, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> seen(12 * 30);
  launch<write_indices>(Extent(2, 3, 2), Extent(5, 3, 2), 0, nullptr, seen.data());
  for (int block = 0; block < 12; ++block) {
    for (int t = 0; t < 30; ++t)
      EXPECT_EQ(seen[static_cast<std::size_t>(block * 30 + t)], 1 + t + 1000 * block);
  }
}

// Doubling distances: needs both barriers of each step.
__global__ void prefix_sum(const int* in, int* out) {  // (blockDim.x)
  SHARED(int, value, 96);
  value[threadIdx.x] = in[threadIdx.x];
  simt::sync_threads();
  for (unsigned distance = 1; distance < blockDim.x; distance *= 2) {
    const int before = threadIdx.x >= distance ? value[threadIdx.x - distance] : 0;
    simt::sync_threads();
    value[threadIdx.x] += before;
    simt::sync_threads();
  }
  out[threadIdx.x] = value[threadIdx.x];
}

TEST_P(MachineTest, BarriersOrderSharedMemory) {
  std::vector<int> in(96);
  std::iota(in.begin(), in.end(), 3);
  std::vector<int> out(96);
  std::vector<int> want(96);
  std::partial_sum(in.begin(), in.end(), want.begin());
  launch<prefix_sum>(1, 96, 0, nullptr, in.data(), out.data());
  EXPECT_EQ(out, want);
}

__global__ void exchange(int* out, unsigned* ballots) {  // out: (6, 40), ballots: (40)
  const unsigned t = threadIdx.x;
  const unsigned mask = t < 32 ? simt::kFullMask : 0xffU;  // the second warp has 8 lanes
  const int mine = static_cast<int>(t * t);
  out[t] = simt::shuffle(mask, mine, 5);
  out[40 + t] = simt::shuffle_xor(mask, mine, 3);
  out[80 + t] = simt::shuffle_down(mask, mine, t < 32 ? 4 : 0);
  out[120 + t] = simt::shuffle_up(mask, mine, 2);
  out[160 + t] = simt::any(mask, t == 33) ? 1 : 0;
  out[200 + t] = simt::all(mask, t < 32) ? 1 : 0;
  ballots[t] = simt::ballot(mask, t % 3 == 0);
  if (t < 16) {  // half a warp, while the other half goes on
    out[t] += simt::shuffle(0xffffU, mine, 15);
    simt::sync_warp(0xffffU);
  }
}

TEST_P(MachineTest, WarpOperationsAgreeWithTheirDefinition) {
  std::vector<int> out(240);
  std::vector<unsigned> ballots(40);
  launch<exchange>(1, 40, 0, nullptr, out.data(), ballots.data());
  const auto square = [](int t) { return t * t; };
  for (int t = 0; t < 40; ++t) {
    const int first = t / 32 * 32;
    const int lane = t % 32;
    const auto at = [&](int row) { return out[static_cast<std::size_t>(40 * row + t)]; };
    EXPECT_EQ(at(0), square(first + 5) + (t < 16 ? square(15) : 0));
    EXPECT_EQ(at(1), square(first + (lane ^ 3)));
    EXPECT_EQ(at(2), square(t < 32 && lane + 4 < 32 ? t + 4 : t));
    EXPECT_EQ(at(3), square(lane >= 2 ? t - 2 : t));
    EXPECT_EQ(at(4), t >= 32 ? 1 : 0);
    EXPECT_EQ(at(5), t < 32 ? 1 : 0);
    // 3 | t: lanes 0, 3, … of the first warp; threads 33, 36, 39 are lanes 1, 4, 7 of the second.
    EXPECT_EQ(ballots[static_cast<std::size_t>(t)], t < 32 ? 0x49249249U : 0x92U);
  }
}

__global__ void count_and_claim(int* total, unsigned* largest, int* claimed) {
  simt::atomic_add(total, 2);
  simt::atomic_max(largest, blockIdx.x * blockDim.x + threadIdx.x);
  simt::atomic_cas(claimed, 0, 7);
}

TEST_P(MachineTest, AtomicsLoseNothing) {
  int total = 0;
  unsigned largest = 0;
  int claimed = 0;
  launch<count_and_claim>(5, 50, 0, nullptr, &total, &largest, &claimed);
  EXPECT_EQ(total, 500);
  EXPECT_EQ(largest, 249U);
  EXPECT_EQ(claimed, 7);
}

template <int kScale>
__global__ void reverse(float* data) {  // (gridDim.x, blockDim.x)
  DYN_SHARED(float, row);
  SHARED(int, order, 64);
  row[threadIdx.x] = kScale * data[blockIdx.x * blockDim.x + threadIdx.x];
  order[threadIdx.x] = static_cast<int>(blockDim.x - 1 - threadIdx.x);
  simt::sync_threads();
  data[blockIdx.x * blockDim.x + threadIdx.x] = row[order[threadIdx.x]];
}

TEST_P(MachineTest, DynamicAndStaticSharedMemoryBelongToTheirBlock) {
  std::vector<float> data(3 * 64);
  std::iota(data.begin(), data.end(), 0.0F);
  launch<reverse<2>>(3, 64, 64 * 4, nullptr, data.data());
  launch<reverse<3>>(3, 64, 64 * 4, nullptr, data.data());
  for (std::size_t i = 0; i < data.size(); ++i) EXPECT_EQ(data[i], 6 * static_cast<float>(i));
}

__global__ void largest_block(int* out) {
  simt::sync_threads();
  out[threadIdx.x] = static_cast<int>(threadIdx.x);
}

TEST_P(MachineTest, RunsTheLargestBlock) {
  std::vector<int> out(1024);
  launch<largest_block>(1, 1024, 0, nullptr, out.data());
  for (int t = 0; t < 1024; ++t) EXPECT_EQ(out[static_cast<std::size_t>(t)], t);
}

std::string schedule_name(const ::testing::TestParamInfo<Schedule>& info) {
  constexpr const char* kOrders[] = {"ascending", "reversed", "fair", "unfair"};
  return kOrders[static_cast<std::size_t>(info.param.order)] + std::to_string(info.param.seed);
}

INSTANTIATE_TEST_SUITE_P(Schedules, MachineTest,
                         ::testing::Values(Schedule{Order::ascending, 0}, Schedule{Order::reversed, 0},
                                           Schedule{Order::fair, 1}, Schedule{Order::fair, 2},
                                           Schedule{Order::unfair, 1}, Schedule{Order::unfair, 2}),
                         schedule_name);

__global__ void record_order(int* order, int* next) {
  order[simt::atomic_add(next, 1)] = static_cast<int>(threadIdx.x);
}

std::vector<int> order_under(Schedule schedule) {
  simt_machine::set_schedule(schedule);
  std::vector<int> order(96, -1);
  int next = 0;
  launch<record_order>(1, 96, 0, nullptr, order.data(), &next);
  simt_machine::set_schedule({});
  return order;
}

TEST(MachineScheduleTest, ReversedIsTheOppositeOfAscending) {
  const auto up = order_under({Order::ascending, 0});
  const auto down = order_under({Order::reversed, 0});
  EXPECT_TRUE(std::is_sorted(up.begin(), up.end()));
  EXPECT_TRUE(std::is_sorted(down.rbegin(), down.rend()));
}

TEST(MachineScheduleTest, SeededOrdersDifferAndRepeat) {
  for (const Order order : {Order::fair, Order::unfair}) {
    EXPECT_EQ(order_under({order, 1}), order_under({order, 1}));
    EXPECT_NE(order_under({order, 1}), order_under({order, 2}));
  }
}

TEST(MachineScheduleTest, UnfairStaysInAWarpUntilItIsDone) {
  const auto order = order_under({Order::unfair, 3});
  for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i] / 32, order[i / 32 * 32] / 32);
}

// A missing barrier between warps: thread t reads what thread t + step wrote. Which orders show it depends on
// the direction.
template <bool kWait>
__global__ void read_neighbour(int* out, int step) {
  SHARED(int, value, 128);
  value[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kWait) simt::sync_threads();
  out[threadIdx.x] = value[(static_cast<int>(threadIdx.x) + step + 128) % 128];
}

template <bool kWait>
bool shows(Schedule schedule, int step) {
  simt_machine::set_schedule(schedule);
  std::vector<int> out(128);
  launch<read_neighbour<kWait>>(1, 128, 0, nullptr, out.data(), step);
  simt_machine::set_schedule({});
  for (int t = 0; t < 128; ++t) {
    if (out[static_cast<std::size_t>(t)] != (t + step + 128) % 128) return true;
  }
  return false;
}

TEST(MachineScheduleTest, AMissingBarrierShowsInSomeOrderAndTheRepairedKernelInNone) {
  for (const int step : {-32, 32}) {
    bool seen = false;
    for (const Order order : {Order::ascending, Order::reversed, Order::fair, Order::unfair}) {
      for (const uint64_t seed : {1U, 2U}) {
        seen |= shows<false>({order, seed}, step);
        EXPECT_FALSE(shows<true>({order, seed}, step));
      }
    }
    EXPECT_TRUE(seen);
  }
}

}  // namespace
}  // namespace mt::MT_BACKEND
