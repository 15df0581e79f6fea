#include "train/feature_files/feature_files.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "tensor/io/csv.h"
#include "tensor/io/dense.h"
#include "tensor/io/input_file.h"
#include "tensor/io/seal.h"
#include "tensor/io/torch_checkpoint.h"
#include "tensor/text.h"
#include "train/feature_files/hdf5_features.h"

namespace mt::train {
namespace {

bool ends_with_any(const std::string& path, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return path.ends_with(ending); });
}

Tensor as_floats(const Tensor& tensor, const std::string& path) {
  const Tensor values = dense(tensor);
  if (values.dtype() == DType::f32) return values;
  const DType type = values.dtype();
  check(type == DType::f16 || type == DType::bf16 || type == DType::f64,
        "{}: features are {}; f16, bf16, f32 or f64 needed", path, name_of(type));
  Tensor result = Tensor::empty(values.shape());
  auto* to = result.data<float>();
  const auto* halves = static_cast<const uint16_t*>(values.raw());
  const auto* doubles = static_cast<const double*>(values.raw());
  for (int64_t i = 0; i < values.numel(); ++i) {
    to[i] = type == DType::f64   ? static_cast<float>(doubles[i])
            : type == DType::f16 ? f16_to_float(halves[i])
                                 : bf16_to_float(halves[i]);
  }
  return result;
}

/// What a file of named tensors holds: a bare tensor has no name, members of a tuple are numbered.
SlideFeatures features_among(const NamedTensors& tensors, const std::string& path, const std::string& key) {
  const auto find = [&](const std::string& wanted) -> const Tensor* {
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const auto& entry) { return entry.first == wanted; });
    return found == tensors.end() ? nullptr : &found->second;
  };
  std::vector<std::string> wanted = feature_names(key);
  if (key.empty()) wanted.insert(wanted.end(), {"", "0"});
  SlideFeatures slide;
  for (const std::string& name : wanted) {
    const Tensor* features = find(name);
    if (features == nullptr) continue;
    slide.features = as_floats(as_matrix(*features), path);
    const Tensor* coords = find(name == "0" ? "1" : "coords");
    if (coords != nullptr) slide.coords = usable_coords(*coords, slide.features.dim(0));
    return slide;
  }
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  fail("{}: {}", path, no_features(names, key));
}

// A header line, then a line of numbers per patch. A column without a name is an index, not a feature.
SlideFeatures read_csv_features(const std::string& path) {
  constexpr uint64_t kMostBytes = uint64_t{8} << 30;
  const std::string text = read_file(path, kMostBytes);
  CsvReader reader(text, path);
  CsvRow row;
  check(reader.next(row), "{}: has no line of features", path);
  std::vector<std::size_t> columns;
  const std::size_t fields = row.fields.size();
  for (std::size_t c = 0; c < fields; ++c) {
    if (!row.fields[c].empty()) columns.push_back(c);
  }
  check(!columns.empty(), "{}: has no line of features", path);
  std::vector<float> values;
  while (reader.next(row)) {
    check(row.fields.size() == fields, "{}: line {}: has {} numbers, the header {}", path, row.line,
          row.fields.size(), fields);
    for (const std::size_t c : columns) values.push_back(static_cast<float>(csv_number(row, c, path)));
  }
  const auto width = static_cast<int64_t>(columns.size());
  SlideFeatures slide;
  slide.features = Tensor::of(values, Shape({static_cast<int64_t>(values.size()) / width, width}));
  return slide;
}

SlideFeatures checked(SlideFeatures slide, const std::string& path) {
  const Tensor& features = slide.features;  // (N,D)
  check(features.rank() == 2 && features.dim(1) > 0,
        "{}: features have shape {}; (N,D), a row for each patch, is needed", path, features.shape().str());
  const auto values = features.span<float>();
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  check(bad == values.end(), "{}: the features of patch {} have a NaN or infinity", path,
        (bad - values.begin()) / features.dim(1));
  return slide;
}

}  // namespace

SlideFeatures read_features(const std::string& path, const std::string& key) {
  const std::string name = lower_case(path);
  if (ends_with_any(name, {".h5", ".hdf5"})) return checked(parse_hdf5_features_in_child(path, key), path);
  if (ends_with_any(name, {".pt", ".pth", ".safetensors"}))
    return checked(features_among(read_all_tensors(path), path, key), path);
  if (ends_with_any(name, {".csv"})) return checked(read_csv_features(path), path);
  fail("{}: feature files end in .h5, .hdf5, .pt, .pth, .safetensors or .csv", path);
}

SlideFeatures read_own_features(const std::string& path) {
  check_seal(path, "delete it, and the same train command makes it anew");
  return checked(parse_hdf5_features(path), path);
}

}  // namespace mt::train
