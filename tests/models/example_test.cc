// The examples are compiled and run: what a newcomer reads first must work.

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>

#include "tests/harness/places.h"

namespace mt {
namespace {

TEST(ExampleTest, FirstBagTrainsAndRanksTumourPatchesFirst) {
  std::FILE* pipe = popen(testing::place_of("examples/first_bag").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 256> line{};
  while (std::fgets(line.data(), line.size(), pipe) != nullptr) output += line.data();
  EXPECT_EQ(pclose(pipe), 0) << output;  // the program fails when tumour patches do not score higher
  EXPECT_NE(output.find("matrix (2,3), its second row starts with 4\n"), std::string::npos) << output;
  EXPECT_NE(output.find("d sum(x*x) / dx[1][2] = 12\n"), std::string::npos) << output;
  EXPECT_NE(output.find("step 30: loss"), std::string::npos) << output;
}

}  // namespace
}  // namespace mt
