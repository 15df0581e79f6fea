// The same command again: what it was made from is compared by content, and what lies in the run folder is
// checked.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tensor/rng.h"
#include "tests/end_to_end/programs.h"

namespace mt::end_to_end {
namespace {

using Json = nlohmann::json;

std::string hash_of(const std::string& run) {
  return Json::parse(text_of(run + "/result.json")).at("weights_sha256");
}

void put(const fs::path& file, const std::string& content) {
  std::ofstream(file, std::ios::binary) << content;
}

/// Turns one bit over; `at` from the end where negative.
void flip_bit(const fs::path& file, std::ptrdiff_t at) {
  std::string content = text_of(file);
  ASSERT_FALSE(content.empty()) << file;
  if (at < 0) at += static_cast<std::ptrdiff_t>(content.size());
  char& byte = content[static_cast<std::size_t>(at)];
  byte = static_cast<char>(byte ^ 4);
  put(file, content);
}

void replace_in(const fs::path& file, const std::string& from, const std::string& to) {
  std::string content = text_of(file);
  const std::size_t at = content.find(from);
  ASSERT_NE(at, std::string::npos) << from << " in " << file;
  put(file, content.replace(at, from.size(), to));
}

/// Six slides of the shared set in a folder of their own, with a table, annotations and weights.
class OwnSlides {
 public:
  OwnSlides() {
    std::string table = "slide_id,path,label,split,annotation\n";
    for (const CsvSlide& slide : csv_slides(1)) {
      fs::copy_file(slide.path, folder_ / (slide.id + ".tif"));
      const fs::path outlines = phantom_set() / (slide.split == "test" ? "testing" : "training") /
                                "lesion_annotations" / (slide.id + ".xml");
      const bool has_outlines = fs::exists(outlines);
      if (has_outlines) fs::copy_file(outlines, folder_ / (slide.id + ".xml"));
      table += fmt::format("{0},{0}.tif,{1},{2},{3}\n", slide.id, slide.label, slide.split,
                           has_outlines ? slide.id + ".xml" : "");
      if (slide.split == "train" && slide.label != "normal") positive_ = slide.id;
      if (slide.split == "train" && slide.label == "normal") negative_ = slide.id;
    }
    table_ = folder_.put("slides.csv", table);
  }
  /// Quick: no pre-training, no fine-tuning.
  Arguments arguments(const Arguments& more = {}) const {
    Arguments all{"--data", table_,       "--preset", "tiny",  "--method",
                  "mil",    "--pretrain", "none",     "--run", run()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  const TemporaryFolder& folder() const { return folder_; }
  std::string run() const { return folder_ / "run"; }
  const std::string& table() const { return table_; }
  const std::string& positive() const { return positive_; }  // ids of training slides
  const std::string& negative() const { return negative_; }

 private:
  TemporaryFolder folder_;
  std::string table_;
  std::string positive_;
  std::string negative_;
};

/// Changes one thing, starts the run again, and puts everything back: the change must be named in the first
/// line, and nothing may be computed.
template <typename Change>
void expect_named(const OwnSlides& slides, const Arguments& arguments, const Change& change,
                  const std::vector<std::string>& parts) {
  const TemporaryFolder saved;
  const auto keep = fs::copy_options::overwrite_existing | fs::copy_options::recursive;
  fs::copy(slides.folder().path(), saved.path(), keep);
  const std::string result = text_of(slides.run() + "/result.json");
  change();
  const auto again = train(arguments);
  expect_error(again, 1, parts);
  expect_error(again, 1, {"since this run began: ", "take another --run", slides.run()});
  EXPECT_EQ(again.out.find("preflight"), std::string::npos) << again.out;
  EXPECT_EQ(text_of(slides.run() + "/result.json"), result);
  fs::copy(saved.path(), slides.folder().path(), keep);
}

TEST(Resume, EachChangeOfTheDataIsNamedAndNothingIsComputed) {
  const OwnSlides slides;
  const fs::path folder = slides.folder().path();
  ASSERT_EQ(train(slides.arguments()).exit_code, 0);
  fs::copy_file(slides.run() + "/encoders/initial.safetensors", folder / "w.safetensors");
  fs::remove_all(slides.run());
  const Arguments arguments = slides.arguments({"--weights", folder / "w.safetensors"});
  const auto first = train(arguments);
  ASSERT_EQ(first.exit_code, 0) << first.str();
  const std::string& tumour = slides.positive();
  const std::string& normal = slides.negative();

  const auto named = [&](const auto& change, const std::vector<std::string>& parts) {
    expect_named(slides, arguments, change, parts);
  };
  named([&] { replace_in(slides.table(), normal + ".tif,normal", normal + ".tif,tumor"); },
        {"slides.csv has changed since this run began: 1 label (" + normal + ")"});
  named([&] { replace_in(slides.table(), "tumor,train", "tumor,test"); },
        {"slides.csv has", "1 split (" + tumour});
  named(
      [&] {
        put(folder / "more.tif", ""),
            put(slides.table(), text_of(slides.table()) + "more,more.tif,0,test,\n");
      },
      {"slides.csv has", "1 slide more (more)"});
  named([&] { replace_in(slides.table(), normal + ",", "renamed,"); },
        {"1 slide more (renamed)", "1 slide less (" + normal});
  named(
      [&] {
        fs::copy_file(folder / (tumour + ".tif"), folder / (normal + ".tif"),
                      fs::copy_options::overwrite_existing);
      },
      {"1 slide replaced (" + normal + ")"});
  named([&] { put(folder / (tumour + ".xml"), text_of(folder / (tumour + ".xml")) + "\n"); },
        {"1 annotation (" + tumour + ")"});
  named([&] { replace_in(slides.table(), "," + tumour + ".xml", ","); }, {"1 annotation (" + tumour + ")"});
  named([&] { flip_bit(folder / "w.safetensors", -1); }, {"1 file of weights (w.safetensors)"});
  const auto last = train(arguments);
  EXPECT_EQ(last.exit_code, 0) << last.str();
  EXPECT_EQ(last.out.find("MIL"), std::string::npos) << last.out;
}

TEST(Resume, ADryRunLooksIntoTheRunFolder) {
  const OwnSlides slides;
  const Arguments dry = slides.arguments({"--dry-run"});
  EXPECT_EQ(train(dry).exit_code, 0);
  EXPECT_FALSE(fs::exists(slides.run()));
  ASSERT_EQ(train(slides.arguments()).exit_code, 0);
  const std::string state = text_of(slides.run() + "/state.json");
  EXPECT_EQ(train(dry).exit_code, 0);
  EXPECT_EQ(text_of(slides.run() + "/state.json"), state);
  expect_error(train(slides.arguments({"--dry-run", "--seed", "9"})), 1, {"another configuration", "seed"});
  replace_in(slides.table(), slides.negative() + ".tif,normal", slides.negative() + ".tif,tumor");
  expect_error(train(dry), 1, {"slides.csv has changed since this run began: 1 label"});
  put(slides.folder() / "file", "");
  Arguments elsewhere = dry;
  std::replace(elsewhere.begin(), elsewhere.end(), slides.run(), slides.folder() / "file/run");
  expect_error(train(elsewhere), 1, {"file", "is no folder"});
}

/// A run on features, with labels and splits in files of their own.
TEST(Resume, ChangedFeaturesLabelsAndSplitsAreNamedAndOtherSpellingsResume) {
  const OwnSlides slides;
  const fs::path folder = slides.folder().path();
  ASSERT_EQ(train(slides.arguments()).exit_code, 0);
  fs::copy(slides.run() + "/features/initial", folder / "features");
  fs::remove_all(slides.run());
  std::string labels = "case_id,slide_id,label\n";
  std::vector<std::string> split_of[3];
  for (const CsvSlide& slide : csv_slides(1)) {
    labels += fmt::format("{0},{0},{1}\n", slide.id, slide.label);
    split_of[slide.split == "train" ? 0 : slide.split == "val" ? 1 : 2].push_back(slide.id);
  }
  std::string splits = "train,val,test\n";
  for (int i = 0; i < 2; ++i)
    splits += fmt::format("{},{},{}\n", split_of[0][i], split_of[1][i], split_of[2][i]);
  put(folder / "labels.csv", labels);
  put(folder / "splits.csv", splits);
  const auto command = [&](const std::string& data, const std::string& label_file,
                           const std::string& split_file, const std::string& features,
                           const std::string& run) {
    return Arguments{"--data", data,       "--labels", label_file, "--splits", split_file, "--features",
                     features, "--preset", "tiny",     "--method", "mil",      "--run",    run};
  };
  const std::string table = slides.table();
  const Arguments arguments =
      command(table, folder / "labels.csv", folder / "splits.csv", folder / "features", slides.run());
  const auto first = train(arguments);
  ASSERT_EQ(first.exit_code, 0) << first.str();

  const auto named = [&](const auto& change, const std::vector<std::string>& parts) {
    expect_named(slides, arguments, change, parts);
  };
  const std::string a = split_of[0][0];
  const std::string b = split_of[2][0];
  named([&] { replace_in(folder / "labels.csv", ",normal\n", ",tumor\n"); },
        {"labels.csv has changed since this run began: 1 label"});
  named([&] { replace_in(folder / "labels.csv", a + "," + a, "patient," + a); },
        {"labels.csv has", "1 case (" + a + ")"});
  named(
      [&] {
        replace_in(folder / "splits.csv", a, "swap");
        replace_in(folder / "splits.csv", b, a);
        replace_in(folder / "splits.csv", "swap", b);
      },
      {"splits.csv has changed since this run began: 2 splits (" + a + ", " + b + ")"});
  named([&] { flip_bit(folder / "features" / (a + ".h5"), -300); }, {"1 feature file (" + a + ")"});
  named(
      [&] {
        fs::copy_file(folder / "features" / (a + ".h5"), folder / "features" / (b + ".h5"),
                      fs::copy_options::overwrite_existing);
      },
      {"1 feature file (" + b + ")"});

  // The same under other names, and from elsewhere.
  fs::create_directories(folder / "odd #1 \"x\" \\y");
  const fs::path odd = folder / "odd #1 \"x\" \\y";
  fs::create_symlink(folder / "features", folder / "link");
  fs::create_symlink(table, odd / "a # b.csv");
  for (const char* name : {"labels.csv", "splits.csv"}) fs::copy_file(folder / name, odd / name);
  fs::copy(folder / "features", odd / "features");
  for (const auto& entry : fs::directory_iterator(odd / "features"))
    fs::last_write_time(entry.path(), fs::file_time_type::clock::now() + std::chrono::hours(1));
  const auto relative = [](const fs::path& path) { return fs::relative(path).string(); };
  const std::string l = folder / "labels.csv";
  const std::string s = folder / "splits.csv";
  const std::string f = folder / "features";
  const std::string run = slides.run();
  const std::vector<Arguments> spellings{
      arguments,
      command(relative(table), l, s, f, run),
      command(table, relative(l), relative(s), f, run),
      command(table, l, s, relative(f), relative(run)),
      command(table, l, s, f + "/", run + "/"),
      command(table, l, s, f + "//./", run + "/./"),
      command(table, l, s, folder / "link", run),
      command(odd / "a # b.csv", l, s, f, run),
      command(table, odd / "labels.csv", odd / "splits.csv", f, run),
      command(table, l, s, odd / "features", run),
      command(odd / "../slides.csv", l, s, odd / "../features", run),
  };
  const std::string hash = hash_of(run);
  for (const Arguments& spelling : spellings) {
    const auto again = train(spelling);
    EXPECT_EQ(again.exit_code, 0) << again.str();
    EXPECT_EQ(again.out.find("MIL"), std::string::npos) << again.out;
    EXPECT_EQ(again.out.find("changed"), std::string::npos) << again.out;
    EXPECT_EQ(hash_of(run), hash);
  }
  // And begun under an odd name.
  const Arguments strange =
      command(odd / "a # b.csv", odd / "labels.csv", odd / "splits.csv", odd / "features", odd / "run");
  for (int i = 0; i < 2; ++i) {
    const auto result = train(strange);
    EXPECT_EQ(result.exit_code, 0) << result.str();
    EXPECT_EQ(hash_of(odd / "run"), hash);
  }
}

/// Ends a start when `when` says so.
void stop(const Arguments& arguments, const std::function<bool()>& when) {
  ProgramOptions options;
  options.kill_when = [&](double) { return when(); };
  EXPECT_EQ(train(arguments, options).signal, SIGKILL);
}

TEST(Resume, UntilSomethingIsLearnedSlidesMayBeAddedAndReplacedAndTheDrawnSplitStays) {
  const OwnSlides slides;
  const fs::path folder = slides.folder().path();
  // No split: 16 cases, most of them the same slides again under other names.
  std::string table = "slide_id,path,label\n";
  for (int i = 0; i < 16; ++i)
    table += fmt::format("s{:02},{}.tif,{}\n", i, i % 2 == 0 ? slides.negative() : slides.positive(), i % 2);
  put(slides.table(), table);
  const Arguments arguments = slides.arguments();
  stop(arguments, [&] { return fs::exists(slides.run() + "/features/initial/s03.h5"); });
  const std::string split = text_of(slides.run() + "/split.csv");
  EXPECT_EQ(std::count(split.begin(), split.end(), '\n'), 17) << split;
  const std::string old_tiles = text_of(slides.run() + "/tiles/s00.safetensors");
  const std::string same_tiles = text_of(slides.run() + "/tiles/s02.safetensors");

  for (int i = 16; i < 20; ++i)
    table += fmt::format("s{:02},{}.tif,{}\n", i, i % 2 == 0 ? slides.negative() : slides.positive(), i % 2);
  const CsvSlide other = csv_slides(1).at(4);
  put(slides.table(), table);
  replace_in(slides.table(), "s00," + slides.negative() + ".tif", "s00," + other.id + ".tif");
  const auto result = train(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.str();
  EXPECT_NE(
      result.out.find(
          "slides.csv has changed since this run began: 1 slide replaced (s00), 4 slides more (s16, s17, "
          "s18, s19); nothing was learned from it yet"),
      std::string::npos)
      << result.out;
  EXPECT_NE(text_of(slides.run() + "/tiles/s00.safetensors"), old_tiles);
  EXPECT_EQ(text_of(slides.run() + "/tiles/s02.safetensors"), same_tiles);
  const std::string after = text_of(slides.run() + "/split.csv");
  for (std::size_t begin = split.find('\n') + 1; begin < split.size();) {
    const std::size_t end = split.find('\n', begin);
    EXPECT_NE(after.find(split.substr(begin, end - begin + 1)), std::string::npos) << after;
    begin = end + 1;
  }
  const Json json = Json::parse(text_of(slides.run() + "/result.json"));
  EXPECT_EQ(json.at("slides_train").get<int>() + json.at("slides_validation").get<int>() +
                json.at("slides_test").get<int>(),
            20);

  // A run from the beginning on the data of now is the same where its split is.
  put(folder / "given.csv", "");
  std::string given = "slide_id,split\n";
  for (std::size_t begin = after.find('\n') + 1; begin < after.size();) {
    const std::size_t end = after.find('\n', begin);
    const std::string line = after.substr(begin, end - begin);
    given += line.substr(0, line.find(',')) + "," + line.substr(line.rfind(',') + 1) + "\n";
    begin = end + 1;
  }
  put(folder / "given.csv", given);
  Arguments fresh = slides.arguments({"--splits", folder / "given.csv"});
  std::replace(fresh.begin(), fresh.end(), slides.run(), (folder / "fresh").string());
  const auto from_nothing = train(fresh);
  ASSERT_EQ(from_nothing.exit_code, 0) << from_nothing.str();
  EXPECT_EQ(hash_of((folder / "fresh").string()), hash_of(slides.run()));

  // The drawn split is not the user's to edit, and comes back when it is deleted.
  replace_in(slides.run() + "/split.csv", "train", "test");
  expect_error(train(arguments), 1, {"split.csv: is not what this run wrote", "delete it"});
  fs::remove(slides.run() + "/split.csv");
  EXPECT_EQ(train(arguments).exit_code, 0);
  EXPECT_EQ(text_of(slides.run() + "/split.csv"), after);
}

TEST(Resume, ASkippedSlideThatIsMendedIsTakenInBeforeTrainingAndStaysOutBehind) {
  const OwnSlides slides;
  const fs::path folder = slides.folder().path();
  // A seventh slide, so that its class does not depend on it.
  put(slides.table(), text_of(slides.table()) + "extra,extra.tif,normal,train,\n");
  const auto mend = [&] {
    fs::copy_file(folder / (slides.negative() + ".tif"), folder / "extra.tif",
                  fs::copy_options::overwrite_existing);
    put(folder / "extra.tif", text_of(folder / "extra.tif") + "another file");
  };
  const Arguments arguments = slides.arguments({"--skip-bad-slides"});
  const std::string run = slides.run();

  put(folder / "extra.tif", "half");
  stop(arguments, [&] { return fs::exists(run + "/features/initial/" + slides.positive() + ".h5"); });
  mend();
  const auto taken_in = train(arguments);
  ASSERT_EQ(taken_in.exit_code, 0) << taken_in.str();
  EXPECT_EQ(Json::parse(text_of(run + "/result.json")).at("slides_train"), 3);
  EXPECT_TRUE(fs::exists(run + "/features/initial/extra.h5"));

  fs::remove_all(run);
  put(folder / "extra.tif", "half");
  const auto without = train(arguments);
  ASSERT_EQ(without.exit_code, 0) << without.str();
  const std::string hash = hash_of(run);
  mend();
  fs::remove(run + "/rounds/initial+ranking/mil.safetensors");  // so that it trains again
  for (const Arguments& command : {arguments, slides.arguments()}) {
    const auto stays_out = train(command);
    ASSERT_EQ(stays_out.exit_code, 0) << stays_out.str();
    EXPECT_NE(stays_out.out.find("slide extra was left out when this run began, and stays out"),
              std::string::npos)
        << stays_out.out;
    EXPECT_EQ(hash_of(run), hash);
    const Json json = Json::parse(text_of(run + "/result.json"));
    EXPECT_EQ(json.at("slides_train"), 2);
    EXPECT_EQ(json.at("slides_left_out"), 1);
  }

  // A slide that was part of the run and cannot be read now: the run waits for it.
  const fs::path used = folder / (slides.negative() + ".tif");
  const std::string whole = text_of(used);
  for (const bool is_gone : {false, true}) {
    put(used, "half");
    if (is_gone) fs::remove(used);
    const auto refused = train(arguments);
    expect_error(refused, 1,
                 {slides.negative(), "another --run", is_gone ? "cannot be read now" : "1 slide replaced"});
  }
  put(used, whole);
  EXPECT_EQ(train(arguments).exit_code, 0);
  EXPECT_EQ(hash_of(run), hash);
}

/// Damages a file of a run: the next start must name it, and deleting it must heal.
void expect_found_and_healed(const std::string& run, const std::string& relative, const Arguments& arguments,
                             const std::function<void()>& prepare) {
  const std::string hash = hash_of(run);
  const fs::path file = run + "/" + relative;
  const std::string whole = text_of(file);
  flip_bit(file, static_cast<std::ptrdiff_t>(hash64(relative) % whole.size()));
  prepare();
  expect_error(train(arguments), 1, {file.filename().string() + ": ", "delete it"});
  fs::remove(file);
  const auto healed = train(arguments);
  EXPECT_EQ(healed.exit_code, 0) << relative << healed.str();
  EXPECT_EQ(hash_of(run), hash) << relative;
  const bool is_made_of_tensors = relative.ends_with(".safetensors") || relative.ends_with(".h5");
  EXPECT_TRUE(!is_made_of_tensors || text_of(file) == whole) << relative;
}

TEST(Resume, AFlippedBitInAnyFileOfARunIsFoundAndDeletingTheFileHeals) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const Arguments arguments = tiny_run(run);
  ASSERT_EQ(train(arguments).exit_code, 0);
  const std::string log = text_of(run + "/log.jsonl");
  const std::string round = "rounds/hnm+ranking/";
  const auto nothing = [] {};
  const auto redo = [&](const std::string& relative) {
    return [run, relative] { fs::remove(run + "/" + relative); };
  };
  const auto damage = [&](const std::string& relative, const std::function<void()>& prepare) {
    expect_found_and_healed(run, relative, arguments, prepare);
  };
  damage("tiles/normal_001.safetensors", nothing);
  damage("features/initial/normal_001.h5", redo("rounds/initial+ranking/mil.safetensors"));
  damage("encoders/initial.safetensors", redo(round + "1/encoder.safetensors"));
  damage(round + "1/encoder.safetensors", redo(round + "2/encoder.safetensors"));
  damage(round + "1/optimizer.safetensors", redo(round + "2/encoder.safetensors"));
  for (const char* name : {"scores", "label_scores"})
    damage(fmt::format("rounds/initial+ranking/{}.safetensors", name), nothing);
  EXPECT_EQ(text_of(run + "/log.jsonl"), log);  // steps that were made again have their lines once
  damage("config.toml", nothing);
  damage("state.json", nothing);
  damage("manifest.json", nothing);
  flip_bit(run + "/log.jsonl", 100);
  expect_error(train(arguments), 1, {"log.jsonl: is damaged", "delete it"});
  fs::remove(run + "/log.jsonl");
  EXPECT_EQ(train(arguments).exit_code, 0);

  // What only predict reads.
  const std::string slide = (phantom_set() / "testing/images/test_001.tif").string();
  const Arguments prediction{"--run", run, "--out", folder / "out", slide};
  ASSERT_EQ(predict(prediction).exit_code, 0);
  const Json result = Json::parse(text_of(run + "/result.json"));
  const int64_t selected = result.at("variants").at(0).at("selected_round");
  const std::string of_round =
      selected == 0 ? "rounds/initial+ranking/" : round + std::to_string(selected) + "/";
  for (const std::string& relative :
       {of_round + "mil.safetensors", std::string("result.json"), std::string("config.toml")}) {
    flip_bit(run + "/" + relative, static_cast<std::ptrdiff_t>(fs::file_size(run + "/" + relative) / 2));
    expect_error(predict(prediction), 1, {fs::path(relative).filename().string() + ": ", "delete it"});
    fs::remove(run + "/" + relative);
    ASSERT_EQ(train(arguments).exit_code, 0) << relative;
    EXPECT_EQ(predict(prediction).exit_code, 0) << relative;
  }
}

TEST(Resume, ADamagedCheckpointIsFoundAndDeletingItHeals) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const Arguments arguments = tiny_run(run, {"--checkpoint-seconds", "0"});
  ASSERT_EQ(train(arguments).exit_code, 0);
  const std::string hash = hash_of(run);
  fs::remove_all(run);
  const auto checkpoint = [&] {
    fs::path found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(run + "/checkpoints", error)) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".safetensors") && !name.starts_with('.')) found = entry.path();
    }
    return found;
  };
  stop(arguments, [&] {
    const std::string state = text_of(run + "/state.json");
    const std::size_t checkpoints = state.find("\"checkpoints\"");
    return checkpoints != std::string::npos && state.find("\"pretrain\"", checkpoints) != std::string::npos;
  });
  ASSERT_FALSE(checkpoint().empty());
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints")) flip_bit(entry.path(), -1);
  const auto refused = train(arguments);
  expect_error(refused, 1, {".safetensors: is damaged", "delete it"});
  fs::remove_all(run + "/checkpoints");
  const auto healed = train(arguments);
  EXPECT_EQ(healed.exit_code, 0) << healed.str();
  EXPECT_EQ(hash_of(run), hash);
}

