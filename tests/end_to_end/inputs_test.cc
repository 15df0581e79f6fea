// What people feed in, from the command line to the figures: class names of their own, CLAM's table with
// slides found by id, slides that do not say their size.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/end_to_end/programs.h"
#include "wsi/slide.h"
#include "wsi/tiff/writer.h"

namespace mt::end_to_end {
namespace {

using Json = nlohmann::json;

/// The slide again, without a word of its size.
void write_without_mpp(const fs::path& from, const fs::path& to) {
  const auto slide = wsi::Slide::open(from);
  const auto& level0 = slide->levels().front();
  wsi::TiffWriteOptions options;
  options.dialect = wsi::TiffDialect::generic;
  options.mpp = std::nullopt;
  options.levels = 1;
  options.tile = 256;
  wsi::write_tiff_pyramid(to, slide->read_region(0, 0, 0, level0.width, level0.height), options);
}

TEST(Inputs, ClassNamesStandInTheResultTheReportAndThePrediction) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "slides/batch");
  std::string table =
      "\xEF\xBB\xBF"
      "Case_ID;slide_id;label;split\r\n";
  std::string first;
  for (const CsvSlide& slide : csv_slides(1)) {
    fs::copy_file(slide.path, folder / ("slides/batch/" + slide.id + ".TIF"));
    if (first.empty()) first = slide.id;
    const bool is_positive = slide.label == "1" || slide.label == "tumor" || slide.label == "tumour";
    table += fmt::format("p_{0};{0}.svs;{1};{2}\r\n;;;\r\n", slide.id, is_positive ? "<mutant>" : "wildtype",
                         slide.split);
  }
  const std::string csv = folder.put("clam.CSV", table);
  const Arguments arguments{"--data",     csv,    "--root",   folder / "slides",
                            "--preset",   "tiny", "--method", "mil",
                            "--pretrain", "none", "--run",    folder / "run"};
  expect_error(train(arguments), 1, {"the labels are", "<mutant> (3)", "wildtype (3)", "--positive"});
  Arguments with = arguments;
  with.insert(with.end(), {"--positive", "<MUTANT>"});
  const auto result = train(with);
  ASSERT_EQ(result.exit_code, 0) << result.str();
  EXPECT_NE(result.out.find("1 wildtype, 1 <mutant>"), std::string::npos) << result.out;
  const Json json = Json::parse(text_of(folder / "run/result.json"));
  EXPECT_EQ(json.at("classes"), (Json{"wildtype", "<mutant>"}));
  for (const Json& slide : json.at("variants").at(0).at("test_slides"))
    EXPECT_EQ(slide.at("label_name"), slide.at("label") == 1 ? "<mutant>" : "wildtype");
  const std::string report = text_of(folder / "run/report.html");
  EXPECT_NE(report.find("label &lt;mutant&gt;"), std::string::npos);
  EXPECT_NE(report.find("label wildtype"), std::string::npos);
  EXPECT_EQ(report.find("<mutant>"), std::string::npos);
  EXPECT_EQ(report.find("label tumour"), std::string::npos);

  // A run's override fills in, in predict too, and says so.
  const std::string sized = folder / ("slides/batch/" + first + ".TIF");
  write_without_mpp(sized, folder / "bare.tif");
  expect_error(predict({"--run", folder / "run", "--out", folder / "out", folder / "bare.tif"}), 1,
               {"bare.tif: does not say its micrometres per pixel", "--mpp-override"});
  const double mpp = *wsi::Slide::open(sized)->mpp();
  const auto bare = predict({"--run", folder / "run", "--out", folder / "out", "--mpp-override",
                             fmt::format("{}", mpp), folder / "bare.tif", sized});
  ASSERT_EQ(bare.exit_code, 0) << bare.str();
  EXPECT_NE(bare.out.find("bare: says no um/px and is given"), std::string::npos) << bare.out;
  EXPECT_EQ(bare.out.find(first + ": says no um/px"), std::string::npos) << bare.out;
  const bool names_a_class =
      bare.out.find(" wildtype ") != std::string::npos || bare.out.find(" <mutant> ") != std::string::npos;
  EXPECT_TRUE(names_a_class) << bare.out;
  EXPECT_EQ(bare.out.find("tumour"), std::string::npos) << bare.out;
  // A wrong override does not touch the slide that says its own: the same patches as without.
  const auto plain = predict({"--run", folder / "run", "--out", folder / "plain", sized});
  const auto wrong = predict({"--run", folder / "run", "--out", folder / "wrong", "--mpp-override",
                              fmt::format("{}", mpp / 4), sized});
  ASSERT_EQ(wrong.exit_code, 0) << wrong.str();
  const auto row_of = [&](const std::string& out) { return out.substr(0, out.rfind("1 slide:")); };
  EXPECT_EQ(row_of(plain.out), row_of(wrong.out));
}

TEST(Inputs, EveryProblemIsInOneListBeforeAnythingIsMade) {
  const TemporaryFolder folder;
  std::string table = "slide_id,path,label,split,annotation\n";
  const std::vector<CsvSlide> slides = csv_slides(2);
  for (std::size_t i = 0; i < slides.size(); ++i)
    table +=
        fmt::format("{},{},{},{},\n", slides[i].id, i == 0 ? folder / "absent.tif" : slides[i].path.string(),
                    slides[i].label, i == 1 ? "somewhere" : slides[i].split);
  table += fmt::format("x1,{},,train,\nx2,{},1,train,{}\n", slides[2].path.string(), slides[3].path.string(),
                       folder.put("x2.json", R"({"type":"FeatureCollection","features":[]})"));
  const auto result =
      train({"--data", folder.put("s.csv", table), "--preset", "tiny", "--run", folder / "run", "--splits",
             folder.put("sp.csv", "slide_id,split\nghost,train\n"), "--dry-run"});
  EXPECT_EQ(result.exit_code, 1) << result.str();
  for (const char* part : {"problem: ", "s.csv, line 3: slide ", "split \"somewhere\"",
                           "slide x1 has no label", "slide ghost is in split train"})
    EXPECT_NE(result.out.find(part), std::string::npos) << part << " in " << result.str();
  const auto without = train({"--data", folder / "s.csv", "--preset", "tiny", "--run", folder / "run"});
  EXPECT_EQ(without.exit_code, 1) << without.str();
  for (const char* part : {"absent.tif", "split \"somewhere\"", "slide x1 has no label",
                           "x2.json: outlines no tumour, and slide x2 is positive"})
    EXPECT_NE(without.out.find(part), std::string::npos) << part << " in " << without.str();
  EXPECT_FALSE(fs::exists(folder / "run/tiles"));
}

}  // namespace
}  // namespace mt::end_to_end
