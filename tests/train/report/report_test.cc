#include "train/report/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "tensor/io/input_file.h"
#include "tensor/io/safetensors.h"
#include "tensor/rng.h"
#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "tests/train/run/example_result.h"
#include "train/report/html.h"
#include "train/report/svg_plot.h"
#include "train/run/training_log.h"
#include "wsi/tiff/writer.h"

namespace mt::train {
namespace {

constexpr const char* kScript = "<script>alert('x')</script>";

/// A run folder of two training and four test slides (the first with a name that wants to be code), with
/// real pictures and scores, as a run would have left it.
class ReportTest : public testing::Test {
 protected:
  void SetUp() override {
    result_ = example_result({kScript, "tumour & slide", "third", "fourth"});
    config_ = result_.config;
    config_.patch = 64;
    config_.mpp = "0.5";
    write_slide();
    for (const char* id : {"negative", "positive"}) add_slide(id, Split::train, id[0] == 'p' ? 1 : 0);
    for (const SlideScore& slide : result_.variants[0].test_slides)
      add_slide(slide.id, Split::test, slide.label);
    folder_ = std::make_unique<RunFolder>(temporary_ / "run", config_);
    const RoundFiles first = folder_->round({Method::mil, false}, 0);
    const RoundFiles second = folder_->round({Method::hnm, true}, 1);
    write_scores(first);
    write_scores(second);
    folder_->log(PretrainStep{1, 3.5});
    MilEpoch mil;
    mil.out = first.name();
    mil.train_loss = 0.9;
    folder_->log(mil);
    FinetuneEpoch finetune;
    finetune.out = second.name();
    finetune.loss = 9.5;
    finetune.mean_direction = 0.97;
    folder_->log(finetune);
    folder_->finish(second.finetuning(), FinetuneRecord());  // with it the log is on disk
    for (VariantResult& variant : result_.variants) {
      for (RoundResult& round : variant.rounds) {
        for (int32_t t = 0; t < 16; ++t) {
          round.top_hard_negatives.push_back({{0, t}, 0.9F});
          round.top_positives.push_back({{1, t}, 0.8F});
        }
      }
    }
    patches_ = std::make_unique<PatchSource>(slides_, config_);
  }

  std::string page(const ReportLimits& limits = {}) {
    RunContext context{config_, *folder_, dataset_, slides_, *patches_};
    return report_html(context, result_, limits);
  }

  TemporaryFolder temporary_;
  Config config_;
  RunResult result_;
  Dataset dataset_;
  std::vector<TiledSlide> slides_;
  std::unique_ptr<RunFolder> folder_;
  std::unique_ptr<PatchSource> patches_;

 private:
  /// Noise: the pictures cannot be compressed to nothing.
  void write_slide() {
    wsi::RgbImage image(256, 256);
    RandomStream random(7, Purpose::test);
    for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(random.below(256));
    wsi::TiffWriteOptions options;
    options.dialect = wsi::TiffDialect::generic;
    options.compression = wsi::TiffCompression::none;
    options.tile = 64;
    options.levels = 1;
    wsi::write_tiff_pyramid(temporary_ / "slide.tif", image, options);
  }

  void add_slide(const std::string& id, Split split, int label) {
    SlideRecord record;
    record.id = id;
    record.path = temporary_ / "slide.tif";
    record.label = label;
    record.case_id = id;
    record.split = split;
    SlideTiles tiles;
    for (int64_t t = 0; t < 16; ++t) {
      tiles.x_level0.push_back(t % 4 * 64);
      tiles.y_level0.push_back(t / 4 * 64);
      tiles.tissue.push_back(1);
      tiles.tumour.push_back(t == 0 ? 1.0F : 0.0F);
    }
    tiles.patch = 64;
    tiles.patch_level0 = 64;
    tiles.mpp = 0.5;
    tiles.level0_width = tiles.level0_height = 256;
    slides_.push_back({record, tiles});
  }

  void write_scores(const RoundFiles& files) {
    NamedTensors tensors;
    for (const auto& [slide, tiles] : slides_) {
      std::vector<float> scores(16);
      for (std::size_t t = 0; t < scores.size(); ++t) scores[t] = static_cast<float>(t) / 16;
      tensors.emplace_back("instances." + slide.id, Tensor::of(scores, {16}));
    }
    write_sealed_tensors(folder_->to_write(files.scores()).string(), tensors);
  }
};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// The first tag that closes nothing or is closed by another, or what stays open; empty when all is balanced.
std::string unbalanced_tag(const std::string& html) {
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at)) {
    std::size_t end = at;
    for (char quote = 0; end < html.size() && (quote != 0 || html[end] != '>'); ++end) {
      if (html[end] == '"') quote = quote == 0 ? '"' : char{0};
    }
    const std::string tag = html.substr(at + 1, end - at - 1);
    at = end;
    const std::string name = tag.substr(0, tag.find_first_of(" \n/", tag.front() == '/' ? 1 : 0));
    if (tag.front() == '!' || tag.back() == '/' || name == "meta" || name == "img" || name == "br") continue;
    if (tag.front() != '/') {
      open.push_back(name);
    } else {
      if (open.empty() || "/" + open.back() != tag) return tag;
      open.pop_back();
    }
  }
  return open.empty() ? "" : open.back();
}

