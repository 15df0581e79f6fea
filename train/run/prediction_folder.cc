#include "train/run/prediction_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <tuple>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/input_file.h"
#include "tensor/io/seal.h"
#include "tensor/io/sha256.h"
#include "tensor/text.h"
#include "train/run/fingerprint.h"
#include "train/run/json_line.h"
#include "train/run/record_json.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kJournal = ".predict.jsonl";
constexpr const char* kRemedy =
    "take another --out or move it away (--overwrite replaces it, and what predict did not write beside it)";

void make_folder(const fs::path& folder) {
  std::error_code error;
  std::error_code made;
  fs::create_directories(folder, made);
  const bool is_there = fs::exists(folder, error);
  check(fs::is_directory(folder), "{}: {}; take another --out", folder.string(),
        is_there ? "is no folder" : "cannot make this folder (" + made.message() + ")");
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() != fs::file_type::not_found;
}

bool is_of(const PredictionModel& a, const PredictionModel& b) {
  // As JSON has it: a threshold may be infinite, which it has not.
  return a.weights_sha256 == b.weights_sha256 && a.variant == b.variant && a.classes == b.classes &&
         json_number(a.threshold) == json_number(b.threshold);
}

/// What AtomicFile left behind when a process was killed: `.NAME.tmp-PROCESS-NUMBER`, of names that predict
/// writes. Nobody else is at work here.
void remove_half_files(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const std::size_t mark = name.rfind(".tmp-");
    if (!name.starts_with('.') || mark == std::string::npos ||
        name.find_first_not_of("0123456789-", mark + 5) != std::string::npos)
      continue;
    const std::string whole = name.substr(1, mark - 1);
    const bool is_ours = std::any_of(std::begin(kResultEndings), std::end(kResultEndings),
                                     [&](const char* ending) { return whole.ends_with(ending); }) ||
                         whole == PredictionFolder::kJson || whole == PredictionFolder::kCsv;
    if (is_ours) fs::remove(entry.path(), error);
  }
}

}  // namespace

PredictionFolder::PredictionFolder(fs::path folder, const PredictionModel& model, bool overwrite)
    : folder_(std::move(folder)), overwrite_(overwrite) {
  make_folder(folder_);
  open_journal();
  try {
    remove_half_files(folder_);
    read_json();
    read_journal(read_file(file(kJournal)));
    if (has_model_ && !is_of(predictions_.model, model)) begin_anew(model);
    check_own({kJson, kCsv});
    predictions_.model = model;
  } catch (...) {
    close_journal();
    throw;
  }
}

PredictionFolder::~PredictionFolder() {
  close_journal();
}

void PredictionFolder::close_journal() {
  if (journal_ < 0) return;
  if (::lseek(journal_, 0, SEEK_END) == 0) ::unlink(file(kJournal).c_str());
  ::close(journal_);
  journal_ = -1;
}

/// Opens it and takes its lock. It is removed when the work ends, perhaps just after it was opened here.
void PredictionFolder::open_journal() {
  const std::string path = file(kJournal);
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    journal_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
    check(journal_ >= 0, "{}: nothing can be written here ({}); take another --out", folder_.string(),
          std::strerror(errno));
    if (::flock(journal_, LOCK_EX | LOCK_NB) != 0) {
      const int code = errno;
      if (code == EWOULDBLOCK) {
        ::close(journal_);
        journal_ = -1;
        mt::fail("{}: another predict is at work in this folder; wait for it, or take another --out",
                 folder_.string());
      }
      std::printf(
          "note: %s: this file system has no locks (%s); see to it that one process at a time works here\n",
          printable(folder_.string()).c_str(), std::strerror(code));
      return;
    }
    struct stat opened {};
    struct stat named {};
    if (::fstat(journal_, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
        opened.st_ino == named.st_ino && opened.st_dev == named.st_dev)
      return;
    ::close(journal_);
    journal_ = -1;
  }
  mt::fail("{}: other processes come and go in this folder; take another --out", folder_.string());
}

