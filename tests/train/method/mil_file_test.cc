#include "train/method/mil_file.h"

#include <gtest/gtest.h>

#include "models/weights.h"
#include "tensor/rng.h"
#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "train/run/run_folder.h"

namespace mt::train {
namespace {

Tensor random_bag(int64_t patches, int64_t width) {
  const Tensor bag = Tensor::empty({patches, width});  // (N,D)
  RandomStream random(3, Purpose::test);
  for (float& value : bag.span<float>()) value = random.normal();
  return bag;
}

TEST(MilFileTest, EveryKindComesBackWithItsCentringAndThreshold) {
  const TemporaryFolder folder;
  const std::string file = folder / "mil.safetensors";
  const Tensor bag = random_bag(7, 24);
  for (const Choice<MilKind>& kind : choices_of<MilKind>) {
    for (const bool is_centred : {false, true}) {
      const auto model = make_mil_model(kind.value, 24, 5);
      if (is_centred) model->set_centring({random_bag(1, 24).select(0, 0), 0.3F});
      save_mil(file, *model, kind.value, 1.0 / 3.0);
      const TrainedMil back = load_mil(file, Device::cpu);
      EXPECT_EQ(back.threshold, 1.0 / 3.0);
      EXPECT_EQ(back.model->describe(), model->describe());
      EXPECT_EQ(back.model->forward(Variable(bag)).bag_logit.item(),
                model->forward(Variable(bag)).bag_logit.item())
          << kind.name << is_centred;
    }
  }
}

TEST(MilFileTest, WhatItDoesNotSayIsNamed) {
  const TemporaryFolder folder;
  const std::string file = folder / "mil.safetensors";
  const auto model = make_mil_model(MilKind::mean, 8, 1);
  const std::map<std::string, std::string> whole{
      {"kind", "mean"}, {"feature_width", "8"}, {"threshold", "0.5"}};
  for (const auto& [key, value] : whole) {
    std::map<std::string, std::string> metadata = whole;
    metadata.erase(key);
    write_sealed_tensors(file, state_dict(*model), metadata);
    EXPECT_NE(error_of([&] { load_mil(file, Device::cpu); }).find("does not say its " + key),
              std::string::npos);
    metadata[key] = "nonsense";
    write_sealed_tensors(file, state_dict(*model), metadata);
    EXPECT_NE(error_of([&] { load_mil(file, Device::cpu); }).find("its " + key + " is \"nonsense\""),
              std::string::npos);
  }
}

}  // namespace
}  // namespace mt::train
