// Paths, barriers, warp operations, atomics: what a kernel computes, in both orders.

#include <gtest/gtest.h>

#include <numeric>

#include "kernels/ptx/fixture.h"

namespace mt::ptx::testing {
namespace {

class PtxOrder : public ::testing::TestWithParam<Order> {
 protected:
  Configuration with(Extent3 grid, Extent3 block) const { return {grid, block, 0, GetParam()}; }
  /// Each thread's 32-bit %r10, thread by thread, block by block.
  std::vector<uint32_t> results(const std::string& body, Extent3 grid, Extent3 block,
                                const std::string& declarations = "") const {
    const DeviceArray<uint32_t> out(grid.count() * block.count());
    const std::string text = R"(
      mov.u32 %r1, %tid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %ctaid.x; mov.u32 %r4, %laneid;
      mad.lo.s32 %r5, %r3, %r2, %r1; mul.wide.u32 %rd1, %r5, 4; add.s64 %rd2, %a0, %rd1;
      )" + body + "\nst.global.u32 [%rd2], %r10;";
    run_text(kernel_text(1, text, declarations), {out.address()}, with(grid, block));
    return out.values();
  }
};
INSTANTIATE_TEST_SUITE_P(Orders, PtxOrder, ::testing::Values(Order::ascending, Order::reversed),
                         [](const auto& test) {
                           return test.param == Order::ascending ? "ascending" : "reversed";
                         });

TEST_P(PtxOrder, PathsSplitAndJoin) {
  const auto got = results(R"(
    mov.b32 %r10, 0;
    and.b32 %r6, %r1, 3;
    LOOP: setp.ge.u32 %p1, %r10, %r6; @%p1 bra DONE; add.u32 %r10, %r10, 1; bra LOOP;
    DONE: shfl.sync.idx.b32 %r7, %r10, 3, 31, -1;
    mad.lo.s32 %r10, %r7, 100, %r10;
  )",
                           {1, 1, 1}, {32, 1, 1});
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(got[i], 300 + i % 4);
}

TEST_P(PtxOrder, GuardedInstructionsLeaveTheOthersAlone) {
  const auto got =
      results("setp.lt.u32 %p1, %r1, 5; mov.b32 %r10, 7; @%p1 mov.b32 %r10, 8; @!%p1 add.u32 %r10, %r10, 2;",
              {1, 1, 1}, {20, 1, 1});
  for (uint32_t i = 0; i < 20; ++i) EXPECT_EQ(got[i], i < 5 ? 8U : 9U);
}

TEST_P(PtxOrder, BarriersOrderSharedMemory) {
  const auto got = results(R"(
    mov.u32 %r6, s; shl.b32 %r7, %r1, 2; add.u32 %r8, %r6, %r7;
    st.shared.u32 [%r8], %r1;
    bar.sync 0;
    mov.b32 %r9, 316; sub.u32 %r9, %r9, %r7; add.u32 %r9, %r6, %r9;
    ld.shared.u32 %r10, [%r9];
  )",
                           {3, 1, 1}, {80, 1, 1}, ".shared .align 4 .b8 s[320];");
  for (uint32_t i = 0; i < 240; ++i) EXPECT_EQ(got[i], 79 - i % 80);
}

TEST_P(PtxOrder, NamedBarriersOfSomeWarps) {
  const auto got = results(R"(
    mov.u32 %r6, s; mov.b32 %r10, 0;
    setp.ge.u32 %p1, %r1, 64; @%p1 bra OTHERS;
    setp.eq.u32 %p2, %r1, 0; @%p2 st.shared.u32 [%r6], 41;
    bar.sync 1, 64;
    ld.shared.u32 %r10, [%r6];
    OTHERS: bar.sync 0;
  )",
                           {1, 1, 1}, {96, 1, 1}, ".shared .align 4 .b8 s[4];");
  for (uint32_t i = 0; i < 96; ++i) EXPECT_EQ(got[i], i < 64 ? 41U : 0U);
}

