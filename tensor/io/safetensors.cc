#include "tensor/io/safetensors.h"

#include <algorithm>
#include <array>

#include "tensor/io/atomic_file.h"
#include "tensor/io/dense.h"
#include "tensor/io/json_within.h"
#include "tensor/io/seal.h"
#include "tensor/io/sha256.h"

namespace mt {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr uint64_t kMostHeaderBytes = 100'000'000;           // as the format's own implementation has it
constexpr uint64_t kMostHeaderMemory = uint64_t{256} << 20;  // 300,000 tensors

struct TypeName {
  std::string_view name;
  DType dtype;
};
constexpr std::array<TypeName, 10> kTypeNames{{{"F64", DType::f64},
                                               {"F32", DType::f32},
                                               {"F16", DType::f16},
                                               {"BF16", DType::bf16},
                                               {"I64", DType::i64},
                                               {"I32", DType::i32},
                                               {"I16", DType::i16},
                                               {"I8", DType::i8},
                                               {"U8", DType::u8},
                                               {"BOOL", DType::boolean}}};

std::string_view type_name(DType dtype) {
  return std::find_if(kTypeNames.begin(), kTypeNames.end(),
                      [&](const TypeName& t) { return t.dtype == dtype; })
      ->name;
}

DType parse_type(const std::string& path, const std::string& name, const std::string& type) {
  for (const TypeName& known : kTypeNames) {
    if (known.name == type) return known.dtype;
  }
  fail("{}: tensor {} has type {}, which is not supported", path, name, type);
}

// A JSON array of non-negative integers.
std::vector<int64_t> integers(const Json& object, const char* key, const std::string& path,
                              const std::string& name) {
  const auto found = object.find(key);
  check(found != object.end() && found->is_array(), "{}: tensor {} has no {}", path, name, key);
  std::vector<int64_t> values;
  for (const Json& value : *found) {
    check(value.is_number_unsigned() && value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX),
          "{}: tensor {} has a bad number in {}", path, name, key);
    values.push_back(value.get<int64_t>());
  }
  return values;
}

/// Fills the blank seal of the header, if it has one, with the hash of the file to be.
void fill_seal(std::string_view prefix, std::string& header, const NamedTensors& tensors) {
  const std::size_t at = header.find(blank_seal());
  if (at == std::string::npos) return;
  Sha256 hash;
  hash.update(prefix.data(), prefix.size());
  hash.update(header.data(), header.size());
  for (const auto& [name, tensor] : tensors) {
    const Tensor bytes = dense(tensor);
    hash.update(bytes.raw(), bytes.bytes());
  }
  const std::string digits = hash.hex();
  header.replace(at + kSealMark.size(), digits.size(), digits);
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  std::array<unsigned char, 8> prefix{};
  file_.read_at(0, prefix.data(), prefix.size(), "the safetensors header");
  uint64_t length = 0;
  for (std::size_t i = 0; i < prefix.size(); ++i) length |= static_cast<uint64_t>(prefix[i]) << (8 * i);
  check(length <= kMostHeaderBytes && length <= file_.size() - prefix.size(),
        "{}: claims a header of {} bytes; this is no complete safetensors file", path, length);
  data_begin_ = prefix.size() + length;
  parse_header(file_.read_at(prefix.size(), length, "the safetensors header"), file_.size() - data_begin_);
}

