// The examples are compiled and run: what a newcomer reads first must work.

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/end_to_end/programs.h"
#include "tests/harness/places.h"
#include "tests/harness/run_program.h"
#include "tests/harness/temporary_folder.h"

namespace mt::end_to_end {
namespace {

ProgramResult example(const std::string& name, const std::vector<std::string>& arguments = {}) {
  std::vector<std::string> command{testing::place_of("examples/" + name)};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_program(command);
}

void expect_said(const ProgramResult& result, const std::vector<std::string>& parts) {
  EXPECT_EQ(result.exit_code, 0) << result.str();
  for (const std::string& part : parts)
    EXPECT_NE(result.out.find(part), std::string::npos) << part << "\n" << result.str();
}

TEST(ExampleTest, Step1ShowsViewsAKernelAndAnError) {
  // Rows 1 2 3 and 4 5 6 differ by a constant, so their softmax is the same: e^-2, e^-1, 1 over their sum.
  expect_said(example("step1_tensor"),
              {"logits (2,3)\n", "(3,2)\n  1.000  4.000\n",
               "softmax of its rows (2,3)\n  0.090  0.245  0.665\n  0.090  0.245  0.665\n", "error: "});
}

TEST(ExampleTest, Step2FindsTheSlopeOfTheLine) {
  expect_said(example("step2_gradient"),
              {"2 4 6 is the gradient of sum(x*x) at 1 2 3\n", "the line's is -2"});
}

TEST(ExampleTest, Step3SumsBlocksAndCatchesTheBarrierThatSomeMiss) {
  // 1 + … + 128 = 8256, 129 + … + 256 = 24640, 257 + … + 300 = 12254.
  expect_said(example("step3_kernel"), {"8256 + 24640 + 12254", "error: ", "step3_kernel.cc:"});
}

TEST(ExampleTest, Step4RanksTumourPatchesFirst) {
  expect_said(example("step4_bag"),
              {"step 30: loss", "mean instance score"});  // it fails when they do not score higher
}

TEST(ExampleTest, Step5DrawsAHeatmapAndNamesABadFile) {
  const TemporaryFolder folder;
  expect_said(example("step5_slide", {csv_slides(1)[0].path, folder / "heatmap.png"}),
              {"um/px\n", " patches are tissue\n", "heatmap.png\n"});
  EXPECT_EQ(text_of(folder / "heatmap.png").substr(1, 3), "PNG");
  std::ofstream(folder / "no.svs") << "not a slide";
  const ProgramResult bad = example("step5_slide", {folder / "no.svs", folder / "no.png"});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_NE(bad.err.find("no.svs"), std::string::npos) << bad.str();
  EXPECT_FALSE(fs::exists(folder / "no.png"));
}

}  // namespace
}  // namespace mt::end_to_end
