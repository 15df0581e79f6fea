#pragma once
// Command line and config files to Config. CLI11 lives in options.cc only.

#include <optional>
#include <string>

#include "train/settings/config.h"

namespace mt::train {

/// Parses `train`'s command line: preset defaults, then --config FILE, then flags. Prints --help or --version
/// and returns nothing when that was asked for. Throws UsageError for a wrong flag or value, and what
/// validate() throws.
std::optional<Config> parse_train_options(int argc, const char* const* argv);

/// Reads a config.toml as to_toml() writes it (or a user's part of one) over the defaults of its preset.
/// Throws Error naming the file and the key.
Config read_config_file(const std::string& path);

}  // namespace mt::train
