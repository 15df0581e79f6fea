#pragma once
// The slides of a run: where they are, what they are called, their labels and splits.

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensor/io/csv.h"
#include "train/settings/config.h"

namespace mt::train {

enum class Split : uint8_t { train, validation, test };
const char* name_of(Split split);

struct SlideRecord {
  std::string id;  // file name without ending, or as a table says; the key of everything in a run
  std::filesystem::path path;
  std::string label_name;  // as the table has it; empty: it has none
  int label = -1;          // 1: positive, 0: negative; -1: not known yet
  std::string case_id;     // patient; equal to id where nothing better is known
  Split split = Split::train;
  std::filesystem::path annotation;  // ASAP XML or GeoJSON, or empty
  /// False where annotations are known to be incomplete: patches of the slide get no instance truth.
  bool annotation_is_complete = true;
  double mpp = 0;     // of level 0, in place of what the slide says; 0: as the slide says
  std::string place;  // where it is listed, for messages: "slides.csv, line 3", or the file
};

struct Dataset {
  std::string name;                                        // "camelyon16", or the table's file name
  bool has_slides = true;                                  // false: a list of bags of features
  bool split_is_given = false;                             // by the table of slides itself
  std::vector<SlideRecord> slides;                         // sorted by id
  std::array<std::string, 2> classes{"normal", "tumour"};  // what labels 0 and 1 are called
  std::vector<std::string> notes;                          // what was decided on the way, for the user
  std::vector<std::string> problems;  // what has to be mended, a line each (the preflight adds to these)
  /// The tables that said all this, and what each was for: "data", "labels", "splits".
  std::vector<std::pair<std::string, std::filesystem::path>> tables;
  bool split_is_drawn = false;  // no split was given
  /// Slides that cannot be used and were taken out, by id, and why (preflight and tiling add to these).
  std::map<std::string, std::string> left_out;

  /// Takes out slides for which problem_of(slide) is not empty, each with that line as its problem.
  template <typename ProblemOf>
  void leave_out(const ProblemOf& problem_of) {
    std::erase_if(slides, [&](SlideRecord& slide) {
      const std::string problem = problem_of(slide);
      if (problem.empty()) return false;
      problems.push_back(problem);
      left_out[slide.id] = problem;
      return true;
    });
  }
};

/// Loads what config.data names (for the phantom: what was written to `phantom_root`), joins --labels and
/// --splits by slide name. What is wrong with a slide or a row is listed in `problems`, all of it at once;
/// throws Error for a file or a table that cannot be used at all. Where no split is given, cases in
/// `drawn_before` keep theirs and the others are drawn.
Dataset load_dataset(const Config& config, const std::filesystem::path& phantom_root,
                     const std::map<std::string, Split>& drawn_before = {});

/// Why training cannot do with these slides: a split without both classes, a line each.
std::vector<std::string> class_problems(const Dataset& dataset);
/// Throws Error unless training, validation and test slides each have both classes.
void check_classes(const Dataset& dataset);

// The parts, one file each.

/// Camelyon16 in either of its layouts (training/{normal,tumor} + testing/, or images/ + annotations/ +
/// evaluation/), whatever the case of names; masks beside the slides are left out. Throws Error saying where
/// it looked and which layouts it knows when it finds no slides.
Dataset load_camelyon16(const std::filesystem::path& root);
/// slide_id,label[,path,case_id,split,annotation,mpp]; relative paths start at --root, or at the CSV's
/// folder. A slide without a path is looked for there by its id, and one folder below (not where the run has
/// `with_features`, which reads no slides). Or DSMIL's list of bags (columns `0,label`, a feature file and
/// its label a line), which has features only. Without `with_splits` a column split is not looked at.
Dataset load_slide_csv(const std::filesystem::path& csv, const std::filesystem::path& root,
                       bool with_features, bool with_splits = true);

/// Replaces labels and case ids by those of a CLAM label CSV (case_id,slide_id,label), or labels by those of
/// DSMIL's list of bags (0,label).
void join_labels(Dataset& dataset, const std::filesystem::path& csv);
/// Sets labels 0 and 1 and the classes' names from the label names of all slides: `positive` is the name of
/// class 1; where it is empty, both must be among the known words (see known_label()). Throws Error for more
/// or other classes, and says what to do.
void resolve_labels(Dataset& dataset, const std::string& positive);
/// The class of a label that needs no explanation, whatever its case: 0, 1, 0.0, 1.0, normal, tumor, tumour,
/// negative, positive, false, true, CLAM's normal_tissue and tumor_tissue, benign, malignant, cancer.
std::optional<int> known_label(const std::string& text);

/// Sets splits from a CSV: columns train,val,test that list slide names (CLAM's splits_i.csv; further columns
/// are ignored) or say True in the row of a slide (splits_i_bool.csv), or columns slide_id,split. Slides that
/// it does not name are left out with a note.
void join_splits(Dataset& dataset, const std::filesystem::path& csv);
/// The split of a word as people write it; nothing where it is none.
std::optional<Split> parse_split(const std::string& text);
/// Gives slides with TCGA's names (TCGA-xx-xxxx-…) their patient as case, where no case is known; notes it.
void take_cases_from_barcodes(Dataset& dataset);
/// Notes every case whose slides are in more than one split.
void note_divided_cases(Dataset& dataset);
/// Where no split is known: of the slides that are not test, a fifth of the cases of each class becomes
/// validation; where there is no test slide either, a quarter of all cases becomes test first. Keyed by seed
/// and case, not by order. Cases in `drawn_before` keep their split; the others are drawn among themselves.
void split_by_case(Dataset& dataset, uint64_t seed, bool test_is_known,
                   const std::map<std::string, Split>& drawn_before = {});

/// Why a slide cannot be called so, in one line; empty: it can. An id becomes part of file names: UTF-8 of at
/// most 200 bytes, without '/' and control characters, no dot at its beginning.
std::string slide_id_problem(const std::string& id);

/// DSMIL's list of bags has no slide_id, but a column called 0 with the path of each bag's feature file.
bool is_dsmil_list(const CsvTable& table);

}  // namespace mt::train
