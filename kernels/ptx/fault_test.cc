// Each fault that the machine claims to catch, and its repaired twin, which is silent.

#include <gtest/gtest.h>

#include "kernels/ptx/fixture.h"
#include "kernels/ptx/launch_limits.h"
#include "tensor/check.h"

namespace mt::ptx::testing {
namespace {

/// A kernel gets p0: 33 floats, of which the last is what nobody's thread may touch unless it says so, and
/// p1: the same, unwritten.
struct Case {
  const char* name;
  const char* declarations;
  const char* faulty;
  const char* repaired;
  const char* says;  // part of the message
  uint32_t threads = 32;
  int64_t dynamic_shared_bytes = 0;
};

// %rd1: p0 + 4 · thread; %r1: thread; %r2: 4 · thread.
constexpr const char* kPrologue = R"(
  mov.u32 %r1, %tid.x;
  shl.b32 %r2, %r1, 2;
  cvt.u64.u32 %rd2, %r2;
  add.s64 %rd1, %a0, %rd2;
  mov.f32 %f1, 0f3F800000;
)";

constexpr Case kCases[] = {
    {"ReadPastTheEndOfGlobalMemory", "", "ld.global.f32 %f2, [%rd1+8];", "ld.global.f32 %f2, [%rd1+4];",
     "thread (31,0,0): global memory out of bounds: read of 4 bytes"},
    {"WritePastTheEndOfGlobalMemory", "", "st.global.f32 [%rd1+8], %f1;", "st.global.f32 [%rd1+4], %f1;",
     "global memory out of bounds: write of 4 bytes"},
    {"ReadBeforeTheStartOfGlobalMemory", "", "ld.global.f32 %f2, [%rd1+-4];", "ld.global.f32 %f2, [%rd1];",
     "thread (0,0,0): global memory out of bounds"},
    {"HostAddress", "", "mov.u64 %rd3, 4096; ld.global.f32 %f2, [%rd3];", "ld.global.f32 %f2, [%rd1];",
     "global memory out of bounds"},
    {"PastAStaticSharedArray", ".shared .align 4 .b8 s[128];\n.shared .align 4 .b8 t[128];",
     "mov.u32 %r3, s; mov.u32 %r6, t; add.u32 %r4, %r3, %r2; st.shared.f32 [%r4+4], %f1;",
     "mov.u32 %r3, s; mov.u32 %r6, t; add.u32 %r4, %r3, %r2; st.shared.f32 [%r4], %f1;",
     "shared memory out of bounds: write of 4 bytes"},
    {"PastDynamicSharedMemory", ".extern .shared .align 16 .b8 d[];",
     "mov.u32 %r3, d; add.u32 %r4, %r3, %r2; st.shared.f32 [%r4+4], %f1;",
     "mov.u32 %r3, d; add.u32 %r4, %r3, %r2; st.shared.f32 [%r4], %f1;", "shared memory out of bounds", 32,
     128},
    {"GenericAddressPastASharedArray", ".shared .align 4 .b8 s[128];",
     "mov.u64 %rd3, s; cvta.shared.u64 %rd4, %rd3; add.s64 %rd5, %rd4, %rd2; st.f32 [%rd5+4], %f1;",
     "mov.u64 %rd3, s; cvta.shared.u64 %rd4, %rd3; add.s64 %rd5, %rd4, %rd2; st.f32 [%rd5], %f1;",
     "shared memory out of bounds"},
    {"PastLocalMemory", "", ".local .align 4 .b8 l[16]; mov.u64 %rd3, l; st.local.f32 [%rd3+16], %f1;",
     ".local .align 4 .b8 l[16]; mov.u64 %rd3, l; st.local.f32 [%rd3+12], %f1;",
     "local memory out of bounds"},
    {"MisalignedVectorRead", "", "ld.global.v4.f32 {%f2, %f3, %f4, %f5}, [%a0+4];",
     "ld.global.v4.f32 {%f2, %f3, %f4, %f5}, [%a0+16];", "misaligned read"},
    {"MisalignedVectorWrite", ".shared .align 16 .b8 s[1024];",
     "mov.u32 %r3, s; st.shared.v2.f32 [%r3+4], {%f1, %f1};",
     "mov.u32 %r3, s; st.shared.v2.f32 [%r3+8], {%f1, %f1};", "misaligned write"},
    {"MisalignedTargetOfCpAsync", ".shared .align 16 .b8 s[1024];",
     "mov.u32 %r3, s; cp.async.ca.shared.global [%r3+4], [%a0], 8; cp.async.wait_all;",
     "mov.u32 %r3, s; shl.b32 %r4, %r1, 4; add.u32 %r3, %r3, %r4; cp.async.ca.shared.global [%r3+8], [%a0], "
     "8; "
     "cp.async.wait_all;",
     "misaligned target of cp.async"},
    {"MisalignedSourceOfCpAsync", ".shared .align 16 .b8 s[1024];",
     "mov.u32 %r3, s; shl.b32 %r4, %r1, 4; add.u32 %r3, %r3, %r4; cp.async.cg.shared.global [%r3], [%a0+8], "
     "16; "
     "cp.async.wait_all;",
     "mov.u32 %r3, s; shl.b32 %r4, %r1, 4; add.u32 %r3, %r3, %r4; cp.async.cg.shared.global [%r3], [%a0+16], "
     "16; "
     "cp.async.wait_all;",
     "misaligned source of cp.async"},
    {"MisalignedAtomic", "", "atom.global.add.u32 %r5, [%a0+2], %r1;",
     "atom.global.add.u32 %r5, [%a0+4], %r1;", "misaligned atomic"},
    {"ReadOfUnwrittenGlobalMemory", "", "ld.global.f32 %f2, [%a1];",
     "st.global.f32 [%a1], %f1; ld.global.f32 %f2, [%a1];", "read of global memory that nobody wrote"},
    {"ReadOfUnwrittenSharedMemory", ".shared .align 4 .b8 s[128];",
     "mov.u32 %r3, s; ld.shared.f32 %f2, [%r3];",
     "mov.u32 %r3, s; st.shared.f32 [%r3], %f1; ld.shared.f32 %f2, [%r3];",
     "read of shared memory that nobody wrote"},
    {"ReadOfUnwrittenLocalMemory", "",
     ".local .align 4 .b8 l[16]; mov.u64 %rd3, l; ld.local.f32 %f2, [%rd3];",
     ".local .align 4 .b8 l[16]; mov.u64 %rd3, l; st.local.f32 [%rd3], %f1; ld.local.f32 %f2, [%rd3];",
     "read of local memory that nobody wrote"},
    {"ReadOfOnePartThatNobodyWrote", ".shared .align 16 .b8 s[128];",
     "mov.u32 %r3, s; st.shared.f32 [%r3], %f1; ld.shared.v2.f32 {%f2, %f3}, [%r3];",
     "mov.u32 %r3, s; st.shared.f32 [%r3], %f1; .pragma \"used_bytes_mask 15\"; ld.shared.v2.f32 {%f2, %f3}, "
     "[%r3];",
     "read of shared memory that nobody wrote"},
    {"ReadOfMoreThanIsThere", ".shared .align 16 .b8 s[12];",
     "mov.u32 %r3, s; st.shared.v2.f32 [%r3], {%f1, %f1}; st.shared.f32 [%r3+8], %f1; "
     "ld.shared.v4.f32 {%f2, %f3, %f4, %f5}, [%r3];",
     "mov.u32 %r3, s; st.shared.v2.f32 [%r3], {%f1, %f1}; st.shared.f32 [%r3+8], %f1; "
     ".pragma \"used_bytes_mask 4095\"; ld.shared.v4.f32 {%f2, %f3, %f4, %f5}, [%r3];",
     "shared memory out of bounds: read of 16 bytes"},
    {"WriteToConstantMemory", ".const .align 4 .b8 c[4] = {1, 2, 3, 4};",
     "mov.u64 %rd3, c; st.global.f32 [%rd3], %f1;", "mov.u64 %rd3, c; ld.const.u8 %r5, [%rd3];",
     "write to constant memory"},
    {"CpAsyncReadBeforeItsWait", ".shared .align 16 .b8 s[128];",
     "mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cp.async.ca.shared.global [%r3], [%rd1], 4; "
     "cp.async.commit_group; "
     "ld.shared.f32 %f2, [%r3]; cp.async.wait_group 0;",
     "mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cp.async.ca.shared.global [%r3], [%rd1], 4; "
     "cp.async.commit_group; "
     "cp.async.wait_group 0; ld.shared.f32 %f2, [%r3];",
     "read of shared memory before its asynchronous copy was waited for"},
    {"CpAsyncReadWhileOneGroupIsPending", ".shared .align 16 .b8 s[128];",
     "mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cp.async.ca.shared.global [%r3], [%rd1], 4; "
     "cp.async.commit_group; "
     "cp.async.wait_group 1; ld.shared.f32 %f2, [%r3]; cp.async.wait_group 0;",
     "mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cp.async.ca.shared.global [%r3], [%rd1], 4; "
     "cp.async.commit_group; "
     "cp.async.commit_group; cp.async.wait_group 1; ld.shared.f32 %f2, [%r3];",
     "before its asynchronous copy was waited for"},
    {"CpAsyncTargetWrittenBeforeItsWait", ".shared .align 16 .b8 s[128];",
     "mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cp.async.ca.shared.global [%r3], [%rd1], 4; st.shared.f32 "
     "[%r3], %f1; "
     "cp.async.wait_all;",
     "mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cp.async.ca.shared.global [%r3], [%rd1], 4; cp.async.wait_all; "
     "st.shared.f32 [%r3], %f1;",
     "that an asynchronous copy nobody waited for writes, too"},
    {"CpAsyncThatNobodyWaitsFor", ".shared .align 16 .b8 s[128];",
     "mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cp.async.ca.shared.global [%r3], [%rd1], 4; "
     "cp.async.commit_group;",
     "mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cp.async.ca.shared.global [%r3], [%rd1], 4; cp.async.wait_all;",
     "nobody waits for them"},
    {"CpAsyncFromOutOfBounds", ".shared .align 16 .b8 s[128];",
     "mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cp.async.ca.shared.global [%r3], [%rd1+8], 4; "
     "cp.async.wait_all;",
     "mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cp.async.ca.shared.global [%r3], [%rd1+8], 4, 0; "
     "cp.async.wait_all;",
     "global memory out of bounds"},
    {"ShuffleFromAbsentLane", "",
     "setp.lt.u32 %p1, %r1, 16; @%p1 shfl.sync.idx.b32 %r5, %r1, 20, 31, 0xffff;",
     "setp.lt.u32 %p1, %r1, 16; @%p1 shfl.sync.idx.b32 %r5, %r1, 12, 31, 0xffff;",
     "shuffle from lane 20, which does not take part"},
    {"ShuffleInHalfABlock", "", "shfl.sync.down.b32 %r5, %r1, 1, 31, -1;",
     "shfl.sync.bfly.b32 %r5, %r1, 1, 31, 0xffff;", "warp operation whose lanes do not all come", 16},
    {"DivergedWarpOperation", "", "setp.lt.u32 %p1, %r1, 16; @%p1 vote.sync.ballot.b32 %r5, %p1, -1;",
     "setp.lt.u32 %p1, %r1, 16; vote.sync.ballot.b32 %r5, %p1, -1;", "lanes 0xffff0000 have left"},
    {"WarpOperationAtTwoPlaces", "",
     "setp.lt.u32 %p1, %r1, 16; @%p1 bra A; shfl.sync.idx.b32 %r5, %r1, 0, 31, -1; bra B; A: "
     "shfl.sync.idx.b32 %r5, "
     "%r1, 0, 31, -1; B: bar.sync 0;",
     "setp.lt.u32 %p1, %r1, 16; @%p1 bra A; shfl.sync.idx.b32 %r5, %r1, 16, 31, 0xffff0000; bra B; A: "
     "shfl.sync.idx.b32 %r5, %r1, 0, 31, 0xffff; B: bar.sync 0;",
     "warp operation whose lanes do not all come"},
    {"MaskWithoutItsOwnLane", "", "bar.warp.sync 0xffff;",
     "setp.lt.u32 %p1, %r1, 16; @%p1 bar.warp.sync 0xffff;", "does not name its own lane"},
    {"DifferentMasks", "", "setp.eq.u32 %p1, %r1, 0; selp.b32 %r5, -1, 0xfffffffe, %p1; bar.warp.sync %r5;",
     "bar.warp.sync -1;", "with different masks"},
    {"BarrierThatSomeLeft", "", "setp.ge.u32 %p1, %r1, 40; @%p1 bra END; bar.sync 0; END: ret;",
     "setp.ge.u32 %p1, %r1, 40; @%p1 bra END; END: bar.sync 0; ret;",
     "barrier divergence: 40 threads wait at `bar.sync 0`, 24 have left", 64},
    {"BarriersAtTwoPlaces", "",
     "setp.ge.u32 %p1, %r1, 32; @%p1 bra ELSE; bar.sync 0; ret; ELSE: bar.sync 0; ret;", "bar.sync 0; ret;",
     "barrier divergence: threads wait at different places", 64},
    {"BarrierThatNeverFills", "", "bar.sync 1, 96;", "bar.sync 1, 64;", "deadlock: everybody waits", 64},
    {"Trap", "", "trap;", "", "trap"},
    {"MmaByAPartOfAWarp", "",
     "setp.lt.u32 %p1, %r1, 16; mov.f32 %f9, 0f00000000; mov.b32 %r9, 0; @%p1 "
     "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%f10, %f11, %f12, %f13}, {%r9, %r9}, {%r9}, {%f9, "
     "%f9, %f9, "
     "%f9};",
     "mov.f32 %f9, 0f00000000; mov.b32 %r9, 0; mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%f10, "
     "%f11, %f12, "
     "%f13}, {%r9, %r9}, {%r9}, {%f9, %f9, %f9, %f9};",
     "warp operation whose lanes do not all come"},
    {"MisalignedRowOfLdmatrix", ".shared .align 16 .b8 s[256];",
     "mov.u32 %r3, s; mov.b32 %r4, 0; add.u32 %r5, %r3, %r2; st.shared.u32 [%r5], %r4; st.shared.u32 "
     "[%r5+128], %r4; "
     "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r6}, [%r3+8];",
     "mov.u32 %r3, s; mov.b32 %r4, 0; add.u32 %r5, %r3, %r2; st.shared.u32 [%r5], %r4; st.shared.u32 "
     "[%r5+128], %r4; "
     "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r6}, [%r3+16];",
     "misaligned row of ldmatrix"},
    {"MisalignedMatrixOfWmma", ".shared .align 32 .b8 s[2048];",
     "mov.u32 %r3, s; wmma.store.d.sync.aligned.row.m16n16k8.shared.f32 [%r3+16], {%f1, %f1, %f1, %f1, %f1, "
     "%f1, %f1, "
     "%f1}, 16;",
     "mov.u32 %r3, s; wmma.store.d.sync.aligned.row.m16n16k8.shared.f32 [%r3+32], {%f1, %f1, %f1, %f1, %f1, "
     "%f1, %f1, "
     "%f1}, 16;",
     "misaligned matrix of wmma"},
    {"LeadingDimensionOfWmma", ".shared .align 32 .b8 s[2048];",
     "mov.u32 %r3, s; wmma.store.d.sync.aligned.row.m16n16k8.shared.f32 [%r3], {%f1, %f1, %f1, %f1, %f1, "
     "%f1, %f1, "
     "%f1}, 18;",
     "mov.u32 %r3, s; wmma.store.d.sync.aligned.row.m16n16k8.shared.f32 [%r3], {%f1, %f1, %f1, %f1, %f1, "
     "%f1, %f1, "
     "%f1}, 20;",
     "misaligned leading dimension of wmma"},
    {"LanesThatNameDifferentMatrices", ".shared .align 32 .b8 s[8192];",
     "mov.u32 %r3, s; shl.b32 %r5, %r1, 5; add.u32 %r4, %r3, %r5; "
     "wmma.store.d.sync.aligned.row.m16n16k8.shared.f32 "
     "[%r4], {%f1, %f1, %f1, %f1, %f1, %f1, %f1, %f1}, 16;",
     "mov.u32 %r3, s; wmma.store.d.sync.aligned.row.m16n16k8.shared.f32 [%r3], {%f1, %f1, %f1, %f1, %f1, "
     "%f1, %f1, "
     "%f1}, 16;",
     "the lanes of a wmma name different matrices"},
};

class FaultTest : public ::testing::TestWithParam<Case> {
 protected:
  /// The message, or "" when it ran.
  std::string message_of(const char* body, Order order) {
    const Case& c = GetParam();
    const DeviceArray<float> written(std::vector<float>(33, 1.0F));
    const DeviceArray<float> unwritten(33);
    Configuration configuration;
    configuration.block.x = c.threads;
    configuration.dynamic_shared_bytes = c.dynamic_shared_bytes;
    configuration.order = order;
    try {
      run_text(kernel_text(2, std::string(kPrologue) + body, c.declarations),
               {written.address(), unwritten.address()}, configuration);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }
};

TEST_P(FaultTest, IsReportedWithKernelBlockAndInstruction) {
  for (const Order order : {Order::ascending, Order::reversed}) {
    const std::string message = message_of(GetParam().faulty, order);
    EXPECT_NE(message.find(GetParam().says), std::string::npos) << message;
    EXPECT_EQ(message.rfind("k: block (0,0,0)", 0), 0U) << message;
    EXPECT_NE(message.find('`'), std::string::npos) << "names no instruction: " << message;
  }
}

TEST_P(FaultTest, RepairedTwinIsSilent) {
  for (const Order order : {Order::ascending, Order::reversed})
    EXPECT_EQ(message_of(GetParam().repaired, order), "");
}

INSTANTIATE_TEST_SUITE_P(Faults, FaultTest, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(PtxMachine, UseOfFreedMemoryIsReported) {
  DeviceArray<float> array(std::vector<float>(32, 1.0F));
  const std::string text = kernel_text(1, "ld.global.f32 %f1, [%a0];");
  EXPECT_EQ(error_of([&] { run_text(text, {array.address()}); }), "");
  array.release();
  EXPECT_NE(error_of([&] { run_text(text, {array.address()}); }).find("global memory out of bounds"),
            std::string::npos);
}

TEST(PtxMachineDeathTest, TheHostCannotTouchDeviceMemory) {
  const DeviceArray<float> array(std::vector<float>(32, 1.0F));
  EXPECT_EQ(array.values()[3], 1.0F);
  EXPECT_DEATH(*reinterpret_cast<volatile float*>(array.address()) = 1, "");
}

TEST(PtxMachine, WhatItDoesNotKnowIsAnErrorThatNamesIt) {
  const auto decoding = [](const std::string& body) {
    return error_of([&] { run_text(kernel_text(0, body), {}); });
  };
  EXPECT_NE(
      decoding("vadd.u32.u32.u32 %r1, %r2, %r3;").find("instruction \"vadd\" is not supported: vadd.u32"),
      std::string::npos);
  EXPECT_NE(decoding("add.rn.ftz.f32 %f1, %f2, %f3;").find("modifier .ftz is not supported"),
            std::string::npos);
  EXPECT_NE(decoding("cvt.rn.f16.f32 %rs1, %f3;").find("is not supported"), std::string::npos);
  EXPECT_NE(decoding("add.f32 %f1, %f2, %g3;").find("%g3"), std::string::npos);
  EXPECT_NE(decoding("add.s64 %r1, %rd2, %rd3;").find("%r1 is not as wide"), std::string::npos);
  EXPECT_NE(decoding("add.s64 %rd1, %rd2, %r3;").find("%r3 is not as wide"), std::string::npos);
  EXPECT_NE(decoding("bra NOWHERE;").find("no label NOWHERE"), std::string::npos);
  EXPECT_NE(decoding("mov.u32 %r1, %clock;").find("%clock"), std::string::npos);
  EXPECT_EQ(decoding("add.f32 %f1, %f2, %f3;"), "");
}

TEST(PtxMachine, LaunchLimitsAreThoseOfTheArchitecture) {
  Module module(kernel_text(0, "mov.u32 %r1, d; mov.u32 %r2, s;",
                            ".extern .shared .align 16 .b8 d[];\n.shared .align 16 .b8 s[1024];"));
  Launch launch;
  launch.kernel = &module.kernel("k");
  launch.block.x = 128;
  const auto with = [&](int64_t dynamic, int64_t granted, int architecture) {
    launch.dynamic_shared_bytes = dynamic;
    return error_of([&] { check_launch(launch, architecture, granted); });
  };
  constexpr int64_t kStatic = 1024;
  EXPECT_EQ(with((48 << 10) - kStatic, 0, 90), "");
  EXPECT_NE(with((48 << 10) - kStatic + 1, 0, 90).find("dynamic shared memory without leave"),
            std::string::npos);
  EXPECT_EQ(with((48 << 10) - kStatic + 1, (48 << 10) - kStatic + 1, 90), "");
  EXPECT_EQ(with((227 << 10) - kStatic, 227 << 10, 90), "");
  EXPECT_NE(with((227 << 10) - kStatic + 1, 228 << 10, 90).find("a block of sm_90 has 232448"),
            std::string::npos);
  EXPECT_NE(with((99 << 10), 227 << 10, 86).find("a block of sm_86 has 101376"), std::string::npos);
  launch.block = {1025, 1, 1};
  EXPECT_NE(with(0, 0, 90).find("1025 threads"), std::string::npos);
  launch.block = {1, 1, 65};
  EXPECT_NE(with(0, 0, 90).find("at most 64 in z"), std::string::npos);
  launch.block = {32, 1, 1};
  launch.grid = {1, 65536, 1};
  EXPECT_NE(with(0, 0, 90).find("65536"), std::string::npos);
}

}  // namespace
}  // namespace mt::ptx::testing
