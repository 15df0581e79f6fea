#include "train/cli/command_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <numeric>

#include "tensor/check.h"
#include "tensor/text.h"
#include "train/cli/terminal.h"
#include "train/cli/version.h"

namespace mt::train {
namespace {

class ManPageWanted : public CLI::Success {};
class CompletionWanted : public CLI::Success {};

using Options = std::vector<const CLI::Option*>;

/// Options that are shown, in the order in which they were added; those without a group are hidden.
Options shown_options(const CLI::App& app, bool positional) {
  Options options;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional() == positional && !option->get_group().empty()) options.push_back(option);
  }
  return options;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

/// The values of a choice, which CLI11 writes as "TEXT:{own,vendor,auto}"; none where it is no choice.
std::vector<std::string> values_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t begin = type.find('{');
  const std::size_t end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos) return {};
  std::vector<std::string> values = CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',');
  std::erase(values, "");  // stands for "not given"
  return values;
}

/// "--preset paper|fast|tiny", "--seed UINT", "--ablation", "SLIDE".
std::string heading(const CLI::Option& option) {
  std::string text = option.get_name(option.get_positional(), !option.get_positional());
  if (option.get_positional() || !takes_value(option)) return text;
  const std::vector<std::string> values = values_of(option);
  const std::string type = option.get_type_name();
  return text + " " +
         (values.empty() ? type.substr(0, type.find(':')) : fmt::format("{}", fmt::join(values, "|")));
}

/// Its sentence, what must be given, what is taken where it is not.
std::string sentence(const CLI::Option& option) {
  std::string text = option.get_description();
  const std::string value = option.get_default_str();
  if (option.get_required() && !option.get_positional()) text += " (required)";
  if (takes_value(option) && !value.empty() && value != "\"\"" && value != "[]") text += " [" + value + "]";
  return text;
}

std::string full_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : full_name(*app.get_parent()) + " " + app.get_name();
}

std::string usage_line(const CLI::App& app) {
  std::string text = full_name(app);
  if (!shown_options(app, false).empty()) text += " [OPTIONS]";
  if (!commands_of(app).empty()) text += " COMMAND …";
  for (const CLI::Option* option : shown_options(app, true))
    text += " " + option->get_name(true, false) + (option->get_items_expected_max() > 1 ? "…" : "");
  return text;
}

/// `left` and what it means, side by side; below each other where `left` is too long for that.
std::string entry(const std::string& left, const std::string& right, int columns) {
  constexpr int kLeft = 26;
  std::string text = "  " + left;
  bool below = width_of(left) + 4 > kLeft;
  for (const std::string& line : wrap(right, columns - kLeft)) {
    const int there =
        below ? -1 : width_of(text.substr(text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1));
    text += below ? "\n" + std::string(kLeft, ' ')
                  : std::string(static_cast<std::size_t>(std::max(kLeft - there, 0)), ' ');
    text += line;
    below = true;
  }
  return text + "\n";
}

std::string paragraph(const std::string& text, int columns) {
  // Lines that begin with a blank are commands, which stay as they are.
  std::string result;
  for (const std::string& part : CLI::detail::split(text, '\n')) {
    if (part.empty() || part[0] == ' ') {
      result += part + "\n";
    } else {
      for (const std::string& line : wrap(part, columns)) result += line + "\n";
    }
  }
  return result;
}

/// The shown options of a heading, headings in their order.
std::vector<std::pair<std::string, Options>> by_group(const Options& options) {
  std::vector<std::pair<std::string, Options>> groups;
  for (const CLI::Option* option : options) {
    const auto found = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& group) { return group.first == option->get_group(); });
    if (found == groups.end()) {
      groups.push_back({option->get_group(), {option}});
    } else {
      found->second.push_back(option);
    }
  }
  return groups;
}

