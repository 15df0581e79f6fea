#include "kernels/copy/copy.h"

#include <array>

#include "tensor/check.h"
#include "tests/harness/error_of.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;
using testing::uniform_values;
using testing::widened;

class CopyTest : public testing::KernelTest {
 protected:
  const Copy<float>& op() const { return version_of(copy<float>(device())); }
};

struct View {
  std::vector<int64_t> dims;
  std::vector<int64_t> strides;
  int64_t offset;  // of the first element in a storage of 1,000
};

// Scalar, contiguous, transposed, sliced, broadcast (stride 0), reversed (negative), mergeable axes, many
// axes, empty.
const View kViews[] = {{{}, {}, 7},
                       {{3, 20, 16}, {1, 3, 60}, 0},
                       {{2, 17, 18}, {400, 1, 20}, 3},
                       {{10, 100}, {100, 1}, 0},
                       {{100, 10}, {1, 100}, 0},
                       {{7, 9}, {31, 3}, 5},
                       {{4, 5, 6}, {0, 6, 1}, 2},
                       {{5, 8}, {-20, -1}, 900},
                       {{3, 9, 2, 40}, {1, 3, 30, 24}, 2},  // turned around an axis between the two
                       {{2, 11, 3, 9}, {3, 60, 1, 6}, 1},   // the axis of stride 1 is short
                       {{10, 9, 4}, {4, 40, 1}, 0},  // four bytes each: 16 bytes side by side are turned
                       {{6, 16}, {32, 1}, 16},
                       {{6, 12}, {36, 1}, 4},
                       {{2, 3, 4, 5}, {60, 20, 5, 1}, 1},
                       {{2, 3, 4, 5}, {60, 20, 1, 4}, 1},
                       {{2, 1, 2, 1, 2, 3, 2, 2}, {100, 7, 50, 9, 24, 8, 2, 1}, 0},
                       {{3, 0, 4}, {4, 4, 1}, 0}};

TEST_P(CopyTest, StridedViewsKeepEveryBit) {
  for (const int64_t bytes : {1, 2, 4, 8}) {
    std::vector<uint8_t> storage(static_cast<std::size_t>(1000 * bytes));
    RandomStream random(static_cast<uint64_t>(bytes), Purpose::test);
    for (auto& byte : storage) byte = static_cast<uint8_t>(random.next());
    Buffer<uint8_t> source(storage, device());
    for (const View& view : kViews) {
      int64_t elements = 1;
      for (const int64_t dim : view.dims) elements *= dim;
      std::vector<uint8_t> want(static_cast<std::size_t>(elements * bytes));
      copy<double>(Device::cpu)
          .strided(storage.data() + view.offset * bytes, view.dims, view.strides, want.data(), bytes,
                   nullptr);
      Buffer<uint8_t> target(elements * bytes, device());
      op().strided(source.data() + view.offset * bytes, view.dims, view.strides, target.data(), bytes,
                   nullptr);
      EXPECT_EQ(target.host(), want) << "elements of " << bytes << " bytes, rank " << view.dims.size();
    }
  }
}

TEST(CopyReferenceTest, StridedReadsWhereTheStridesSay) {
  const std::vector<int32_t> x{0, 1, 2, 3, 4, 5};  // (2,3)
  std::vector<int32_t> y(6);
  copy<double>(Device::cpu)
      .strided(x.data(), std::array<int64_t, 2>{3, 2}, std::array<int64_t, 2>{1, 3}, y.data(), 4, nullptr);
  EXPECT_EQ(y, (std::vector<int32_t>{0, 3, 1, 4, 2, 5}));
}

TEST_P(CopyTest, LargeViewsAgreeWithReference) {
  if (skips_large_case()) return;
  const auto x = uniform_values(300 * 500, 1);
  Buffer<float> in(x, device()), y(300 * 500, device());
  std::vector<float> want(x.size());
  const std::array<int64_t, 2> dims{500, 300};
  const std::array<int64_t, 2> strides{1, 500};
  copy<double>(Device::cpu).strided(x.data(), dims, strides, want.data(), 4, nullptr);
  op().strided(in.data(), dims, strides, y.data(), 4, nullptr);
  testing::expect_same_bits(y.host(), want, "transpose");
}

