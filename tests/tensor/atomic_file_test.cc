#include "tensor/io/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tensor/io/input_file.h"
#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"

namespace mt {
namespace {

int64_t files_in(const TemporaryFolder& folder) {
  return std::distance(std::filesystem::directory_iterator(folder.path()),
                       std::filesystem::directory_iterator());
}

TEST(AtomicFileTest, AppearsOnlyWhenCommitted) {
  const TemporaryFolder folder;
  write_file(folder / "result.json", "old");
  {
    AtomicFile file(folder / "result.json");
    file.write("half");
    EXPECT_EQ(read_file(folder / "result.json"), "old");
    EXPECT_EQ(files_in(folder), 2);
  }
  EXPECT_EQ(read_file(folder / "result.json"), "old");
  EXPECT_EQ(files_in(folder), 1);
  const std::string large(1'000'000, 'x');
  write_file(folder / "result.json", large);
  EXPECT_EQ(read_file(folder / "result.json"), large);
  EXPECT_EQ(files_in(folder), 1);
}

TEST(AtomicFileTest, MissingFolderIsNamed) {
  EXPECT_EQ(error_of([] { AtomicFile("/nonexistent/result.json"); }),
            "/nonexistent/result.json: cannot be written after 0 bytes (No such file or directory); check "
            "the folder and "
            "its permissions");
}

TEST(AtomicFileTest, FullDiskNamesFileAndRemedy) {
  EXPECT_EQ(error_of([] { fail_write("run/a.h5", 4096, ENOSPC); }),
            "run/a.h5: cannot be written after 4096 bytes (No space left on device); free some space or name "
            "another folder, "
            "then run the same command again");
}

// A file size limit stands in for a full disk: the write fails half-way, the old file stays, nothing is left
// behind.
TEST(AtomicFileTest, FailedWriteKeepsTheOldFile) {
  const TemporaryFolder folder;
  write_file(folder / "weights", "old");
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::string error = error_of([&] { write_file(folder / "weights", std::string(1'000'000, 'x')); });
    _exit(error.find("free some space") != std::string::npos ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read_file(folder / "weights"), "old");
  EXPECT_EQ(files_in(folder), 1);
}

TEST(InputFileTest, ReadsStayInsideTheFile) {
  const TemporaryFolder folder;
  write_file(folder / "a", "12345");
  const InputFile file(folder / "a");
  EXPECT_EQ(file.read_at(1, 3, "x"), "234");
  EXPECT_THROW(file.read_at(3, 3, "x"), Error);
  EXPECT_THROW(file.read_at(UINT64_MAX, 2, "x"), Error);
  EXPECT_THROW(read_file(folder / "a", 4), Error);
  EXPECT_THROW(InputFile(folder.path()), Error);
  EXPECT_THROW(InputFile(folder / "b"), Error);
}

}  // namespace
}  // namespace mt
