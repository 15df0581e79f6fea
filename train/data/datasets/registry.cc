#include "train/data/datasets/registry.h"

#include <algorithm>
#include <array>

#include "tensor/check.h"
#include "tensor/text.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

std::string ending_of(const std::string& data) {
  return lower_case(fs::path(data).extension().string());
}

std::string nothing(const Config&) {
  return {};
}

Dataset camelyon16_in(const Config&, const fs::path& root) {
  return load_camelyon16(root);
}

constexpr auto kKinds = std::to_array<DatasetKind>({
    {
        .name = kPhantom,
        .is_named_by = [](const std::string& data) { return data == kPhantom; },
        .missing = nothing,
        .load = camelyon16_in,
        .describe =
            [](const Config& config) {
              return std::string(config.phantom_difficulty == PhantomTumour::hard ? "the hard phantom"
                                                                                  : "the phantom");
            },
        .lies_in_run = true,
        .test_is_known = true,
    },
    {
        .name = "camelyon16",
        .is_named_by = [](const std::string& data) { return data == "camelyon16"; },
        .missing =
            [](const Config& config) {
              return std::string(config.root.empty()
                                     ? "--data camelyon16 needs --root DIR, the folder that holds the slides"
                                     : "");
            },
        .load = camelyon16_in,
        .describe = [](const Config& config) { return "the Camelyon16 layout in " + config.root; },
        .test_is_known = true,
        .known_split = "; the paper's is train/data/datasets/splits/camelyon16_paper.csv",
    },
    {
        .name = "a table of slides that ends in .csv, .tsv or .txt",
        .is_named_by =
            [](const std::string& data) {
              const std::string ending = ending_of(data);
              return !fs::is_directory(data) && (ending == ".csv" || ending == ".tsv" || ending == ".txt");
            },
        .missing = nothing,
        .load =
            [](const Config& config, const fs::path& root) {
              return load_slide_csv(config.data, root, !config.features.empty());
            },
        .describe = [](const Config& config) { return config.data; },
    },
});

}  // namespace

std::span<const DatasetKind> dataset_kinds() {
  return kKinds;
}

const DatasetKind& dataset_kind(const Config& config) {
  const auto found = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](const auto& kind) { return kind.is_named_by(config.data); });
  if (found != kKinds.end()) {
    if (const std::string missing = found->missing(config); !missing.empty()) throw UsageError(missing);
    return *found;
  }
  const std::string ending = ending_of(config.data);
  if (ending == ".xlsx" || ending == ".xls" || ending == ".ods")
    throw UsageError(fmt::format("--data {}: is a spreadsheet; save it as \"CSV UTF-8\"", config.data));
  if (fs::is_directory(config.data)) {
    throw UsageError(fmt::format(
        "--data {}: is a folder; make a table of its slides and their labels (slide_id,label), and "
        "give the folder with --root",
        config.data));
  }
  std::string names;
  for (std::size_t i = 0; i < kKinds.size(); ++i)
    names += (i == 0 ? "" : i + 1 == kKinds.size() ? ", or " : ", ") + std::string(kKinds[i].name);
  throw UsageError(fmt::format("--data {}: there is {}", config.data, names));
}

fs::path dataset_root(const Config& config, const fs::path& phantom_root) {
  return dataset_kind(config).lies_in_run ? phantom_root : fs::path(config.root);
}

}  // namespace mt::train
