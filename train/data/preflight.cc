#include "train/data/preflight.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "tensor/check.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/cli/interrupt.h"
#include "train/cli/progress.h"
#include "train/data/datasets/slide_names.h"
#include "train/data/feature_folder.h"
#include "train/data/patches.h"
#include "train/data/same_files.h"
#include "train/data/tiles.h"
#include "train/feature_files/feature_files.h"

namespace mt::train {
namespace {

struct SlideFacts {
  std::string problem;  // empty: the slide can be used
  std::vector<std::string> notes;
  std::vector<std::string> slide_notes;  // what the slide's own file has odd (wsi::Slide::notes)
  std::filesystem::path file;            // the slide's, or that of its features
  std::string dialect;
  double mpp = 0;
  bool is_given_mpp = false;
  bool has_no_features = false;  // there is no file of them
  int64_t feature_width = 0;
  int64_t instances = 0;  // rows of a feature file
  SlideTiles tiles;       // where it had to be tiled
  double tiling_seconds = 0;
  double decoding_seconds = 0;  // of `decoded` patches
  int64_t decoded = 0;
};

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void examine_features(const SlideRecord& record, const FeatureFolder& folder, const Config& config,
                      SlideFacts& facts) {
  facts.has_no_features = !folder.has(record.id);
  facts.file = folder.file_of(record.id);
  const Tensor features = read_features(facts.file.string(), config.features_key).features;  // (N,D)
  check(features.dim(0) > 0, "{}: holds no instance", facts.file.string());
  facts.feature_width = features.dim(1);
  facts.instances = features.dim(0);
}

/// Throws where the slide has no patch, or its outlines touch none.
void tile(const SlideRecord& record, const wsi::Slide& slide, const Config& config, SlideFacts& facts) {
  const auto begin = std::chrono::steady_clock::now();
  facts.tiles = make_tiles(record, slide, config);
  facts.tiling_seconds = seconds_since(begin);
}

/// What an annotation has to say, and whether it can be that of the slide.
void examine_outlines(const SlideRecord& record, const wsi::Slide& slide, const Config& config, bool is_tiled,
                      SlideFacts& facts) {
  const wsi::Annotations outlines = read_outlines(record, config);
  const std::string file = record.annotation.string();
  check_outlines(record, outlines, slide);
  const auto& level0 = slide.levels().front();
  const int64_t outside = outlines.tumour_count_outside(level0.width, level0.height);
  if (outside > 0)
    facts.notes.push_back(fmt::format("{}: {} of {} outlines of tumour lie outside of the slide", file,
                                      outside, outlines.tumour_count()));
  if (!outlines.notes().empty())
    facts.notes.push_back(fmt::format("{}: {} left out: {}", file, counted(outlines.notes().size(), "object"),
                                      listed(outlines.notes(), 3)));
  if (record.label == 1 && record.annotation_is_complete && !is_tiled) tile(record, slide, config, facts);
}

/// Decodes patches from all over the slide, the last one among them: a download that broke off, a bad sector.
void sample_patches(const SlideRecord& record, const Config& config, SlideFacts& facts) {
  constexpr int64_t kPatches = 8;
  const TiledSlide slide{record, facts.tiles};
  PatchSource source(std::span(&slide, 1), config, 0);
  std::vector<uint8_t> pixels(static_cast<std::size_t>(config.patch * config.patch * 3));
  const int64_t count = std::min(kPatches, slide.tiles.count());
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t patch = count == 1 ? 0 : i * (slide.tiles.count() - 1) / (count - 1);
    source.read({0, static_cast<int32_t>(patch)}, pixels.data());
  }
  facts.decoding_seconds = seconds_since(begin);
  facts.decoded = count;
}

void examine_slide(const SlideRecord& record, const Config& config, bool is_tiled, SlideFacts& facts) {
  facts.file = record.path;
  const auto slide = open_slide(record, config);
  facts.slide_notes = slide->notes();
  facts.dialect = slide->dialect();
  check_scale(record, *slide, config);
  facts.mpp = slide->mpp().value_or(0);
  facts.is_given_mpp = is_given_mpp(record, config);
  if (!record.annotation.empty()) examine_outlines(record, *slide, config, is_tiled, facts);
  if (!config.dry_run) return;
  if (facts.tiles.count() == 0) tile(record, *slide, config, facts);
  sample_patches(record, config, facts);
}

std::vector<SlideFacts> examine(const Dataset& dataset, const Config& config,
                                const std::function<bool(const SlideRecord&)>& is_tiled) {
  std::vector<SlideFacts> facts(dataset.slides.size());
  std::optional<FeatureFolder> folder;
  if (!config.features.empty()) folder.emplace(config.features);
  Progress progress("preflight", static_cast<int64_t>(facts.size()), "slides");
  std::mutex mutex;
  parallel_for(static_cast<int64_t>(facts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      check_interrupted();
      const SlideRecord& record = dataset.slides[static_cast<std::size_t>(i)];
      SlideFacts& fact = facts[static_cast<std::size_t>(i)];
      try {
        if (folder) {
          examine_features(record, *folder, config, fact);
        } else {
          examine_slide(record, config, is_tiled && is_tiled(record), fact);
        }
      } catch (const Interrupted&) {
        throw;
      } catch (const Error& error) {
        fact.problem = error.what();
      }
      const std::lock_guard lock(mutex);
      progress.advance();
    }
  });
  return facts;
}