TEST(Resume, FilesOfTwoSlidesThatWereSwappedAreMadeAnew) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const Arguments arguments = tiny_run(run, {"--method", "mil"});
  ASSERT_EQ(train(arguments).exit_code, 0);
  const std::string hash = hash_of(run);
  for (const char* pattern : {"/tiles/{}.safetensors", "/features/initial/{}.h5"}) {
    const std::string a = run + fmt::format(fmt::runtime(pattern), "normal_001");
    const std::string b = run + fmt::format(fmt::runtime(pattern), "tumor_001");
    const std::string of_a = text_of(a);
    put(a, text_of(b));
    put(b, of_a);
    fs::remove(run + "/rounds/initial+ranking/mil.safetensors");
    const auto again = train(arguments);
    EXPECT_EQ(again.exit_code, 0) << again.str();
    EXPECT_EQ(text_of(a), of_a);
    EXPECT_EQ(hash_of(run), hash);
  }
}

TEST(Resume, AFolderOfAnOlderVersionSaysSo) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "run");
  folder.put("run/config.toml", "# What to do\ndata = \"camelyon16\"\n");
  folder.put("run/state.json",
             "{\"log_bytes\": 0, \"checkpoint_number\": 0, \"steps\": {}, \"checkpoints\": {}}");
  expect_error(train(tiny_run(folder / "run")), 1, {"older version", "another --run"});
  expect_error(predict({"--run", folder / "run", "a.tif"}), 1, {"older version"});
}

}  // namespace
}  // namespace mt::end_to_end
