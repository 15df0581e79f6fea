// Records and checkpoints come back from a run folder as they were put there.

#include "train/run/run_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>

#include "tensor/io/input_file.h"
#include "tensor/io/seal.h"
#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "train/run/training_log.h"

namespace mt::train {
namespace {

Config config_for(const TemporaryFolder& folder) {
  Config config = preset_config(Preset::tiny, "phantom");
  config.run = folder / "run";
  return config;
}

/// Numbers of which no two are equal and none has a short decimal.
template <typename Record>
Record filled(double first) {
  Record record;
  double next = first;
  Record::visit(record, [&]<typename T>(const char* name, T& member) {
    next += 1.0 / 3.0;
    if constexpr (std::is_same_v<T, std::string>) {
      member = std::string(name) + " \"#\\\n";
    } else if constexpr (std::is_same_v<T, bool>) {
      member = !member;
    } else if constexpr (std::is_same_v<T, int64_t>) {
      member = (int64_t{1} << 60) + static_cast<int64_t>(next);
    } else if constexpr (std::is_same_v<T, double>) {
      member = next;
    }
  });
  return record;
}

template <typename Record>
class RunRecordTest : public ::testing::Test {};
using RecordTypes = ::testing::Types<PretrainRecord, EmbedRecord, MilRecord, FinetuneRecord>;
TYPED_TEST_SUITE(RunRecordTest, RecordTypes);

TYPED_TEST(RunRecordTest, AFinishedStepComesBackToTheBit) {
  const TemporaryFolder folder;
  const Config config = config_for(folder);
  const Step<TypeParam> step{"step of a test"};
  const auto written = filled<TypeParam>(0.1);
  {
    RunFolder run(config.run, config);
    run.finish(step, written);
  }
  const RunFolder run(config.run, config);
  ASSERT_TRUE(run.done(step));
  EXPECT_EQ(fields_of(run.record(step)), fields_of(written));
  ASSERT_EQ(run.costs().size(), 1U);
  EXPECT_EQ(run.costs()[0].second.seconds, written.seconds);
}

TYPED_TEST(RunRecordTest, ACheckpointComesBackToTheBit) {
  const TemporaryFolder folder;
  const Config config = config_for(folder);
  const Step<TypeParam> step{"step of a test"};
  const auto written = filled<TypeParam>(0.1);
  {
    RunFolder run(config.run, config);
    run.save_checkpoint(step, {{"weights", Tensor::of(std::vector<float>{1, 2}, {2})}}, TypeParam());
    run.save_checkpoint(step, {{"weights", Tensor::of(std::vector<float>{3, 4}, {2})}}, written);
  }
  RunFolder run(config.run, config);
  EXPECT_FALSE(run.done(step));
  const auto saved = run.checkpoint(step);
  ASSERT_TRUE(saved.has_value());
  EXPECT_EQ(fields_of(saved->record), fields_of(written));
  EXPECT_EQ(saved->tensors.at(0).second.template data<float>()[1], 4);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "run/checkpoints"), {}), 1);
  run.finish(step, written);
  EXPECT_FALSE(run.checkpoint(step).has_value());
  EXPECT_TRUE(std::filesystem::is_empty(folder / "run/checkpoints"));
}

TEST(RunRecordTest, WhatJsonCannotWriteComesBackToo) {
  const TemporaryFolder folder;
  const Config config = config_for(folder);
  const Step<MilRecord> step{"mil"};
  MilRecord record;
  record.validation_loss = std::numeric_limits<double>::infinity();
  record.validation_auc = std::nan("");
  record.threshold = -std::numeric_limits<double>::infinity();
  record.test_optimal_auc = std::numeric_limits<double>::denorm_min();
  {
    RunFolder run(config.run, config);
    run.save_checkpoint(step, {{"weights", Tensor::of(std::vector<float>{1}, {1})}}, record);
  }
  const MilRecord back = RunFolder(config.run, config).checkpoint(step)->record;
  EXPECT_EQ(back.validation_loss, record.validation_loss);
  EXPECT_TRUE(std::isnan(back.validation_auc));
  EXPECT_EQ(back.threshold, record.threshold);
  EXPECT_EQ(back.test_optimal_auc, record.test_optimal_auc);
}