/// Features of a width that few files have cannot go into one model with the others.
void compare_widths(std::vector<SlideFacts>& facts) {
  std::map<int64_t, std::size_t> count_of;
  for (const SlideFacts& fact : facts) {
    if (fact.problem.empty()) ++count_of[fact.feature_width];
  }
  if (count_of.size() < 2) return;
  const auto [width, count] = *std::max_element(
      count_of.begin(), count_of.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  for (SlideFacts& fact : facts) {
    if (fact.problem.empty() && fact.feature_width != width) {
      fact.problem = fmt::format("{}: features of width {}, where {} have {}", fact.file.string(),
                                 fact.feature_width, counted(count, "file"), width);
    }
  }
}

/// Notes files that stand under two ids; with two labels they are problems.
void compare_files(Dataset& dataset, std::vector<SlideFacts>& facts) {
  std::vector<std::filesystem::path> files;
  for (const SlideFacts& fact : facts) files.push_back(fact.file);
  for (const std::vector<std::size_t>& group : same_files(files)) {
    std::vector<std::string> ids;
    std::set<Split> splits;
    std::set<int> labels;
    for (const std::size_t i : group) {
      ids.push_back(dataset.slides[i].id);
      splits.insert(dataset.slides[i].split);
      labels.insert(dataset.slides[i].label);
    }
    const std::string same = fmt::format("{}: slides {} are one file", files[group[0]].string(), listed(ids));
    if (labels.size() > 1) {
      for (const std::size_t i : group) {
        if (facts[i].problem.empty())
          facts[i].problem = fmt::format("{}, and its labels differ (slide {})", same, ids[0]);
      }
    } else if (splits.size() > 1) {
      std::string list;
      for (const Split split : splits) list += (list.empty() ? "" : " and ") + std::string(name_of(split));
      dataset.notes.push_back(
          fmt::format("{}, in {}: figures on unseen slides will look too good", same, list));
    } else {
      dataset.notes.push_back(same);
    }
  }
}

void note_mpp(Dataset& dataset, const std::vector<SlideFacts>& facts, const Config& config) {
  std::vector<std::string> given;
  std::size_t by_table = 0;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    if (facts[i].is_given_mpp) given.push_back(dataset.slides[i].id);
    by_table += dataset.slides[i].mpp > 0 ? 1 : 0;
  }
  if (config.mpp_override > 0 && config.features.empty())
    dataset.notes.push_back(fmt::format("{} of {} slides say no um/px and are given {} (--mpp-override){}{}",
                                        given.size(), facts.size(), config.mpp_override,
                                        given.empty() ? "" : ": ", listed(given)));
  if (by_table > 0 && config.features.empty())
    dataset.notes.push_back(
        fmt::format("{} of {} slides have the um/px of the table", by_table, facts.size()));
}

/// One line for all slides of which the same is to be said.
void note_slides(Dataset& dataset, const std::vector<SlideFacts>& facts) {
  std::map<std::string, std::vector<std::string>> slides_of;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    for (const std::string& note : facts[i].slide_notes) slides_of[note].push_back(dataset.slides[i].id);
  }
  for (const auto& [note, slides] : slides_of)
    dataset.notes.push_back(fmt::format("{}: {}: {}", counted(slides.size(), "slide"), listed(slides), note));
}

