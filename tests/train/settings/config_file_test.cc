// config.toml comes back as it was written, whatever its values.

#include <gtest/gtest.h>

#include <limits>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "train/cli/options.h"
#include "train/settings/config.h"
#include "train/settings/config_options.h"
#include "train/settings/toml.h"

namespace mt::train {
namespace {

const char* const kOddTexts[] = {"",         "a#b",  "a # b",  "a\"b",      "a'b",   "a\\b",
                                 "\\",       "a\nb", "a\tb",   "'a'",       "\"a\"", "[a]",
                                 "a = b",    "#",    "\"\"\"", "a\x01\x7f", " lead", "trail ",
                                 "\xc3\xbc", "true", "12",     "a,b",       "{a}",   "\\u0041"};

TEST(ConfigFileTest, EveryTextOptionComesBackWithEveryOddValue) {
  const TemporaryFolder folder;
  for (const char* odd : kOddTexts) {
    Config config = preset_config(Preset::tiny, "slides.csv");
    visit_options(config, [&](const OptionText&, auto& member) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(member)>, std::string>) {
        member = odd;
      }
    });
    const Config back = read_config_file(folder.put("config.toml", to_toml(config)));
    visit_options(config, [&](const OptionText& option, const auto& wanted) {
      visit_options(back, [&](const OptionText& other, const auto& found) {
        if constexpr (std::is_same_v<decltype(wanted), decltype(found)>) {
          if (std::string_view(option.name) != other.name) return;
          EXPECT_EQ(found, wanted) << option.name << ": " << odd;
        }
      });
    });
  }
}

TEST(ConfigFileTest, EveryChoiceComesBackAndAnotherWordIsRefusedWithTheChoices) {
  const TemporaryFolder folder;
  Config config = preset_config(Preset::tiny, "phantom");
  int choices = 0;
  visit_options(config, [&]<typename T>(const OptionText& option, T& member) {
    if constexpr (IsChoice<T>) {
      ++choices;
      for (const Choice<T>& choice : choices_of<T>) {
        member = choice.value;
        const Config back = read_config_file(folder.put("config.toml", to_toml(config)));
        EXPECT_TRUE(identity_differences(back, config).empty()) << option.name << ": " << choice.name;
      }
      const std::string error = error_of(
          [&] { read_config_file(folder.put("a.toml", std::string(option.name) + " = 'nonsense'\n")); });
      for (const std::string& name : choice_names<T>())
        EXPECT_NE(error.find(name), std::string::npos) << option.name << ": " << error;
    }
  });
  EXPECT_GE(choices, 16);
}

TEST(ConfigFileTest, ExtremeNumbersComeBack) {
  const TemporaryFolder folder;
  Config config = preset_config(Preset::tiny, "phantom");
  config.seed = std::numeric_limits<uint64_t>::max();
  config.mil_lr = 1.0 / 3.0;
  config.pretrain_lr = 5e-324;
  config.mil_halve_every = 1e300;
  config.threads = std::numeric_limits<int64_t>::min();
  const Config back = read_config_file(folder.put("config.toml", to_toml(config)));
  EXPECT_EQ(back.seed, config.seed);
  EXPECT_EQ(back.mil_lr, config.mil_lr);
  EXPECT_EQ(back.pretrain_lr, config.pretrain_lr);
  EXPECT_EQ(back.mil_halve_every, config.mil_halve_every);
  EXPECT_EQ(back.threads, config.threads);
}

TEST(ConfigFileTest, FilesOfPeopleAreReadAndFaultsNamed) {
  const TemporaryFolder folder;
  EXPECT_EQ(
      read_config_file(folder.put("a.toml", "\xef\xbb\xbfseed = 7 # a comment\r\n\r\nmpp = 'native:1'\r\n"))
          .seed,
      7U);
  const auto error = [&](const char* text) {
    return error_of([&] { read_config_file(folder.put("b.toml", text)); });
  };
  EXPECT_NE(error("seed = 7\nseed = ").find("b.toml, line 2: "), std::string::npos)
      << error("seed = 7\nseed = ");
  EXPECT_NE(error("\nseed = [1, 2]").find("b.toml, line 2: seed: one plain value"), std::string::npos);
  EXPECT_NE(error("sead = 1").find("there is no option sead"), std::string::npos);
  EXPECT_NE(error("seed = \"x\"").find("seed"), std::string::npos);
  EXPECT_THROW(toml_string("caf\xe9"), UsageError);
}

}  // namespace
}  // namespace mt::train
