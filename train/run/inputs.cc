#include "train/run/inputs.h"

#include <fmt/ranges.h>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "tensor/check.h"
#include "tensor/io/input_file.h"
#include "tensor/text.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

/// Takes out the slides that the run went without when it learned; gives their number.
int64_t leave_out(const Manifest& before, Dataset& dataset, Manifest& now) {
  const auto is_left_out = [&](const std::string& id) {
    const SlideInputs* slide = before.find(id);
    return slide != nullptr && !slide->left_out.empty();
  };
  int64_t count = 0;
  for (const SlideInputs& slide : before.slides) {
    if (slide.left_out.empty()) continue;
    ++count;
    dataset.notes.push_back(fmt::format("slide {} was left out when this run began, and stays out ({})",
                                        slide.id, printable(slide.left_out)));
  }
  std::erase_if(dataset.slides, [&](const SlideRecord& slide) { return is_left_out(slide.id); });
  std::erase_if(now.slides, [&](const SlideInputs& slide) { return is_left_out(slide.id); });
  return count;
}

/// Takes out the slides with a damaged patch whose files are still the same, before anything was learned.
int64_t leave_damaged_out(const Manifest& before, Dataset& dataset, const Manifest& now) {
  int64_t count = 0;
  dataset.leave_out([&](const SlideRecord& record) -> std::string {
    const SlideInputs* old = before.find(record.id);
    const SlideInputs* is = now.find(record.id);
    if (old == nullptr || is == nullptr || !old->is_damaged) return {};
    if (!old->slide.has_content_of(is->slide) || old->slide.modified != is->slide.modified) return {};
    ++count;
    return old->left_out;
  });
  return count;
}

/// split.csv is for people; who edits it must not believe that the run follows.
void check_split_csv(const RunFolder& folder, const Manifest& before, const Manifest& now) {
  const fs::path file = folder.files().split();
  if (!fs::exists(file)) return;
  const std::string text = read_file(file.string());
  check(text == split_csv(before) || (!folder.has_trained() && text == split_csv(now)),
        "{}: is not what this run wrote; delete it, and the same train command writes it anew (another split "
        "goes by "
        "--splits, into another --run)",
        file.string());
}

/// Slides that the run learned from must be there still, whatever --skip-bad-slides says.
void check_nothing_missing(const RunFolder& folder, const std::vector<std::string>& missing) {
  check(missing.empty(),
        "{}: this run was made with slides that cannot be read now: {}; mend them, and the same command goes "
        "on, "
        "or take another --run",
        folder.files().folder().string(), fmt::join(missing, ", "));
}

/// Slides of the run of which a file cannot be read, or that were taken out when they were listed.
std::vector<std::string> unreadable(const Manifest& before, const Manifest& now) {
  std::vector<std::string> missing;
  for (const SlideInputs& slide : now.slides) {
    const SlideInputs* old = before.find(slide.id);
    if (old == nullptr || !old->left_out.empty()) continue;
    const auto is_lost = [](const Fingerprint& was, const Fingerprint& is) {
      return was.is_known() && !is.is_known();
    };
    if (is_lost(old->slide, slide.slide) || is_lost(old->annotation, slide.annotation) ||
        is_lost(old->features, slide.features))
      missing.push_back(slide.id);
  }
  return missing;
}

}  // namespace

std::map<std::string, Split> splits_drawn_in(const fs::path& run) {
  const fs::path file = RunFiles(run).manifest();
  return fs::exists(file) ? drawn_splits(read_manifest(file)) : std::map<std::string, Split>();
}

int64_t compare_inputs(RunFolder& folder, Dataset& dataset, Manifest& now) {
  if (!folder.manifest()) return 0;
  const Manifest& before = *folder.manifest();
  check_split_csv(folder, before, now);
  const ManifestChanges changes = changes_since(before, now);
  if (folder.has_trained()) {
    check(changes.empty(), "{}: {}; take another --run, or put back what this run was made from",
          folder.files().folder().string(), changes.str());
    check_nothing_missing(folder, unreadable(before, now));
    return leave_out(before, dataset, now);
  }
  if (!changes.empty()) {
    check(!folder.is_shard(), "{}: {}; begin it once without --shard, which takes that in",
          folder.files().folder().string(), changes.str());
    if (!changes.weights.empty()) folder.forget(folder.files().pretraining());  // it laid the old ones there
    std::printf("note: %s; nothing was learned from it yet, so the run goes on with what is there now\n",
                changes.str().c_str());
    std::fflush(stdout);
  }
  leave_damaged_out(before, dataset, now);
  return 0;
}

void quarantine(RunFolder& folder, const std::string& slide_id, const std::string& why) {
  check(folder.manifest().has_value(), "{}: has no manifest yet", folder.files().folder().string());
  Manifest manifest = *folder.manifest();
  for (SlideInputs& slide : manifest.slides) {
    if (slide.id != slide_id) continue;
    slide.left_out = why;
    slide.is_damaged = true;
  }
  // First what was begun with the slide, then the word that it is out: killed in between, the run meets it again.
  if (!folder.done(folder.files().pretraining())) folder.drop_checkpoint(folder.files().pretraining());
  folder.record_inputs(std::move(manifest));
}

void check_run_folder(const Config& config, Dataset& dataset) {
  const RunFiles files(config.run);
  fs::path there = files.folder();
  while (!there.empty() && !fs::exists(there)) there = there.parent_path();
  if (there.empty()) there = ".";
  check(fs::is_directory(there) && ::access(there.c_str(), W_OK | X_OK) == 0,
        "{}: nothing can be written here ({})", there.string(),
        fs::is_directory(there) ? std::strerror(errno) : "it is no folder");
  if (!fs::exists(files.config())) return;
  Config settings = config;
  if (config.switch_device)
    settings.device = read_run_config(files.folder()).device;  // which the real run changes
  RunFolder folder(config.run, settings);
  Manifest inputs = take_manifest(config, dataset);
  compare_inputs(folder, dataset, inputs);
}

void keep_inputs(RunFolder& folder, const Dataset& dataset, Manifest now) {
  std::set<std::string> used;
  for (const SlideRecord& slide : dataset.slides) used.insert(slide.id);
  std::vector<std::string> missing;
  for (SlideInputs& slide : now.slides) {
    if (used.contains(slide.id)) continue;
    const SlideInputs* before = folder.manifest() ? folder.manifest()->find(slide.id) : nullptr;
    if (before != nullptr && before->left_out.empty()) missing.push_back(slide.id);
    const auto why = dataset.left_out.find(slide.id);
    slide.left_out = why == dataset.left_out.end() ? "it could not be used" : why->second;
    const SlideInputs* known = folder.manifest() ? folder.manifest()->find(slide.id) : nullptr;
    slide.is_damaged = known != nullptr && known->is_damaged && known->left_out == slide.left_out;
  }
  if (folder.has_trained()) {
    check_nothing_missing(folder, missing);
    if (!fs::exists(folder.files().split())) folder.write_split();
    return;
  }
  folder.record_inputs(std::move(now));
}

}  // namespace mt::train
