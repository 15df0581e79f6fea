// Tensor cores: layouts by the PTX ISA, products exact, sums cut as measured on hardware.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "kernels/ptx/fixture.h"
#include "kernels/ptx/float_formats.h"
#include "kernels/ptx/matrix_product.h"

namespace mt::ptx::testing {
namespace {

TEST(MatrixProduct, SmallIntegersAreExact) {
  std::mt19937 random(1);
  std::vector<float> a(16 * 16), b(16 * 16), c(16 * 16);
  for (auto* values : {&a, &b, &c}) {
    for (float& value : *values) value = static_cast<float>(static_cast<int>(random() % 17) - 8);
  }
  for (const int block : {4, 8}) {
    for (const int columns : {8, 16}) {
      std::vector<float> got = c;
      multiply_matrices(got.data(), a.data(), b.data(), 16, columns, 16, block);
      for (int r = 0; r < 16; ++r) {
        for (int q = 0; q < columns; ++q) {
          float want = c[static_cast<std::size_t>(r * columns + q)];
          for (int k = 0; k < 16; ++k)
            want += a[static_cast<std::size_t>(r * 16 + k)] * b[static_cast<std::size_t>(k * columns + q)];
          EXPECT_EQ(got[static_cast<std::size_t>(r * columns + q)], want) << r << "," << q;
        }
      }
    }
  }
}

/// c + Σ products of one block of 4, through the first column of the first row.
float sum(float c, std::initializer_list<float> products) {
  std::vector<float> a(4, 1.0F), b(32, 0.0F), result(8, 0.0F);
  std::size_t k = 0;
  for (const float product : products) b[8 * k++] = product;
  result[0] = c;
  multiply_matrices(result.data(), a.data(), b.data(), 1, 8, 4, 4);
  return result[0];
}

TEST(MatrixProduct, SumsAreCutAndNotRounded) {
  EXPECT_EQ(sum(1, {0x1.8p-24F}), 1.0F) << "to nearest: 1 + 2^-23";
  EXPECT_EQ(sum(-1, {-0x1.8p-24F}), -1.0F);
  EXPECT_EQ(sum(1, {-0x1p-25F}), 1 - 0x1p-24F) << "cut towards zero";
  // Three bits below a float's last are kept while adding.
  EXPECT_EQ(sum(1, {0x1p-24F, 0x1p-24F}), 1 + 0x1p-23F);
  EXPECT_EQ(sum(1, {0x1p-25F, 0x1p-25F, 0x1p-25F, 0x1p-25F}), 1 + 0x1p-23F);
  EXPECT_EQ(sum(1, {0x1p-26F, 0x1p-26F, 0x1p-26F, 0x1p-26F}), 1.0F);
  EXPECT_EQ(sum(0, {0x1p100F, -0x1p100F, 1}), 0.0F) << "one addend is lost beside the largest";
}

TEST(MatrixProduct, SpecialValues) {
  EXPECT_TRUE(std::isnan(sum(NAN, {1})));
  EXPECT_TRUE(std::isnan(sum(INFINITY, {-INFINITY})));
  EXPECT_EQ(sum(INFINITY, {1}), INFINITY);
  EXPECT_EQ(sum(0, {-INFINITY}), -INFINITY);
  EXPECT_EQ(sum(0, {}), 0.0F);
  EXPECT_EQ(sum(0x1p-140F, {0x1p-149F}), 0x1p-140F + 0x1p-149F);
  EXPECT_EQ(sum(3e38F, {3e38F}), INFINITY);
}

/// A whole warp's registers of 32 bits: out[lane][j] from in[lane][j] by a body that reads %r1… and writes
/// %r30….
std::vector<uint32_t> run_on_registers(const std::vector<uint32_t>& in, int inputs, int outputs,
                                       const std::string& body, const std::string& declarations = "") {
  const DeviceArray<uint32_t> from(in);
  const DeviceArray<uint32_t> to(static_cast<std::size_t>(32 * outputs));
  std::string text = "mov.u32 %r63, %laneid;\n";
  text += "mul.wide.u32 %rd1, %r63, " + std::to_string(4 * inputs) + "; add.s64 %rd1, %a0, %rd1;\n";
  text += "mul.wide.u32 %rd2, %r63, " + std::to_string(4 * outputs) + "; add.s64 %rd2, %a1, %rd2;\n";
  for (int j = 0; j < inputs; ++j)
    text += "ld.global.u32 %r" + std::to_string(1 + j) + ", [%rd1+" + std::to_string(4 * j) + "];\n";
  text += body;
  for (int j = 0; j < outputs; ++j)
    text += "st.global.u32 [%rd2+" + std::to_string(4 * j) + "], %r" + std::to_string(30 + j) + ";\n";
  run_text(kernel_text(2, text, declarations), {from.address(), to.address()});
  return to.values();
}

float small_integer(int row, int column, int salt) {
  return static_cast<float>((row * 7 + column * 3 + salt) % 9 - 4);
}
float product(int row, int column, int depth) {
  float sum = small_integer(row, column, 2);
  for (int k = 0; k < depth; ++k) sum += small_integer(row, k, 0) * small_integer(k, column, 1);
  return sum;
}
uint32_t bits(float value) {
  return std::bit_cast<uint32_t>(value);
}
uint32_t pair(float low, float high) {
  return uint32_t{to_bf16(high)} << 16 | to_bf16(low);
}

// Figures of the PTX ISA: "MMA .m16n8k8 fragment layout … .tf32".
TEST(MatrixInstructions, MmaOfTf32) {
  std::vector<uint32_t> in;
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4;
    const int t = lane % 4;
    in.insert(in.end(), {bits(small_integer(g, t, 0)), bits(small_integer(g + 8, t, 0)),
                         bits(small_integer(g, t + 4, 0)), bits(small_integer(g + 8, t + 4, 0)),
                         bits(small_integer(t, g, 1)), bits(small_integer(t + 4, g, 1)),
                         bits(small_integer(g, 2 * t, 2)), bits(small_integer(g, 2 * t + 1, 2)),
                         bits(small_integer(g + 8, 2 * t, 2)), bits(small_integer(g + 8, 2 * t + 1, 2))});
  }
  const auto got =
      run_on_registers(in, 10, 4,
                       "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%r30, %r31, %r32, %r33}, {%r1, "
                       "%r2, %r3, %r4}, {%r5, %r6}, {%r7, %r8, %r9, %r10};");
  for (std::size_t lane = 0; lane < 32; ++lane) {
    const int g = static_cast<int>(lane) / 4;
    const int t = static_cast<int>(lane) % 4;
    for (int j = 0; j < 4; ++j)
      EXPECT_EQ(std::bit_cast<float>(got[lane * 4 + static_cast<std::size_t>(j)]),
                product(g + j / 2 * 8, 2 * t + j % 2, 8))
          << lane << " " << j;
  }
}

TEST(MatrixInstructions, MmaOfBf16) {
  std::vector<uint32_t> in;
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4;
    const int t = 2 * (lane % 4);
    const auto a = [](int row, int column) {
      return pair(small_integer(row, column, 0), small_integer(row, column + 1, 0));
    };
    const auto b = [](int row, int column) {
      return pair(small_integer(row, column, 1), small_integer(row + 1, column, 1));
    };
    in.insert(in.end(), {a(g, t), a(g + 8, t), a(g, t + 8), a(g + 8, t + 8), b(t, g), b(t + 8, g),
                         bits(small_integer(g, t, 2)), bits(small_integer(g, t + 1, 2)),
                         bits(small_integer(g + 8, t, 2)), bits(small_integer(g + 8, t + 1, 2))});
  }
  const auto got =
      run_on_registers(in, 10, 4,
                       "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r30, %r31, %r32, %r33}, {%r1, "
                       "%r2, %r3, %r4}, {%r5, %r6}, {%r7, %r8, %r9, %r10};");
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (int j = 0; j < 4; ++j) {
      const int row = static_cast<int>(lane) / 4 + j / 2 * 8;
      EXPECT_EQ(std::bit_cast<float>(got[lane * 4 + static_cast<std::size_t>(j)]),
                product(row, 2 * (static_cast<int>(lane) % 4) + j % 2, 16));
    }
  }
}

