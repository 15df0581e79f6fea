#include "kernels/augment/augment.h"

#include <algorithm>
#include <functional>

#include "tensor/check.h"
#include "tensor/parallel.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"

namespace mt {
namespace {

using testing::Buffer;

constexpr std::array<JitterStep, 4> kSteps{JitterStep::brightness, JitterStep::contrast,
                                           JitterStep::saturation, JitterStep::hue};

std::vector<uint8_t> random_image(int64_t bytes, uint64_t seed) {
  RandomStream random(seed, Purpose::test);
  std::vector<uint8_t> image(static_cast<std::size_t>(bytes));
  for (auto& byte : image) byte = static_cast<uint8_t>(random.next());
  return image;
}

AugmentParameters whole_image(int64_t height, int64_t width) {
  AugmentParameters p;
  p.crop_height = static_cast<int32_t>(height);
  p.crop_width = static_cast<int32_t>(width);
  return p;
}

template <typename T>
std::vector<uint8_t> views_of(const std::vector<uint8_t>& images, const std::vector<AugmentParameters>& p,
                              int64_t height, int64_t width, int64_t size, int64_t blur_size,
                              const Augment<T>& op, Device device) {
  const auto batch = static_cast<int64_t>(p.size());
  Buffer<uint8_t> in(images, device), out(batch * size * size * 3, device);
  op.apply(in.data(), p.data(), out.data(), batch, height, width, size, blur_size, nullptr);
  return out.host();
}

class AugmentTest : public testing::KernelTest {
 protected:
  const Augment<float>& op() const { return version_of(augment<float>(device())); }