/// Prints notes and problems, takes the slides out, and throws where the run cannot go on.
void settle(Dataset& dataset, const Config& config, const std::vector<SlideFacts>& facts) {
  // Files that cannot be read leave a split empty; to say that too helps nobody before they are skipped.
  std::vector<std::string> of_classes = class_problems(dataset);
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    if (facts[i].has_no_features) missing.push_back(dataset.slides[i].id);
  }
  constexpr std::size_t kOneByOne = 8;
  if (missing.size() > kOneByOne)
    dataset.problems.push_back(
        fmt::format("{}: no features of {} of {} slides (here and two folders below): {}", config.features,
                    missing.size(), facts.size(), listed(missing)));
  for (std::size_t i = 0; i < facts.size(); ++i) {
    dataset.notes.insert(dataset.notes.end(), facts[i].notes.begin(), facts[i].notes.end());
    if (facts[i].problem.empty()) continue;
    const bool is_said = !dataset.problems.empty() && dataset.problems.back() == facts[i].problem;
    const bool is_listed = facts[i].has_no_features && missing.size() > kOneByOne;
    if (!is_said && !is_listed) dataset.problems.push_back(facts[i].problem);
    dataset.left_out[dataset.slides[i].id] = facts[i].problem;
  }
  std::erase_if(dataset.slides,
                [&](const SlideRecord& slide) { return dataset.left_out.contains(slide.id); });
  if (config.skip_bad_slides) of_classes = class_problems(dataset);
  for (const std::string& note : dataset.notes) std::printf("note: %s\n", printable(note, 4000).c_str());
  for (const std::vector<std::string>& problems : {dataset.problems, of_classes}) {
    for (const std::string& problem : problems)
      std::printf("problem: %s\n", printable(problem, 4000).c_str());
  }
  std::fflush(stdout);
  const std::size_t count = dataset.problems.size() + of_classes.size();
  if (dataset.problems.empty() || config.skip_bad_slides)
    check(of_classes.empty(), "{}", of_classes.empty() ? "" : of_classes.front());
  check(count == 0 || config.skip_bad_slides,
        "preflight: {} problem{} (listed above); mend {}, or leave the slides out with --skip-bad-slides",
        count, count == 1 ? "" : "s", count == 1 ? "it" : "them");
}

void print_slides(const Dataset& dataset, const Config& config, const std::vector<SlideFacts>& facts) {
  std::map<std::string, int64_t> dialects;
  double finest = 1e9;
  double coarsest = 0;
  for (const SlideFacts& fact : facts) {
    if (!fact.problem.empty()) continue;
    ++dialects[fact.dialect];
    finest = std::min(finest, fact.mpp);
    coarsest = std::max(coarsest, fact.mpp);
  }
  std::string dialect_text;
  for (const auto& [dialect, count] : dialects)
    dialect_text += fmt::format("{}{} {}", dialect_text.empty() ? "" : ", ", count, dialect);
  std::printf("  %zu slides (%s), %.3f to %.3f um/px\n", dataset.slides.size(), dialect_text.c_str(), finest,
              coarsest);
  // Their number is known once all are tiled.
  int64_t patches = 0;
  std::size_t tiled = 0;
  for (const SlideFacts& fact : facts) {
    if (!fact.problem.empty() || fact.tiles.count() == 0) continue;
    patches += fact.tiles.count();
    ++tiled;
  }
  if (tiled == dataset.slides.size())
    std::printf("  %lld patches of %lld px at %s um/px\n", static_cast<long long>(patches),
                static_cast<long long>(config.patch), config.mpp.c_str());
}

/// What later work need not find out again.
PreflightFacts facts_of(const std::vector<SlideRecord>& examined, const Dataset& dataset,
                        std::vector<SlideFacts>& facts) {
  PreflightFacts result;
  result.problems = static_cast<int64_t>(dataset.problems.size());
  int64_t tiled = 0;
  int64_t decoded = 0;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    SlideFacts& fact = facts[i];
    if (!fact.problem.empty()) continue;
    result.feature_width = fact.feature_width;
    if (fact.instances > 0) result.instances[examined[i].id] = fact.instances;
    decoded += fact.decoded;
    result.decoding_seconds += fact.decoding_seconds;
    if (fact.tiles.count() == 0) continue;
    ++tiled;
    result.tiling_seconds += fact.tiling_seconds;
    result.tiles[examined[i].id] = std::move(fact.tiles);
  }
  result.tiling_seconds /= static_cast<double>(std::max<int64_t>(tiled, 1));
  result.decoding_seconds /= static_cast<double>(std::max<int64_t>(decoded, 1));
  return result;
}

}  // namespace

PreflightFacts preflight(Dataset& dataset, const Config& config,
                         const std::function<bool(const SlideRecord&)>& is_tiled) {
  std::vector<SlideFacts> facts = examine(dataset, config, is_tiled);
  const std::vector<SlideRecord> examined = dataset.slides;
  if (!config.features.empty()) compare_widths(facts);
  compare_files(dataset, facts);
  note_mpp(dataset, facts, config);
  note_slides(dataset, facts);
  settle(dataset, config, facts);
  if (config.features.empty()) {
    print_slides(dataset, config, facts);
  } else {
    std::printf("  %zu slides, features of width %lld\n", dataset.slides.size(),
                static_cast<long long>(std::find_if(facts.begin(), facts.end(), [](const auto& fact) {
                                         return fact.problem.empty();
                                       })->feature_width));
  }
  std::map<Split, std::array<int64_t, 2>> counts;
  for (const auto& slide : dataset.slides) ++counts[slide.split][static_cast<std::size_t>(slide.label)];
  for (const auto& [split, count] : counts) {
    std::printf("  %-11s %lld %s, %lld %s\n", name_of(split), static_cast<long long>(count[0]),
                dataset.classes[0].c_str(), static_cast<long long>(count[1]), dataset.classes[1].c_str());
  }
  std::fflush(stdout);
  return facts_of(examined, dataset, facts);
}

}  // namespace mt::train
