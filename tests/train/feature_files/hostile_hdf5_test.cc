// HDF5 files that lead elsewhere, or claim more than they hold.

#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <functional>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "train/feature_files/feature_files.h"

namespace mt::train {
namespace {

/// A file that `fill` writes into.
std::string hdf5_file(const TemporaryFolder& folder, const std::string& name,
                      const std::function<void(hid_t)>& fill) {
  const std::string path = folder / name;
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  fill(file);
  H5Fclose(file);
  return path;
}

/// A matrix of floats that is never written.
void make_dataset(hid_t file, const char* name, hsize_t rows, hsize_t columns,
                  const std::function<void(hid_t)>& settings) {
  const std::array<hsize_t, 2> sizes = {rows, columns};
  const hid_t space = H5Screate_simple(2, sizes.data(), nullptr), creation = H5Pcreate(H5P_DATASET_CREATE);
  settings(creation);
  const hid_t dataset = H5Dcreate2(file, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  ASSERT_GE(dataset, 0);
  H5Dclose(dataset);
  H5Pclose(creation);
  H5Sclose(space);
}

/// The refusal, which comes at once.
std::string refusal_of(const std::string& path) {
  const auto begin = std::chrono::steady_clock::now();
  std::string text = error_of([&] { read_features(path); });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_TRUE(text.starts_with(path)) << text;
  return text;
}

TEST(HostileHdf5, ALinkIntoAnotherFileIsNotFollowed) {
  const TemporaryFolder folder;
  const std::string good =
      hdf5_file(folder, "good.h5", [](hid_t file) { make_dataset(file, "features", 3, 2, [](hid_t) {}); });
  EXPECT_EQ(read_features(good).features.dim(0), 3);
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  for (const std::string& target : {good, folder / "fifo"}) {
    const std::string path = hdf5_file(folder, "link.h5", [&](hid_t file) {
      H5Lcreate_external(target.c_str(), "/features", file, "features", H5P_DEFAULT, H5P_DEFAULT);
    });
    EXPECT_NE(refusal_of(path).find("features"), std::string::npos);
  }
}

TEST(HostileHdf5, DataOutsideOfTheFileAreNotRead) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  for (const std::string& target : {std::string("/etc/passwd"), folder / "fifo"}) {
    const std::string path = hdf5_file(folder, "outside.h5", [&](hid_t file) {
      make_dataset(file, "features", 20, 10,
                   [&](hid_t creation) { H5Pset_external(creation, target.c_str(), 0, 800); });
    });
    EXPECT_NE(refusal_of(path).find("lies in other files"), std::string::npos);
  }
  const std::string path = hdf5_file(folder, "virtual.h5", [&](hid_t file) {
    make_dataset(file, "features", 20, 10, [&](hid_t creation) {
      const std::array<hsize_t, 2> sizes = {20, 10};
      const hid_t space = H5Screate_simple(2, sizes.data(), nullptr);
      H5Pset_virtual(creation, space, (folder / "other.h5").c_str(), "features", space);
      H5Sclose(space);
    });
  });
  EXPECT_NE(refusal_of(path).find("lies in other files"), std::string::npos);
}

TEST(HostileHdf5, AMatrixThatWasNeverWrittenTakesNoMemory) {
  const TemporaryFolder folder;
  const auto with_chunks = [&](hsize_t rows, hsize_t chunk_rows) {
    return hdf5_file(folder, "bomb.h5", [&](hid_t file) {
      make_dataset(file, "features", rows, 1024, [&](hid_t creation) {
        const std::array<hsize_t, 2> chunk = {chunk_rows, 1024};
        H5Pset_chunk(creation, 2, chunk.data());
        H5Pset_deflate(creation, 9);
      });
    });
  };
  EXPECT_NE(refusal_of(with_chunks(1'000'000, 1000)).find("claims more than the file holds"),
            std::string::npos);  // 4 GB
  EXPECT_NE(refusal_of(with_chunks(4'000'000'000, 100'000)).find("features"), std::string::npos);
}

}  // namespace
}  // namespace mt::train
