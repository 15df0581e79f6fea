// What the programs say of their command lines, and how text fits a terminal.

#include "train/cli/command_text.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <sstream>

#include "tensor/check.h"
#include "train/cli/terminal.h"

namespace mt::train {
namespace {

TEST(TerminalTest, CharactersAreCountedNotBytes) {
  EXPECT_EQ(width_of("━━ 0.5 µm"), 9);
  EXPECT_EQ(cut_to("━━━━━", 5), "━━━━━");
  EXPECT_EQ(cut_to("━━━━━━", 5), "━━━━…");
  EXPECT_EQ(cut_to("abc", 1), "…");
  EXPECT_EQ(cut_to("abc", 0), "");
}

TEST(TerminalTest, LinesBreakAtBlanksAndLongWordsStandAlone) {
  EXPECT_EQ(wrap("one two three", 7), (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(wrap("a /a/long/path b", 6), (std::vector<std::string>{"a", "/a/long/path", "b"}));
  EXPECT_EQ(wrap("one\ntwo three", 40), (std::vector<std::string>{"one", "two three"}));
}

/// A program with a command, a choice, a number, a flag and a positional.
struct Program {
  CLI::App app{"Does things.", "prog"};
  std::string kind = "own";
  int count = 3;
  bool loud = false;
  std::string file;

  Program() {
    add_program_flags(app);
    app.add_option(
           "--kind", kind,
           std::string(200, 'k') + " and then words that are wrapped where the line ends, as lines are")
        ->capture_default_str()
        ->check(CLI::IsMember(std::vector<std::string>{"own", "vendor", "auto"}));
    app.add_option("--count", count, "how many")->capture_default_str();
    app.add_flag("--loud", loud, "not quiet");
    CLI::App* command = app.add_subcommand("paint", "paints");
    command->add_option("FILE", file, "what")->required();
    command->add_flag("--blue", loud, "in blue");
  }

  /// What stdout or the error says for this command line.
  std::string answer_to(const std::string& line) {
    std::string told;
    ::testing::internal::CaptureStdout();
    try {
      app.parse("prog " + line, true);
    } catch (const CLI::ParseError& error) {
      try {
        answer(app, error, {"count"});
      } catch (const UsageError& usage) {
        told = usage.what();
      }
    }
    return ::testing::internal::GetCapturedStdout() + told;
  }
};

TEST(CommandTextTest, WhatWasMeantIsNamed) {
  EXPECT_EQ(Program().answer_to("--cuont 4"),
            "--cuont: there is no such option; did you mean --count? See prog --help");
  EXPECT_EQ(Program().answer_to("--cuont=4"),
            "--cuont: there is no such option; did you mean --count? See prog --help");
  EXPECT_EQ(Program().answer_to("pant x"),
            "pant: there is no such subcommand; did you mean paint? See prog --help");
  EXPECT_EQ(Program().answer_to("paint x --bleu"),
            "--bleu: there is no such option; did you mean --blue? See prog paint --help");
  EXPECT_EQ(Program().answer_to("--kind vedor"),
            "--kind: vedor not in {own,vendor,auto}; did you mean vendor? See prog --help");
}

TEST(CommandTextTest, WhatIsLikeNothingIsNotGuessed) {
  EXPECT_EQ(Program().answer_to("--zzzzzz"), "--zzzzzz: there is no such option; see prog --help");
  EXPECT_EQ(Program().answer_to("--kind qqqqqq"), "--kind: qqqqqq not in {own,vendor,auto}; see prog --help");
  EXPECT_EQ(Program().answer_to("--" + std::string(10000, 'c')).substr(0, 10), "--cccccccc");
}

TEST(CommandTextTest, HelpShowsWhatPeopleUseAndHelpAllShowsAll) {
  Program program;
  program.app.set_help_all_flag("--help-all", "all");
  const std::string common = program.answer_to("--help");
  EXPECT_NE(common.find("--count INT             how many [3]"), std::string::npos) << common;
  EXPECT_EQ(common.find("--loud"), std::string::npos) << common;
  EXPECT_EQ(common.find("--print"), std::string::npos) << common;
  const std::string all = program.answer_to("--help-all");
  for (const char* part : {"--count INT", "--loud", "--kind own|vendor|auto", "paint"})
    EXPECT_NE(all.find(part), std::string::npos) << all;
  EXPECT_EQ(all.find("--print"), std::string::npos) << all;
}

TEST(CommandTextTest, HelpOfACommandIsItsOwn) {
  const std::string help = Program().answer_to("paint --help");
  EXPECT_NE(help.find("Usage: prog paint [OPTIONS] FILE"), std::string::npos) << help;
  EXPECT_EQ(help.find("--count"), std::string::npos) << help;
}

TEST(CommandTextTest, LinesFitTheColumns) {
  for (const int columns : {60, 80, 100}) {
    std::istringstream lines(help_text(Program().app, columns));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_TRUE(width_of(line) <= columns || line.find("kkk") != std::string::npos) << line;
    }
  }
}

TEST(CommandTextTest, PagesComeFromTheSameOptions) {
  const std::string page = Program().answer_to("--print-man-page");
  EXPECT_EQ(page.find(".TH prog 1"), 0U);
  for (const char* part : {"\n.B \\-\\-count INT\n", "own|vendor|auto", ".SH prog paint\n", "in blue"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  const std::string completion = Program().answer_to("--print-completion");
  for (const char* part : {"--kind) COMPREPLY=($(compgen -W \"own vendor auto\"",
                           "paint) flags=\"--help --blue\"", "complete -F _microtome_prog prog"})
    EXPECT_NE(completion.find(part), std::string::npos) << completion;
}

}  // namespace
}  // namespace mt::train
