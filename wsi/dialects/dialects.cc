#include <array>
#include <charconv>
#include <cmath>

#include "tensor/check.h"
#include "wsi/dialects/dialect.h"
#include "wsi/dialects/foreign.h"
#include "wsi/tiff/raw_directory.h"

namespace mt::wsi {
namespace {

constexpr std::array<const Dialect*, 4> kDialects = {&kPhilips, &kAperio, &kOme, &kGeneric};

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

/// What the file says, where it is credible; else what the caller gives.
void settle_mpp(const OpenOptions& options, Facts& facts) {
  const bool said = facts.mpp_x && facts.mpp_y;
  if (!said || !is_credible_mpp(*facts.mpp_x) || !is_credible_mpp(*facts.mpp_y)) {
    if (said) {
      facts.notes.push_back(incredible_mpp(facts.mpp_source, *facts.mpp_x, *facts.mpp_y));
    } else if (!facts.mpp_text.empty()) {
      facts.notes.push_back(fmt::format("{} says \"{}\", which is no size of a pixel; that is left aside",
                                        facts.mpp_source, facts.mpp_text.substr(0, 60)));
    }
    facts.mpp_x = facts.mpp_y = options.mpp_if_missing;
  }
  if (options.mpp_override) facts.mpp_x = facts.mpp_y = options.mpp_override;
}

std::unique_ptr<Pyramid> open_as(const Dialect& dialect, std::unique_ptr<TiffFile> file,
                                 const OpenOptions& options) {
  Facts facts = dialect.open(*file);
  add_tiff_properties(file->first(), facts);
  facts.notes.insert(facts.notes.begin(), file->notes().begin(), file->notes().end());
  settle_mpp(options, facts);
  return std::make_unique<Pyramid>(std::move(file), dialect.name, std::move(facts), options);
}

}  // namespace

std::span<const Dialect* const> dialects() {
  return kDialects;
}

std::unique_ptr<Pyramid> open_pyramid(const std::filesystem::path& path, const OpenOptions& options) {
  const auto named = [&](const auto& read) {
    try {
      return read();
    } catch (const Error& error) {
      fail("{}: {}", path.string(), error.what());
    }
  };
  {
    const RandomAccessFile bytes(path);
    check(RawTiff::begins_like_tiff(bytes), "{}: {}", path.string(), describe_foreign_file(bytes, path));
    const std::optional<std::string> foreign = named([&] { return describe_foreign_tiff(bytes); });
    check(!foreign, "{}: {}", path.string(), foreign.value_or(""));
  }
  auto file = std::make_unique<TiffFile>(path);
  const std::optional<std::string> foreign = describe_foreign_tiff(*file);
  check(!foreign, "{}: {}", path.string(), foreign.value_or(""));
  check(file->first().tiled, "{}: {}", path.string(), describe_untiled_tiff(*file));
  for (const Dialect* dialect : dialects()) {
    if (dialect->detect(*file)) return named([&] { return open_as(*dialect, std::move(file), options); });
  }
  fail("{}: a TIFF of no known dialect", path.string());
}

std::string incredible_mpp(const std::string& source, double x, double y) {
  const std::string said = x == y ? fmt::format("{:.6g}", x) : fmt::format("{:.6g} x {:.6g}", x, y);
  return fmt::format("{} says {} um/px, which no scanner has ({:g} to {:g}); that is left aside", source,
                     said, kFinestMpp, kCoarsestMpp);
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
