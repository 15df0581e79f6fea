#include "train/cli/options.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <map>
#include <memory>
#include <type_traits>

#include "tensor/check.h"
#include "train/cli/version.h"
#include "train/settings/config_options.h"
#include "train/settings/toml.h"

namespace mt::train {
namespace {

constexpr const char* kFooter = R"(
Examples:
  train --data phantom --run runs/demo
  train --data camelyon16 --root /data/camelyon16 --weights simclr.pth --channels bgr --run runs/c16
  train --data slides.csv --preset fast --pretrain simclr --run runs/mine
  train --data slides.csv --method mil --features uni_features/ --run runs/uni
  train --data tcga.csv --root /data/svs --positive mutant --preset fast --run runs/egfr

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted. docs/inputs.md says what can be fed in, docs/paper.md
where presets and paper differ.)";

/// An app whose flags write into `config` (its present values are the defaults that --help shows).
std::unique_ptr<CLI::App> make_app(Config& config, std::string& config_file) {
  auto app = std::make_unique<CLI::App>(
      "Weakly supervised whole-slide-image classification with hard-negative mining, "
      "straight from the slides.",
      "train");
  app->set_version_flag("--version", std::string("microtome ") + kVersion);
  app->footer(kFooter);
  app->add_option("--config", config_file, "TOML file with any of the options below; flags override it")
      ->group("The run");
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
  return app;
}

[[noreturn]] void usage_error(const CLI::Error& error) {
  throw UsageError(std::string(error.what()) + "; see train --help");
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
  } catch (const CLI::CallForHelp&) {
    Config defaults = preset_config(chosen.preset, chosen.data.empty() ? "phantom" : chosen.data);
    defaults.data = chosen.data;
    std::printf("%s", make_app(defaults, config_file)->help().c_str());
    return std::nullopt;
  } catch (const CLI::CallForVersion&) {
    std::printf("microtome %s\n", kVersion);
    return std::nullopt;
  } catch (const CLI::Error& error) {
    usage_error(error);
  }
  if (!config_file.empty()) {
    Config from_file;
    apply_config_file(config_file, from_file);
    if (chosen.data.empty()) chosen.data = from_file.data;
    if (chosen.preset == Preset::by_data) chosen.preset = from_file.preset;
  }
  Config config = preset_config(chosen.preset, chosen.data);
  if (!config_file.empty()) apply_config_file(config_file, config);
  auto second = make_app(config, config_file);
  try {
    second->parse(argc, argv);
  } catch (const CLI::Error& error) {
    usage_error(error);
  }
  if (config.preset == Preset::by_data) config.preset = preset_config(Preset::by_data, config.data).preset;
  if (config.pretrain == Pretraining::by_weights) {
    config.pretrain =
        config.weights.empty() && config.features.empty() ? Pretraining::simclr : Pretraining::none;
  }
  validate(config);
  return config;
}

}  // namespace mt::train