constexpr DType kTypes[] = {DType::f32, DType::f64, DType::bf16, DType::f16, DType::u8,
                            DType::i8,  DType::i16, DType::i32,  DType::i64, DType::boolean};

// Bytes of random numbers of each type; floating ones are finite and within i64's range.
std::vector<uint8_t> random_bytes(DType type, int64_t n) {
  RandomStream random(static_cast<uint64_t>(type), Purpose::test);
  std::vector<uint8_t> bytes;
  const auto append = [&](auto value) {
    const auto* p = reinterpret_cast<const uint8_t*>(&value);
    bytes.insert(bytes.end(), p, p + sizeof(value));
  };
  for (int64_t i = 0; i < n; ++i) {
    const float value = random.uniform(-1000, 1000);
    if (type == DType::f32)
      append(value);
    else if (type == DType::f64)
      append(static_cast<double>(value) * 1.000000001);
    else if (type == DType::bf16)
      append(float_to_bf16(value));
    else if (type == DType::f16)
      append(static_cast<uint16_t>(random.below(0x7C00)));
    else if (type == DType::boolean)
      append(static_cast<uint8_t>(random.below(2)));
    else
      for (std::size_t b = 0; b < size_of(type); ++b) append(static_cast<uint8_t>(random.next()));
  }
  return bytes;
}

TEST_P(CopyTest, CastsAgreeWithReferenceBitByBit) {
  for (const DType from : kTypes) {
    const auto source = random_bytes(from, 1003);
    Buffer<uint8_t> in(source, device());
    for (const DType to : {DType::f32, DType::f64, DType::bf16, DType::i64, from}) {
      const auto size = static_cast<int64_t>(size_of(to)) * 1003;
      std::vector<uint8_t> want(static_cast<std::size_t>(size));
      copy<double>(Device::cpu).cast(source.data(), from, want.data(), to, 1003, nullptr);
      Buffer<uint8_t> out(size, device());
      op().cast(in.data(), from, out.data(), to, 1003, nullptr);
      EXPECT_EQ(out.host(), want) << name_of(from) << " to " << name_of(to);
    }
  }
}

TEST_P(CopyTest, CastsHaveTheDocumentedValues) {
  Buffer<float> numbers({1.9F, -1.9F, 0.0F, 16777216.0F}, device());
  Buffer<int64_t> integers(4, device());
  op().cast(numbers.data(), DType::f32, integers.data(), DType::i64, 4, nullptr);
  EXPECT_EQ(integers.host(), (std::vector<int64_t>{1, -1, 0, 16777216}));
  Buffer<uint16_t> halves({0x3C00, 0xC000, 0x0001, 0x7C00},
                          device());  // 1, −2, the least subnormal, infinity
  Buffer<float> wide(4, device());
  op().cast(halves.data(), DType::f16, wide.data(), DType::f32, 4, nullptr);
  EXPECT_EQ(wide.host(), (std::vector<float>{1, -2, 0x1p-24F, INFINITY}));
  Buffer<int64_t> large({(int64_t{1} << 53) + 1, -1, 0, (int64_t{1} << 24) + 1}, device());
  op().cast(large.data(), DType::i64, wide.data(), DType::f32, 4, nullptr);
  EXPECT_EQ(wide.host(), (std::vector<float>{0x1p53F, -1, 0, 0x1p24F}));
}

