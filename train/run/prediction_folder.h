#pragma once
// The folder that predict writes: results by slide, predictions.json and predictions.csv.
//
// What it wrote it knows by name and SHA-256: predictions.json has them, and until it is written the journal,
// in which every slide's are on disk before its files are. So it can be killed at any moment, and a file of
// these names that it did not write, or that somebody changed since, is the user's: it is never replaced
// without `overwrite`.

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/run/predictions.h"

namespace mt::train {

class PredictionFolder {
 public:
  /// Opens or creates the folder and takes it for this process. Throws Error when it cannot be written, when
  /// another process works in it, when predictions.json or predictions.csv is not predict's, and when it
  /// holds predictions of another model: with `overwrite` those are removed, as far as they are unchanged.
  PredictionFolder(std::filesystem::path folder, const PredictionModel& model, bool overwrite);
  ~PredictionFolder();
  PredictionFolder(const PredictionFolder&) = delete;
  PredictionFolder& operator=(const PredictionFolder&) = delete;

  /// The result of a slide that is there, whatever it was made from; null where there is none.
  const SlidePrediction* find(const std::string& slide_id) const;
  /// Whether all of its files are there, as they were written.
  bool is_whole(const SlidePrediction& slide) const;
  /// Of these names those that lie in the folder and are not predict's. Nothing with `overwrite`.
  std::vector<std::string> foreign(const std::vector<std::string>& names) const;

  /// Writes the files of a slide, (name, content) each, and keeps its result. Throws Error when the disk is
  /// full, when nothing is replaced, and for a file that is not predict's.
  void keep(SlidePrediction slide, const std::vector<std::pair<std::string, std::string>>& contents);
  /// Keeps why a slide has no result. An older result of it goes, with its files.
  void fail(const FailedSlide& slide);
  /// Writes predictions.csv and predictions.json, where there is anything to be said. Call it last and
  /// once, also after an interruption.
  void finish();

  const std::filesystem::path& path() const { return folder_; }
  bool overwrites() const { return overwrite_; }
  static constexpr const char* kJson = "predictions.json";
  static constexpr const char* kCsv = "predictions.csv";

 private:
  void open_journal();
  void close_journal();
  void read_json();
  void read_journal(const std::string& text);
  void begin_anew(const PredictionModel& model);
  void append(const std::string& line);
  void know(const std::map<std::string, std::string>& files);
  void replace(const std::string& name, const std::string& content);
  bool is_own(const std::string& name) const;
  void remove_own(const SlidePrediction& slide) const;
  void check_own(const std::vector<std::string>& names) const;
  std::string file(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
  bool overwrite_;
  int journal_ = -1;
  bool has_model_ = false;  // something was found that a model of before predicted
  Predictions predictions_;
  std::map<std::string, std::set<std::string>> known_;  // every SHA-256 that a file may have, by name
};

}  // namespace mt::train
