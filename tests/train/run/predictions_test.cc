// predictions.json and predictions.csv: their schema, and that they are read back as they were written.

#include "train/run/predictions.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tensor/io/csv.h"
#include "tensor/io/input_file.h"
#include "tensor/io/seal.h"
#include "tests/train/run/schema_checker.h"

namespace mt::train {
namespace {

using Json = nlohmann::json;

Predictions example() {
  Predictions predictions;
  predictions.model = {"/runs/a", "hnm+ranking", std::string(64, 'a'), {"wildtype", "<mutant>"}, 0.75};
  predictions.files = {{"predictions.csv", std::string(64, 'c')}};
  SlidePrediction slide;
  slide.slide_id = "a \"b\", c";
  slide.path = "/slides/a \"b\", c.svs";
  slide.score = 1.0 / 3;
  slide.threshold = 0.75;
  slide.call = "wildtype";
  slide.patches = 7;
  slide.mpp = 0.5;
  slide.highest_instance_score = 0.9;
  slide.region_score = 0.5;
  slide.regions = 2;
  slide.region_class = "Suspicious";
  slide.device = "cpu (AVX2)";
  slide.source_sha256 = std::string(64, 'd');
  slide.made_from = std::string(64, 'e');
  slide.notes = {"says no um/px"};
  slide.files = {{"a.h5", std::string(64, 'f')}};
  predictions.slides[slide.slide_id] = slide;
  predictions.failed["z"] = {"z", "", "z.svs: is no slide\nat all"};
  return predictions;
}

SchemaChecker published_schema() {
  return SchemaChecker(Json::parse(read_file(MT_DOCS_DIR "/predictions.schema.json")), "predictions");
}

TEST(PredictionsTest, TheSchemaHoldsAndNoticesWhatIsWrong) {
  const Json good = Json::parse(to_json(example()));
  const SchemaChecker schema = published_schema();
  EXPECT_EQ(schema.fault(good), "");
  Json bad = good;
  bad["slides"][0]["call"] = 1;
  EXPECT_EQ(schema.fault(bad), "predictions.slides[0].call is no \"string\"");
  bad = good;
  bad["failed"][0].erase("reason");
  EXPECT_EQ(schema.fault(bad), "predictions.failed[0] lacks reason");
  bad = good;
  bad["slides"][0]["surprise"] = 1;
  EXPECT_EQ(schema.fault(bad), "predictions.slides[0] has the unknown member surprise");
}

TEST(PredictionsTest, AreReadBackAsTheyWereWritten) {
  Predictions written = example();
  const std::string text = to_json(written);
  EXPECT_NO_THROW(check_seal(text, "predictions.json", "no remedy"));
  EXPECT_EQ(to_json(predictions_from(text)), text);
  const SlidePrediction& slide = written.slides.begin()->second;
  const SlidePrediction read = prediction_from(to_json(slide));
  EXPECT_EQ(read.score, 1.0 / 3);  // to the last bit
  EXPECT_TRUE(std::isnan(read.level0_mpp));
  EXPECT_EQ(read.files, slide.files);
  EXPECT_EQ(read.notes, slide.notes);
  EXPECT_THROW(predictions_from("{}"), std::exception);
}

TEST(PredictionsTest, TheTableHasARowForEverySlide) {
  const CsvTable table(parse_csv_rows(to_csv(example()), "predictions.csv"), "predictions.csv");
  ASSERT_EQ(table.rows().size(), 2U);
  const auto field = [&](std::size_t row, const char* column) {
    return table.rows()[row].fields[table.column(column)];
  };
  EXPECT_EQ(field(0, "slide_id"), "a \"b\", c");
  EXPECT_EQ(std::stod(field(0, "score")), 1.0 / 3);
  EXPECT_EQ(field(0, "call"), "wildtype");
  EXPECT_EQ(field(0, "level0_mpp"), "");
  EXPECT_EQ(field(0, "error"), "");
  EXPECT_EQ(field(1, "score"), "");
  EXPECT_EQ(field(1, "error"), "z.svs: is no slide\nat all");
}

TEST(PredictionsTest, BytesThatAreNotUtf8AreWrittenAsText) {
  EXPECT_EQ(as_utf8("caf\xe9 \xc3\xa9"), "caf\\xe9 \xc3\xa9");
  EXPECT_EQ(as_utf8("a\nb"), "a\nb");
}

}  // namespace
}  // namespace mt::train
