// Each instruction against what the PTX ISA says of it, on values where it could go wrong.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/ptx/fixture.h"

namespace mt::ptx::testing {
namespace {

/// One instruction on registers of 64 bits' worth of input: %rd1, %rd2, %rd3 hold a, b, c; %r1…, %f1…, %rs1…,
/// %fd1… the same bits cut to size; the result is %rd10, %r10, %f10, %rs10 or %fd10, whichever the text
/// writes.
uint64_t result_of(const std::string& text, uint64_t a, uint64_t b = 0, uint64_t c = 0,
                   Order order = Order::ascending) {
  const auto writes = [&](const char* name) { return text.find(name) != std::string::npos; };
  std::string body = R"(
    ld.global.u64 %rd1, [%a0]; ld.global.u64 %rd2, [%a0+8]; ld.global.u64 %rd3, [%a0+16];
    cvt.u32.u64 %r1, %rd1; cvt.u32.u64 %r2, %rd2; cvt.u32.u64 %r3, %rd3;
    cvt.u16.u64 %rs1, %rd1; cvt.u16.u64 %rs2, %rd2; cvt.u16.u64 %rs3, %rd3;
    mov.b32 %f1, %r1; mov.b32 %f2, %r2; mov.b32 %f3, %r3;
    mov.b64 %fd1, %rd1; mov.b64 %fd2, %rd2; mov.b64 %fd3, %rd3;
    setp.ne.u64 %p3, %rd3, 0;
  )" + text;
  if (writes("%rd10"))
    body += "st.global.u64 [%a1], %rd10;";
  else if (writes("%r10"))
    body += "cvt.u64.u32 %rd10, %r10; st.global.u64 [%a1], %rd10;";
  else if (writes("%f10"))
    body += "mov.b32 %r10, %f10; cvt.u64.u32 %rd10, %r10; st.global.u64 [%a1], %rd10;";
  else if (writes("%rs10"))
    body += "cvt.u64.u16 %rd10, %rs10; st.global.u64 [%a1], %rd10;";
  else if (writes("%fd10"))
    body += "st.global.f64 [%a1], %fd10;";
  else
    body += "selp.u64 %rd10, 1, 0, %p10; st.global.u64 [%a1], %rd10;";
  const DeviceArray<uint64_t> in(std::vector<uint64_t>{a, b, c});
  const DeviceArray<uint64_t> out(1);
  Configuration configuration;
  configuration.block.x = 1;
  configuration.order = order;
  run_text(kernel_text(2, body), {in.address(), out.address()}, configuration);
  return out.values()[0];
}

uint64_t f(float value) {
  return std::bit_cast<uint32_t>(value);
}
uint64_t d(double value) {
  return std::bit_cast<uint64_t>(value);
}
uint64_t s(int64_t value) {
  return static_cast<uint64_t>(value);
}
uint64_t s32(int64_t value) {
  return static_cast<uint32_t>(value);
}
uint64_t s16(int64_t value) {
  return static_cast<uint16_t>(value);
}

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Case {
  const char* text;
  uint64_t a, b, c, want;
};

class InstructionTest : public ::testing::TestWithParam<Case> {};

TEST_P(InstructionTest, DoesWhatTheIsaSays) {
  const Case& c = GetParam();
  EXPECT_EQ(result_of(c.text, c.a, c.b, c.c), c.want) << c.text;
}

INSTANTIATE_TEST_SUITE_P(
    Integers, InstructionTest,
    ::testing::Values(
        Case{"add.s32 %r10, %r1, %r2;", s32(INT32_MAX), 1, 0, s32(INT32_MIN)},
        Case{"sub.u16 %rs10, %rs1, %rs2;", 0, 1, 0, 0xffff},
        Case{"mul.lo.s32 %r10, %r1, %r2;", s32(-7), 3, 0, s32(-21)},
        Case{"mul.hi.s32 %r10, %r1, %r2;", s32(-1), 2, 0, s32(-1)},
        Case{"mul.hi.u32 %r10, %r1, %r2;", 0xffffffff, 2, 0, 1},
        Case{"mul.hi.u64 %rd10, %rd1, %rd2;", UINT64_MAX, 3, 0, 2},
        Case{"mul.wide.s32 %rd10, %r1, %r2;", s32(-3), 5, 0, s(-15)},
        Case{"mul.wide.u32 %rd10, %r1, %r2;", 0xffffffff, 2, 0, 0x1fffffffe},
        Case{"mul.wide.u16 %r10, %rs1, %rs2;", 0xffff, 0xffff, 0, 0xfffe0001},
        Case{"mad.lo.s32 %r10, %r1, %r2, %r3;", s32(-3), 5, 7, s32(-8)},
        Case{"mad.wide.s32 %rd10, %r1, %r2, %rd3;", s32(-3), 5, 7, s(-8)},
        Case{"div.s32 %r10, %r1, %r2;", s32(-7), 2, 0, s32(-3)},
        Case{"div.s32 %r10, %r1, %r2;", s32(INT32_MIN), s32(-1), 0, s32(INT32_MIN)},
        Case{"rem.s32 %r10, %r1, %r2;", s32(-7), 2, 0, s32(-1)},
        Case{"rem.u64 %rd10, %rd1, %rd2;", 17, 5, 0, 2},
        Case{"min.s64 %rd10, %rd1, %rd2;", s(-1), 1, 0, s(-1)},
        Case{"min.u64 %rd10, %rd1, %rd2;", s(-1), 1, 0, 1}, Case{"abs.s32 %r10, %r1;", s32(-5), 0, 0, 5},
        Case{"neg.s64 %rd10, %rd1;", 5, 0, 0, s(-5)}, Case{"shl.b32 %r10, %r1, %r2;", 1, 32, 0, 0},
        Case{"shr.u32 %r10, %r1, %r2;", 0x80000000, 31, 0, 1},
        Case{"shr.s32 %r10, %r1, %r2;", 0x80000000, 40, 0, 0xffffffff},
        Case{"shr.u16 %rs10, %rs1, %r2;", 0x8000, 15, 0, 1},
        Case{"shf.l.wrap.b32 %r10, %r1, %r2, %r3;", 0x80000001, 2, 4, 0x28},
        Case{"shf.r.clamp.b32 %r10, %r1, %r2, %r3;", 1, 2, 40, 2},
        Case{"and.b64 %rd10, %rd1, %rd2;", 12, 10, 0, 8}, Case{"or.b16 %rs10, %rs1, %rs2;", 12, 10, 0, 14},
        Case{"xor.b32 %r10, %r1, %r2;", 12, 10, 0, 6}, Case{"not.b16 %rs10, %rs1;", 1, 0, 0, 0xfffe},
        Case{"popc.b64 %r10, %rd1;", 0xff0000000001, 0, 0, 9}, Case{"clz.b32 %r10, %r1;", 1, 0, 0, 31},
        Case{"clz.b32 %r10, %r1;", 0, 0, 0, 32}, Case{"clz.b64 %r10, %rd1;", 1, 0, 0, 63},
        Case{"brev.b32 %r10, %r1;", 3, 0, 0, 0xc0000000}, Case{"bfind.u32 %r10, %r1;", 0x10, 0, 0, 4},
        Case{"bfind.s32 %r10, %r1;", s32(-1), 0, 0, 0xffffffff},
        Case{"bfind.shiftamt.u32 %r10, %r1;", 0x10, 0, 0, 27},
        Case{"bfe.u32 %r10, %r1, %r2, %r3;", 0xabcd, 4, 8, 0xbc},
        Case{"bfe.s32 %r10, %r1, %r2, %r3;", 0xabcd, 4, 8, s32(-68)},
        Case{"bfi.b32 %r10, %r1, %r2, 8, 4;", 0xf, 0, 0, 0xf00},
        Case{"bfi.b64 %rd10, %rd1, %rd2, 32, 32;", 5, 7, 0, 0x500000007},
        Case{"prmt.b32 %r10, %r1, %r2, 0x5410;", 0x22221111, 0x44443333, 0, 0x33331111},
        Case{"prmt.b32 %r10, %r1, %r2, 0x0008;", 0x80, 0, 0, 0x808080ff},
        Case{"lop3.b32 %r10, %r1, %r2, %r3, 0x96;", 0xf0, 0xcc, 0xaa, 0x96},
        Case{"lop3.b32 %r10, %r1, %r2, %r3, 0xca;", 0xf0, 0xcc, 0xaa, 0xca},
        Case{"dp2a.lo.u32.u32 %r10, %r1, %r2, %r3;", 0x00020003, 0x0504, 1, 23},
        Case{"dp4a.u32.u32 %r10, %r1, %r2, %r3;", 0x01020304, 0x01010101, 5, 15},
        Case{"set.lt.u32.s32 %r10, %r1, %r2;", s32(-1), 0, 0, 0xffffffff},
        Case{"mov.b64 %rd10, {%r1, %r2};", 1, 2, 0, 0x200000001},
        Case{"mov.b32 %r10, {%rs1, %rs2};", 1, 2, 0, 0x20001},
        Case{"mov.b64 {%r9, %r10}, %rd1;", 0x200000001, 0, 0, 2},
        Case{"mov.b32 {_, %rs10}, %r1;", 0x20001, 0, 0, 2}));

INSTANTIATE_TEST_SUITE_P(
    Floats, InstructionTest,
    ::testing::Values(Case{"add.f32 %f10, %f1, %f2;", f(1), f(0x1p-24F), 0, f(1)},
                      Case{"add.rp.f32 %f10, %f1, %f2;", f(1), f(0x1p-24F), 0, f(1 + 0x1p-23F)},
                      Case{"add.rz.f32 %f10, %f1, %f2;", f(-1), f(0x1p-30F), 0, f(-1 + 0x1p-24F)},
                      Case{"mul.rn.f32 %f10, %f1, %f2;", f(3), f(5), 0, f(15)},
                      Case{"fma.rn.f32 %f10, %f1, %f2, %f3;", f(1 + 0x1p-12F), f(1 + 0x1p-12F),
                           f(-1 - 0x1p-11F), f(0x1p-24F)},
                      Case{"fma.rm.f32 %f10, %f1, %f2, %f3;", f(1), f(-0x1p-30F), f(1), f(1 - 0x1p-24F)},
                      Case{"fma.rn.f64 %fd10, %fd1, %fd2, %fd3;", d(3), d(5), d(7), d(22)},
                      Case{"div.rn.f32 %f10, %f1, %f2;", f(1), f(3), 0, f(1.0F / 3)},
                      Case{"div.rn.f64 %fd10, %fd1, %fd2;", d(1), d(0), 0, d(HUGE_VAL)},
                      Case{"sqrt.rn.f32 %f10, %f1;", f(2), 0, 0, f(std::sqrt(2.0F))},
                      Case{"rcp.rn.f32 %f10, %f1;", f(3), 0, 0, f(1.0F / 3)},
                      Case{"rcp.approx.ftz.f32 %f10, %f1;", f(0x1p-140F), 0, 0, f(kInf)},
                      Case{"ex2.approx.ftz.f32 %f10, %f1;", f(3), 0, 0, f(8)},
                      Case{"ex2.approx.ftz.f32 %f10, %f1;", f(-140), 0, 0, f(0)},
                      Case{"ex2.approx.f32 %f10, %f1;", f(-140), 0, 0, f(0x1p-140F)},
                      Case{"lg2.approx.f32 %f10, %f1;", f(8), 0, 0, f(3)},
                      Case{"min.f32 %f10, %f1, %f2;", f(kNan), f(2), 0, f(2)},
                      Case{"min.f32 %f10, %f1, %f2;", f(0), f(-0.0F), 0, f(-0.0F)},
                      Case{"max.f32 %f10, %f1, %f2;", f(-0.0F), f(0), 0, f(0)},
                      Case{"max.f64 %fd10, %fd1, %fd2;", d(-1), d(2), 0, d(2)},
                      Case{"neg.f32 %f10, %f1;", f(0), 0, 0, f(-0.0F)},
                      Case{"abs.f32 %f10, %f1;", f(-kInf), 0, 0, f(kInf)},
                      Case{"copysign.f32 %f10, %f1, %f2;", f(-1), f(3), 0, f(-3)},
                      Case{"setp.lt.f32 %p10, %f1, %f2;", f(kNan), f(1), 0, 0},
                      Case{"setp.ltu.f32 %p10, %f1, %f2;", f(kNan), f(1), 0, 1},
                      Case{"setp.ne.f32 %p10, %f1, %f2;", f(kNan), f(1), 0, 0},
                      Case{"setp.neu.f32 %p10, %f1, %f2;", f(kNan), f(1), 0, 1},
                      Case{"setp.num.f32 %p10, %f1, %f2;", f(1), f(kNan), 0, 0},
                      Case{"setp.nan.f32 %p10, %f1, %f2;", f(1), f(kNan), 0, 1},
                      Case{"setp.geu.f32 %p10, %f1, %f2;", f(2), f(1), 0, 1},
                      Case{"setp.lt.and.s32 %p10, %r1, %r2, !%p3;", 1, 2, 0, 1},
                      Case{"setp.lt.xor.s32 %p10, %r1, %r2, %p3;", 1, 2, 1, 0},
                      Case{"setp.lt.s32 %p9|%p10, %r1, %r2;", 1, 2, 0, 0},
                      Case{"selp.f32 %f10, %f1, %f2, %p3;", f(1), f(2), 0, f(2)}));

INSTANTIATE_TEST_SUITE_P(
    Conversions, InstructionTest,
    ::testing::Values(Case{"cvt.s64.s32 %rd10, %r1;", s32(-5), 0, 0, s(-5)},
                      Case{"cvt.u64.u32 %rd10, %r1;", s32(-5), 0, 0, 0xfffffffb},
                      Case{"cvt.s32.s8 %r10, %r1;", 0x80, 0, 0, s32(-128)},
                      Case{"cvt.u32.u8 %r10, %r1;", 0x1ff, 0, 0, 0xff},
                      Case{"cvt.s16.s8 %rs10, %rs1;", 0xff, 0, 0, s16(-1)},
                      Case{"cvt.sat.u8.s32 %r10, %r1;", s32(-4), 0, 0, 0},
                      Case{"cvt.sat.s8.s32 %r10, %r1;", 300, 0, 0, 127},
                      Case{"cvt.rn.f32.s32 %f10, %r1;", 16777217, 0, 0, f(16777216)},
                      Case{"cvt.rz.f32.u64 %f10, %rd1;", UINT64_MAX, 0, 0, f(0x1.fffffep63F)},
                      Case{"cvt.rp.f32.s32 %f10, %r1;", 16777217, 0, 0, f(16777218)},
                      Case{"cvt.rn.f64.u64 %fd10, %rd1;", 3, 0, 0, d(3)},
                      Case{"cvt.rn.f32.f64 %f10, %fd1;", d(1 + 0x1p-24), 0, 0, f(1)},
                      Case{"cvt.rz.f32.f64 %f10, %fd1;", d(-1 - 0x1p-24 * 1.5), 0, 0, f(-1)},
                      Case{"cvt.f64.f32 %fd10, %f1;", f(0.5F), 0, 0, d(0.5)},
                      Case{"cvt.sat.f32.f32 %f10, %f1;", f(kNan), 0, 0, f(0)},
                      Case{"cvt.sat.f32.f32 %f10, %f1;", f(1.5F), 0, 0, f(1)},
                      Case{"cvt.rzi.f32.f32 %f10, %f1;", f(-1.5F), 0, 0, f(-1)},
                      Case{"cvt.rmi.f64.f64 %fd10, %fd1;", d(-1.5), 0, 0, d(-2)},
                      Case{"cvt.rni.s32.f32 %r10, %f1;", f(2.5F), 0, 0, 2},
                      Case{"cvt.rzi.s32.f32 %r10, %f1;", f(-2.7F), 0, 0, s32(-2)},
                      Case{"cvt.rpi.s32.f32 %r10, %f1;", f(2.1F), 0, 0, 3},
                      Case{"cvt.rzi.s32.f32 %r10, %f1;", f(1e20F), 0, 0, s32(INT32_MAX)},
                      Case{"cvt.rzi.u32.f32 %r10, %f1;", f(-1), 0, 0, 0},
                      Case{"cvt.rzi.s32.f32 %r10, %f1;", f(kNan), 0, 0, 0},
                      Case{"cvt.rzi.s64.f32 %rd10, %f1;", f(kNan), 0, 0, uint64_t{1} << 63},
                      Case{"cvt.rzi.s64.f64 %rd10, %fd1;", d(-1e30), 0, 0, s(INT64_MIN)},
                      Case{"cvt.rn.bf16.f32 %rs10, %f1;", f(1 + 0x1p-8F), 0, 0, 0x3f80},
                      Case{"cvt.rn.bf16.f32 %rs10, %f1;", f(1 + 0x1.8p-7F), 0, 0, 0x3f82},
                      Case{"cvt.rn.bf16.f32 %rs10, %f1;", f(kNan), 0, 0, 0x7fff},
                      Case{"cvt.rz.bf16.f32 %rs10, %f1;", f(1 + 0x1.8p-7F), 0, 0, 0x3f81},
                      Case{"cvt.rn.bf16x2.f32 %r10, %f1, %f2;", f(1), f(2), 0, 0x3f804000},
                      Case{"cvt.f32.bf16 %f10, %rs1;", 0x3f80, 0, 0, f(1)},
                      Case{"cvt.rna.tf32.f32 %r10, %f1;", f(1 + 0x1p-11F), 0, 0, f(1 + 0x1p-10F)},
                      Case{"cvt.rna.tf32.f32 %r10, %f1;", f(-1 - 0x1p-11F), 0, 0, f(-1 - 0x1p-10F)},
                      Case{"cvt.rn.tf32.f32 %r10, %f1;", f(1 + 0x1p-11F), 0, 0, f(1)},
                      Case{"cvt.rn.tf32.f32 %r10, %f1;", f(kInf), 0, 0, f(kInf)}));

TEST(PtxInstructions, ApproximationsMoveToTheEndOfTheirBoundInTheReversedOrder) {
  EXPECT_EQ(result_of("rcp.approx.ftz.f32 %f10, %f1;", f(3), 0, 0, Order::reversed),
            f(std::nextafter(1.0F / 3, 1.0F)));
  EXPECT_EQ(result_of("ex2.approx.ftz.f32 %f10, %f1;", f(3), 0, 0, Order::reversed), f(8 + 0x1p-19F));
  for (const float zero : {0.0F, -0.0F, 0x1p-140F})
    EXPECT_EQ(result_of("ex2.approx.f32 %f10, %f1;", f(zero), 0, 0, Order::reversed), f(1));
  EXPECT_EQ(result_of("sqrt.rn.f32 %f10, %f1;", f(9), 0, 0, Order::reversed), f(3)) << "exact ones do not";
}

}  // namespace
}  // namespace mt::ptx::testing
