#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

#include "tensor/check.h"
#include "tensor/parallel.h"
#include "train/cli/interrupt.h"
#include "train/cli/progress.h"
#include "train/method/stages/stages.h"

namespace mt::train {

Shard parse_shard(const std::string& text) {
  Shard shard;
  if (text.empty()) return shard;
  char* end = nullptr;
  shard.index = std::strtol(text.c_str(), &end, 10) - 1;
  if (*end == '/') shard.count = std::strtol(end + 1, &end, 10);
  if (*end != '\0' || shard.count < 1 || shard.index < 0 || shard.index >= shard.count) {
    throw UsageError(fmt::format("--shard {}: i/n with i from 1 to n is expected", text));
  }
  return shard;
}

std::vector<TiledSlide> tile_slides(Dataset& dataset, const Config& config, const Manifest& inputs,
                                    RunFolder& folder, const Shard& shard,
                                    std::map<std::string, SlideTiles> made) {
  const std::size_t slides = dataset.slides.size();
  std::vector<SlideTiles> tiles(slides);
  std::vector<std::string> problems(slides);
  std::mutex mutex;
  Progress progress("tile", static_cast<int64_t>(slides), "slides");
  parallel_for(static_cast<int64_t>(slides), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      check_interrupted();
      const auto index = static_cast<std::size_t>(i);
      const SlideRecord& record = dataset.slides[index];
      const auto file = folder.to_write(folder.files().tiles(record.id));
      const SlideInputs* known = inputs.find(record.id);
      const std::string made_from = known == nullptr ? std::string() : tiles_key(*known, config);
      if (std::filesystem::exists(file)) tiles[index] = read_tiles(file);
      if (tiles[index].made_from != made_from) tiles[index] = {};
      if (tiles[index].count() == 0 && shard.has(index)) {
        try {
          const auto known_tiles = made.find(record.id);
          tiles[index] = known_tiles != made.end() ? std::move(known_tiles->second)
                                                   : make_tiles(record, *open_slide(record, config), config);
          tiles[index].made_from = made_from;
        } catch (const Error& error) {
          problems[index] = error.what();
        }
        if (problems[index].empty()) write_tiles(file, tiles[index]);  // a full disk is no bad slide
      }
      const std::lock_guard lock(mutex);
      progress.advance();
    }
  });
  progress.finish();
  std::vector<TiledSlide> kept;
  int64_t problem_count = 0;
  for (std::size_t i = 0; i < slides; ++i) {
    if (!problems[i].empty()) {
      std::printf("problem: %s\n", problems[i].c_str());
      dataset.problems.push_back(problems[i]);
      dataset.left_out[dataset.slides[i].id] = problems[i];
      ++problem_count;
      continue;
    }
    kept.push_back({dataset.slides[i], std::move(tiles[i])});
  }
  std::fflush(stdout);
  check(problem_count == 0 || config.skip_bad_slides,
        "tile: {} slide{} cannot be tiled (listed above); mend the cause, or leave them out with "
        "--skip-bad-slides",
        problem_count, problem_count == 1 ? "" : "s");
  dataset.slides.clear();
  for (const TiledSlide& slide : kept) dataset.slides.push_back(slide.record);
  return kept;
}

}  // namespace mt::train
