#include "tests/end_to_end/programs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>

#include "tests/harness/places.h"
#include "wsi/phantom/phantom_dataset.h"

namespace mt::end_to_end {
namespace {

ProgramResult run(const char* name, const Arguments& arguments, const ProgramOptions& options) {
  Arguments command{testing::place_of(name)};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_program(command, options);
}

}  // namespace

ProgramResult train(const Arguments& arguments, const ProgramOptions& options) {
  return run("train/train", arguments, options);
}

ProgramResult predict(const Arguments& arguments, const ProgramOptions& options) {
  return run("train/predict", arguments, options);
}

ProgramResult slide(const Arguments& arguments, const ProgramOptions& options) {
  return run("train/slide", arguments, options);
}

const fs::path& phantom_set() {
  static const TemporaryFolder folder;
  static const fs::path path = [] {
    wsi::PhantomSetOptions options;
    options.train_slides = options.validation_slides = options.test_slides = 4;
    wsi::write_phantom_set(folder.path(), options);
    return fs::path(folder.path());
  }();
  return path;
}

Arguments tiny_run(const std::string& run, const Arguments& more) {
  Arguments arguments{"--data",   "camelyon16", "--root", phantom_set().string(),
                      "--preset", "tiny",       "--run",  run};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<CsvSlide> csv_slides(int per_class) {
  // The set numbers its training slides before its validation slides: 1 and 2, then 3 and 4 of each class.
  std::vector<CsvSlide> slides;
  for (int i = 1; i <= per_class; ++i) {
    for (const int number : {i, i + 2}) {
      for (const char* kind : {"normal", "tumor"}) {
        const std::string id = fmt::format("{}_{:03}", kind, number);
        slides.push_back(
            {id, phantom_set() / "training" / kind / (id + ".tif"), kind, number <= 2 ? "train" : "val"});
      }
    }
  }
  int taken[2] = {0, 0};
  std::ifstream reference(phantom_set() / "testing/reference.csv");
  for (std::string line; std::getline(reference, line);) {
    if (!line.starts_with("test_")) continue;
    const std::string id = line.substr(0, 8);
    const bool is_tumour = line.find("umor") != std::string::npos;
    if (taken[is_tumour ? 1 : 0]++ >= per_class) continue;
    slides.push_back(
        {id, phantom_set() / "testing/images" / (id + ".tif"), is_tumour ? "tumor" : "normal", "test"});
  }
  return slides;
}

std::string write_csv(const TemporaryFolder& folder, const std::vector<CsvSlide>& slides) {
  std::string text = "slide_id,path,label,split\n";
  for (const CsvSlide& slide : slides)
    text += fmt::format("{},{},{},{}\n", slide.id, slide.path.string(), slide.label, slide.split);
  return folder.put("slides.csv", text);
}

void expect_error(const ProgramResult& result, int exit_code, const std::vector<std::string>& parts) {
  EXPECT_EQ(result.exit_code, exit_code) << result.str();
  EXPECT_TRUE(result.err.starts_with("error: ")) << result.str();
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.str();
  EXPECT_TRUE(result.err.ends_with('\n')) << result.str();
  for (const std::string& part : parts)
    EXPECT_NE(result.err.find(part), std::string::npos) << "\"" << part << "\" is missing: " << result.str();
}

std::string text_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

}  // namespace mt::end_to_end
