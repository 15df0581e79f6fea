#pragma once
// What every end-to-end test uses: the programs, and one small set of phantom slides.

#include <filesystem>
#include <string>
#include <vector>

#include "tests/harness/run_program.h"
#include "tests/harness/temporary_folder.h"

namespace mt::end_to_end {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

ProgramResult train(const Arguments& arguments, const ProgramOptions& options = {});
ProgramResult predict(const Arguments& arguments, const ProgramOptions& options = {});
ProgramResult slide(const Arguments& arguments, const ProgramOptions& options = {});

/// The folder of the phantom set, in the official layout: what `--data phantom --preset tiny` writes. Made at
/// the first call, removed at the end of the program.
const fs::path& phantom_set();

/// `--data camelyon16` on the shared set under --preset tiny, into `run`, with `more` behind.
Arguments tiny_run(const std::string& run, const Arguments& more = {});

struct CsvSlide {
  std::string id;
  fs::path path;
  std::string label;
  std::string split;
};

/// `per_class` slides of each class and split of the shared set.
std::vector<CsvSlide> csv_slides(int per_class);
/// Writes slides.csv into the folder; gives its path.
std::string write_csv(const TemporaryFolder& folder, const std::vector<CsvSlide>& slides);

/// The program must have left with `exit_code` and one line on stderr that begins with "error: " and holds
/// every one of `parts`.
void expect_error(const ProgramResult& result, int exit_code, const std::vector<std::string>& parts);

std::string text_of(const fs::path& path);

}  // namespace mt::end_to_end