TEST_F(ReportTest, ShowsEveryFigureOfEveryVariantWithItsInterval) {
  const std::string html = page();
  for (const VariantResult& variant : result_.variants) {
    EXPECT_NE(html.find(variant.weights_sha256), std::string::npos);
    for (const auto* metrics : {&variant.metrics, &variant.test_optimal}) {
      for (const Metric& metric : *metrics) {
        if (metric.value) {
          EXPECT_NE(html.find(three_decimals(*metric.value)), std::string::npos)
              << variant.name << ": " << metric.name;
        }
      }
    }
  }
  for (const char* text :
       {"0.41 to 0.93", "0.37 to 0.88", "0.31 to 0.72", "0.21 to 0.62", "Wilson score interval",
        "not measured: no slide of this class", "for comparison only", "epoch chosen on the test slides",
        "(0.713)", "(0.637)", "of these germinal centre", "×4", "1,500", "2.5", "collapsed, rolled back",
        "AUC 0.750"}) {
    EXPECT_NE(html.find(text), std::string::npos) << text;
  }
}

TEST_F(ReportTest, BeginsWithWhatItWasMadeFrom) {
  result_.facts = {"2026-11-27 20:15",     "a-machine",         "a processor", "9.9", "0123abc",
                   "train --data 'a <b>'", std::string(64, 'f')};
  const std::string html = page();
  for (const char* text :
       {"synthetic slides", "not for diagnosis", "2026-11-27 20:15 UTC", "a-machine, a processor, 2 threads",
        "Microtome 9.9, commit 0123abc", "train --data &#39;a &lt;b&gt;&#39;", "What the words mean"})
    EXPECT_NE(html.find(text), std::string::npos) << text;
  // Two training slides of 16 patches, four test slides.
  EXPECT_NE(html.find("<th scope=\"row\">Slides</th><td>2</td><td>0</td><td>4</td>"), std::string::npos)
      << html.substr(html.find("id=\"data\""), 1500);
  EXPECT_NE(html.find("<th scope=\"row\">Patches</th><td>32</td><td>0</td><td>64</td>"), std::string::npos);
}

TEST_F(ReportTest, CountsCallsByLabel) {
  // Scores .7 .7 .2 .2 of labels 0 1 0 1, threshold 0.5: one of each cell.
  const std::string html = page();
  const std::size_t begin = html.find("id=\"calls\"");
  ASSERT_NE(begin, std::string::npos);
  const std::string calls = html.substr(begin, html.find("</section>", begin) - begin);
  EXPECT_EQ(count(calls, "class=\"right\">1<"), 4U);  // two variants, two cells each
  EXPECT_EQ(count(calls, "class=\"wrong\">1<"), 4U);
  EXPECT_EQ(count(calls, "<circle"), 4U + 2U);  // four slides, and the legend's two
}

TEST_F(ReportTest, PicturesBothClassesInTurn) {
  ReportLimits limits;
  limits.slides = 2;
  const std::string html = page(limits);
  EXPECT_EQ(count(html, "class=\"slide\""), 2U);
  EXPECT_NE(html.find("label tumour"), std::string::npos);
  EXPECT_NE(html.find("label normal"), std::string::npos);
}

TEST_F(ReportTest, IsBalancedHtmlWithoutScriptsOrAnythingFromOutside) {
  const std::string html = page();
  EXPECT_EQ(unbalanced_tag(html), "");
  EXPECT_EQ(unbalanced_tag("<p><b></p></b>"), "/p");
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"), std::string::npos);
  EXPECT_NE(html.find("a note with &lt;b&gt;markup&lt;/b&gt; &amp; &quot;quotes&quot;"), std::string::npos);
  EXPECT_EQ(html.find("http"), std::string::npos);
  EXPECT_EQ(html.find("url("), std::string::npos);
  EXPECT_EQ(html.find("<link"), std::string::npos);
  EXPECT_EQ(count(html, "src=\""), count(html, "src=\"data:image/jpeg;base64,/9j/"));
  for (const char* number : {">nan", "(nan", ",nan", " nan", "\"nan", "inf,"})
    EXPECT_EQ(html.find(number), std::string::npos) << number;
}

