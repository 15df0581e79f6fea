#include "train/data/datasets/slide_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "tensor/text.h"

namespace mt::train {

namespace {

constexpr std::array<std::string_view, 16> kSlideEndings = {
    ".ome.tif", ".ome.tiff", ".svs", ".tif", ".tiff", ".btf", ".ndpi",    ".mrxs",
    ".scn",     ".bif",      ".czi", ".vms", ".vmu",  ".dcm", ".svslide", ".isyntax"};
constexpr std::array<std::string_view, 7> kFeatureEndings = {".h5",  ".hdf5",        ".pt", ".pth",
                                                             ".csv", ".safetensors", ".npy"};

/// The length of the ending that the lower-case name has, or 0.
std::size_t ending_length(std::string_view name, std::span<const std::string_view> endings) {
  for (const std::string_view ending : endings) {
    if (name.size() > ending.size() && name.ends_with(ending)) return ending.size();
  }
  return 0;
}

}  // namespace

bool is_slide_file(std::string_view name) {
  return ending_length(lower_case(name), kSlideEndings) > 0;
}

std::string plain_name(std::string_view text) {
  std::string name = lower_case(text);
  if (const std::size_t folder = name.find_last_of("/\\"); folder != std::string::npos)
    name.erase(0, folder + 1);
  while (name.starts_with(' ')) name.erase(0, 1);
  while (name.ends_with(' ')) name.pop_back();
  for (bool found = true; found;) {
    const std::size_t length = ending_length(name, kSlideEndings) + ending_length(name, kFeatureEndings);
    name.resize(name.size() - length);
    found = length > 0;
  }
  const bool is_float = name.size() > 2 && name.ends_with(".0") &&
                        name.substr(0, name.size() - 2).find_first_not_of("0123456789") == std::string::npos;
  if (is_float) name.resize(name.size() - 2);
  return name;
}

std::string slide_name_of(const std::string& file) {
  const std::string name = file.substr(file.find_last_of('/') + 1);
  const std::string plain = plain_name(name);
  if (plain.size() < name.size() && lower_case(name).starts_with(plain)) return name.substr(0, plain.size());
  return name.substr(0, name.find_last_of('.'));
}

std::string listed(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i)
    text += (i == 0 ? "" : ", ") + printable(names[i], 80);
  if (names.size() > most) text += fmt::format(" and {} more", names.size() - most);
  return text;
}

std::string counted(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

SlideNames::SlideNames(const std::vector<SlideRecord>& slides) {
  for (std::size_t i = 0; i < slides.size(); ++i) {
    exact_.emplace(slides[i].id, i);
    const auto [at, is_new] = plain_.emplace(plain_name(slides[i].id), i);
    if (!is_new) at->second = kSeveral;
  }
}

std::optional<std::size_t> SlideNames::find(const std::string& name) const {
  if (const auto found = exact_.find(name); found != exact_.end()) return found->second;
  const auto found = plain_.find(plain_name(name));
  if (found == plain_.end() || found->second == kSeveral) return std::nullopt;
  return found->second;
}

}  // namespace mt::train