TEST(RunRecordTest, AMissingOrMistypedMemberIsNamed) {
  Fields fields = fields_of(FinetuneRecord());
  std::erase_if(fields, [](const auto& field) { return field.first == "collapsed"; });
  EXPECT_EQ(error_of([&] { record_of<FinetuneRecord>(fields); }), "record: collapsed is missing");
  fields.emplace_back("collapsed", 0.5);
  EXPECT_EQ(error_of([&] { record_of<FinetuneRecord>(fields); }), "record: collapsed is not true or false");
}

TEST(RunFolderTest, AFolderOfAnEarlierVersionIsRefusedInOneLine) {
  const TemporaryFolder folder;
  const Config config = config_for(folder);
  {
    RunFolder run(config.run, config);
    run.finish(run.files().pretraining(), PretrainRecord());
  }
  std::string state = read_file(folder / "run/state.json");
  const std::size_t at = state.find("\"format\": 3");
  ASSERT_NE(at, std::string::npos) << state;
  state[at + 10] = '2';
  const std::size_t seal = state.find(read_seal(folder / "run/state.json"));
  state.replace(seal, 64, blank_seal().substr(blank_seal().size() - 64));
  folder.put("run/state.json", sealed(state));
  const std::string error = error_of([&] { RunFolder(config.run, config); });
  EXPECT_NE(error.find("run/state.json: is not what this version writes (of format 2)"), std::string::npos)
      << error;
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
}

/// state.json with a piece replaced, and a seal that is right: what a hostile folder may hold.
void reseal_state(const TemporaryFolder& folder, const std::string& from, const std::string& to) {
  std::string state = read_file(folder / "run/state.json");
  const std::size_t at = state.find(from);
  ASSERT_NE(at, std::string::npos) << from << " in " << state;
  state.replace(at, from.size(), to);
  state.replace(state.find(read_seal(folder / "run/state.json")), 64,
                blank_seal().substr(blank_seal().size() - 64));
  folder.put("run/state.json", sealed(state));
}

TEST(RunFolderTest, AHostileStateDeletesNothingAndTakesNoMemory) {
  const TemporaryFolder folder;
  const Config config = config_for(folder);
  const std::string victim = folder.put("victim.safetensors", "precious");
  const Step<MilRecord> step{"mil"};
  {
    RunFolder run(config.run, config);
    run.log(PretrainStep{1, 0.1});
    run.save_checkpoint(step, {{"weights", Tensor::of(std::vector<float>{1}, {1})}}, MilRecord());
  }
  const std::string whole = read_file(folder / "run/state.json");
  const std::string log = read_file(folder / "run/log.jsonl");
  for (const auto& [from, to] :
       {std::pair{"\"number\": 1", "\"number\": \"../../victim\""},
        std::pair{"\"number\": 1", "\"number\": 1e300"}, std::pair{"\"log_bytes\": ", "\"log_bytes\": -"},
        std::pair{"\"steps\": {}", "\"steps\": []"}, std::pair{"\"order\": []", "\"order\": {\"a\": 1}"}}) {
    reseal_state(folder, from, to);
    const std::string error = error_of([&] {
      RunFolder run(config.run, config);
      run.finish(step, MilRecord());
    });
    if (error != "no error") {
      EXPECT_NE(error.find("state.json: "), std::string::npos) << to << error;
      EXPECT_NE(error.find("delete it"), std::string::npos) << to << error;
      EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    }
    EXPECT_EQ(read_file(victim), "precious") << to;
    EXPECT_EQ(read_file(folder / "run/log.jsonl"), log) << to;
    folder.put("run/state.json", whole);
  }
  reseal_state(folder, "\"log_bytes\": ", "\"log_bytes\": 9999999999");
  const RunFolder run(config.run, config);
  EXPECT_EQ(read_file(folder / "run/log.jsonl"), log);
}

TEST(RunFolderTest, ARecordThatLacksAMemberNamesTheFile) {
  const TemporaryFolder folder;
  const Config config = config_for(folder);
  const Step<MilRecord> step{"mil"};
  {
    RunFolder run(config.run, config);
    run.finish(step, MilRecord());
  }
  reseal_state(folder, "\"validation_auc\"", "\"validation_xyz\"");
  const RunFolder run(config.run, config);
  const std::string error = error_of([&] { run.record(step); });
  EXPECT_NE(error.find("state.json: step mil: record: validation_auc is missing; delete it"),
            std::string::npos)
      << error;
}