void SafetensorsFile::parse_header(std::string_view text, uint64_t data_bytes) {
  const std::string& path = file_.path();
  const JsonLimits limits{kMostHeaderMemory, 8, true};
  const Json json = parse_json_within(text, limits, path + ": the safetensors header");
  check(json.is_object(), "{}: the safetensors header is no JSON object", path);
  for (const auto& [name, value] : json.items()) {
    check(value.is_object(), "{}: the header's entry {} is no object", path, name);
    if (name == kMetadataKey) {
      for (const auto& [key, word] : value.items()) {
        check(word.is_string(), "{}: metadata {} is no text", path, key);
        metadata_[key] = word.get<std::string>();
      }
      continue;
    }
    const auto type = value.find("dtype");
    check(type != value.end() && type->is_string(), "{}: tensor {} has no dtype", path, name);
    const std::vector<int64_t> dims = integers(value, "shape", path, name);
    const std::vector<int64_t> range = integers(value, "data_offsets", path, name);
    check(range.size() == 2 && range[0] <= range[1], "{}: tensor {} has a bad byte range", path, name);
    Entry entry{parse_type(path, name, type->get<std::string>()), Shape(std::span<const int64_t>(dims)),
                static_cast<uint64_t>(range[0]), static_cast<uint64_t>(range[1])};
    const uint64_t bytes = entry.end - entry.begin;
    const std::size_t width = size_of(entry.dtype);
    check(entry.end <= data_bytes, "{}: tensor {} ends at byte {} of {}; is the file complete?", path, name,
          entry.end, data_bytes);
    check(bytes % width == 0 && bytes / width == static_cast<uint64_t>(entry.shape.numel()),
          "{}: tensor {} {} of {} has {} bytes", path, name, entry.shape.str(), name_of(entry.dtype), bytes);
    entries_.emplace(name, entry);
  }
  check_ranges(data_bytes);
}

void SafetensorsFile::check_ranges(uint64_t data_bytes) {
  for (const auto& [name, entry] : entries_) names_.push_back(name);
  std::stable_sort(names_.begin(), names_.end(), [this](const std::string& a, const std::string& b) {
    const Entry& first = entry(a);
    const Entry& second = entry(b);
    return first.begin != second.begin ? first.begin < second.begin : first.end < second.end;
  });
  uint64_t expected = 0;
  for (const std::string& name : names_) {
    const Entry& range = entry(name);
    check(range.begin >= expected, "{}: tensor {} overlaps another", file_.path(), name);
    check(range.begin == expected, "{}: bytes before tensor {} belong to none", file_.path(), name);
    expected = range.end;
  }
  check(expected == data_bytes, "{}: {} bytes after the last tensor", file_.path(), data_bytes - expected);
}

bool SafetensorsFile::has(std::string_view name) const {
  return entries_.find(name) != entries_.end();
}

const SafetensorsFile::Entry& SafetensorsFile::entry(std::string_view name) const {
  const auto found = entries_.find(name);
  check(found != entries_.end(), "{}: has no tensor {}", file_.path(), name);
  return found->second;
}

Tensor SafetensorsFile::operator[](std::string_view name) const {
  const Entry& range = entry(name);
  Tensor tensor = Tensor::empty(range.shape, range.dtype);
  file_.read_at(data_begin_ + range.begin, tensor.raw(), range.end - range.begin, "a tensor");
  normalise_booleans(tensor);
  return tensor;
}

NamedTensors SafetensorsFile::read_all() const {
  NamedTensors tensors;
  for (const std::string& name : names_) tensors.emplace_back(name, (*this)[name]);
  return tensors;
}

void write_safetensors(const std::string& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[std::string(kMetadataKey)] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    check(!header.contains(name) && name != kMetadataKey, "{}: tensor name {} is there twice or reserved",
          path, name);
    header[name] = {
        {"dtype", type_name(tensor.dtype())},
        {"shape", std::vector<int64_t>(tensor.shape().dims().begin(), tensor.shape().dims().end())},
        {"data_offsets", {offset, offset + tensor.bytes()}}};
    offset += tensor.bytes();
  }
  std::string json;
  try {
    json = header.dump();
  } catch (const nlohmann::ordered_json::exception&) {
    fail("{}: a name or a piece of metadata is not UTF-8", path);
  }
  json.resize((json.size() + 7) / 8 * 8, ' ');  // so that the tensors begin aligned
  std::array<char, 8> prefix{};
  for (std::size_t i = 0; i < prefix.size(); ++i) prefix[i] = static_cast<char>(json.size() >> (8 * i));
  fill_seal({prefix.data(), prefix.size()}, json, tensors);
  AtomicFile file(path);
  file.write(prefix.data(), prefix.size());
  file.write(json);
  for (const auto& [name, tensor] : tensors) {
    const Tensor bytes = dense(tensor);
    file.write(bytes.raw(), bytes.bytes());
  }
  file.commit();
}

}  // namespace mt
