#pragma once
// What predict is given: slides, folders of slides and tables of them; or the same of features.

#include <filesystem>
#include <string>
#include <vector>

#include "train/data/datasets/dataset.h"

namespace mt::train {

/// What the command line names.
struct GivenInputs {
  std::vector<std::string> inputs;    // files, folders and tables, as they are given
  std::vector<std::string> features;  // --features: files and folders; with a table, one folder
  std::string root;                   // folder of slides that a table names without a path
  std::filesystem::path out;          // is no input, wherever it lies
  /// How errors call a run that was trained on features: "runs/uni was trained on features of width 1024";
  /// empty: the run has an encoder, and is given slides.
  std::string features_run;
};

struct GivenSlide {
  SlideRecord record;   // `path`: of the slide, or of its features
  std::string problem;  // why it cannot be used; empty: nothing is known against it yet
};

struct GivenSlides {
  std::vector<GivenSlide> slides;  // in the order in which they are given, folders by path; each once
  std::vector<std::string> notes;
};

/// Lists them. A folder is searched as train searches --root (slides: here and one folder below) or
/// --features (two below); a table is read as --data is, but for its labels and splits. A row that cannot be
/// used is a GivenSlide with a problem. A file is called as it is without its ending. Throws UsageError,
/// listing them, where two slides have one name, and for features given to a run with an encoder and slides
/// given to one without; Error for a folder or table that cannot be used at all.
GivenSlides given_slides(const GivenInputs& given);

}  // namespace mt::train