TEST_P(PtxOrder, Shuffles) {
  const auto shuffled = [&](const std::string& instruction) {
    return results("add.u32 %r6, %r1, 100; " + instruction, {1, 1, 1}, {32, 1, 1});
  };
  const auto down = shuffled("shfl.sync.down.b32 %r10, %r6, 4, 31, -1;");
  const auto up = shuffled("shfl.sync.up.b32 %r10, %r6, 4, 0, -1;");
  const auto butterfly = shuffled("shfl.sync.bfly.b32 %r10, %r6, 5, 31, -1;");
  const auto segments = shuffled("shfl.sync.idx.b32 %r10, %r6, 1, 0x181f, -1;");  // of 8 lanes
  const auto inside = shuffled("shfl.sync.down.b32 %r7|%p1, %r6, 4, 31, -1; selp.u32 %r10, 1, 0, %p1;");
  for (uint32_t i = 0; i < 32; ++i) {
    EXPECT_EQ(down[i], 100 + (i < 28 ? i + 4 : i));
    EXPECT_EQ(up[i], 100 + (i >= 4 ? i - 4 : i));
    EXPECT_EQ(butterfly[i], 100 + (i ^ 5));
    EXPECT_EQ(segments[i], 100 + i / 8 * 8 + 1);
    EXPECT_EQ(inside[i], i < 28 ? 1U : 0U);
  }
}

TEST_P(PtxOrder, Votes) {
  const auto voted = [&](const std::string& instruction) {
    return results("setp.lt.u32 %p1, %r1, 5; " + instruction, {1, 1, 1}, {32, 1, 1})[7];
  };
  EXPECT_EQ(voted("vote.sync.ballot.b32 %r10, %p1, -1;"), 31U);
  EXPECT_EQ(voted("vote.sync.ballot.b32 %r10, !%p1, -1;"), ~31U);
  EXPECT_EQ(voted("vote.sync.any.pred %p2, %p1, -1; selp.u32 %r10, 1, 0, %p2;"), 1U);
  EXPECT_EQ(voted("vote.sync.all.pred %p2, %p1, -1; selp.u32 %r10, 1, 0, %p2;"), 0U);
  EXPECT_EQ(voted("shr.u32 %r6, %r1, 1; match.any.sync.b32 %r10, %r6, -1;"), 0xc0U);
}

TEST_P(PtxOrder, LanesWithAMaskOfTheirOwnMeetOneAfterAnother) {
  const auto got = results(R"(
    setp.lt.u32 %p1, %r1, 16; selp.b32 %r6, 0xffff, 0xffff0000, %p1;
    shfl.sync.bfly.b32 %r10, %r1, 1, 31, %r6;
  )",
                           {1, 1, 1}, {32, 1, 1});
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(got[i], i ^ 1);
}

TEST_P(PtxOrder, AtomicsSumOverBlocksWhateverTheOrder) {
  const DeviceArray<uint64_t> sums(std::vector<uint64_t>{0, 1000, 0});
  const std::string body = R"(
    mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mad.lo.s32 %r3, %r2, 64, %r1; cvt.u64.u32 %rd1, %r3;
    red.global.add.u64 [%a0], %rd1;
    atom.global.min.s64 %rd2, [%a0+8], %rd1;
    atom.global.cas.b32 %r4, [%a0+16], 0, 5;
    atom.global.exch.b32 %r4, [%a0+20], 9;
  )";
  run_text(kernel_text(1, body), {sums.address()}, with({50, 1, 1}, {64, 1, 1}));
  EXPECT_EQ(sums.values(), (std::vector<uint64_t>{uint64_t{3200} * 3199 / 2, 0, uint64_t{9} << 32 | 5}));
}

