#include "wsi/phantom/phantom.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "tensor/io/csv.h"
#include "tensor/io/input_file.h"
#include "tensor/parallel.h"
#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "wsi/phantom/cells.h"
#include "wsi/phantom/outline.h"
#include "wsi/phantom/phantom_dataset.h"
#include "wsi/slide.h"

namespace mt::wsi {
namespace {

namespace fs = std::filesystem;

/// The bytes of every file under a folder, by relative path.
std::map<std::string, std::string> files_under(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files[fs::relative(entry.path(), folder).string()] = read_file(entry.path().string());
    }
  }
  return files;
}

PhantomSetOptions small_set() {
  PhantomSetOptions options;
  options.train_slides = 2;
  options.validation_slides = 0;
  options.test_slides = 2;
  return options;
}

class ThreadCount {
 public:
  explicit ThreadCount(int threads) : before_(thread_count()) { set_thread_count(threads); }
  ~ThreadCount() { set_thread_count(before_); }

 private:
  int before_;
};

TEST(PhantomTest, SetsAreTheSameBytesForAnyThreadCountAndLayout) {
  const TemporaryFolder one;
  const TemporaryFolder two;
  PhantomSetOptions options = small_set();
  {
    const ThreadCount threads(1);
    EXPECT_EQ(write_phantom_set(one.path(), options).written, 4);
  }
  options.layout = PhantomLayout::bucket;
  {
    const ThreadCount threads(2);
    EXPECT_EQ(write_phantom_set(two.path(), options).written, 4);
  }
  const auto official = files_under(one.path());
  const auto bucket = files_under(two.path());
  const std::map<std::string, std::string> same = {
      {"training/normal/normal_001.tif", "images/normal_001.tif"},
      {"training/tumor/tumor_001.tif", "images/tumor_001.tif"},
      {"testing/images/test_001.tif", "images/test_001.tif"},
      {"testing/images/test_002.tif", "images/test_002.tif"},
      {"training/lesion_annotations/tumor_001.xml", "annotations/tumor_001.xml"},
      {"testing/reference.csv", "evaluation/reference.csv"},
      {"phantom/tissue_types.csv", "phantom/tissue_types.csv"},
      {"phantom/slides.csv", "phantom/slides.csv"},
      {"phantom/splits.csv", "phantom/splits.csv"},
  };
  for (const auto& [a, b] : same) {
    ASSERT_EQ(official.count(a), 1U) << a;
    ASSERT_EQ(bucket.count(b), 1U) << b;
    EXPECT_TRUE(official.at(a) == bucket.at(b)) << a;
  }
  // One of the two test slides carries tumour, and only it has an annotation.
  const std::vector<CsvRow> reference = read_csv_rows(one / "testing/reference.csv");
  ASSERT_EQ(reference.size(), 2U);
  for (const CsvRow& row : reference) {
    const bool annotated = official.count("testing/lesion_annotations/" + row.fields[0] + ".xml") == 1;
    EXPECT_EQ(row.fields[1], annotated ? "Tumor" : "Normal");
  }
  EXPECT_NE(reference[0].fields[1], reference[1].fields[1]);
}

TEST(PhantomTest, InterruptedSetsAreCompletedAndOthersRefused) {
  const TemporaryFolder folder;
  PhantomSetOptions options = small_set();
  options.test_slides = 0;
  write_phantom_set(folder.path(), options);
  const auto before = files_under(folder.path());
  fs::remove(folder / "training/tumor/tumor_001.tif");
  fs::remove(folder / "phantom/splits.csv");
  const PhantomSetSummary summary = write_phantom_set(folder.path(), options);
  EXPECT_EQ(summary.kept, 1);
  EXPECT_EQ(summary.written, 1);
  EXPECT_TRUE(files_under(folder.path()) == before);
  options.seed = 2;
  EXPECT_NE(error_of([&] { write_phantom_set(folder.path(), options); }).find("seed = 1, asked for is 2"),
            std::string::npos);
}