TEST_F(ReportTest, ShowsSlidesAndEachRoundsPatches) {
  const std::string html = page();
  // Truth and one heatmap a variant for each of four slides.
  EXPECT_EQ(count(html, "class=\"thumb\""), 4U * 3U);
  // 12 of each kind: rounds 0 of both variants differ by ranking, and hnm+ranking has a second.
  EXPECT_EQ(count(html, "class=\"patch "), 3U * 2U * 12U);
  // A false alarm comes before correct calls.
  EXPECT_LT(html.find("<h4>&lt;script"), html.find("<h4>tumour &amp; slide"));
}

TEST_F(ReportTest, StaysUnderTheByteBudgetAndSaysWhatItLeftOut) {
  RunResult with_pictures = result_;
  for (VariantResult& variant : result_.variants) {
    for (RoundResult& round : variant.rounds) {
      round.top_hard_negatives.clear();
      round.top_positives.clear();
    }
  }
  ReportLimits limits;
  limits.slides = 0;
  const std::size_t text_bytes = page(limits).size();
  std::swap(result_, with_pictures);
  const std::size_t all = count(page(), "<img");
  limits.slides = 24;
  std::size_t before = 0;
  for (const std::size_t room : {25'000U, 100'000U, 200'000U}) {
    limits.page_bytes = text_bytes + 20'000 + room;
    const std::string html = page(limits);
    EXPECT_LE(html.size(), limits.page_bytes);
    EXPECT_EQ(unbalanced_tag(html), "");
    EXPECT_NE(html.find("to keep this page small"), std::string::npos);
    const std::size_t pictures = count(html, "<img");
    EXPECT_GT(pictures, before);
    EXPECT_LT(pictures, all);
    before = pictures;
  }
  limits.page_bytes = text_bytes / 2;
  EXPECT_NE(error_of([&] { page(limits); }).find("its text alone"), std::string::npos);
}

TEST_F(ReportTest, APictureThatCannotBeReadBecomesALine) {
  std::filesystem::remove(temporary_ / "slide.tif");
  const std::string html = page();
  EXPECT_EQ(count(html, "<img"), 0U);
  EXPECT_NE(html.find("no pictures: "), std::string::npos);
  EXPECT_EQ(unbalanced_tag(html), "");
}

TEST_F(ReportTest, ARunOfFeaturesSaysWhyThereAreNoPictures) {
  config_.features = "elsewhere";
  for (TiledSlide& slide : slides_) slide.tiles = {};
  result_.config.features = "elsewhere";
  for (VariantResult& variant : result_.variants) {
    variant.instance_labels.clear();
    variant.instance_scores.clear();
  }
  const std::string html = page();
  EXPECT_EQ(count(html, "<img"), 0U);
  EXPECT_NE(html.find("not measured: this run has features"), std::string::npos);
  EXPECT_NE(html.find("not measured: no test patch has a known truth"), std::string::npos);
  EXPECT_EQ(unbalanced_tag(html), "");
}

TEST_F(ReportTest, IsWrittenIntoTheRunFolder) {
  RunContext context{config_, *folder_, dataset_, slides_, *patches_};
  write_report(context, result_);
  EXPECT_EQ(read_file(temporary_ / "run/report.html"), page());
}

// RFC 4648, section 10.
TEST(Base64Test, KnownAnswers) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("\xff\xfe\xfd"), "//79");
}

TEST(SvgPlotTest, TicksAreRoundAndCoverTheRange) {
  EXPECT_EQ(nice_ticks(0, 1, 5).size(), 6U);
  EXPECT_EQ(nice_ticks(1, 3, 6, 1), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(nice_ticks(-5, 5, 2), (std::vector<double>{-5, 0, 5}));
}

TEST(SvgPlotTest, LongCurvesAreThinnedAndGapsStay) {
  Plot plot;
  Curve curve;
  curve.colour = kBlue;
  RandomStream random(3, Purpose::test);
  for (int i = 0; i < 100000; ++i) {
    curve.x.push_back(i);
    curve.y.push_back(i == 50000 ? std::numeric_limits<double>::quiet_NaN() : random.uniform());
  }
  plot.curves = {curve};
  const std::string html = draw_plot(plot);
  EXPECT_EQ(count(html, "<polyline"), 2U);
  EXPECT_LT(html.size(), 60'000U);
  plot.curves[0].y.assign(plot.curves[0].x.size(), std::numeric_limits<double>::quiet_NaN());
  EXPECT_NE(draw_plot(plot).find("not measured: no values"), std::string::npos);
}

}  // namespace
}  // namespace mt::train
