#include "train/feature_files/feature_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "tensor/io/dense.h"
#include "tensor/io/input_file.h"
#include "tensor/io/safetensors.h"
#include "tensor/rng.h"
#include "tests/harness/error_of.h"
#include "tests/harness/places.h"
#include "tests/harness/temporary_folder.h"

namespace mt::train {
namespace {

SlideFeatures example(int64_t patches = 5, int64_t width = 4) {
  SlideFeatures slide;
  slide.features = Tensor::empty(Shape({patches, width}));
  slide.coords = Tensor::empty(Shape({patches, 2}), DType::i64);
  Tensor scores = Tensor::empty(Shape({patches}));
  RandomStream random(2, Purpose::test);
  for (float& value : slide.features.span<float>()) value = random.normal();
  for (int64_t& value : slide.coords.span<int64_t>()) value = static_cast<int64_t>(random.below(100000));
  for (float& value : scores.span<float>()) value = random.uniform();
  slide.instances = {{"instance_scores", scores}};
  slide.attributes = {.name = "slide ä",
                      .patch_size = 224,
                      .patch_size_level0 = 460,
                      .level0_magnification = 40,
                      .target_magnification = 19.5,
                      .overlap = 0,
                      .level0_width = 97792,
                      .level0_height = 221184,
                      .mpp = std::nullopt};
  return slide;
}

void expect_equal(const Tensor& actual, const Tensor& expected) {
  ASSERT_EQ(actual.shape(), expected.shape());
  ASSERT_EQ(actual.dtype(), expected.dtype());
  EXPECT_EQ(std::memcmp(dense(actual).raw(), expected.raw(), expected.bytes()), 0);
}

void expect_equal(const SlideFeatures& actual, const SlideFeatures& expected) {
  expect_equal(actual.features, expected.features);
  expect_equal(actual.coords, expected.coords);
  ASSERT_EQ(actual.instances.size(), expected.instances.size());
  for (std::size_t i = 0; i < expected.instances.size(); ++i) {
    EXPECT_EQ(actual.instances[i].first, expected.instances[i].first);
    expect_equal(actual.instances[i].second, expected.instances[i].second);
  }
  EXPECT_EQ(actual.attributes.name, expected.attributes.name);
  EXPECT_EQ(actual.attributes.patch_size, expected.attributes.patch_size);
  EXPECT_EQ(actual.attributes.patch_size_level0, expected.attributes.patch_size_level0);
  EXPECT_EQ(actual.attributes.level0_magnification, expected.attributes.level0_magnification);
  EXPECT_EQ(actual.attributes.target_magnification, expected.attributes.target_magnification);
  EXPECT_EQ(actual.attributes.overlap, expected.attributes.overlap);
  EXPECT_EQ(actual.attributes.level0_width, expected.attributes.level0_width);
  EXPECT_EQ(actual.attributes.level0_height, expected.attributes.level0_height);
}

TEST(FeaturesTest, RoundTripThroughHdf5) {
  const TemporaryFolder folder;
  for (const int64_t patches : {5, 0, 1, 2500}) {
    SCOPED_TRACE(patches);
    const SlideFeatures slide = example(patches);
    write_features(folder / "a.h5", slide);
    expect_equal(read_features(folder / "a.h5"), slide);
    expect_equal(read_own_features(folder / "a.h5"), slide);
  }
}

TEST(FeaturesTest, EqualContentGivesEqualBytes) {
  const TemporaryFolder folder;
  write_features(folder / "a.h5", example());
  write_features(folder / "b.h5", example());
  EXPECT_EQ(read_file(folder / "a.h5"), read_file(folder / "b.h5"));
}

// feature_files/ was written by h5py and torch 1.13 (see its README).
TEST(FeaturesTest, ScoresAloneAreNamedWhereFeaturesAreLookedFor) {
  const TemporaryFolder folder;
  SlideFeatures slide = example();
  slide.features = {};
  slide.origin = {{"producer", "microtome"}};
  const std::string path = folder / "scores.h5";
  write_features(path, slide);
  EXPECT_EQ(features_file("another name.h5", slide), read_file(path));
  const std::string error = error_of([&] { read_features(path); });
  for (const char* part : {"scores.h5", "coords", "instance_scores"})
    EXPECT_NE(error.find(part), std::string::npos) << error;
  slide.instances.clear();
  EXPECT_NE(error_of([&] { features_file(path, slide); }).find("(N,D)"), std::string::npos);
}

TEST(FeaturesTest, ReadsFilesOfOtherPrograms) {
  const std::string files = testing::golden_path("feature_files/");
  for (const char* name : {"trident.h5", "clam.h5", "tensor.pt", "dict.pt", "dsmil.csv"}) {
    SCOPED_TRACE(name);
    const SlideFeatures slide = read_features(files + name);
    ASSERT_EQ(slide.features.shape(), Shape({3, 4}));
    for (int64_t i = 0; i < 12; ++i) {
      EXPECT_EQ(dense(slide.features).data<float>()[i], static_cast<float>(i) / 8) << i;
    }
    const bool has_coords = std::strcmp(name, "tensor.pt") != 0 && std::strcmp(name, "dsmil.csv") != 0;
    ASSERT_EQ(slide.coords.defined(), has_coords);
    if (!has_coords) continue;
    for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(dense(slide.coords).data<int64_t>()[i], 512 * i) << i;
  }
  const FeatureAttributes attributes = read_features(files + "trident.h5").attributes;
  EXPECT_EQ(attributes.name, "slide_1");
  EXPECT_EQ(attributes.patch_size_level0, 512);
  EXPECT_EQ(attributes.target_magnification, 20.0);
}

TEST(FeaturesTest, MistakesAreNamed) {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& path) {
    const std::string text = error_of([&] { read_features(path); });
    return text.starts_with(path + ": ") ? text.substr(path.size() + 2) : text;
  };
  EXPECT_EQ(error(folder / "missing.h5"), "cannot be opened (No such file or directory)");
  EXPECT_EQ(error(folder.put("a.h5", "no HDF5 at all")),
            "the HDF5 structure is missing or damaged (libhdf5: file signature not found)");
  EXPECT_EQ(error(folder.put("a.npy", "x")),
            "feature files end in .h5, .hdf5, .pt, .pth, .safetensors or .csv");
  EXPECT_EQ(error(folder.put("a.csv", "0,1\n1,2\n3\n")), "line 3: has 1 numbers, the header 2");
  EXPECT_EQ(error(folder.put("b.csv", "0,1\n1,nan\n")), "line 2: 'nan' is not a number");
  SlideFeatures slide = example();
  slide.features.data<float>()[9] = NAN;
  write_features(folder / "nan.h5", slide);
  EXPECT_EQ(error(folder / "nan.h5"), "the features of patch 2 have a NaN or infinity");
  slide.coords = Tensor::empty(Shape({4, 2}), DType::i64);
  EXPECT_THROW(write_features(folder / "b.h5", slide), Error);
}

TEST(FeaturesTest, NamesAndShapesOfTheFieldAreRead) {
  const TemporaryFolder folder;
  const Tensor matrix = example().features;  // (5,4)
  const auto features_in = [&](const NamedTensors& tensors, const std::string& key = {}) {
    write_safetensors(folder / "a.safetensors", tensors);
    return read_features(folder / "a.safetensors", key);
  };
  for (const char* name : {"features", "feats", "embeddings"})
    expect_equal(features_in({{name, matrix}}).features, matrix);
  expect_equal(features_in({{"x", matrix}, {"y", example(2).features}}, "x").features, matrix);
  expect_equal(features_in({{"features", matrix.view(Shape({1, 5, 4}))}}).features, matrix);
  expect_equal(features_in({{"features", matrix.view(Shape({5, 1, 4}))}}).features, matrix);
  const auto error = [&](const NamedTensors& tensors, const std::string& key = {}) {
    const std::string text = error_of([&] { features_in(tensors, key); });
    return text.substr(std::min(text.size(), text.find(": ") + 2));
  };
  EXPECT_EQ(error({{"x", matrix}, {"labels", matrix}}),
            "holds no features (nor feats or embeddings); it has x, labels: name the one that is meant with "
            "--features-key");
  EXPECT_EQ(error({{"features", matrix}}, "x"),
            "holds no x; it has features: name the one that is meant with --features-key");
  EXPECT_EQ(error({{"features", matrix.view(Shape({20}))}}),
            "features have shape (20); (N,D), a row for each patch, is needed");
}

/// Coordinates are not needed for training: those that nobody can use are left out, boxes give their corner.
TEST(FeaturesTest, CoordsAreTakenWhereTheyAreUsable) {
  const TemporaryFolder folder;
  const auto coords_of = [&](const Tensor& coords) {
    write_safetensors(folder / "a.safetensors", {{"coords", coords}, {"features", example(2).features}});
    return read_features(folder / "a.safetensors").coords;
  };
  const Tensor want = Tensor::of(std::vector<int64_t>{0, 256, 512, 768}, Shape({2, 2}));
  expect_equal(coords_of(want), want);
  expect_equal(coords_of(Tensor::of(std::vector<float>{0, 256, 512, 768}, Shape({2, 2}))), want);
  expect_equal(coords_of(Tensor::of(std::vector<double>{0.25, 255.75, 512, 768}, Shape({1, 2, 2}))), want);
  expect_equal(coords_of(Tensor::of(std::vector<int32_t>{0, 256, 9, 9, 512, 768, 9, 9}, Shape({2, 4}))),
               want);
  EXPECT_FALSE(coords_of(Tensor::of(std::vector<float>{0, NAN, 512, 768}, Shape({2, 2}))).defined());
  EXPECT_FALSE(coords_of(Tensor::of(std::vector<float>{0, 1e20F, 512, 768}, Shape({2, 2}))).defined());
  EXPECT_FALSE(coords_of(Tensor::of(std::vector<int64_t>{1, 2, 3}, Shape({3}))).defined());
  EXPECT_FALSE(coords_of(Tensor::of(std::vector<int64_t>{1, 2, 3, 4, 5, 6}, Shape({3, 2}))).defined());
}

/// feature_files/ again: what STAMP, TIAToolbox and tuples of torch look like (see its README).
TEST(FeaturesTest, ReadsWhatFoundationModelToolsWrite) {
  const std::string files = testing::golden_path("feature_files/");
  for (const char* name : {"stamp.h5", "boxes.h5", "middle_one.h5", "tuple.pt", "feats_bf16.pt"}) {
    SCOPED_TRACE(name);
    const SlideFeatures slide = read_features(files + name);
    ASSERT_EQ(slide.features.shape(), Shape({3, 4}));
    for (int64_t i = 0; i < 12; ++i)
      EXPECT_EQ(dense(slide.features).data<float>()[i], static_cast<float>(i) / 8) << i;
    const bool has_coords = std::string_view(name) == "boxes.h5" || std::string_view(name) == "tuple.pt";
    ASSERT_EQ(slide.coords.defined(), has_coords);
    for (int64_t i = 0; has_coords && i < 6; ++i) EXPECT_EQ(slide.coords.data<int64_t>()[i], 512 * i) << i;
  }
  EXPECT_EQ(read_features(files + "group.h5", "slide/features").features.shape(), Shape({3, 4}));
  EXPECT_NE(error_of([&] {
              read_features(files + "group.h5");
            }).find("it has slide, slide/features: name the one that is meant with --features-key"),
            std::string::npos);
  EXPECT_NE(error_of([&] { read_features(files + "open_writer.h5"); }).find("file is already open for write"),
            std::string::npos);
}

TEST(FeaturesTest, AWriterThatHasTheFileOpenIsNamed) {
  const TemporaryFolder folder;
  write_features(folder / "a.h5", example());
  const int descriptor = open((folder / "a.h5").c_str(), O_RDWR);
  ASSERT_EQ(flock(descriptor, LOCK_EX | LOCK_NB), 0);  // as libhdf5 does
  EXPECT_NE(error_of([&] {
              read_features(folder / "a.h5");
            }).find("another process is writing to it (libhdf5: unable to lock file"),
            std::string::npos);
  close(descriptor);
  expect_equal(read_features(folder / "a.h5"), example());
}

TEST(FeaturesTest, DamagedHdf5CostsThatFileOnly) {
  const TemporaryFolder folder;
  write_features(folder / "a.h5", example());
  const std::string content = read_file(folder / "a.h5");
  RandomStream random(3, Purpose::test);
  for (int trial = 0; trial < 60; ++trial) {
    std::string damaged = content;
    for (int flip = 0; flip < 4; ++flip) {
      damaged[random.below(damaged.size())] ^= static_cast<char>(1 + random.below(255));
    }
    if (trial % 3 == 0) damaged.resize(random.below(damaged.size()));
    const std::string path = folder.put("damaged.h5", damaged);
    ASSERT_TRUE(survives([&] { read_features(path); })) << trial;
  }
  expect_equal(read_features(folder / "a.h5"), example());
}

}  // namespace
}  // namespace mt::train