void PredictionFolder::read_json() {
  const std::string path = file(kJson);
  if (!is_there(path)) return;
  const std::string text = read_file(path);
  if (text.find(kSealMark) != std::string::npos) know({{kJson, "changed"}});  // unless the seal is right
  try {
    check_seal(text, path, kRemedy);
    predictions_ = predictions_from(text);
    has_model_ = true;
    know({{kJson, sha256(text)}});
  } catch (const std::exception&) {  // then it is the user's file
    return;
  }
  know(predictions_.files);
  for (const auto& [id, slide] : predictions_.slides) know(slide.files);
}

/// Lines that a killed process left: its model, then slides and files. Its last line may be a half.
void PredictionFolder::read_journal(const std::string& text) {
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    try {
      const auto json = nlohmann::json::parse(line);
      if (json.contains("slide_id")) {
        SlidePrediction slide = prediction_from(line);
        know(slide.files);
        predictions_.failed.erase(slide.slide_id);
        predictions_.slides[slide.slide_id] = std::move(slide);
      } else if (json.contains("file")) {
        know({{json.at("file").get<std::string>(), json.at("sha256").get<std::string>()}});
      } else {
        PredictionModel& model = predictions_.model;
        json.at("weights_sha256").get_to(model.weights_sha256);
        json.at("variant").get_to(model.variant);
        json.at("negative").get_to(model.classes[0]);
        json.at("positive").get_to(model.classes[1]);
        const auto& threshold = json.at("threshold");
        model.threshold = threshold.is_null() ? std::nan("") : threshold.get<double>();
        json.at("run").get_to(model.run);
        has_model_ = true;
      }
    } catch (const std::exception&) {  // files of a line that is damaged count as the user's
    }
  }
  if (begin < text.size()) append("");  // ends the half line
}

/// What another model predicted is not mixed with what this one does.
void PredictionFolder::begin_anew(const PredictionModel& model) {
  const PredictionModel& before = predictions_.model;
  check(overwrite_ || predictions_.slides.empty(),
        "{}: holds predictions of another model ({}, variant {}, {}…; now {}, variant {}, {}…); take another "
        "--out, or --overwrite removes them",
        folder_.string(), printable(before.run), before.variant, before.weights_sha256.substr(0, 12),
        printable(model.run), model.variant, model.weights_sha256.substr(0, 12));
  for (const auto& [id, slide] : predictions_.slides) remove_own(slide);
  for (const char* name : {kJson, kCsv}) {
    if (is_there(file(name)) && is_own(name)) fs::remove(file(name));
  }
  check(::ftruncate(journal_, 0) == 0, "{}: cannot be written ({})", file(kJournal), std::strerror(errno));
  predictions_ = {};
  has_model_ = false;
}

void PredictionFolder::append(const std::string& line) {
  const off_t before = ::lseek(journal_, 0, SEEK_END);
  std::string bytes = line + "\n";
  if (before == 0) {
    const PredictionModel& model = predictions_.model;
    bytes = JsonObject()
                .add("weights_sha256", model.weights_sha256)
                .add("variant", model.variant)
                .add("negative", model.classes[0])
                .add("positive", model.classes[1])
                .add("threshold", model.threshold)
                .add("run", model.run)
                .str() +
            "\n" + bytes;
  }
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = ::write(journal_, bytes.data() + done, bytes.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int code = errno;
      std::ignore = ::ftruncate(journal_, before);
      fail_write(file(kJournal), done, code);
    }
    done += static_cast<std::size_t>(put);
  }
  if (::fdatasync(journal_) != 0 && errno != EINVAL) fail_write(file(kJournal), done, errno);
}

void PredictionFolder::know(const std::map<std::string, std::string>& files) {
  for (const auto& [name, digits] : files) known_[name].insert(digits);
}