/// Insertions, deletions, changes and swaps of neighbours that turn one word into the other.
std::size_t edits_between(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> edits(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) edits[i][0] = i;
  std::iota(edits[0].begin(), edits[0].end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      edits[i][j] =
          std::min({edits[i - 1][j] + 1, edits[i][j - 1] + 1, edits[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        edits[i][j] = std::min(edits[i][j], edits[i - 2][j - 2] + 1);
    }
  }
  return edits[a.size()][b.size()];
}

/// "; did you mean WORD? See " for the word that is nearest, where one is near, and "; see " where none is.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& words) {
  constexpr std::size_t kLongest = 64;
  if (word.size() > kLongest) return "; see ";
  std::string best;
  std::size_t fewest = std::max<std::size_t>(word.size() / 3, 1) + 1;
  for (const std::string& candidate : words) {
    const std::size_t edits = edits_between(word, candidate);
    if (edits < fewest) {
      fewest = edits;
      best = candidate;
    }
  }
  return best.empty() ? "; see " : "; did you mean " + best + "? See ";
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : shown_options(app, false)) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

/// The app whose command was given: the one that did not understand.
const CLI::App& innermost(const CLI::App& app) {
  const auto given = app.get_subcommands();
  return given.empty() ? app : innermost(*given.front());
}

/// The error in one sentence.
std::string usage_text(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& inner = innermost(app);
  const std::string help = full_name(inner) + " --help";
  const std::vector<std::string> extras = app.remaining(true);
  // A flag is named before words that may belong to it, and looked up without the value of "--flag=value".
  const auto flag = std::find_if(extras.begin(), extras.end(),
                                 [](const std::string& word) { return word.starts_with("-"); });
  if (flag != extras.end()) {
    const std::string name = flag->substr(0, flag->find('='));
    return fmt::format("{}: there is no such option{}{}", printable(name),
                       did_you_mean(name, flags_of(inner)), help);
  }
  if (!extras.empty()) {
    std::vector<std::string> names;
    for (const CLI::App* command : commands_of(inner)) names.push_back(command->get_name());
    if (names.empty()) return fmt::format("{}: was not expected; see {}", printable(extras.front()), help);
    return fmt::format("{}: there is no such subcommand{}{}", printable(extras.front()),
                       did_you_mean(extras.front(), names), help);
  }
  const std::string text = error.what();
  const std::size_t set = text.find(" not in {");
  if (set != std::string::npos) {
    const std::size_t word = text.rfind(' ', set - 1) + 1;
    const std::size_t end = text.find('}', set);
    return printable(text) +
           did_you_mean(text.substr(word, set - word),
                        CLI::detail::split(text.substr(set + 9, end - set - 9), ',')) +
           help;
  }
  return printable(text) + "; see " + help;
}

std::string roff(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else {
      if ((c == '.' || c == '\'') && (escaped.empty() || escaped.back() == '\n')) escaped += "\\&";
      escaped += c;
    }
  }
  return escaped;
}

std::string man_options(const CLI::App& app) {
  std::string text;
  for (const bool positional : {true, false}) {
    for (const auto& [group, options] : by_group(shown_options(app, positional))) {
      if (!positional) text += ".SS " + roff(group) + "\n";
      for (const CLI::Option* option : options)
        text += ".TP\n.B " + roff(heading(*option)) + "\n" + roff(sentence(*option)) + "\n";
    }
  }
  return text;
}

}  // namespace

int help_columns() {
  const int columns = terminal_columns(STDOUT_FILENO);
  return columns == 0 ? 80 : std::clamp(columns, 60, 100);
}

std::string help_text(const CLI::App& app, int columns, const std::vector<std::string>& only) {
  std::string text = paragraph(app.get_description(), columns) + "\nUsage: " + usage_line(app) + "\n";
  if (const auto commands = commands_of(app); !commands.empty()) {
    text += "\nCommands:\n";
    for (const CLI::App* command : commands)
      text += entry(command->get_name(), command->get_description(), columns);
  }
  if (const Options positionals = shown_options(app, true); !positionals.empty()) {
    text += "\n";
    for (const CLI::Option* option : positionals) text += entry(heading(*option), sentence(*option), columns);
  }
  auto groups = by_group(shown_options(app, false));
  if (!only.empty()) {
    Options chosen;
    for (const std::string& name : only) chosen.push_back(app.get_option("--" + name));
    groups = {{fmt::format("What people use ({} --help-all lists all {})", app.get_name(),
                           shown_options(app, false).size()),
               chosen}};
  }
  for (const auto& [group, options] : groups) {
    text += "\n" + group + ":\n";
    for (const CLI::Option* option : options) text += entry(heading(*option), sentence(*option), columns);
  }
  const std::string footer = app.get_footer();
  return footer.empty() ? text : text + "\n" + paragraph(footer, columns);
}