TEST(MatrixInstructions, Tf32BelowTheTenthBitIsCutOff) {
  std::vector<uint32_t> in(32 * 10, 0);
  for (std::size_t lane = 0; lane < 32; ++lane)
    in[lane * 10] = bits(1 + 0x1.8p-11F), in[lane * 10 + 4] = bits(1);
  const auto got =
      run_on_registers(in, 10, 4,
                       "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%r30, %r31, %r32, %r33}, {%r1, "
                       "%r2, %r3, %r4}, {%r5, %r6}, {%r7, %r8, %r9, %r10};");
  EXPECT_EQ(std::bit_cast<float>(got[0]), 4.0F) << "rounded, each product would be 1 + 2^-10";
}

/// Rows of 8 16-bit elements, 16 bytes each, in shared memory; lane i holds 16 bytes of row i.
constexpr const char* kRowsInShared = R"(
  mov.u32 %r50, s; shl.b32 %r51, %r63, 4; add.u32 %r52, %r50, %r51;
  st.shared.v4.u32 [%r52], {%r1, %r2, %r3, %r4};
  bar.warp.sync -1;
)";

TEST(MatrixInstructions, LdmatrixAndStmatrix) {
  std::vector<uint32_t> in;  // element (m, row, column) is 100·m + 8·row + column
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t j = 0; j < 4; ++j) {
      const uint32_t first = 100 * (lane / 8) + 8 * (lane % 8) + 2 * j;
      in.push_back((first + 1) << 16 | first);
    }
  }
  const std::string declarations = ".shared .align 16 .b8 s[512];";
  const auto plain =
      run_on_registers(in, 4, 4,
                       std::string(kRowsInShared) +
                           "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r30, %r31, %r32, %r33}, [%r52];",
                       declarations);
  const auto transposed =
      run_on_registers(in, 4, 4,
                       std::string(kRowsInShared) +
                           "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r30, %r31, %r32, %r33}, [%r52];",
                       declarations);
  const auto stored =
      run_on_registers(in, 4, 4,
                       std::string(kRowsInShared) +
                           "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r5, %r6, %r7, %r8}, [%r52];"
                           "bar.warp.sync -1;"
                           "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%r52], {%r5, %r6, %r7, %r8};"
                           "bar.warp.sync -1;"
                           "ld.shared.v4.u32 {%r30, %r31, %r32, %r33}, [%r52];",
                       declarations);
  EXPECT_EQ(stored, in) << "stmatrix undoes ldmatrix";
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const uint32_t g = lane / 4;
    const uint32_t t = 2 * (lane % 4);
    for (uint32_t m = 0; m < 4; ++m) {
      EXPECT_EQ(plain[lane * 4 + m], (100 * m + 8 * g + t + 1) << 16 | (100 * m + 8 * g + t));
      EXPECT_EQ(transposed[lane * 4 + m], (100 * m + 8 * (t + 1) + g) << 16 | (100 * m + 8 * t + g));
    }
  }
}

