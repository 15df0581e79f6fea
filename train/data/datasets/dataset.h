#pragma once
// The slides of a run: where they are, what they are called, their labels and splits.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tensor/io/csv.h"
#include "train/settings/config.h"

namespace mt::train {

enum class Split : uint8_t { train, validation, test };
const char* name_of(Split split);

struct SlideRecord {
  std::string id;  // file name without ending; the key of everything in a run
  std::filesystem::path path;
  int label = -1;       // 1: tumour (positive), 0: normal; -1: not known yet
  std::string case_id;  // patient; equal to id where nothing better is known
  Split split = Split::train;
  std::filesystem::path annotation;  // ASAP XML or GeoJSON, or empty
  /// False where annotations are known to be incomplete: patches of the slide get no instance truth.
  bool annotation_is_complete = true;
};

struct Dataset {
  std::string name;
  std::vector<SlideRecord> slides;    // sorted by id
  std::vector<std::string> notes;     // what was decided on the way, for the user
  std::vector<std::string> problems;  // one line per slide that cannot be used (the preflight adds to these)
  /// The tables that said all this, and what each was for: "data", "labels", "splits".
  std::vector<std::pair<std::string, std::filesystem::path>> tables;
  bool split_is_drawn = false;  // no split was given
  /// Slides that cannot be used and were taken out, by id, and why (preflight and tiling add to these).
  std::map<std::string, std::string> left_out;
};

/// Loads what config.data names (for the phantom: what was written to `phantom_root`), joins --labels and
/// --splits by slide name, and checks that both classes are there. Throws Error; a slide without a label or a
/// label without a slide is listed in `problems`. Where no split is given, cases in `drawn_before` keep
/// theirs and the others are drawn.
Dataset load_dataset(const Config& config, const std::filesystem::path& phantom_root,
                     const std::map<std::string, Split>& drawn_before = {});

/// Throws Error unless training, validation and test slides each have both classes.
void check_classes(const Dataset& dataset);

// The parts, one file each.

/// Camelyon16 in either of its layouts (training/{normal,tumor} + testing/, or images/ + annotations/ +
/// evaluation/). Throws Error saying where it looked and which layouts it knows when it finds no slides.
Dataset load_camelyon16(const std::filesystem::path& root);
/// slide_id,path,label[,case_id,split,annotation]; relative paths start at --root, or at the CSV's folder.
/// Or DSMIL's list of bags (columns `0,label`, a feature file and its label a line), which has features only.
Dataset load_slide_csv(const std::filesystem::path& csv, const std::filesystem::path& root);
/// Replaces labels and case ids by those of a CLAM label CSV (case_id,slide_id,label), or labels by those of
/// DSMIL's list of bags (0,label).
void join_labels(Dataset& dataset, const std::filesystem::path& csv);
/// Sets splits from a CSV with columns train,val,test that list slide names (CLAM's splits_i.csv; further
/// columns are ignored); other slides are left out with a note.
void join_splits(Dataset& dataset, const std::filesystem::path& csv);
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

/// "0"/"1", "normal"/"tumor"/"tumour", "negative"/"positive", "false"/"true", any case, to 0 or 1; -1 when it
/// is none of these.
int parse_label(const std::string& text);

}  // namespace mt::train
