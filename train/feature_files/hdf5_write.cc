#include <algorithm>
#include <vector>

#include "tensor/io/atomic_file.h"
#include "tensor/io/dense.h"
#include "tensor/io/seal.h"
#include "train/feature_files/feature_files.h"
#include "train/feature_files/hdf5_handle.h"

namespace mt::train {
namespace {

// A whole tensor as a chunked dataset; no time stamps, so that equal content gives equal bytes.
Hdf5Handle write_dataset(hid_t file, const std::string& path, const char* name, const Tensor& tensor) {
  const bool is_float = tensor.dtype() == DType::f32;
  check(is_float || tensor.dtype() == DType::i64, "{}: dataset {} must be f32 or i64, is {}", path, name,
        name_of(tensor.dtype()));
  std::vector<hsize_t> dims;
  for (const int64_t dim : tensor.shape().dims()) dims.push_back(static_cast<hsize_t>(dim));
  const Hdf5Handle space(H5Screate_simple(tensor.rank(), dims.data(), nullptr), H5Sclose, path, name);
  const Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, path, name);
  H5Pset_obj_track_times(creation, false);
  if (tensor.numel() != 0) {
    std::vector<hsize_t> chunk = dims;
    chunk[0] = std::min<hsize_t>(dims[0], 1024);  // patches
    H5Pset_chunk(creation, tensor.rank(), chunk.data());
  }
  const hid_t file_type = is_float ? H5T_IEEE_F32LE : H5T_STD_I64LE;
  Hdf5Handle dataset(H5Dcreate2(file, name, file_type, space, H5P_DEFAULT, creation, H5P_DEFAULT), H5Dclose,
                     path, name);
  if (tensor.numel() != 0) {
    const Tensor values = dense(tensor);
    const hid_t memory_type = is_float ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT64;
    check(H5Dwrite(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.raw()) >= 0,
          "{}: {} cannot be written", path, name);
  }
  return dataset;
}

void write_attribute(hid_t object, const std::string& path, const char* name, hid_t type, const void* value) {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose, path, name);
  const Hdf5Handle attribute(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, path,
                             name);
  check(H5Awrite(attribute, type, value) >= 0, "{}: attribute {} cannot be written", path, name);
}

void write_number(hid_t object, const std::string& path, const char* name,
                  const std::optional<int64_t>& value) {
  if (value) write_attribute(object, path, name, H5T_STD_I64LE, &*value);
}

// Whole magnifications are integers, as in TRIDENT's files.
void write_number(hid_t object, const std::string& path, const char* name,
                  const std::optional<double>& value) {
  if (!value) return;
  const auto whole = static_cast<int64_t>(*value);
  if (static_cast<double>(whole) == *value) {
    write_attribute(object, path, name, H5T_STD_I64LE, &whole);
  } else {
    write_attribute(object, path, name, H5T_IEEE_F64LE, &*value);
  }
}

void write_text(hid_t object, const std::string& path, const std::string& name, const std::string& value) {
  const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose, path, name.c_str());
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const char* text = value.c_str();
  write_attribute(object, path, name.c_str(), type, &text);
}

void write_attributes(hid_t coords, const std::string& path, const FeatureAttributes& attributes) {
  write_number(coords, path, "patch_size", attributes.patch_size);
  write_number(coords, path, "patch_size_level0", attributes.patch_size_level0);
  write_number(coords, path, "level0_magnification", attributes.level0_magnification);
  write_number(coords, path, "target_magnification", attributes.target_magnification);
  write_number(coords, path, "overlap", attributes.overlap);
  write_number(coords, path, "level0_width", attributes.level0_width);
  write_number(coords, path, "level0_height", attributes.level0_height);
  write_number(coords, path, "mpp", attributes.mpp);
  if (attributes.name) write_text(coords, path, "name", *attributes.name);
}

// The bytes of the file, made in memory: then a full disk is AtomicFile's clear error, not libhdf5's.
std::string file_image(const std::string& path, const SlideFeatures& slide) {
  const std::lock_guard lock(hdf5_mutex());
  silence_hdf5();
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path, "the library");
  H5Pset_fapl_core(access, std::size_t{1} << 22, false);
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  const Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose, path,
                        "the new file");
  for (const auto& [name, text] : slide.origin) write_text(file, path, name, text);
  if (slide.features.defined()) write_dataset(file, path, "features", slide.features);
  if (slide.coords.defined()) {
    const Hdf5Handle coords = write_dataset(file, path, "coords", slide.coords);
    write_attributes(coords, path, slide.attributes);
  }
  for (const auto& [name, tensor] : slide.instances) write_dataset(file, path, name.c_str(), tensor);
  check(H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0, "{}: libhdf5 cannot make the file", path);
  const ssize_t bytes = H5Fget_file_image(file, nullptr, 0);
  check(bytes > 0, "{}: libhdf5 cannot make the file", path);
  std::string image(static_cast<std::size_t>(bytes), '\0');
  check(H5Fget_file_image(file, image.data(), image.size()) == bytes, "{}: libhdf5 cannot make the file",
        path);
  return image;
}

}  // namespace

std::string features_file(const std::string& path, const SlideFeatures& slide) {
  const bool has_features = slide.features.defined();
  check(has_features ? slide.features.rank() == 2 && slide.features.dtype() == DType::f32
                     : !slide.instances.empty() && slide.instances[0].second.rank() == 1,
        "{}: features must be a f32 matrix (N,D), or left out with scores in their place", path);
  const int64_t patches = has_features ? slide.features.dim(0) : slide.instances[0].second.dim(0);
  check(!slide.coords.defined() || slide.coords.shape() == Shape({patches, 2}),
        "{}: coords {} for {} patches", path, slide.coords.defined() ? slide.coords.shape().str() : "",
        patches);
  for (const auto& [name, tensor] : slide.instances) {
    check(tensor.shape() == Shape({patches}) && name != "features" && name != "coords",
          "{}: dataset {} {} for {} patches", path, name, tensor.shape().str(), patches);
  }
  std::string trailer = "\n";
  if (!slide.made_from.empty()) trailer += std::string(kMadeFromMark) + slide.made_from + "\n";
  return sealed(file_image(path, slide) + trailer + blank_seal() + "\n");
}

void write_features(const std::string& path, const SlideFeatures& slide) {
  write_file(path, features_file(path, slide));
}

}  // namespace mt::train
