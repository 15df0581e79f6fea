// How many regions a second: our reader and OpenSlide on the same places of the same slide, in alternation,
// one thread each.
//   slide_reads SLIDE [SECONDS of each measurement, default 2]
// Places come from a fixed random stream; both readers see the same ones. Each round opens the slide anew
// with an empty cache (ours: 32 MiB, OpenSlide's own default), so that neither profits from what it decoded
// before.

#include <openslide/openslide.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "tensor/check.h"
#include "tensor/rng.h"
#include "wsi/slide.h"
#include "wsi/tile_cache.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRounds = 5;
constexpr std::size_t kCacheBytes = std::size_t{32} << 20;

struct Workload {
  const char* name;
  int64_t side;
  bool aligned;
};

/// The i-th place of a workload in a level of this size.
std::pair<int64_t, int64_t> place(const Workload& work, const mt::wsi::Level& level, uint64_t i) {
  mt::RandomStream random(7, mt::Purpose::test, 0, i);
  auto x = static_cast<int64_t>(random.below(static_cast<uint64_t>(level.width - work.side + 1)));
  auto y = static_cast<int64_t>(random.below(static_cast<uint64_t>(level.height - work.side + 1)));
  return work.aligned ? std::pair{x / work.side * work.side, y / work.side * work.side} : std::pair{x, y};
}

double rate(double seconds, const std::function<void(uint64_t)>& read) {
  const auto start = Clock::now();
  double elapsed = 0;
  uint64_t reads = 0;
  while (elapsed < seconds) {
    for (int i = 0; i < 16; ++i) read(reads++);
    elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  }
  return static_cast<double>(reads) / elapsed;
}

double our_rate(const char* path, const Workload& work, double seconds) {
  mt::wsi::OpenOptions options;
  options.cache = std::make_shared<mt::wsi::TileCache>(kCacheBytes);
  const auto slide = mt::wsi::Slide::open(path, options);
  return rate(seconds, [&](uint64_t i) {
    const auto [x, y] = place(work, slide->levels()[0], i);
    slide->read_region(x, y, 0, work.side, work.side);
  });
}

double openslide_rate(const char* path, const Workload& work, const mt::wsi::Level& level, double seconds) {
  openslide_t* slide = openslide_open(path);
  mt::check(slide != nullptr && openslide_get_error(slide) == nullptr, "{}: OpenSlide cannot open it", path);
  std::vector<uint32_t> pixels(static_cast<std::size_t>(work.side * work.side));
  const double result = rate(seconds, [&](uint64_t i) {
    const auto [x, y] = place(work, level, i);
    openslide_read_region(slide, pixels.data(), x, y, 0, work.side, work.side);
  });
  mt::check(openslide_get_error(slide) == nullptr, "{}: OpenSlide failed to read it", path);
  openslide_close(slide);
  return result;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void compare(const char* path, double seconds) {
  const mt::wsi::Level level = mt::wsi::Slide::open(path)->levels()[0];
  const Workload workloads[] = {
      {"random 224", 224, false}, {"aligned 256", 256, true}, {"aligned 512", 512, true}};
  std::printf("%s\n%-12s %10s %12s %8s   (reads/s, median of %d; ratio's least and most)\n", path, "", "ours",
              "OpenSlide", "ratio", kRounds);
  for (const Workload& work : workloads) {
    if (work.side > std::min(level.width, level.height)) continue;
    std::vector<double> ours, theirs, ratios;
    for (int round = 0; round < kRounds; ++round) {
      ours.push_back(our_rate(path, work, seconds));
      theirs.push_back(openslide_rate(path, work, level, seconds));
      ratios.push_back(ours.back() / theirs.back());
    }
    const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
    std::printf("%-12s %10.0f %12.0f %8.2f   [%.2f, %.2f]\n", work.name, median(ours), median(theirs),
                median(ratios), *least, *most);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "error: usage: slide_reads SLIDE [SECONDS]\n");
    return 2;
  }
  try {
    compare(argv[1], argc == 3 ? std::atof(argv[2]) : 2.0);
  } catch (const mt::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