bool PredictionFolder::is_own(const std::string& name) const {
  const auto known = known_.find(name);
  std::error_code error;
  if (known == known_.end() || fs::symlink_status(file(name), error).type() != fs::file_type::regular)
    return false;
  return known->second.contains(sha256_of_file(file(name)));
}

void PredictionFolder::remove_own(const SlidePrediction& slide) const {
  for (const auto& [name, digits] : slide.files) {
    std::error_code error;
    if (is_there(file(name)) && is_own(name)) fs::remove(file(name), error);
  }
}

std::vector<std::string> PredictionFolder::foreign(const std::vector<std::string>& names) const {
  std::vector<std::string> found;
  if (overwrite_) return found;
  for (const std::string& name : names) {
    if (is_there(file(name)) && !is_own(name)) found.push_back(name);
  }
  return found;
}

void PredictionFolder::check_own(const std::vector<std::string>& names) const {
  const std::vector<std::string> found = foreign(names);
  if (found.empty()) return;
  mt::fail(
      "{}: {}; {}", file(found[0]),
      known_.contains(found[0]) ? "was changed since predict wrote it" : "predict did not write this file",
      kRemedy);
}

const SlidePrediction* PredictionFolder::find(const std::string& slide_id) const {
  const auto found = predictions_.slides.find(slide_id);
  return found == predictions_.slides.end() ? nullptr : &found->second;
}

bool PredictionFolder::is_whole(const SlidePrediction& slide) const {
  return std::all_of(slide.files.begin(), slide.files.end(), [&](const auto& entry) {
    std::error_code error;
    return fs::is_regular_file(file(entry.first), error) && sha256_of_file(file(entry.first)) == entry.second;
  });
}

void PredictionFolder::keep(SlidePrediction slide,
                            const std::vector<std::pair<std::string, std::string>>& contents) {
  std::vector<std::unique_ptr<AtomicFile>> staged;
  std::vector<std::string> names;
  slide.files.clear();
  for (const auto& [name, content] : contents) {
    staged.push_back(std::make_unique<AtomicFile>(file(name)));
    staged.back()->write(content);
    staged.back()->flush();
    slide.files[name] = sha256(content);
    names.push_back(name);
  }
  check_own(names);
  append(to_json(slide));
  know(slide.files);
  for (const auto& one : staged) one->commit();
  if (const SlidePrediction* before = find(slide.slide_id)) {
    SlidePrediction gone = *before;
    for (const std::string& name : names) gone.files.erase(name);
    remove_own(gone);
  }
  predictions_.failed.erase(slide.slide_id);
  predictions_.slides[slide.slide_id] = std::move(slide);
}

void PredictionFolder::fail(const FailedSlide& slide) {
  if (const SlidePrediction* before = find(slide.slide_id)) remove_own(*before);
  predictions_.slides.erase(slide.slide_id);
  predictions_.failed[slide.slide_id] = slide;
}

/// Writes a file of all slides, where it is not there already.
void PredictionFolder::replace(const std::string& name, const std::string& content) {
  const std::string digits = sha256(content);
  const bool is_there_already = is_own(name) && sha256_of_file(file(name)) == digits;
  know({{name, digits}});
  if (!is_there_already) write_file(file(name), content);
}

void PredictionFolder::finish() {
  if (!predictions_.slides.empty() || !predictions_.failed.empty() || is_there(file(kJson))) {
    check_own({kJson, kCsv});
    const std::string csv = to_csv(predictions_);
    predictions_.files = {{kCsv, sha256(csv)}};
    append(JsonObject().add("file", kCsv).add("sha256", predictions_.files[kCsv]).str());
    replace(kCsv, csv);
    replace(kJson, to_json(predictions_));
  }
  ::unlink(file(kJournal).c_str());
  ::close(journal_);
  journal_ = -1;
}

}  // namespace mt::train
