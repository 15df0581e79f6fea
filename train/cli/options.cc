#include "train/cli/options.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <map>
#include <memory>
#include <type_traits>

#include "tensor/check.h"
#include "train/cli/command_text.h"
#include "train/settings/config_options.h"
#include "train/settings/toml.h"

namespace mt::train {
namespace {

/// What --help shows; --help-all shows all.
const std::vector<std::string> kCommon{"data",    "root",   "splits", "positive",        "features",
                                       "weights", "preset", "method", "ablation",        "mpp",
                                       "run",     "seed",   "device", "skip-bad-slides", "dry-run"};

template <typename T>
std::string value_text(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return value;
  } else if constexpr (IsChoice<T>) {
    return choice_name(value);
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "on" : "";
  } else {
    return fmt::format("{}", value);
  }
}

/// Stands for a table of slides where only the kind of data counts.
const std::string kTable = "slides.csv";

constexpr const char* kFooter =
    "Examples:\n"
    "  train --data phantom --run runs/demo\n"
    "  train --data slides.csv --run runs/mine\n"
    "  train --data tcga.csv --root /data/svs --positive mutant --run runs/egfr\n"
    "  train --data slides.csv --method mil --features uni/ --run runs/uni\n"
    "  train --data camelyon16 --root /data/camelyon16 --preset paper \\\n"
    "        --weights simclr.pth --channels bgr --run runs/c16\n"
    "\n"
    "Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted. docs/inputs.md says what can be fed in, "
    "docs/paper.md where presets and paper differ.";

/// An app whose flags write into `config` (its present values are the defaults that --help shows).
std::unique_ptr<CLI::App> make_app(Config& config, std::string& config_file) {
  auto app = std::make_unique<CLI::App>(
      "Weakly supervised whole-slide-image classification with hard-negative mining, "
      "straight from the slides.",
      "train");
  add_program_flags(*app);
  app->set_help_flag("-h,--help", "Print the settings that people use");
  app->set_help_all_flag("--help-all", "Print every setting");
  app->footer(kFooter);
  visit_options(config, [&](const OptionText& text, auto& member) {
    using T = std::remove_cvref_t<decltype(member)>;
    const std::string flag = std::string("--") + text.name;
    CLI::Option* option = nullptr;
    if constexpr (std::is_same_v<T, bool>) {
      option = app->add_flag(flag, member, text.help);
    } else if constexpr (IsChoice<T>) {
      const auto assign = [&member](const std::string& name) { member = choice_of<T>(name).value(); };
      option = app->add_option_function<std::string>(flag, assign, text.help)
                   ->default_str(choice_name(member))
                   ->check(CLI::IsMember(choice_names<T>()));
    } else {
      option = app->add_option(flag, member, text.help)->capture_default_str();
    }
    option->group(text.group);
  });
  app->add_option("--config", config_file, "TOML file with any of these options; flags override it")
      ->group("The run");
  return app;
}

/// The default of every option: for slides of one's own with --preset fast, and what other presets and the
/// phantom have instead, as in "20; paper: 350; tiny: 4". Where data or preset were given, theirs alone.
std::map<std::string, std::string> defaults_told(const Config& given) {
  const auto values = [](const Config& config) {
    std::vector<std::string> texts;
    visit_options(config, [&](const OptionText&, const auto& value) { texts.push_back(value_text(value)); });
    return texts;
  };
  const bool told = given.preset != Preset::not_given || !given.data.empty();
  const std::string data = given.data.empty() ? kTable : given.data;
  const std::vector<std::string> base = values(preset_config(given.preset, data));
  std::vector<std::pair<std::string, std::vector<std::string>>> others;
  if (!told) {
    others = {{"paper", values(preset_config(Preset::paper, kTable))},
              {"tiny", values(preset_config(Preset::tiny, kTable))},
              {"phantom", values(preset_config(Preset::fast, kPhantom))}};
  }
  std::map<std::string, std::string> told_of;
  std::size_t i = 0;
  visit_options(given, [&](const OptionText& option, const auto&) {
    std::string text = base[i];
    const std::string_view name = option.name;
    for (const auto& [whose, theirs] : others) {
      if (theirs[i] != base[i]) text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", whose, theirs[i]);
    }
    ++i;
    if (name != "data" && name != "preset") told_of[option.name] = text;
  });
  told_of["preset"] = "fast";
  return told_of;
}

/// `text` into a member of the configuration; throws Error naming file and key when it does not fit.
template <typename T>
void assign(const OptionText& option, const std::string& text, const std::string& path, T& member) {
  const auto fits = [&](bool ok) {
    check(ok, "{}: {} = {}: is no value for this key", path, option.name, text);
  };
  if constexpr (std::is_same_v<T, std::string>) {
    member = text;
  } else if constexpr (IsChoice<T>) {
    const auto value = choice_of<T>(text);
    check(value.has_value(), "{}: {} = {}: there is {}", path, option.name, text,
          fmt::join(choice_names<T>(), ", "));
    member = *value;
  } else if constexpr (std::is_same_v<T, bool>) {
    fits(text == "true" || text == "false");
    member = text == "true";
  } else {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), member);
    fits(error == std::errc() && end == text.data() + text.size());
  }
}

/// Reads `path` into config. Unknown keys are an error.
void apply_config_file(const std::string& path, Config& config) {
  std::map<std::string, std::string> values = read_toml(path);
  visit_options(config, [&](const OptionText& option, auto& member) {
    const auto found = values.find(option.name);
    if (found == values.end()) return;
    assign(option, found->second, path, member);
    values.erase(found);
  });
  check(values.empty(), "{}: there is no option {}", path, values.empty() ? "" : values.begin()->first);
}

}  // namespace

Config read_config_file(const std::string& path) {
  Config chosen;
  apply_config_file(path, chosen);
  Config config = preset_config(chosen.preset, chosen.data);
  apply_config_file(path, config);
  return config;
}

std::optional<Config> parse_train_options(int argc, const char* const* argv) {
  // First to learn data and preset, then again over their defaults.
  Config chosen;
  std::string config_file;
  auto first = make_app(chosen, config_file);
  try {
    first->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    for (const auto& [name, value] : defaults_told(chosen))
      first->get_option("--" + name)->default_str(value);
    answer(*first, error, kCommon);
    return std::nullopt;
  }
  if (!config_file.empty()) {
    Config from_file;
    apply_config_file(config_file, from_file);
    if (chosen.data.empty()) chosen.data = from_file.data;
    if (chosen.preset == Preset::not_given) chosen.preset = from_file.preset;
  }
  Config config = preset_config(chosen.preset, chosen.data);
  if (!config_file.empty()) apply_config_file(config_file, config);
  auto second = make_app(config, config_file);
  try {
    second->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    answer(*second, error, kCommon);
  }
  if (config.preset == Preset::not_given)
    config.preset = preset_config(Preset::not_given, config.data).preset;
  if (config.pretrain == Pretraining::by_weights) {
    config.pretrain =
        config.weights.empty() && config.features.empty() ? Pretraining::simclr : Pretraining::none;
  }
  validate(config);
  return config;
}

}  // namespace mt::train