TEST(MatrixInstructions, WmmaMultipliesMatricesInSharedMemory) {
  // a (16,8), b (8,16), c (16,16) row major in global memory; leading dimensions 8, 16, 16.
  std::vector<float> a, b, c;
  for (int r = 0; r < 16; ++r) {
    for (int k = 0; k < 8; ++k) a.push_back(small_integer(r, k, 0));
    for (int q = 0; q < 16; ++q) c.push_back(small_integer(r, q, 2));
  }
  for (int k = 0; k < 8; ++k) {
    for (int q = 0; q < 16; ++q) b.push_back(small_integer(k, q, 1));
  }
  const DeviceArray<float> in_a(a), in_b(b), in_c(c);
  const std::string body = R"(
    wmma.load.a.sync.aligned.row.m16n16k8.global.tf32 {%r1, %r2, %r3, %r4}, [%a0], 8;
    wmma.load.b.sync.aligned.row.m16n16k8.global.tf32 {%r5, %r6, %r7, %r8}, [%a1], 16;
    wmma.load.c.sync.aligned.row.m16n16k8.global.f32 {%f1, %f2, %f3, %f4, %f5, %f6, %f7, %f8}, [%a2], 16;
    wmma.mma.sync.aligned.row.row.m16n16k8.f32.tf32.tf32.f32 {%f1, %f2, %f3, %f4, %f5, %f6, %f7, %f8},
      {%r1, %r2, %r3, %r4}, {%r5, %r6, %r7, %r8}, {%f1, %f2, %f3, %f4, %f5, %f6, %f7, %f8};
    wmma.store.d.sync.aligned.row.m16n16k8.global.f32 [%a2], {%f1, %f2, %f3, %f4, %f5, %f6, %f7, %f8}, 16;
  )";
  run_text(kernel_text(3, body), {in_a.address(), in_b.address(), in_c.address()});
  const auto got = in_c.values();
  for (int r = 0; r < 16; ++r) {
    for (int q = 0; q < 16; ++q) EXPECT_EQ(got[static_cast<std::size_t>(16 * r + q)], product(r, q, 8));
  }
}

}  // namespace
}  // namespace mt::ptx::testing
