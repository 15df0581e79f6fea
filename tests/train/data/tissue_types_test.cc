#include "train/data/datasets/tissue_types.h"

#include <gtest/gtest.h>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"

namespace mt::train {
namespace {

constexpr const char* kHeader = "slide,x_level0,y_level0,size_level0,tissue,tissue_share,tumour_share\n";

TissueTypes load(const TemporaryFolder& folder, const std::string& rows) {
  std::filesystem::create_directories(folder / "phantom");
  folder.put("phantom/tissue_types.csv", kHeader + rows);
  return TissueTypes::load(folder.path()).value();
}

TEST(TissueTypesTest, ADatasetWithoutTheFileKnowsNothing) {
  const TemporaryFolder folder;
  EXPECT_FALSE(TissueTypes::load(folder.path()).has_value());
}

TEST(TissueTypesTest, APatchIsWhatCoversMostOfIt) {
  const TemporaryFolder folder;
  const TissueTypes types = load(folder,
                                 "s,0,0,100,fat,1,0\ns,100,0,100,germinal_centre,1,0\n"
                                 "s,0,100,100,stroma,1,0\ns,100,100,100,germinal_centre,1,0\n");
  EXPECT_EQ(types.names(), (std::vector<std::string>{"fat", "germinal centre", "stroma"}));
  EXPECT_EQ(types.at("s", 0, 0, 100), 0U);
  EXPECT_EQ(types.at("s", 49, 0, 100), 0U);     // 51 of 100 columns
  EXPECT_EQ(types.at("s", 51, 0, 100), 1U);     // 49 of 100
  EXPECT_EQ(types.at("s", 50, 50, 100), 1U);    // a quarter each: twice germinal centre
  EXPECT_EQ(types.at("s", 10, 110, 33.5), 2U);  // smaller than a cell
  EXPECT_EQ(types.at("s", 0, 0, 200), 1U);      // larger than a cell
  EXPECT_EQ(types.at("s", 500, 0, 100), std::nullopt);
  EXPECT_EQ(types.at("other", 0, 0, 100), std::nullopt);
}

TEST(TissueTypesTest, ACellBesideItsGridIsNamed) {
  const TemporaryFolder folder;
  EXPECT_NE(error_of([&] { load(folder, "s,0,0,100,fat,1,0\ns,150,0,100,fat,1,0\n"); }).find("line 3"),
            std::string::npos);
}

}  // namespace
}  // namespace mt::train
