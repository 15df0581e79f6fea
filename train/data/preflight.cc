#include "train/data/preflight.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "tensor/check.h"
#include "tensor/parallel.h"
#include "train/cli/interrupt.h"
#include "train/cli/progress.h"
#include "train/data/bags.h"
#include "train/data/tiles.h"

namespace mt::train {
namespace {

struct SlideFacts {
  std::string problem;  // empty: the slide can be used
  std::string dialect;
  double mpp = 0;
  double area_um2 = 0;
};

SlideFacts examine(const SlideRecord& record, const Config& config) {
  SlideFacts facts;
  try {
    if (!config.features.empty()) {
      feature_file(config.features, record.id);
      return facts;
    }
    const auto slide = open_slide(record, config);
    const PatchScale scale = parse_patch_scale(config.mpp);
    facts.dialect = slide->dialect();
    check(scale.level < slide->level_count(), "{}: has {} levels, so no level {} (--mpp {})",
          record.path.string(), slide->level_count(), scale.level, config.mpp);
    check(scale.level >= 0 || slide->mpp().has_value(),
          "{}: does not say its micrometres per pixel; give --mpp-override, or read a level as it is with "
          "--mpp native:LEVEL",
          record.path.string());
    facts.mpp = slide->mpp().value_or(0);
    const auto& level0 = slide->levels().front();
    facts.area_um2 =
        static_cast<double>(level0.width) * static_cast<double>(level0.height) * facts.mpp * facts.mpp;
    if (!record.annotation.empty()) read_outlines(record, config);
  } catch (const Error& error) {
    facts.problem = error.what();
  }
  return facts;
}

}  // namespace

int64_t preflight(Dataset& dataset, const Config& config) {
  std::vector<SlideFacts> facts(dataset.slides.size());
  {
    Progress progress("preflight", static_cast<int64_t>(facts.size()), "slides");
    std::mutex mutex;
    parallel_for(static_cast<int64_t>(facts.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        facts[static_cast<std::size_t>(i)] = examine(dataset.slides[static_cast<std::size_t>(i)], config);
        const std::lock_guard lock(mutex);
        progress.advance();
      }
    });
  }
  check_interrupted();

  std::map<std::string, int64_t> dialects;
  std::set<std::string> bad;
  double area = 0;
  double finest = 1e9;
  double coarsest = 0;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    if (!facts[i].problem.empty()) {
      dataset.problems.push_back(facts[i].problem);
      bad.insert(dataset.slides[i].id);
      dataset.left_out[dataset.slides[i].id] = facts[i].problem;
      continue;
    }
    if (!config.features.empty()) continue;
    ++dialects[facts[i].dialect];
    area += facts[i].area_um2;
    finest = std::min(finest, facts[i].mpp);
    coarsest = std::max(coarsest, facts[i].mpp);
  }
  for (const std::string& note : dataset.notes) std::printf("note: %s\n", note.c_str());
  for (const std::string& problem : dataset.problems) std::printf("problem: %s\n", problem.c_str());
  const auto problem_count = static_cast<int64_t>(dataset.problems.size());
  check(problem_count == 0 || config.skip_bad_slides,
        "preflight: {} problem{} (listed above); mend {}, or leave the slides out with --skip-bad-slides",
        problem_count, problem_count == 1 ? "" : "s", problem_count == 1 ? "it" : "them");
  std::erase_if(dataset.slides, [&](const SlideRecord& slide) { return bad.contains(slide.id); });
  check_classes(dataset);

  std::map<Split, std::array<int64_t, 2>> counts;
  for (const auto& slide : dataset.slides) ++counts[slide.split][static_cast<std::size_t>(slide.label)];
  std::string dialect_text;
  for (const auto& [dialect, count] : dialects)
    dialect_text += fmt::format("{}{} {}", dialect_text.empty() ? "" : ", ", count, dialect);
  if (config.features.empty()) {
    std::printf("  %zu slides (%s), %.3f to %.3f um/px\n", dataset.slides.size(), dialect_text.c_str(),
                finest, coarsest);
  }
  for (const auto& [split, count] : counts) {
    std::printf("  %-11s %lld normal, %lld tumour\n", name_of(split), static_cast<long long>(count[0]),
                static_cast<long long>(count[1]));
  }
  const PatchScale scale = parse_patch_scale(config.mpp);
  if (scale.level < 0 && config.features.empty()) {
    // Tissue covers a third of a typical slide; the true number is known after tiling.
    const double side_um = static_cast<double>(config.patch - config.overlap) * scale.mpp;
    const double patches = area / (side_um * side_um) / 3;
    const double bytes = patches * static_cast<double>(config.width) * 8 * 4;
    std::printf(
        "  about %.0f patches of %lld px at %s um/px if a third is tissue; features of one round: about %.1f "
        "GB\n",
        patches, static_cast<long long>(config.patch), config.mpp.c_str(), bytes / 1e9);
  }
  std::fflush(stdout);
  return problem_count;
}

}  // namespace mt::train
