#include <array>
#include <cerrno>
#include <vector>

#include "tensor/io/input_file.h"
#include "train/feature_files/hdf5_features.h"
#include "train/feature_files/hdf5_handle.h"

namespace mt::train {

std::mutex& hdf5_mutex() {
  static std::mutex mutex;
  return mutex;
}

namespace {

constexpr uint64_t kMostBytes = uint64_t{16} << 30;  // of one dataset in memory
// All datasets in memory, beside the size of the file: halves become floats, and deflate takes a half again.
constexpr uint64_t kMostTimesTheFile = 4;
constexpr uint64_t kAlwaysAllowed = uint64_t{64} << 20;

// One dataset, read whole into f32, f64 or i64.
class Dataset {
 public:
  /// `budget`: bytes that may still be read from the file.
  Dataset(hid_t file, const std::string& path, const char* name, uint64_t& budget)
      : path_(path),
        budget_(budget),
        name_(name),
        dataset_(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose, path, name),
        type_(H5Dget_type(dataset_), H5Tclose, path, name) {
    const Hdf5Handle creation(H5Dget_create_plist(dataset_), H5Pclose, path, name);
    check(H5Pget_external_count(creation) <= 0 && H5Pget_layout(creation) != H5D_VIRTUAL,
          "{}: dataset {} lies in other files; copy it into one file (h5repack)", path, name);
    const Hdf5Handle space(H5Dget_space(dataset_), H5Sclose, path, name);
    const int rank = H5Sget_simple_extent_ndims(space);
    check(rank >= 0 && rank <= Shape::kMaxRank, "{}: dataset {} has {} dimensions", path, name, rank);
    std::array<hsize_t, Shape::kMaxRank> sizes{};
    check(H5Sget_simple_extent_dims(space, sizes.data(), nullptr) == rank, "{}: dataset {} is damaged", path,
          name);
    for (int i = 0; i < rank; ++i) {
      const hsize_t size = sizes[static_cast<std::size_t>(i)];
      check(size <= kMostBytes, "{}: dataset {} has a size of {}", path, name, size);
      dims_.push_back(static_cast<int64_t>(size));
    }
  }

  const std::vector<int64_t>& dims() const { return dims_; }
  hid_t id() const { return dataset_; }
  bool is_float() const { return H5Tget_class(type_) == H5T_FLOAT; }
  bool is_integer() const { return H5Tget_class(type_) == H5T_INTEGER; }

  Tensor read(DType dtype) const {
    check(is_float() || is_integer(), "{}: dataset {} holds no numbers", path_, name_);
    const Shape shape{std::span<const int64_t>(dims_)};
    const uint64_t bytes = static_cast<uint64_t>(shape.numel()) * size_of(dtype);
    check(shape.numel() <= static_cast<int64_t>(kMostBytes) && bytes <= kMostBytes && bytes <= budget_,
          "{}: dataset {} {} claims more than the file holds", path_, name_, shape.str());
    budget_ -= bytes;
    Tensor tensor = Tensor::empty(shape, dtype);
    const hid_t memory_type = dtype == DType::f32   ? H5T_NATIVE_FLOAT
                              : dtype == DType::f64 ? H5T_NATIVE_DOUBLE
                                                    : H5T_NATIVE_INT64;
    check(H5Dread(dataset_, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.raw()) >= 0,
          "{}: dataset {} cannot be read; is the file complete?{}", path_, name_, hdf5_words());
    return tensor;
  }

 private:
  const std::string& path_;
  uint64_t& budget_;
  std::string name_;
  Hdf5Handle dataset_;
  Hdf5Handle type_;
  std::vector<int64_t> dims_;
};

std::optional<double> number_attribute(hid_t object, const char* name, const std::string& path) {
  if (H5Aexists(object, name) <= 0) return std::nullopt;
  const Hdf5Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose, path, name);
  const Hdf5Handle space(H5Aget_space(attribute), H5Sclose, path, name);
  const Hdf5Handle type(H5Aget_type(attribute), H5Tclose, path, name);
  const H5T_class_t kind = H5Tget_class(type);
  if (H5Sget_simple_extent_npoints(space) != 1 || (kind != H5T_FLOAT && kind != H5T_INTEGER))
    return std::nullopt;
  double value = 0;
  check(H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) >= 0, "{}: attribute {} cannot be read", path, name);
  return value;
}

std::optional<int64_t> integer_attribute(hid_t object, const char* name, const std::string& path) {
  const auto value = number_attribute(object, name, path);
  constexpr double kMost = 9e15;  // integers beyond are not exact in a double, and no slide has them
  if (!value || !(*value >= -kMost && *value <= kMost)) return std::nullopt;
  return static_cast<int64_t>(*value);
}