  std::vector<uint8_t> views(const std::vector<uint8_t>& images, const std::vector<AugmentParameters>& p,
                             int64_t height, int64_t width, int64_t size, int64_t blur_size = 13) const {
    return views_of<float>(images, p, height, width, size, blur_size, op(), device());
  }
  void expect_colours_of_a_lattice(int step) const;
};

std::vector<uint8_t> reference_views(const std::vector<uint8_t>& images,
                                     const std::vector<AugmentParameters>& p, int64_t height, int64_t width,
                                     int64_t size, int64_t blur_size = 13) {
  return views_of<double>(images, p, height, width, size, blur_size, augment<double>(Device::cpu),
                          Device::cpu);
}

AugmentPolicy everything_policy() {
  AugmentPolicy policy;
  policy.flip_vertical_chance = 0.5F;
  policy.quarter_turns = true;
  policy.stain_jitter_chance = 0.5F;
  return policy;
}

// Every step in random combinations, images and views of awkward sizes, blur wider than the view.
TEST_P(AugmentTest, BitwiseEqualToTheReference) {
  struct Case {
    int64_t height, width, size, blur_size;
  };
  uint64_t seed = 1;
  for (const Case& k : {Case{64, 64, 64, 13},
                        {40, 33, 21, 5},
                        {7, 5, 17, 13},
                        {50, 90, 9, 31},
                        {1, 1, 1, 13},
                        {3, 2, 2, 1},
                        {150, 20, 3, 3},
                        {30, 30, 40, 3}}) {
    const int64_t batch = device() == Device::simt ? 12 : 24;
    RandomStream random(seed, Purpose::augment);
    std::vector<AugmentParameters> parameters;
    for (int64_t b = 0; b < batch; ++b)
      parameters.push_back(sample_augmentation(everything_policy(), k.height, k.width, random));
    const auto images = random_image(batch * k.height * k.width * 3, ++seed);
    const auto got = views(images, parameters, k.height, k.width, k.size, k.blur_size);
    const auto want = reference_views(images, parameters, k.height, k.width, k.size, k.blur_size);
    const auto difference = std::mismatch(got.begin(), got.end(), want.begin());
    EXPECT_TRUE(difference.first == got.end())
        << k.height << " x " << k.width << " to " << k.size << ", byte " << difference.first - got.begin();
  }
}

void AugmentTest::expect_colours_of_a_lattice(int step) const {
  const int points = 255 / step + 1;
  const int64_t side = static_cast<int64_t>(std::ceil(std::sqrt(points * points * points)));
  std::vector<uint8_t> image(static_cast<std::size_t>(side * side * 3));
  for (int i = 0; i < points * points * points; ++i) {
    uint8_t* pixel = image.data() + 3 * i;
    pixel[0] = static_cast<uint8_t>(i % points * step);
    pixel[1] = static_cast<uint8_t>(i / points % points * step);
    pixel[2] = static_cast<uint8_t>(i / (points * points) * step);
  }
  for (const float hue : {-0.5F, -0.2F, 0.0F, 0.13F, 0.5F}) {
    AugmentParameters p = whole_image(side, side);
    p.colour_jitter = true;
    p.hue = hue;
    p.saturation = 1 + 2 * hue;
    EXPECT_EQ(views(image, {p}, side, side, side), reference_views(image, {p}, side, side, side))
        << "hue " << p.hue;
  }
}

TEST_P(AugmentTest, ColourStepsEqualTheReferenceOnACoarseLatticeOfColours) {
  expect_colours_of_a_lattice(15);
}

// All 2^24 colours cannot pass here; a lattice that holds every pair of a range and a value does: step 5 in
// each channel.
TEST_P(AugmentTest, ColourStepsEqualTheReferenceOnALatticeOfColours) {
  if (skips_large_case()) return;
  expect_colours_of_a_lattice(5);
}

TEST_P(AugmentTest, SameBitsAlways) {
  RandomStream random(8, Purpose::augment);
  std::vector<AugmentParameters> parameters;
  const int batch = device() == Device::cpu ? 40 : 6;
  for (int b = 0; b < batch; ++b)
    parameters.push_back(sample_augmentation(everything_policy(), 40, 50, random));
  const auto images = random_image(batch * 40 * 50 * 3, 7);
  expect_same_bits_always([&] {
    const auto bytes = views(images, parameters, 40, 50, 37, 5);
    return std::vector<float>(bytes.begin(), bytes.end());
  });
}

TEST_P(AugmentTest, DefaultParametersAndUnitStainsChangeNothing) {
  const auto image = random_image(32 * 32 * 3, 9);
  AugmentParameters p = whole_image(32, 32);
  EXPECT_EQ(views(image, {p}, 32, 32, 32), image);
  p.stain_jitter = true;
  EXPECT_EQ(views(image, {p}, 32, 32, 32), image);
  p.blur_sigma = 0.1F;  // its 8-bit kernel is a single 256
  EXPECT_EQ(views(image, {p}, 32, 32, 32), image);
}

// More haematoxylin darkens red the most (Ruifrok & Johnston: 0.65 against 0.07 for eosin), more eosin green.
TEST_P(AugmentTest, StainScalesActOnTheirColours) {
  const std::vector<uint8_t> pixel{150, 100, 170};
  AugmentParameters p = whole_image(1, 1);
  p.stain_jitter = true;
  p.haematoxylin_scale = 1.5F;
  const auto bluer = views(pixel, {p}, 1, 1, 1);
  EXPECT_LT(bluer[0] + 20, pixel[0]);
  p.haematoxylin_scale = 1;
  p.eosin_shift = 0.2F;
  const auto pinker = views(pixel, {p}, 1, 1, 1);
  EXPECT_LT(pinker[1] + 20, pixel[1]);
  EXPECT_LE(std::abs(pinker[0] - pixel[0]), 8);
}

TEST_P(AugmentTest, FlipsAndTurnsMovePixelsWhereTheySay) {
  std::vector<uint8_t> image(12);  // (2,2,3): pixels 0 1 / 2 3
  for (std::size_t i = 0; i < 12; ++i) image[i] = static_cast<uint8_t>(10 * (i / 3) + i % 3);
  const auto order = [&](const AugmentParameters& p) {
    const auto view = views(image, {p}, 2, 2, 2);
    EXPECT_EQ(view, reference_views(image, {p}, 2, 2, 2));
    return std::vector<int>{view[0] / 10, view[3] / 10, view[6] / 10, view[9] / 10};
  };
  AugmentParameters p = whole_image(2, 2);
  p.flip_horizontal = true;
  EXPECT_EQ(order(p), (std::vector<int>{1, 0, 3, 2}));
  p.quarter_turns = 1;  // flipped first, then turned counter-clockwise
  EXPECT_EQ(order(p), (std::vector<int>{0, 2, 1, 3}));
  p = whole_image(2, 2);
  p.flip_vertical = true;
  EXPECT_EQ(order(p), (std::vector<int>{2, 3, 0, 1}));
  p = whole_image(2, 2);
  p.quarter_turns = 1;
  EXPECT_EQ(order(p), (std::vector<int>{1, 3, 0, 2}));
  p.quarter_turns = 2;
  EXPECT_EQ(order(p), (std::vector<int>{3, 2, 1, 0}));
}

// images.npz holds Pillow's results on an image of 64 x 72; views are square. Pointwise steps, contrast's
// mean included, do not change when the image is repeated 9 x 8 times to 576 x 576.
constexpr int64_t kGoldenHeight = 64;
constexpr int64_t kGoldenWidth = 72;
constexpr int64_t kTiledSide = 576;

template <typename T>
void expect_pointwise_golden(const AugmentParameters& p, const std::string& name, const Augment<T>& op,
                             Device device) {
  const auto rgb = testing::golden_values<uint8_t>("images.npz", "rgb");
  const auto want = testing::golden_values<uint8_t>("images.npz", name);
  std::vector<uint8_t> tiled(static_cast<std::size_t>(kTiledSide * kTiledSide * 3)), want_tiled(tiled.size());
  for (int64_t i = 0; i < kTiledSide * kTiledSide; ++i) {
    const int64_t y = i / kTiledSide % kGoldenHeight;
    const int64_t x = i % kTiledSide % kGoldenWidth;
    std::copy_n(rgb.begin() + (y * kGoldenWidth + x) * 3, 3, tiled.begin() + 3 * i);
    std::copy_n(want.begin() + (y * kGoldenWidth + x) * 3, 3, want_tiled.begin() + 3 * i);
  }
  EXPECT_TRUE(views_of<T>(tiled, {p}, kTiledSide, kTiledSide, kTiledSide, 13, op, device) == want_tiled)
      << name;
}

template <typename T>
void expect_golden_colours(const Augment<T>& op, Device device) {
  AugmentParameters plain = whole_image(kTiledSide, kTiledSide);
  plain.colour_jitter = true;
  AugmentParameters p = plain;
  p.brightness = 1.6F;
  expect_pointwise_golden<T>(p, "brightness1.6", op, device);
  p = plain;
  p.contrast = 0.4F;
  expect_pointwise_golden<T>(p, "contrast0.4", op, device);
  p = plain;
  p.saturation = 1.7F;
  expect_pointwise_golden<T>(p, "saturation1.7", op, device);
  p = plain;
  p.hue = 0.13F;
  expect_pointwise_golden<T>(p, "hue0.13", op, device);
  p.hue = -0.2F;
  expect_pointwise_golden<T>(p, "hue-0.2", op, device);
}

// The two overlapping squares of 64 columns; columns whose result reaches over the cut are left out of each,
// and of none of both.
template <typename T>
void expect_square_golden(AugmentParameters p, const std::string& name, int64_t reach, const Augment<T>& op,
                          Device device) {
  const auto rgb = testing::golden_values<uint8_t>("images.npz", "rgb");
  const auto want = testing::golden_values<uint8_t>("images.npz", name);
  int64_t wrong = 0;
  for (const int64_t left : {0, 8}) {
    p.crop_left = static_cast<int32_t>(left);
    const auto view = views_of<T>(rgb, {p}, kGoldenHeight, kGoldenWidth, 64, 13, op, device);
    const int64_t offset = p.flip_horizontal ? 8 - left : left;
    for (int64_t i = 0; i < 64 * 64 * 3; ++i) {
      const int64_t x = i / 3 % 64;
      if (left == 0 ? x >= 64 - reach : x < reach) continue;
      const int64_t golden = (i / (64 * 3) * kGoldenWidth + x + offset) * 3 + i % 3;
      wrong += view[static_cast<std::size_t>(i)] != want[static_cast<std::size_t>(golden)];
    }
  }
  EXPECT_EQ(wrong, 0) << name;
}

template <typename T>
void expect_golden_squares(const Augment<T>& op, Device device) {
  AugmentParameters p = whole_image(64, 64);
  p.flip_horizontal = true;
  expect_square_golden<T>(p, "hflip", 0, op, device);
  p = whole_image(64, 64);
  p.grey = true;
  expect_square_golden<T>(p, "gray3", 0, op, device);
  p = whole_image(64, 64);
  for (const auto& [name, sigma] :
       {std::pair<std::string, float>{"0.1", 0.1F}, {"0.7", 0.7F}, {"1.3", 1.3F}, {"2.0", 2.0F}}) {
    p.blur_sigma = sigma;
    expect_square_golden<T>(p, "cv2blur13_sigma" + name, 6, op, device);
  }
}

template <typename T>
void expect_golden_sizes(const Augment<T>& op, Device device) {
  const auto rgb = testing::golden_values<uint8_t>("images.npz", "rgb");
  Buffer<uint8_t> in(rgb, device);
  const auto resized = [&](int64_t height, int64_t width) {
    Buffer<uint8_t> out(height * width * 3, device);
    op.resize(in.data(), out.data(), kGoldenHeight, kGoldenWidth, height, width, nullptr);
    return out.host();
  };
  EXPECT_EQ(resized(96, 100), testing::golden_values<uint8_t>("images.npz", "resize_up_96x100"));
  EXPECT_EQ(resized(20, 31), testing::golden_values<uint8_t>("images.npz", "resize_down_20x31"));
  AugmentParameters p;
  p.crop_top = 5;
  p.crop_left = 9;
  p.crop_height = 40;
  p.crop_width = 33;
  EXPECT_EQ(views_of<T>(rgb, {p}, kGoldenHeight, kGoldenWidth, 56, 13, op, device),
            testing::golden_values<uint8_t>("images.npz", "resized_crop_top5_left9_h40_w33_to_56"));
}

TEST_P(AugmentTest, ColoursAgreeWithPillow) {
  if (skips_large_case()) return;
  expect_golden_colours<float>(op(), device());
}
TEST_P(AugmentTest, FlipGreyAndBlurAgreeWithPillowAndOpenCv) {
  expect_golden_squares<float>(op(), device());
}
TEST_P(AugmentTest, ResizesAgreeWithPillow) {
  expect_golden_sizes<float>(op(), device());
}
TEST(AugmentReferenceTest, ColoursAgreeWithPillow) {
  expect_golden_colours<double>(augment<double>(Device::cpu), Device::cpu);
}
TEST(AugmentReferenceTest, FlipGreyAndBlurAgreeWithPillowAndOpenCv) {
  expect_golden_squares<double>(augment<double>(Device::cpu), Device::cpu);
}
TEST(AugmentReferenceTest, ResizesAgreeWithPillow) {
  expect_golden_sizes<double>(augment<double>(Device::cpu), Device::cpu);
}

TEST_P(AugmentTest, AllOrdersOfTheJitterStepsEqualTheReference) {
  const auto image = random_image(16 * 16 * 3, 21);
  AugmentParameters p = whole_image(16, 16);
  p.colour_jitter = true;
  p.brightness = 1.7F;
  p.contrast = 0.5F;
  p.saturation = 1.6F;
  p.hue = 0.2F;
  std::array<std::size_t, 4> order{0, 1, 2, 3};
  std::vector<std::vector<uint8_t>> results;
  do {  // all 24
    for (std::size_t i = 0; i < 4; ++i) p.jitter_order[i] = kSteps[order[i]];
    results.push_back(views(image, {p}, 16, 16, 16));
    ASSERT_EQ(results.back(), reference_views(image, {p}, 16, 16, 16));
  } while (std::next_permutation(order.begin(), order.end()));
  std::sort(results.begin(), results.end());
  EXPECT_EQ(std::unique(results.begin(), results.end()) - results.begin(), 24);
}

TEST_P(AugmentTest, ValuesOutOfRangeAreErrorsThatNameTheImage) {
  const auto expect_error = [&](const std::function<void(AugmentParameters&)>& spoil, const char* text) {
    std::vector<AugmentParameters> p(2, whole_image(4, 4));
    spoil(p[1]);
    const std::vector<uint8_t> images(2 * 4 * 4 * 3);
    try {
      views(images, p, 4, 4, 4);
      ADD_FAILURE() << "no error: " << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("image 1"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  expect_error([](AugmentParameters& p) { p.crop_left = 1; }, "crop");
  expect_error([](AugmentParameters& p) { p.crop_height = 0; }, "crop");
  expect_error([](AugmentParameters& p) { p.hue = 0.6F; }, "hue");
  expect_error([](AugmentParameters& p) { p.brightness = -1; }, "brightness");
  expect_error([](AugmentParameters& p) { p.blur_sigma = NAN; }, "sigma");
  expect_error([](AugmentParameters& p) { p.quarter_turns = 4; }, "turns");
  expect_error([](AugmentParameters& p) { p.jitter_order[0] = JitterStep::contrast; }, "jitter order");
  EXPECT_THROW(views(std::vector<uint8_t>(48), {whole_image(4, 4)}, 4, 4, 4, 12), Error);
}

TEST(AugmentPolicyTest, SamplesHaveThePolicysDistribution) {
  constexpr int kSamples = 20000;
  RandomStream random(5, Purpose::augment);
  const AugmentPolicy policy;
  double flips = 0, jitters = 0, greys = 0, blurs = 0, area = 0, brightness = 0, sigma = 0;
  std::array<int, 4> first{};
  for (int i = 0; i < kSamples; ++i) {
    const AugmentParameters p = sample_augmentation(policy, 224, 224, random);
    ASSERT_NO_THROW(check_augmentation(&p, 1, 224, 224, 64, 13));
    ASSERT_FALSE(p.flip_vertical || p.stain_jitter || p.quarter_turns != 0);
    const double ratio = static_cast<double>(p.crop_width) / p.crop_height;
    ASSERT_TRUE(ratio > 0.73 && ratio < 1.37)
        << ratio;  // 3/4 and 4/3, sides of at least 54 rounded to whole pixels
    ASSERT_TRUE(p.brightness >= 0.2F && p.brightness <= 1.8F && std::abs(p.hue) <= 0.2F);
    flips += p.flip_horizontal;
    jitters += p.colour_jitter;
    greys += p.grey;
    blurs += p.blur_sigma > 0;
    sigma += static_cast<double>(p.blur_sigma);
    brightness += static_cast<double>(p.brightness);
    area += static_cast<double>(p.crop_width) * p.crop_height / (224.0 * 224.0);
    ++first[static_cast<std::size_t>(p.jitter_order[0])];
  }
  // Five standard errors of a mean over 20,000 samples: at most 5 · 0.5 / √20000 = 0.018.
  EXPECT_NEAR(flips / kSamples, 0.5, 0.018);
  EXPECT_NEAR(jitters / kSamples, 0.8, 0.018);
  EXPECT_NEAR(greys / kSamples, 0.2, 0.018);
  EXPECT_NEAR(blurs / kSamples, 0.5, 0.018);
  EXPECT_NEAR(sigma / blurs, 1.05, 0.03);
  EXPECT_NEAR(brightness / kSamples, 1.0, 0.018);
  // Uniform in [0.08, 1] has mean 0.54; tries that leave the image, which are the large ones, are drawn
  // again.
  EXPECT_TRUE(area / kSamples > 0.45 && area / kSamples < 0.54) << area / kSamples;
  for (const int count : first) EXPECT_NEAR(count / static_cast<double>(kSamples), 0.25, 0.018);
}

TEST(AugmentPolicyTest, NarrowImagesFallBackToTheCentralCrop) {
  RandomStream random(6, Purpose::augment);
  AugmentPolicy policy;
  policy.crop_scale_low = 1;  // never fits an image of ratio 10
  const AugmentParameters p = sample_augmentation(policy, 10, 100, random);
  EXPECT_EQ(p.crop_height, 10);
  EXPECT_EQ(p.crop_width, 13);  // 10 · 4/3
  EXPECT_EQ(p.crop_left, 43);
  EXPECT_EQ(p.crop_top, 0);
}

MT_ON_EVERY_DEVICE(AugmentTest, Augment<float>);

}  // namespace
}  // namespace mt
