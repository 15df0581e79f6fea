// Whatever a person feeds in wrongly costs one clear line and nothing that was computed before.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <sstream>

#include "models/resnet.h"
#include "models/weights.h"
#include "tensor/io/safetensors.h"
#include "tensor/sanitizers.h"
#include "tests/end_to_end/programs.h"
#include "train/cli/terminal.h"
#include "wsi/tiff/writer.h"

namespace mt::end_to_end {
namespace {

/// Arguments for a CSV dataset in `folder`, run in `folder`/run.
Arguments csv_run(const TemporaryFolder& folder, const std::vector<CsvSlide>& slides,
                  const Arguments& more = {}) {
  Arguments arguments{"--data", write_csv(folder, slides), "--preset", "tiny", "--run", folder / "run"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// A white slide.
fs::path write_blank(const TemporaryFolder& folder, const std::string& name, std::optional<double> mpp) {
  wsi::TiffWriteOptions options;
  options.dialect = wsi::TiffDialect::generic;
  options.mpp = mpp;
  options.levels = 1;
  options.tile = 256;
  const fs::path path = folder / name;
  wsi::write_tiff_pyramid(path, wsi::RgbImage(1024, 1024, 255), options);
  return path;
}

fs::path write_truncated(const TemporaryFolder& folder, const std::string& name) {
  const fs::path path = folder / name;
  fs::copy_file(csv_slides(1)[0].path, path);
  fs::resize_file(path, fs::file_size(path) / 2);
  return path;
}

/// The encoder that --preset tiny makes, or one of another depth.
ResNet tiny_encoder(int depth) {
  ResNetConfig config;
  config.depth = depth;
  config.base_width = 8;
  config.norm = NormKind::instance;
  config.layer4_stride = 1;
  config.head_hidden = 32;
  config.head_out = 16;
  return ResNet(config, 1);
}

TEST(BadInput, WrongFlag) {
  expect_error(train(tiny_run("nowhere", {"--colour", "red"})), 2, {"--colour", "--help"});
  expect_error(predict({"--run", "nowhere", "--colour", "slide.tif"}), 2, {"--colour", "--help"});
  expect_error(slide({"info", "slide.tif", "--colour"}), 2, {"--colour", "--help"});
  expect_error(slide({"paint", "slide.tif"}), 2, {"subcommand", "--help"});
  EXPECT_FALSE(fs::exists("nowhere"));
}

TEST(CommandLine, HelpFitsEightyColumnsAndNamesDefaultsByPreset) {
  for (const ProgramResult& result : {train({"--help"}), train({"--help-all"}), predict({"--help"}),
                                      slide({"--help"}), slide({"tissue", "--help"})}) {
    EXPECT_EQ(result.exit_code, 0);
    std::istringstream lines(result.out);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(train::width_of(line), 80) << line;
  }
  // From preset_config(), for slides of one's own, for another preset, and for the phantom.
  const std::string all = train({"--help-all"}).out;
  EXPECT_NE(all.find("[20; paper: 350; tiny: 4]"), std::string::npos) << all;
  EXPECT_NE(train({"--preset", "paper", "--help-all"}).out.find("[350]"), std::string::npos);
  EXPECT_NE(train({"--data", "phantom", "--help"}).out.find("[1.0]"), std::string::npos);
}

TEST(BadInput, WrongValue) {
  expect_error(train(tiny_run("nowhere", {"--method", "magic"})), 2, {"--method", "magic", "its2clr"});
  expect_error(train(tiny_run("nowhere", {"--patch", "many"})), 2, {"--patch", "many"});
  expect_error(train(tiny_run("nowhere", {"--patch", "32"})), 2, {"--patch 32", "InstanceNorm"});
  expect_error(train(tiny_run("nowhere", {"--norm", "batch", "--bn", "batch", "--chunk", "24"})), 2,
               {"--bn batch", "32 views", "chunks of 24", "--bn frozen", "--chunk 32"});
  expect_error(train(tiny_run("nowhere", {"--bn", "batch"})), 2, {"--bn batch", "--norm batch"});
  expect_error(train(tiny_run("nowhere", {"--overlap", "64"})), 2, {"--overlap 64", "less than the patch"});
  expect_error(train(tiny_run("nowhere", {"--mpp", "coarse"})), 2, {"--mpp", "coarse"});
  expect_error(train(tiny_run("nowhere", {"--shard", "3/2"})), 2, {"--shard 3/2"});
  expect_error(train({"--data", "phantom", "--run", "nowhere", "--phantom-slides", "9"}), 2,
               {"--phantom-slides 9"});
  expect_error(train({"--data", "mice", "--run", "nowhere"}), 2, {"--data mice", "camelyon16", ".csv"});
  expect_error(train({"--data", "phantom"}), 2, {"--run"});
  EXPECT_FALSE(fs::exists("nowhere"));
}

TEST(BadInput, SlidesAndFoldersThatSlideCannotUse) {
  const TemporaryFolder folder;
  const std::string good = csv_slides(1)[0].path;
  expect_error(slide({"info", folder / "absent.svs"}), 1, {"absent.svs"});
  expect_error(slide({"info", folder.put("nonsense.tif", "this is no slide")}), 1, {"nonsense.tif"});
  expect_error(slide({"info", write_truncated(folder, "truncated.tif")}), 1, {"truncated.tif"});
  expect_error(slide({"thumb", good, folder / "no/such/folder/t.png"}), 1, {"t.png", "cannot be written"});
  expect_error(slide({"region", good, "0", "0", "64", "64", folder / "r.png", "--level", "40"}), 1,
               {"level 40"});
  expect_error(slide({"phantom", folder.put("file", "") + "/set"}), 1, {"file/set"});
  ProgramOptions full;
  full.file_bytes = 1000;
  expect_error(slide({"thumb", good, folder / "t.png"}, full), 1, {"t.png", "space"});
  EXPECT_FALSE(fs::exists(folder / "t.png"));
}

TEST(BadInput, MissingRoot) {
  expect_error(train({"--data", "camelyon16", "--run", "nowhere"}), 2, {"--root"});
  expect_error(train({"--data", "camelyon16", "--root", "no/such/place", "--run", "nowhere"}), 1,
               {"no/such/place", "--root"});
  EXPECT_FALSE(fs::exists("nowhere"));
}

TEST(BadInput, NoSlidesFoundSaysWhereItLookedAndWhichLayoutsItKnows) {
  const TemporaryFolder folder;
  const auto result = train({"--data", "camelyon16", "--root", folder.path(), "--run", folder / "run"});
  expect_error(result, 1,
               {folder.path(), "no slides found", "training/normal", "training/tumor", "testing/images",
                "official layout", "bucket"});
  EXPECT_FALSE(fs::exists(folder / "run"));
}

TEST(BadInput, NoFileOfSlides) {
  expect_error(train({"--data", "no/such.csv", "--run", "nowhere"}), 1, {"no/such.csv", "not there"});
}

TEST(BadInput, SlideWithoutMicrometresPerPixel) {
  const TemporaryFolder folder;
  auto slides = csv_slides(2);
  slides[0].path = write_blank(folder, "unmeasured.tif", std::nullopt);
  const auto result = train(csv_run(folder, slides, {"--dry-run"}));
  expect_error(result, 1, {"preflight: 1 problem", "--skip-bad-slides"});
  EXPECT_NE(result.out.find("unmeasured.tif: does not say its micrometres per pixel"), std::string::npos)
      << result.str();
  EXPECT_NE(result.out.find("--mpp-override"), std::string::npos);
  // Given a size, it is found to be blank: a dry run tiles every slide.
  const auto given = train(csv_run(folder, slides, {"--dry-run", "--mpp-override", "0.5"}));
  expect_error(given, 1, {"preflight: 1 problem"});
  EXPECT_NE(given.out.find("unmeasured.tif: no patch of"), std::string::npos) << given.str();
}

TEST(BadInput, UnreadableSlidesAreNamedAndCanBeSkipped) {
  const TemporaryFolder folder;
  auto slides = csv_slides(2);
  slides[0].path = write_truncated(folder, "truncated.tif");
  slides[1].path = folder.put("nonsense.tif", "this is no slide");
  slides[2].path = folder / "absent.tif";
  const auto result = train(csv_run(folder, slides, {"--dry-run"}));
  expect_error(result, 1, {"preflight: 3 problems", "--skip-bad-slides"});
  for (const char* name : {"truncated.tif", "nonsense.tif", "absent.tif"})
    EXPECT_NE(result.out.find(std::string("problem: ") + (folder / name)), std::string::npos)
        << name << ": " << result.str();
  const auto skipped = train(csv_run(folder, slides, {"--dry-run", "--skip-bad-slides"}));
  EXPECT_EQ(skipped.exit_code, 0) << skipped.str();
  EXPECT_NE(skipped.out.find("9 slides"), std::string::npos) << skipped.str();
}

TEST(BadInput, SkippingMustLeaveBothClasses) {
  const TemporaryFolder folder;
  auto slides = csv_slides(1);
  slides[0].path = folder / "absent.tif";  // the only normal slide to train on
  expect_error(train(csv_run(folder, slides, {"--dry-run", "--skip-bad-slides"})), 1,
               {"train slides", "only one class"});
}

TEST(BadInput, SlideWithoutTissueIsNamedAndCanBeSkipped) {
  const TemporaryFolder folder;
  auto slides = csv_slides(2);
  slides[0].path = write_blank(folder, "blank.tif", 0.5);
  const Arguments quick{"--method", "mil", "--pretrain", "none"};
  const auto result = train(csv_run(folder, slides, quick));
  expect_error(result, 1, {"1 slide cannot be tiled", "--skip-bad-slides"});
  EXPECT_NE(result.out.find("blank.tif"), std::string::npos) << result.str();
  Arguments skipping = quick;
  skipping.push_back("--skip-bad-slides");
  const auto skipped = train(csv_run(folder, slides, skipping));
  EXPECT_EQ(skipped.exit_code, 0) << skipped.str();
  EXPECT_NE(skipped.out.find("; 1 slide was left out"), std::string::npos) << skipped.str();
}

TEST(BadInput, LabelForAnUnknownSlide) {
  const TemporaryFolder folder;
  const std::vector<CsvSlide> slides = csv_slides(2);
  std::string labels = "case_id,slide_id,label\nz,stranger_007,tumor\n";
  for (const CsvSlide& slide : slides) labels += fmt::format("{0},{0},{1}\n", slide.id, slide.label);
  const auto result =
      train(csv_run(folder, slides, {"--dry-run", "--labels", folder.put("labels.csv", labels)}));
  expect_error(result, 1, {"preflight: 1 problem"});
  EXPECT_NE(result.out.find("labels.csv, line 2: a label for slide stranger_007"), std::string::npos)
      << result.str();
}

TEST(BadInput, SlideWithoutLabel) {
  const TemporaryFolder folder;
  std::vector<CsvSlide> slides = csv_slides(2);
  slides[0].label = "";
  const auto result = train(csv_run(folder, slides, {"--dry-run"}));
  expect_error(result, 1, {"preflight: 1 problem"});
  EXPECT_NE(result.out.find("slides.csv, line 2: slide " + slides[0].id + " has no label"), std::string::npos)
      << result.str();
}

TEST(BadInput, MoreThanTwoClasses) {
  const TemporaryFolder folder;
  std::vector<CsvSlide> slides = csv_slides(2);
  slides[0].label = "2";
  const auto result = train(csv_run(folder, slides, {"--dry-run"}));
  expect_error(result, 1, {"preflight: 1 problem"});
  EXPECT_NE(result.out.find("slides.csv, line 2: label \"2\": two classes are supported"), std::string::npos)
      << result.str();
  for (std::size_t i = 0; i < slides.size(); ++i) slides[i].label = i % 2 == 0 ? "LUSC" : "LUAD";
  expect_error(train(csv_run(folder, slides, {"--dry-run"})), 1,
               {"the labels are LUAD (", "LUSC (", "--positive LUSC"});
}

TEST(BadInput, OnlyOneClass) {
  const TemporaryFolder folder;
  std::vector<CsvSlide> slides = csv_slides(1);
  for (CsvSlide& slide : slides) slide.label = "1";
  expect_error(train(csv_run(folder, slides, {"--dry-run"})), 1, {"train slides", "only one class"});
}

TEST(BadInput, NotANumberInWeights) {
  const TemporaryFolder folder;
  StateDict weights = state_dict(tiny_encoder(18));
  weights[0].second.data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  write_safetensors(folder / "nan.safetensors", weights);
  expect_error(train(tiny_run(folder / "run", {"--weights", folder / "nan.safetensors"})), 1,
               {"nan.safetensors", weights[0].first});
  EXPECT_FALSE(fs::exists(folder / "run"));
}

TEST(BadInput, WeightsOfAnotherArchitecture) {
  const TemporaryFolder folder;
  write_safetensors(folder / "deep.safetensors", state_dict(tiny_encoder(34)));
  expect_error(train(tiny_run(folder / "run", {"--weights", folder / "deep.safetensors"})), 1,
               {"deep.safetensors", "ResNet-34", "ResNet-18", "--encoder"});
  write_safetensors(folder / "other.safetensors", {{"gate", Tensor::of(std::vector<float>{1}, {1})}});
  expect_error(train(tiny_run(folder / "run", {"--weights", folder / "other.safetensors"})), 1,
               {"other.safetensors"});
  EXPECT_FALSE(fs::exists(folder / "run"));
}

TEST(BadInput, PickleThatWantsToImportIsRefusedAndNotRun) {
  const TemporaryFolder folder;
  const std::string command = "touch " + (folder / "harm");
  // torch's legacy format: magic number, protocol 1001, system facts, and then os.system(command).
  std::string bytes("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.", 25);
  bytes += "\x80\x02";
  bytes += "cos\nsystem\nX";
  for (int byte = 0; byte < 4; ++byte) bytes += static_cast<char>(command.size() >> (8 * byte) & 255);
  bytes += command + "\x85R." + std::string("\x80\x02].", 4);  // and no storages
  expect_error(train(tiny_run(folder / "run", {"--weights", folder.put("hostile.pth", bytes)})), 1,
               {"hostile.pth", "os.system", "nothing is executed"});
  EXPECT_FALSE(fs::exists(folder / "harm"));
  EXPECT_FALSE(fs::exists(folder / "run"));
}

/// A run folder that is finished up to the first MIL round; the tests below must not cost it anything.
class BadRunFolder : public ::testing::Test {
 protected:
  BadRunFolder()
      : run_(folder_ / "run"), arguments_(tiny_run(run_, {"--method", "mil", "--pretrain", "none"})) {}

  Arguments with(const Arguments& more) const {
    Arguments all = arguments_;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  TemporaryFolder folder_;
  std::string run_;
  Arguments arguments_;
};

TEST_F(BadRunFolder, AnotherConfigurationIsRefusedByKey) {
  ASSERT_EQ(train(arguments_).exit_code, 0);
  const std::string result = text_of(run_ + "/result.json");
  expect_error(train(with({"--seed", "7", "--rank-k", "5"})), 1,
               {run_, "another configuration", "seed is 1 in the folder and 7 now", "rank-k is 10"});
  EXPECT_EQ(text_of(run_ + "/result.json"), result);

  const std::string state = text_of(run_ + "/state.json");
  folder_.put("run/state.json", state.substr(0, state.size() / 2));
  expect_error(train(arguments_), 1, {"state.json", "damaged"});
  folder_.put("run/state.json", state);
  const auto repaired = train(arguments_);
  EXPECT_EQ(repaired.exit_code, 0) << repaired.str();
  EXPECT_EQ(text_of(run_ + "/result.json"), result);
}

TEST_F(BadRunFolder, ASecondProcessIsTurnedAway) {
  bool was_tried = false;
  ProgramOptions options;
  options.kill_when = [&](double) {
    if (!was_tried && fs::exists(run_ + "/state.json")) {
      was_tried = true;
      expect_error(train(arguments_), 1, {run_, "another process"});
    }
    return false;
  };
  const auto first = train(arguments_, options);
  EXPECT_EQ(first.exit_code, 0) << first.str();
  EXPECT_TRUE(was_tried);
}

TEST_F(BadRunFolder, AFullDiskCostsNothing) {
  if (kThreadSanitizer)
    GTEST_SKIP() << "ThreadSanitizer itself writes files beyond the limit that stands for a full disk";
  ProgramOptions full;
  full.file_bytes = 100'000;  // enough for tiles, too little for the encoder
  expect_error(train(arguments_, full), 1, {"initial.safetensors", "space"});
  const fs::path tiles = run_ + "/tiles/normal_001.safetensors";
  ASSERT_TRUE(fs::exists(tiles));
  const auto written = fs::last_write_time(tiles);
  const auto again = train(arguments_);
  EXPECT_EQ(again.exit_code, 0) << again.str();
  EXPECT_EQ(fs::last_write_time(tiles), written);

  // While slides are written, and while the method works: what was finished stays finished.
  full.file_bytes = 100'000;
  expect_error(train({"--data", "phantom", "--preset", "tiny", "--run", folder_ / "phantom"}, full), 1,
               {"disk full"});
  const std::string result = text_of(run_ + "/result.json");
  fs::remove(run_ + "/report.html");
  full.file_bytes = 20'000;
  expect_error(train(arguments_, full), 1, {"report.html", "space"});
  EXPECT_EQ(text_of(run_ + "/result.json"), result);
  EXPECT_EQ(train(arguments_).exit_code, 0);

  full.file_bytes = 2'000;  // predict writes features first
  const std::string slide = csv_slides(1)[0].path;
  expect_error(predict({"--run", run_, "--out", folder_ / "out", slide}, full), 1, {"normal_001.h5"});
  EXPECT_TRUE(fs::is_empty(folder_ / "out"));
}

TEST_F(BadRunFolder, OutOfMemoryIsSaid) {
  if (kSanitized) GTEST_SKIP() << "sanitizers reserve more address space than this test allows";
  ProgramOptions small;
  small.address_space = uint64_t{2} << 30;
  small.environment = {{"OMP_NUM_THREADS", "1"}};
  const auto result = train(tiny_run(run_, {"--pretrain-batch", "400000"}), small);  // 4.6 GiB of pixels
  expect_error(result, 1, {"out of memory", "--pretrain-batch"});
  EXPECT_TRUE(fs::exists(run_ + "/tiles/normal_001.safetensors"));
}

TEST_F(BadRunFolder, OutOfMemoryIsSaidByTheOthers) {
  if (kSanitized) GTEST_SKIP() << "sanitizers reserve more address space than this test allows";
  ProgramOptions small;
  small.address_space = uint64_t{80} << 20;
  small.environment = {{"OMP_NUM_THREADS", "1"}};
  const std::string good = csv_slides(1)[0].path;
  expect_error(slide({"region", good, "0", "0", "6000", "6000", folder_ / "r.png"}, small), 1, {"memory"});
  EXPECT_FALSE(fs::exists(folder_ / "r.png"));
}

TEST_F(BadRunFolder, BagsSmallerThanKSimplyWork) {
  const auto result = train(with({"--rank-k", "5000"}));
  EXPECT_EQ(result.exit_code, 0) << result.str();
  EXPECT_TRUE(result.err.empty()) << result.err;
}

}  // namespace
}  // namespace mt::end_to_end
