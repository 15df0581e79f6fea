#include "train/run/run_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A log of two lines and what a state would know of it.
RunLog::Known two_lines(const std::string& path) {
  RunLog log(path, {});
  log.add("{\"event\": 1}");
  log.sync();
  log.add("{\"event\": 2}");
  log.sync();
  return log.known();
}

TEST(RunLogTest, WhatWasWrittenBehindTheStateIsCutOff) {
  const TemporaryFolder folder;
  const RunLog::Known known = two_lines(folder / "log");
  const std::string whole = content_of(folder / "log");
  std::ofstream(folder / "log", std::ios::app) << "{\"event\": 3}\n{\"ev";
  RunLog again(folder / "log", known);
  EXPECT_EQ(content_of(folder / "log"), whole);
  EXPECT_EQ(again.known().sha256, known.sha256);
  again.add("{\"event\": 4}");
  again.sync();
  EXPECT_EQ(content_of(folder / "log"), whole + "{\"event\": 4}\n");
}

TEST(RunLogTest, EveryFlippedBitIsSeen) {
  const TemporaryFolder folder;
  const RunLog::Known known = two_lines(folder / "log");
  const std::string whole = content_of(folder / "log");
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
    folder.put("log", flipped);
    const std::string error = error_of([&] { RunLog log(folder / "log", known); });
    EXPECT_NE(error.find("log: is damaged"), std::string::npos) << i << error;
    EXPECT_NE(error.find("delete it"), std::string::npos) << error;
  }
}

TEST(RunLogTest, AShorterLogKeepsItsWholeLinesAndIsNeverMadeLonger) {
  const TemporaryFolder folder;
  const RunLog::Known known = two_lines(folder / "log");
  const std::string whole = content_of(folder / "log");
  const std::string first = whole.substr(0, whole.size() / 2);
  for (const std::size_t size : {whole.size() - 1, first.size() + 3, first.size()}) {
    folder.put("log", whole.substr(0, size));
    const RunLog log(folder / "log", known);
    EXPECT_EQ(content_of(folder / "log"), first) << size;
  }
  folder.put("log", std::string(10, '\0') + "\n");
  EXPECT_EQ(RunLog(folder / "log", known).known().bytes, 0U);
  fs::remove(folder / "log");
  EXPECT_EQ(RunLog(folder / "log", known).known().bytes, 0U);
  // A state that claims a terabyte.
  folder.put("log", whole);
  EXPECT_EQ(RunLog(folder / "log", {uint64_t{1} << 40, known.sha256}).known().bytes, whole.size());
  EXPECT_EQ(fs::file_size(folder / "log"), whole.size());
}

}  // namespace
}  // namespace mt::train
