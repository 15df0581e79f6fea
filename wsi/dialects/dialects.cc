#include <array>
#include <charconv>
#include <cmath>

#include "tensor/check.h"
#include "wsi/dialects/dialect.h"

namespace mt::wsi {
namespace {

constexpr std::array<const Dialect*, 3> kDialects = {&kPhilips, &kAperio, &kGeneric};

void add_property(Facts& facts, const char* name, const std::string& value) {
  if (!value.empty()) facts.properties.emplace(name, value);
}

/// Tags that mean the same in every dialect.
void add_tiff_properties(const TiffDirectory& directory, Facts& facts) {
  add_property(facts, "tiff.ImageDescription", directory.description);
  add_property(facts, "tiff.Software", directory.software);
  add_property(facts, "tiff.Make", directory.make);
  add_property(facts, "tiff.Model", directory.model);
  add_property(facts, "tiff.DateTime", directory.date_time);
}

std::unique_ptr<Pyramid> open_as(const Dialect& dialect, std::unique_ptr<TiffFile> file,
                                 const OpenOptions& options) {
  Facts facts = dialect.open(*file);
  add_tiff_properties(file->first(), facts);
  if (!facts.mpp_x) facts.mpp_x = facts.mpp_y = options.mpp_if_missing;
  if (options.mpp_override) facts.mpp_x = facts.mpp_y = options.mpp_override;
  return std::make_unique<Pyramid>(std::move(file), dialect.name, std::move(facts), options);
}

}  // namespace

std::span<const Dialect* const> dialects() {
  return kDialects;
}

std::unique_ptr<Pyramid> open_pyramid(const std::filesystem::path& path, const OpenOptions& options) {
  auto file = std::make_unique<TiffFile>(path);
  for (const Dialect* dialect : dialects()) {
    if (!dialect->detect(*file)) continue;
    try {
      return open_as(*dialect, std::move(file), options);
    } catch (const Error& error) {
      fail("{}: {}", path.string(), error.what());
    }
  }
  fail(
      "{}: a TIFF, but not a slide: its first image is {}; known are Philips TIFF, Aperio SVS and generic "
      "tiled TIFF",
      path.string(), file->first().tiled ? "of a slide format that is not supported" : "not tiled");
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::optional<double> positive_number(std::string_view text) {
  std::string digits(trimmed(text).substr(0, 64));
  if (!digits.empty() && digits[0] == '"') digits.erase(0, 1);
  for (char& c : digits) {
    if (c == ',') c = '.';
  }
  double value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ec != std::errc{} || !std::isfinite(value) || value <= 0) return std::nullopt;
  return value;
}

}  // namespace mt::wsi