TEST_P(CopyTest, CastsThatHaveNoValueAreErrors) {
  for (const float bad : {NAN, INFINITY, 0x1p63F, -0x1.1p63F}) {
    Buffer<float> x({1, bad}, device());
    Buffer<int64_t> y(2, device());
    EXPECT_THROW(op().cast(x.data(), DType::f32, y.data(), DType::i64, 2, nullptr), Error) << bad;
    std::vector<int64_t> reference(2);
    const std::vector<float> same{1, bad};
    EXPECT_THROW(
        copy<double>(Device::cpu).cast(same.data(), DType::f32, reference.data(), DType::i64, 2, nullptr),
        Error);
  }
  Buffer<float> x(std::vector<float>{1}, device());
  Buffer<uint8_t> y(1, device());
  EXPECT_THROW(op().cast(x.data(), DType::f32, y.data(), DType::u8, 1, nullptr), Error);
}

TEST_P(CopyTest, CastErrorsNameTheFirstElement) {
  std::vector<float> values(1003, 1);
  values[1002] = NAN;
  const auto error = [&] {
    Buffer<float> x(values, device());
    Buffer<int64_t> y(1003, device());
    return error_of([&] { op().cast(x.data(), DType::f32, y.data(), DType::i64, 1003, nullptr); });
  };
  EXPECT_EQ(error(), "cast: element 1002 (nan) is no i64");
  values[702] = -INFINITY;
  values[701] = 0x1p63F;
  EXPECT_EQ(error(), "cast: element 701 (9.223372e+18) is no i64");
}

TEST_P(CopyTest, ImagesBecomeNumbersWithOneRounding) {
  std::vector<uint8_t> images;
  for (int i = 0; i < 2 * 131 * 3; ++i) images.push_back(static_cast<uint8_t>(i * 7));
  Buffer<uint8_t> in(images, device());
  for (const bool swap : {false, true}) {
    const ImageScaling scaling{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}, swap};
    std::vector<double> want(images.size());
    copy<double>(Device::cpu).image_to_float(images.data(), want.data(), 2, 131, scaling, nullptr);
    Buffer<float> y(static_cast<int64_t>(images.size()), device());
    op().image_to_float(in.data(), y.data(), 2, 131, scaling, nullptr);
    testing::expect_relative(y.host(), want, 1, "y");
    const double first =
        (images[swap ? 2 : 0] / 255.0 - static_cast<double>(0.485F)) / static_cast<double>(0.229F);
    EXPECT_DOUBLE_EQ(want[0], first);
  }
}

// torchvision's to_tensor: u8 / 255 in float, (3,64,72).
TEST_P(CopyTest, ImageToFloatAgreesWithGolden) {
  const auto rgb = testing::golden_values<uint8_t>("images.npz", "rgb");
  Buffer<uint8_t> in(rgb, device());
  Buffer<float> y(static_cast<int64_t>(rgb.size()), device());
  op().image_to_float(in.data(), y.data(), 1, 64 * 72, {}, nullptr);
  const auto want = testing::golden_values<float>("images.npz", "to_tensor");
  testing::expect_same_bits(y.host(), testing::channels_last(want, 1, 3, 64 * 72), "y");
}

TEST_P(CopyTest, SameBitsAlways) {
  const int64_t rows = device() == Device::cpu ? 600 : 70;
  Buffer<float> in(uniform_values(rows * 40, 1), device()), turned(rows * 40, device()),
      cast(rows * 20, device());
  Buffer<uint8_t> bytes(std::vector<uint8_t>(static_cast<std::size_t>(rows * 30), 77), device());
  Buffer<float> scaled(rows * 30, device());
  expect_same_bits_always([&] {
    op().strided(in.data(), std::array<int64_t, 2>{40, rows}, std::array<int64_t, 2>{1, 40}, turned.data(), 4,
                 nullptr);
    op().cast(in.data(), DType::f32, cast.data(), DType::bf16, rows * 40, nullptr);
    op().image_to_float(bytes.data(), scaled.data(), 1, rows * 10, {}, nullptr);
    std::vector<float> all = turned.host();
    for (const auto& part : {cast.host(), scaled.host()}) all.insert(all.end(), part.begin(), part.end());
    return all;
  });
}

MT_ON_EVERY_DEVICE(CopyTest, Copy<float>);

}  // namespace
}  // namespace mt
