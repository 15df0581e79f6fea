#include "train/feature_files/feature_files.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <vector>

#include "tensor/io/dense.h"
#include "tensor/io/input_file.h"
#include "tensor/io/torch_checkpoint.h"
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

Tensor as_integers(const Tensor& tensor, const std::string& path) {
  const Tensor values = dense(tensor);
  if (values.dtype() == DType::i64) return values;
  check(values.dtype() == DType::i32, "{}: coords are {}; i32 or i64 needed", path, name_of(values.dtype()));
  Tensor result = Tensor::empty(values.shape(), DType::i64);
  for (int64_t i = 0; i < values.numel(); ++i) result.data<int64_t>()[i] = values.data<int32_t>()[i];
  return result;
}

Tensor without_leading_one(const Tensor& tensor) {
  return tensor.rank() == 3 && tensor.dim(0) == 1 ? tensor.select(0, 0) : tensor;
}

SlideFeatures read_torch_features(const std::string& path) {
  const TorchCheckpoint checkpoint = read_torch_checkpoint(path);
  SlideFeatures slide;
  for (const TorchEntry& entry : checkpoint.tensors) {
    const std::string name = entry.path();
    if (name == "coords") slide.coords = as_integers(without_leading_one(entry.tensor), path);
    if (name.empty() || name == "features")
      slide.features = as_floats(without_leading_one(entry.tensor), path);
  }
  check(slide.features.defined(), "{}: is neither one tensor nor a dict with 'features'", path);
  return slide;
}

// A header line, then a line of numbers per patch. Parsed by hand: such files have millions of fields.
SlideFeatures read_csv_features(const std::string& path) {
  constexpr uint64_t kMostBytes = uint64_t{8} << 30;
  const std::string text = read_file(path, kMostBytes);
  const std::size_t header_end = text.find('\n');
  check(header_end != std::string::npos, "{}: has no line of features", path);
  const auto columns =
      std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(header_end), ',') + 1;
  std::vector<float> values;
  int64_t line = 2;
  for (std::size_t begin = header_end + 1; begin < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const char* at = text.data() + begin;
    const char* stop = text.data() + (end > begin && text[end - 1] == '\r' ? end - 1 : end);
    begin = end + 1;
    if (at == stop) continue;
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      float value = 0;
      const auto [after, code] = std::from_chars(at, stop, value);
      const bool last = column + 1 == columns;
      check(code == std::errc() && (last ? after == stop : after != stop && *after == ','),
            "{}: line {}: column {} is no number, or the line has not {} columns", path, line, column + 1,
            columns);
      values.push_back(value);
      at = after + 1;
    }
  }
  SlideFeatures slide;
  slide.features = Tensor::of(values, Shape({static_cast<int64_t>(values.size()) / columns, columns}));
  return slide;
}

SlideFeatures checked(SlideFeatures slide, const std::string& path) {
  const Tensor& features = slide.features;  // (N,D)
  check(features.rank() == 2 && features.dim(1) > 0, "{}: features have shape {}; (N,D) is needed", path,
        features.shape().str());
  check(!slide.coords.defined() || slide.coords.shape() == Shape({features.dim(0), 2}),
        "{}: coords {} for features {}", path, slide.coords.defined() ? slide.coords.shape().str() : "",
        features.shape().str());
  const auto values = features.span<float>();
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  check(bad == values.end(), "{}: the features of patch {} have a NaN or infinity", path,
        (bad - values.begin()) / features.dim(1));
  return slide;
}

}  // namespace

SlideFeatures read_features(const std::string& path) {
  if (ends_with_any(path, {".h5", ".hdf5"})) return checked(parse_hdf5_features_in_child(path), path);
  if (ends_with_any(path, {".pt", ".pth"})) return checked(read_torch_features(path), path);
  if (ends_with_any(path, {".csv"})) return checked(read_csv_features(path), path);
  fail("{}: feature files end in .h5, .hdf5, .pt, .pth or .csv", path);
}

SlideFeatures read_own_features(const std::string& path) {
  return checked(parse_hdf5_features(path), path);
}

}  // namespace mt::train