TEST(PhantomTest, SlidesAreRealPyramidsOfTheRenderedPicture) {
  const TemporaryFolder folder;
  PhantomSetOptions options = small_set();
  options.train_slides = 1;
  options.test_slides = 0;
  write_phantom_set(folder.path(), options);
  const PhantomSlide rendered = render_phantom("normal_001", false, {});
  const auto slide = Slide::open(folder / "training/normal/normal_001.tif");
  EXPECT_EQ(slide->dialect(), "philips");
  EXPECT_NEAR(slide->mpp().value(), 0.5, 1e-9);
  ASSERT_EQ(slide->level_count(), 4);
  RgbImage expected = rendered.image;
  for (int level = 0; level < 4; ++level) {
    const Level& size = slide->levels()[static_cast<std::size_t>(level)];
    ASSERT_EQ(size.width, expected.width);
    ASSERT_EQ(size.height, expected.height);
    const RgbImage read = slide->read_region(0, 0, level, size.width, size.height);
    double squares = 0;
    for (std::size_t i = 0; i < read.pixels.size(); ++i)
      squares += std::pow(read.pixels[i] - expected.pixels[i], 2);
    const double psnr = 10 * std::log10(255.0 * 255.0 * static_cast<double>(read.pixels.size()) / squares);
    EXPECT_GT(psnr, 28) << "level " << level;  // JPEG of quality 80 with halved chroma on saturated colours
    expected = halved(expected);
  }
}

TEST(PhantomTest, NameAndSeedMakeTheSlide) {
  PhantomOptions other;
  other.seed = 2;
  const PhantomSlide slide = render_phantom("a", false, {});
  EXPECT_TRUE(slide.image.pixels == render_phantom("a", false, {}).image.pixels);
  EXPECT_FALSE(slide.image.pixels == render_phantom("b", false, {}).image.pixels);
  EXPECT_FALSE(slide.image.pixels == render_phantom("a", false, other).image.pixels);
}

TEST(PhantomTest, TumourShareIsInItsRangeAndOutlinesAgreeWithTheTissue) {
  for (const PhantomDifficulty difficulty : {PhantomDifficulty::standard, PhantomDifficulty::hard}) {
    for (const char* name : {"tumor_001", "tumor_002", "tumor_003"}) {
      PhantomOptions options;
      options.difficulty = difficulty;
      const PhantomSlide slide = render_phantom(name, true, options);
      const double share = slide.tumour_um2 / slide.tissue_um2;
      const bool hard = difficulty == PhantomDifficulty::hard;
      EXPECT_GE(share, hard ? 0.008 : 0.045) << name;  // one node of 16 um2 at the outline is 0.01 %
      EXPECT_LE(share, hard ? 0.105 : 0.305) << name;
      ASSERT_TRUE(slide.tumour.has_tumour());
      double from_outlines = 0;
      for (const TissueCell& cell : slide.cells) {
        const double covered =
            slide.tumour.coverage(static_cast<double>(cell.x_level0), static_cast<double>(cell.y_level0),
                                  static_cast<double>(cell.size_level0));
        EXPECT_NEAR(covered, cell.tumour_share, 0.06) << name;  // 16 x 16 against 32 x 32 samples
        from_outlines += covered * 64 * 64;
      }
      EXPECT_NEAR(from_outlines / slide.tumour_um2, 1, 0.1) << name;
    }
  }
}

TEST(PhantomTest, NormalSlidesHoldHardNegativesAndNoTumour) {
  std::map<TissueType, int> counts;
  int patches = 0;
  for (const char* name :
       {"normal_001", "normal_002", "normal_003", "normal_004", "normal_005", "normal_006"}) {
    const PhantomSlide slide = render_phantom(name, false, {});
    EXPECT_FALSE(slide.tumour.has_tumour());
    int tissue = 0;
    for (const TissueCell& cell : slide.cells) {
      if (cell.tissue_share < 0.5F) continue;
      ++tissue;
      ++counts[cell.type];
      EXPECT_EQ(cell.tumour_share, 0.0F);
    }
    EXPECT_GE(tissue, 40) << name;
    EXPECT_LE(tissue, 90) << name;
    patches += tissue;
  }
  const double hard =
      static_cast<double>(counts[TissueType::germinal_centre] + counts[TissueType::histiocytes]) / patches;
  EXPECT_GT(hard, 0.12);  // the recipe's weights give 3.0 / 14.2 = 0.21
  EXPECT_LT(hard, 0.32);
  for (const TissueType type : {TissueType::stroma, TissueType::fat, TissueType::lymphocytes}) {
    EXPECT_GT(counts[type], 0) << tissue_name(type);
  }
}