std::optional<std::string> text_attribute(hid_t object, const char* name, const std::string& path) {
  if (H5Aexists(object, name) <= 0) return std::nullopt;
  const Hdf5Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose, path, name);
  const Hdf5Handle space(H5Aget_space(attribute), H5Sclose, path, name);
  const Hdf5Handle type(H5Aget_type(attribute), H5Tclose, path, name);
  if (H5Sget_simple_extent_npoints(space) != 1 || H5Tget_class(type) != H5T_STRING) return std::nullopt;
  if (H5Tis_variable_str(type) > 0) {
    char* text = nullptr;
    check(H5Aread(attribute, type, &text) >= 0, "{}: attribute {} cannot be read", path, name);
    std::string value = text == nullptr ? "" : text;
    H5free_memory(text);
    return value;
  }
  const std::size_t size = H5Tget_size(type);
  check(size <= 65536, "{}: attribute {} has {} bytes", path, name, size);
  std::string value(size, '\0');
  check(H5Aread(attribute, type, value.data()) >= 0, "{}: attribute {} cannot be read", path, name);
  return value.substr(0, value.find('\0'));
}

FeatureAttributes read_attributes(hid_t coords, const std::string& path) {
  FeatureAttributes attributes;
  attributes.name = text_attribute(coords, "name", path);
  attributes.patch_size = integer_attribute(coords, "patch_size", path);
  attributes.patch_size_level0 = integer_attribute(coords, "patch_size_level0", path);
  attributes.level0_magnification = number_attribute(coords, "level0_magnification", path);
  attributes.target_magnification = number_attribute(coords, "target_magnification", path);
  attributes.overlap = integer_attribute(coords, "overlap", path);
  attributes.level0_width = integer_attribute(coords, "level0_width", path);
  attributes.level0_height = integer_attribute(coords, "level0_height", path);
  return attributes;
}

std::vector<std::string> member_names(hid_t file, const std::string& path) {
  std::vector<std::string> names;
  const auto collect = [](hid_t, const char* name, const H5L_info_t*, void* target) -> herr_t {
    auto* list = static_cast<std::vector<std::string>*>(target);
    list->emplace_back(name);
    return list->size() < 1000 ? 0 : 1;
  };
  check(H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect, &names) >= 0, "{}: cannot be listed",
        path);
  return names;
}

// A lock tells of a writer that has the file open. Many clusters' file systems have no locks: there the file
// is read without.
Hdf5Handle open_readonly(const std::string& path) {
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path, "the library");
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  H5Pset_file_locking(access, true, true);
  hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access);
  if (const std::string words = file < 0 ? hdf5_words() : "";
      words.find("unable to lock file") != std::string::npos) {
    const std::string is_held = fmt::format("errno = {},", EWOULDBLOCK);
    check(words.find(is_held) == std::string::npos, "{}: another process is writing to it{}", path, words);
    H5Pset_file_locking(access, false, true);
    file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access);
  }
  return {file, H5Fclose, path, "the HDF5 structure"};
}

// Where the features are: the first of the known names that the file has.
std::string features_name(hid_t file, const std::string& path, const std::string& key) {
  for (const std::string& name : feature_names(key)) {
    if (H5Lexists(file, name.c_str(), H5P_DEFAULT) > 0) return name;
  }
  std::vector<std::string> names;
  const auto collect = [](hid_t, const char* name, const H5L_info_t*, void* target) -> herr_t {
    auto* list = static_cast<std::vector<std::string>*>(target);
    list->emplace_back(name);
    return list->size() < 100 ? 0 : 1;
  };
  H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, collect, &names);
  fail("{}: {}", path, no_features(names, key));
}

// The physical coordinates of STAMP are no pixels.
bool says_micrometres(hid_t file, const std::string& path) {
  return text_attribute(file, "unit", path).value_or("") == "um";
}

}  // namespace

SlideFeatures parse_hdf5_features(const std::string& path, const std::string& key) {
  const InputFile readable(path);  // says better than libhdf5 why a file cannot be opened
  const std::lock_guard lock(hdf5_mutex());
  silence_hdf5();
  const Hdf5Handle file = open_readonly(path);
  SlideFeatures slide;
  uint64_t budget = kMostTimesTheFile * readable.size() + kAlwaysAllowed;
  const std::string features = features_name(file, path, key);
  slide.features = as_matrix(Dataset(file, path, features.c_str(), budget).read(DType::f32));
  const int64_t patches = slide.features.dim(0);
  for (const std::string& name : member_names(file, path)) {
    if (name == features) continue;
    const hid_t object = H5Oopen(file, name.c_str(), H5P_DEFAULT);
    if (object < 0) continue;  // a dangling link
    const bool is_dataset = H5Iget_type(object) == H5I_DATASET;
    H5Oclose(object);
    if (!is_dataset) continue;
    const Dataset dataset(file, path, name.c_str(), budget);
    if (name == "coords") {
      slide.attributes = read_attributes(dataset.id(), path);
      if (says_micrometres(file, path) || !(dataset.is_float() || dataset.is_integer())) continue;
      slide.coords = usable_coords(dataset.read(dataset.is_float() ? DType::f64 : DType::i64), patches);
    } else if (dataset.dims() == std::vector<int64_t>{patches} &&
               (dataset.is_float() || dataset.is_integer())) {
      slide.instances.emplace_back(name, dataset.read(dataset.is_float() ? DType::f32 : DType::i64));
    }
  }
  return slide;
}

}  // namespace mt::train
