// That the method does what it is for: fine-tuning on mined patches makes patches of tumour stand out.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tensor/sanitizers.h"
#include "tests/end_to_end/programs.h"

namespace mt::end_to_end {
namespace {

using Json = nlohmann::json;

double metric(const Json& variant, const char* name) {
  for (const Json& entry : variant.at("metrics"))
    if (entry.at("name") == name) return entry.at("value");
  ADD_FAILURE() << "no metric " << name;
  return 0;
}

/// --preset fast with fewer slides than the demo and one round in place of two. Nothing is said of which
/// method of fine-tuning wins.
TEST(FastPreset, FineTuningRaisesInstanceAveragePrecisionByATenth) {
  if (kSanitized) GTEST_SKIP() << "minutes of training; its stages run under sanitizers in the other tests";
  const TemporaryFolder folder;
  const std::string tuned = folder / "tuned";
  const std::string frozen = folder / "frozen";
  const auto first = train({"--data", "phantom", "--preset", "fast", "--rounds", "1", "--phantom-slides",
                            "80/20/25", "--run", tuned});
  ASSERT_EQ(first.exit_code, 0) << first.str();
  // The same settings, slides and pre-trained weights, but for the method.
  const auto second = train({"--config", tuned + "/config.toml", "--data", "camelyon16", "--root",
                             tuned + "/phantom", "--method", "mil", "--pretrain", "none", "--weights",
                             tuned + "/encoders/initial.safetensors", "--run", frozen});
  ASSERT_EQ(second.exit_code, 0) << second.str();
  const Json hnm = Json::parse(text_of(tuned + "/result.json")).at("variants").at(0);
  const Json mil = Json::parse(text_of(frozen + "/result.json")).at("variants").at(0);
  EXPECT_EQ(hnm.at("name"), "hnm+ranking");
  EXPECT_EQ(mil.at("name"), "mil+ranking");
  // Both began with the same first round.
  EXPECT_EQ(hnm.at("rounds").at(0).at("validation_auc"), mil.at("rounds").at(0).at("validation_auc"));
  const double gain = metric(hnm, "instance_average_precision") - metric(mil, "instance_average_precision");
  RecordProperty("gain", std::to_string(gain));
  EXPECT_GE(gain, 0.1);
}

}  // namespace
}  // namespace mt::end_to_end