std::string man_page(const CLI::App& app) {
  std::string text = fmt::format(
      ".TH {} 1 \"\" \"microtome {}\" \"User Commands\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n.B {}\n",
      app.get_name(), kVersion, app.get_name(), roff(app.get_description()), roff(usage_line(app)));
  text += ".SH OPTIONS\n" + man_options(app);
  for (const CLI::App* command : commands_of(app))
    text += fmt::format(".SH {}\n{}.\n.PP\n.B {}\n{}", roff(full_name(*command)),
                        roff(command->get_description()), roff(usage_line(*command)), man_options(*command));
  text += ".SH NOTES\n.nf\n" + roff(app.get_footer()) + "\n.fi\n";
  return text;
}

std::string bash_completion(const CLI::App& app) {
  const std::string& name = app.get_name();
  const auto commands = commands_of(app);
  std::string text = "_microtome_" + name +
                     "() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags=\n";
  text += "  case \"$prev\" in\n";
  std::vector<const CLI::App*> apps{&app};
  apps.insert(apps.end(), commands.begin(), commands.end());
  for (const CLI::App* one : apps) {
    for (const CLI::Option* option : shown_options(*one, false)) {
      const std::vector<std::string> values = values_of(*option);
      if (!values.empty())
        text += fmt::format("    {}) COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")); return ;;\n",
                            option->get_name(false, true), fmt::join(values, " "));
    }
  }
  text += "  esac\n";
  if (commands.empty()) {
    text += fmt::format("  flags=\"{}\"\n", fmt::join(flags_of(app), " "));
  } else {
    std::vector<std::string> names;
    text += "  case \"${COMP_WORDS[1]}\" in\n";
    for (const CLI::App* command : commands) {
      names.push_back(command->get_name());
      text +=
          fmt::format("    {}) flags=\"{}\" ;;\n", command->get_name(), fmt::join(flags_of(*command), " "));
    }
    text += fmt::format("    *) flags=\"{}\" ;;\n  esac\n", fmt::join(flags_of(app), " "));
    text += fmt::format(
        "  if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY=($(compgen -W \"{} $flags\" -- \"$cur\")); return; "
        "fi\n",
        fmt::join(names, " "));
  }
  text +=
      "  case \"$cur\" in\n    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")) ;;\n    *) compopt -o "
      "filenames; COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n  esac\n}\n";
  return text + fmt::format("complete -F _microtome_{} {}\n", name, name);
}

void answer(const CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& common) {
  const bool all = dynamic_cast<const CLI::CallForAllHelp*>(&error) != nullptr;
  if (all || dynamic_cast<const CLI::CallForHelp*>(&error) != nullptr) {
    const CLI::App& inner = innermost(app);
    const bool short_help = !all && &inner == &app;
    std::fputs(help_text(inner, help_columns(), short_help ? common : std::vector<std::string>{}).c_str(),
               stdout);
  } else if (dynamic_cast<const CLI::CallForVersion*>(&error) != nullptr) {
    std::printf("microtome %s\n", kVersion);
  } else if (dynamic_cast<const ManPageWanted*>(&error) != nullptr) {
    std::fputs(man_page(app).c_str(), stdout);
  } else if (dynamic_cast<const CompletionWanted*>(&error) != nullptr) {
    std::fputs(bash_completion(app).c_str(), stdout);
  } else {
    throw UsageError(usage_text(app, error));
  }
}

void add_program_flags(CLI::App& app) {
  app.set_version_flag("--version", std::string(), "Print the version");
  app.add_flag_callback("--print-man-page", [] { throw ManPageWanted(); })->group("");
  app.add_flag_callback("--print-completion", [] { throw CompletionWanted(); })->group("");
}

}  // namespace mt::train
