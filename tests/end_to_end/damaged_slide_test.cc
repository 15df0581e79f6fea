// Slides that open, have tissue, and cannot be read at some place: met only when their patches are decoded.

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/end_to_end/programs.h"
#include "wsi/tiff/directory.h"

namespace mt::end_to_end {
namespace {

using Json = nlohmann::json;

/// Overwrites the data of level-0 tiles [begin, end) of their number with zeros. Coarser levels, of which the tissue is found, stay.
void damage(const fs::path& slide, double begin, double end) {
  const wsi::TiffFile file(slide);
  const auto& level0 = file.directories()[0];
  const auto tiles = static_cast<double>(level0.offsets.size());
  std::fstream bytes(slide, std::ios::in | std::ios::out | std::ios::binary);
  for (auto t = static_cast<std::size_t>(begin * tiles); t < static_cast<std::size_t>(end * tiles); ++t) {
    const std::string zeros(level0.byte_counts[t], '\0');
    bytes.seekp(static_cast<std::streamoff>(level0.offsets[t]));
    bytes.write(zeros.data(), static_cast<std::streamsize>(zeros.size()));
  }
}

class DamagedSlide : public ::testing::Test {
 protected:
  void SetUp() override {
    slides_ = csv_slides(2);
    const auto victim = std::find_if(slides_.begin(), slides_.end(), [](const CsvSlide& s) {
      return s.split == "train" && s.label == "tumor";
    });
    ASSERT_NE(victim, slides_.end());
    id_ = victim->id;
    slide_ = folder_ / "damaged.tif";
    fs::copy_file(victim->path, slide_);
    victim->path = slide_;
    csv_ = write_csv(folder_, slides_);
  }

  ProgramResult run(const std::string& name, const Arguments& more, const std::string& csv = "") {
    Arguments arguments{
        "--data",      csv.empty() ? csv_ : csv, "--preset", "tiny", "--mpp", "0.5", "--rounds", "1", "--run",
        folder_ / name};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return train(arguments);
  }
  Json result(const std::string& name) { return Json::parse(text_of(folder_ / name + "/result.json")); }

  /// The run that never had the slide.
  Json without_it(const Arguments& more) {
    std::vector<CsvSlide> others;
    for (const CsvSlide& slide : slides_) {
      if (slide.id != id_) others.push_back(slide);
    }
    const TemporaryFolder apart;
    const ProgramResult done = run("without", more, write_csv(apart, others));
    EXPECT_EQ(done.exit_code, 0) << done.str();
    return result("without");
  }

  TemporaryFolder folder_;
  std::vector<CsvSlide> slides_;
  std::string id_, slide_, csv_;
};

TEST_F(DamagedSlide, IsLeftOutAsIfItHadNeverBeenThere) {
  damage(slide_, 0, 1);
  const ProgramResult plain = run("run", {});
  expect_error(plain, 1, {"damaged.tif: level 0, tile", "mend the file", "--skip-bad-slides"});
  const ProgramResult done = run("run", {"--skip-bad-slides"});
  ASSERT_EQ(done.exit_code, 0) << done.str();
  EXPECT_NE(done.out.find("slide " + id_ + " is left out"), std::string::npos) << done.out;
  EXPECT_EQ(result("run").at("slides_left_out"), 1);
  const Json without = without_it({});
  EXPECT_EQ(result("run").at("weights_sha256"), without.at("weights_sha256"));
  EXPECT_EQ(result("run").at("variants")[0].at("metrics"), without.at("variants")[0].at("metrics"));
  // Again: nothing is computed, and it is still out. Mended, it stays out: the run was made without it.
  fs::copy_file(csv_slides(2)[0].path, slide_, fs::copy_options::overwrite_existing);
  const ProgramResult again = run("run", {"--skip-bad-slides"});
  EXPECT_EQ(again.exit_code, 0) << again.str();
  EXPECT_EQ(result("run").at("weights_sha256"), without.at("weights_sha256"));
  EXPECT_EQ(result("run").at("slides_left_out"), 1);
}

TEST_F(DamagedSlide, IsFoundByEmbeddingWhereNothingReadItBefore) {
  damage(slide_, 0.5, 0.75);
  const ProgramResult done = run("run", {"--pretrain", "none", "--skip-bad-slides"});
  ASSERT_EQ(done.exit_code, 0) << done.str();
  EXPECT_EQ(result("run").at("slides_left_out"), 1);
  EXPECT_EQ(result("run").at("weights_sha256"), without_it({"--pretrain", "none"}).at("weights_sha256"));
}

TEST_F(DamagedSlide, ComesBackWhenItIsMendedBeforeAnythingWasLearned) {
  const std::string good = folder_ / "good.tif";
  fs::copy_file(slide_, good);
  damage(slide_, 0, 1);
  EXPECT_EQ(run("run", {"--skip-bad-slides", "--pretrain", "none", "--until", "embed"}).exit_code, 0);
  fs::copy_file(good, slide_, fs::copy_options::overwrite_existing);
  fs::last_write_time(slide_, fs::last_write_time(good) + std::chrono::seconds(2));
  const ProgramResult done = run("run", {"--skip-bad-slides", "--pretrain", "none"});
  ASSERT_EQ(done.exit_code, 0) << done.str();
  EXPECT_EQ(result("run").at("slides_left_out"), 0);
}

TEST_F(DamagedSlide, ThatWasReadBeforeIsNamed) {
  ASSERT_EQ(run("run", {"--until", "mil"}).exit_code, 0);
  damage(slide_, 0.1, 1);
  const ProgramResult later = run("run", {"--skip-bad-slides"});
  EXPECT_EQ(later.exit_code, 1) << later.str();
  EXPECT_NE(later.err.find("1 slide replaced (" + id_ + ")"), std::string::npos) << later.err;
}

TEST_F(DamagedSlide, ADryRunDecodesASampleOfEverySlide) {
  damage(slide_, 0.9, 1);  // what a download that broke off lacks
  const ProgramResult dry = run("run", {"--dry-run"});
  EXPECT_EQ(dry.exit_code, 1) << dry.str();
  EXPECT_NE(dry.out.find("damaged.tif: level 0, tile"), std::string::npos) << dry.out;
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(DamagedSlide, ADryRunSaysWhatEachStageWillTake) {
  const ProgramResult dry = run("run", {"--dry-run", "--ablation"});
  ASSERT_EQ(dry.exit_code, 0) << dry.str();
  for (const char* part : {"estimate, from nothing", "\n  tile ", "\n  pretrain ", "\n  embed ",
                           "\n  MIL, first round ", "\n  hnm: 2 rounds ", "\n  all ", "GB are free in "})
    EXPECT_NE(dry.out.find(part), std::string::npos) << part << "\n" << dry.out;
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  // Features alone have no encoder to wait for.
  ASSERT_EQ(run("run", {"--method", "mil"}).exit_code, 0);
  const ProgramResult bags =
      train({"--data", csv_, "--preset", "tiny", "--method", "mil", "--features",
             folder_ / "run/features/initial", "--run", folder_ / "bags", "--dry-run"});
  ASSERT_EQ(bags.exit_code, 0) << bags.str();
  EXPECT_NE(bags.out.find("MIL, first round"), std::string::npos) << bags.out;
  EXPECT_EQ(bags.out.find("pretrain"), std::string::npos) << bags.out;
}

}  // namespace
}  // namespace mt::end_to_end
