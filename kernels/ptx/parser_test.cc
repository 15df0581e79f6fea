#include <gtest/gtest.h>

#include "kernels/ptx/statement.h"
#include "tensor/check.h"

namespace mt::ptx {
namespace {

TEST(PtxParser, ModulesHaveTargetsVariablesAndEntries) {
  const ModuleText module = parse_module(R"(
    // a comment
    .version 9.0
    .target sm_90a, debug /* another */
    .address_size 64
    .extern .shared .align 128 .b8 dynamic[];
    .const .align 4 .f32 half[2] = {0f3F000000, 0f40000000};
    .visible .entry first(.param .u64 .ptr .align 1 p0, .param .align 8 .b8 p1[40])
    .maxntid 128, 2, 1
    { .reg .b32 %r<3>; { bra X; } X: ret; }
    .entry second() { ret; }
  )");
  EXPECT_EQ(module.architecture, 90);
  ASSERT_EQ(module.variables.size(), 2U);
  EXPECT_TRUE(module.variables[0].is_extern);
  EXPECT_EQ(module.variables[0].alignment, 128);
  EXPECT_EQ(module.variables[1].bytes, 8);
  EXPECT_EQ(module.variables[1].initial, (std::vector<uint8_t>{0, 0, 0, 0x3f, 0, 0, 0, 0x40}));
  ASSERT_EQ(module.entries.size(), 2U);
  EXPECT_EQ(module.entries[0].name, "first");
  EXPECT_EQ(module.entries[0].max_threads, 256);
  ASSERT_EQ(module.entries[0].parameters.size(), 2U);
  EXPECT_EQ(module.entries[0].parameters[1].bytes, 40);
  EXPECT_EQ(module.entries[0].parameters[1].alignment, 8);
}

TEST(PtxParser, StatementsHaveGuardsModifiersAndOperands) {
  const auto items = parse_body(
      "@!%p1 ld.global.v2.f32 {%f1, _}, [%rd1+-8];\nL: shfl.sync.up.b32 %r1|%p2, %r2, 0x1F, -1, -1;");
  ASSERT_EQ(items.size(), 3U);
  const Statement& load = items[0].statement;
  EXPECT_EQ(load.guard, "%p1");
  EXPECT_TRUE(load.guard_negated);
  EXPECT_EQ(load.opcode, "ld");
  EXPECT_EQ(load.modifiers, (std::vector<std::string>{"global", "v2", "f32"}));
  EXPECT_EQ(load.operands[0].elements[1].kind, Operand::Kind::sink);
  EXPECT_EQ(load.operands[1].offset, -8);
  EXPECT_EQ(load.text, "@!%p1 ld.global.v2.f32 {%f1, _}, [%rd1+-8]");
  EXPECT_EQ(items[1].label, "L");
  const Statement& shuffle = items[2].statement;
  EXPECT_EQ(shuffle.operands[0].second, "%p2");
  EXPECT_EQ(shuffle.operands[2].bits, 31U);
  EXPECT_EQ(shuffle.operands[3].bits, ~uint64_t{0});
}

TEST(PtxParser, InlineAssemblyHasScopes) {
  const auto items = parse_body(
      "{ .reg .pred p; setp.eq.u32 p, %r1, 0; } .pragma \"used_bytes_mask 12\"; ld.u64 %rd1, [%rd2];");
  ASSERT_EQ(items.size(), 5U);
  EXPECT_EQ(items[0].kind, BodyItem::Kind::scope_begin);
  EXPECT_EQ(items[1].names, std::vector<std::string>{"p"});
  EXPECT_EQ(items[3].kind, BodyItem::Kind::scope_end);
  EXPECT_EQ(items[2].statement.used_bytes, ~uint64_t{0});
  EXPECT_EQ(items[4].statement.used_bytes, 12U);
}

TEST(PtxParser, WhatItDoesNotKnowIsAnErrorWithItsLine) {
  const auto error_of = [](const auto& f) -> std::string {
    try {
      f();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(error_of([] { parse_module(".version 9.0\n.func f() { ret; }"); }).find(".func is not supported"),
            std::string::npos);
  EXPECT_NE(error_of([] { parse_module(".version 9.0\n.global .b32 x = other;"); }).find("line 2"),
            std::string::npos);
  EXPECT_NE(error_of([] { parse_module(".entry k() { ret;"); }).find("not closed"), std::string::npos);
  EXPECT_NE(error_of([] { parse_body("add.s32 %r1, %r2 %r3;"); }).find("\",\" was expected"),
            std::string::npos);
  EXPECT_NE(error_of([] { parse_body(".reg .f16 %h<4>;"); }).find("%h<"), std::string::npos);
  EXPECT_NE(error_of([] { parse_body("ld.u32 %r1, [%rd1+x];"); }).find("no number"), std::string::npos);
  EXPECT_NE(error_of([] { parse_body("add.s32 %r1, %r2"); }), "");
}

}  // namespace
}  // namespace mt::ptx