TEST(PhantomTest, NucleiHaveTheRecipesSizes) {
  GeometryOptions options;
  options.tumour_share = 0.25F;
  std::map<TissueType, std::vector<float>> radii;
  for (uint32_t i = 0; i < 3; ++i) {
    RandomStream random(7, Purpose::test, i);
    const Geometry geometry(options, random);
    for (const Nucleus& nucleus : place_cells(geometry, 1.0F, random).nuclei) {
      // Lymphocytes are mixed in everywhere; vesicular nuclei are the tissue's own.
      if (nucleus.vesicular > 0.25F)
        radii[geometry.type(nucleus.x_um, nucleus.y_um)].push_back(nucleus.radius_um);
    }
  }
  const auto median = [&](TissueType type) {
    std::vector<float>& values = radii[type];
    EXPECT_GT(values.size(), 50U) << tissue_name(type);
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                     values.end());
    return values[values.size() / 2];
  };
  EXPECT_NEAR(median(TissueType::germinal_centre), 3.7, 0.4);
  EXPECT_NEAR(median(TissueType::histiocytes), 3.4, 0.4);
  EXPECT_GT(median(TissueType::tumour), 1.4 * median(TissueType::germinal_centre));
  EXPECT_NEAR(median(TissueType::tumour), 7.2, 1.6);  // crowding favours the smaller of a spread of 38 %
}

TEST(OutlineTest, AreasAndHolesOfARing) {
  NodeGrid field(400, 400, 4);
  for (int y = 0; y < field.nodes_y; ++y) {
    for (int x = 0; x < field.nodes_x; ++x) {
      const float r = std::hypot(static_cast<float>(x) * 4 - 200, static_cast<float>(y) * 4 - 200);
      field.at(x, y) = std::min(150 - r, r - 60);
    }
  }
  const Annotations annotations(trace_outlines(field, 0.5F));
  ASSERT_EQ(annotations.polygons().size(), 2U);
  EXPECT_NE(annotations.polygons()[0].excluded, annotations.polygons()[1].excluded);
  const double area = annotations.coverage(0, 0, 800) * 800 * 800;
  EXPECT_NEAR(area, std::acos(-1.0) * (300 * 300 - 120 * 120), 0.02 * 800 * 800);
  EXPECT_TRUE(annotations.contains(400 + 200, 400));
  EXPECT_FALSE(annotations.contains(400, 400));
  EXPECT_FALSE(annotations.contains(400 + 310, 400));
}

TEST(OutlineTest, SaddlesAndBordersStayClosed) {
  NodeGrid field(8, 8, 4);  // 3 x 3 nodes, alternating: four islands around a middle, all saddles
  for (int i = 0; i < 9; ++i) field.values[static_cast<std::size_t>(i)] = i % 2 == 0 ? 1.0F : -1.0F;
  const std::vector<Polygon> polygons = trace_outlines(field, 1.0F);
  EXPECT_EQ(polygons.size(), 5U);
  for (const Polygon& polygon : polygons) {
    EXPECT_EQ(polygon.points.size(), 4U);
    EXPECT_FALSE(polygon.excluded);
  }
}

TEST(PhantomTest, NamesAreParsedAndWrongOnesAreUsageErrors) {
  EXPECT_EQ(parse_difficulty("hard"), PhantomDifficulty::hard);
  EXPECT_EQ(parse_dialect("aperio"), TiffDialect::aperio);
  EXPECT_EQ(parse_layout("bucket"), PhantomLayout::bucket);
  EXPECT_THROW(parse_layout("flat"), UsageError);
  EXPECT_NE(error_of([] { parse_dialect("leica"); }).find("philips, generic, aperio"), std::string::npos);
}

}  // namespace
}  // namespace mt::wsi