/// A sealed file of a step.
std::filesystem::path put_tensor(const RunFolder& run, const char* name, float value) {
  const std::filesystem::path file = run.to_write(run.files().folder() / name);
  write_sealed_tensors(file, {{"x", Tensor::of(std::vector<float>{value}, {1})}});
  return file;
}

TEST(RunFolderTest, AStepWhoseFileIsGoneIsNotDoneAndWhatItMadeOtherwiseUndoesTheLater) {
  const TemporaryFolder folder;
  const Config config = config_for(folder);
  RunFolder run(config.run, config);
  const Step<PretrainRecord> first{"first"};
  const Step<MilRecord> second{"second"};
  const auto a = put_tensor(run, "a.safetensors", 1);
  run.finish(first, PretrainRecord(), {a});
  const auto b = put_tensor(run, "b.safetensors", 2);
  run.finish(second, MilRecord(), {b});
  EXPECT_TRUE(run.done(first) && run.done(second));
  EXPECT_EQ(run.checked(a), a);

  std::filesystem::remove(a);
  EXPECT_FALSE(run.done(first));
  EXPECT_TRUE(run.done(second));
  put_tensor(run, "a.safetensors", 1);  // made anew, the same: what came after it stands
  run.finish(first, PretrainRecord(), {a});
  EXPECT_TRUE(run.done(first) && run.done(second));

  put_tensor(run, "a.safetensors", 3);  // whole, but not what the step wrote
  EXPECT_NE(error_of([&] { run.checked(a); }).find("is not the file that this run wrote"), std::string::npos);
  run.finish(first, PretrainRecord(), {a});
  EXPECT_TRUE(run.done(first));
  EXPECT_FALSE(run.done(second));
}

TEST(RunFolderTest, NoPathLeadsOutOfIt) {
  const TemporaryFolder folder;
  const Config config = config_for(folder);
  const RunFolder run(config.run, config);
  for (const char* path : {"../other", "../run/../other", "", "..", "/etc/passwd"}) {
    const std::string error = error_of([&] { run.to_write(run.files().folder() / path); });
    EXPECT_NE(error.find("is no path inside of this run folder"), std::string::npos) << path << error;
  }
  const std::filesystem::path inside = run.files().folder() / "a/b/../c/file";
  EXPECT_EQ(run.to_write(inside), inside);
  EXPECT_TRUE(std::filesystem::is_directory(folder / "run/a/c"));
}

TEST(RunFolderTest, TheLogComesBackAsItWasWritten) {
  const TemporaryFolder folder;
  const Config config = config_for(folder);
  auto epoch = filled<FinetuneEpoch>(0.3);
  epoch.out = "rounds/hnm/1";
  auto mil = filled<MilEpoch>(0.7);
  mil.out = "rounds/initial";
  mil.test_auc = std::nan("");
  {
    RunFolder run(config.run, config);
    run.log(PretrainStep{1, 0.1});
    run.log(epoch);
    run.log(mil);
    run.finish(run.files().pretraining(), PretrainRecord());
  }
  const TrainingLog log = read_log(RunFiles(config.run).log());
  ASSERT_EQ(log.pretraining.size(), 1U);
  EXPECT_EQ(log.pretraining[0].loss, 0.1);
  EXPECT_EQ(fields_of(log.finetune.at("rounds/hnm/1").at(0)), fields_of(epoch));
  EXPECT_EQ(log.mil.at("rounds/initial").at(0).validation_loss, mil.validation_loss);
  EXPECT_TRUE(std::isnan(log.mil.at("rounds/initial").at(0).test_auc));
}

TEST(RunFilesTest, RoundsOfDifferentVariantsShareTheFirstAndNothingElse) {
  const RoundFiles first("run", {Method::hnm, true}, 0);
  EXPECT_EQ(first.name(), RoundFiles("run", {Method::mil, true}, 0).name());
  EXPECT_NE(first.name(), RoundFiles("run", {Method::hnm, false}, 0).name());
  EXPECT_EQ(first.encoder(), RunFiles("run").initial_encoder());
  const RoundFiles second("run", {Method::its2clr, true}, 2);
  EXPECT_EQ(second.scores(), "run/rounds/its2clr+ranking/2/scores.safetensors");
  EXPECT_EQ(second.features("a"), "run/features/its2clr+ranking/2/a.h5");
  EXPECT_EQ(second.finetuning().name, "finetune rounds/its2clr+ranking/2");
}

}  // namespace
}  // namespace mt::train