TEST_P(PtxOrder, GridsAndBlocksHaveThreeDimensions) {
  const DeviceArray<uint32_t> out(2 * 3 * 4 * 2 * 2 * 3);
  const std::string body = R"(
    mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %tid.z;
    mov.u32 %r4, %ctaid.x; mov.u32 %r5, %ctaid.y; mov.u32 %r6, %ctaid.z;
    mov.u32 %r11, %ntid.x; mov.u32 %r12, %ntid.y; mov.u32 %r13, %ntid.z; mov.u32 %r14, %nctaid.x; mov.u32 %r15, %nctaid.y;
    mad.lo.u32 %r7, %r6, %r15, %r5; mad.lo.u32 %r7, %r7, %r14, %r4;
    mad.lo.u32 %r7, %r7, %r13, %r3; mad.lo.u32 %r7, %r7, %r12, %r2; mad.lo.u32 %r7, %r7, %r11, %r1;
    mul.wide.u32 %rd1, %r7, 4; add.s64 %rd1, %a0, %rd1; st.global.u32 [%rd1], %r7;
  )";
  run_text(kernel_text(1, body), {out.address()}, with({2, 3, 4}, {2, 2, 3}));
  std::vector<uint32_t> want(288);
  std::iota(want.begin(), want.end(), 0);
  EXPECT_EQ(out.values(), want);
}

TEST_P(PtxOrder, VectorsConstantsLocalAndGenericMemory) {
  const DeviceArray<uint32_t> out(std::vector<uint32_t>(8, 0));
  const std::string body = R"(
    .local .align 16 .b8 l[32];
    mov.u64 %rd1, c; ld.const.v2.u32 {%r1, %r2}, [%rd1]; ld.const.s8 %r3, [c+8];
    mov.u64 %rd2, l; st.local.v2.u32 [%rd2+8], {%r1, %r2}; cvta.local.u64 %rd3, %rd2; ld.u32 %r4, [%rd3+12];
    mov.u64 %rd4, s; cvta.shared.u64 %rd5, %rd4; st.u16 [%rd5+2], 7; ld.shared.u16 %rs1, [s+2]; cvt.u32.u16 %r5, %rs1;
    st.global.v4.u32 [%a0], {%r1, %r2, %r3, %r4}; st.global.u32 [%a0+16], %r5;
  )";
  run_text(
      kernel_text(1, body,
                  ".const .align 8 .b8 c[9] = {1, 0, 0, 0, 2, 0, 0, 0, 255};\n.shared .align 2 .b8 s[4];"),
      {out.address()}, with({1, 1, 1}, {1, 1, 1}));
  EXPECT_EQ(out.values(), (std::vector<uint32_t>{1, 2, 0xffffffff, 2, 7, 0, 0, 0}));
}

TEST_P(PtxOrder, CpAsyncCopiesWithZerosBehind) {
  const DeviceArray<uint32_t> in(std::vector<uint32_t>{1, 2, 3, 4});
  const DeviceArray<uint32_t> out(std::vector<uint32_t>(4, 9));
  const std::string body = R"(
    mov.u32 %r1, s;
    cp.async.cg.shared.global [%r1], [%a0], 16, 8;
    cp.async.commit_group; cp.async.wait_group 0;
    ld.shared.v4.u32 {%r2, %r3, %r4, %r5}, [%r1]; st.global.v4.u32 [%a1], {%r2, %r3, %r4, %r5};
  )";
  run_text(kernel_text(2, body, ".shared .align 16 .b8 s[16];"), {in.address(), out.address()},
           with({1, 1, 1}, {1, 1, 1}));
  EXPECT_EQ(out.values(), (std::vector<uint32_t>{1, 2, 0, 0}));
}

TEST(PtxMachine, UnwrittenRegistersAreNaN) {
  const DeviceArray<float> out(1);
  run_text(kernel_text(1, "st.global.f32 [%a0], %f1;"), {out.address()},
           {{1, 1, 1}, {1, 1, 1}, 0, Order::ascending});
  EXPECT_NE(out.values()[0], out.values()[0]);
}

TEST(PtxMachine, FaultsOfSeveralBlocksAreReportedForTheFirst) {
  const std::string body = "mov.u32 %r1, %ctaid.x; setp.lt.u32 %p1, %r1, 17; @%p1 ret; trap;";
  try {
    run_text(kernel_text(0, body), {}, {{100, 1, 1}, {1, 1, 1}, 0, Order::ascending});
    FAIL() << "no fault";
  } catch (const std::exception& error) {
    EXPECT_EQ(std::string(error.what()).rfind("k: block (17,0,0)", 0), 0U) << error.what();
  }
}

}  // namespace
}  // namespace mt::ptx::testing
