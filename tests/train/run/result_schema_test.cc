// docs/result.schema.json against what to_json writes.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tensor/io/input_file.h"
#include "tests/train/run/example_result.h"
#include "tests/train/run/schema_checker.h"

namespace mt::train {
namespace {

using Json = nlohmann::json;

SchemaChecker published_schema() {
  return SchemaChecker(Json::parse(read_file(MT_DOCS_DIR "/result.schema.json")));
}

TEST(ResultSchemaTest, HoldsForAResultWithEverythingInIt) {
  RunResult result = example_result({"a", "b"});
  EXPECT_EQ(published_schema().fault(Json::parse(to_json(result))), "");
  result.variants.resize(1);  // then the hash stands at the top, too
  const Json single = Json::parse(to_json(result));
  EXPECT_TRUE(single.contains("weights_sha256"));
  EXPECT_EQ(published_schema().fault(single), "");
}

TEST(ResultSchemaTest, NoticesWhatIsMissingUnknownOrOfAnotherType) {
  const Json good = Json::parse(to_json(example_result({"a", "b"})));
  const SchemaChecker schema = published_schema();
  Json bad = good;
  bad["variants"][1].erase("threshold");
  EXPECT_EQ(schema.fault(bad), "result.variants[1] lacks threshold");
  bad = good;
  bad["variants"][0]["metrics"][0]["value"] = "0.8";
  EXPECT_EQ(schema.fault(bad), "result.variants[0].metrics[0].value is no [\"number\",\"null\"]");
  bad = good;
  bad["stages"][0]["surprise"] = 1;
  EXPECT_EQ(schema.fault(bad), "result.stages[0] has the unknown member surprise");
  bad = good;
  bad["variants"][0]["test_slides"][0]["label"] = 2;
  EXPECT_EQ(schema.fault(bad), "result.variants[0].test_slides[0].label is none of [0,1]");
  bad = good;
  bad["config"]["seed"] = nullptr;
  EXPECT_EQ(schema.fault(bad), "result.config.seed is no [\"string\",\"number\",\"boolean\"]");
}

TEST(PredictionsCsvTest, HasARowForEachSlideOfEachVariant) {
  RunResult result = example_result({"a,b", "c"});
  EXPECT_EQ(predictions_csv(result),
            "variant,slide_id,label,score,threshold,call\n"
            "mil,\"a,b\",normal,0.7,0.5,tumour\nmil,c,tumour,0.7,0.5,tumour\n"
            "hnm+ranking,\"a,b\",normal,0.7,0.5,tumour\nhnm+ranking,c,tumour,0.7,0.5,tumour\n");
}

TEST(RunFactsTest, TheCommandIsWhatAShellWouldTake) {
  EXPECT_EQ(shell_quoted("--data=a/b.csv"), "--data=a/b.csv");
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("exp #3"), "'exp #3'");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
}

}  // namespace
}  // namespace mt::train
