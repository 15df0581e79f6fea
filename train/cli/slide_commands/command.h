#pragma once
// The subcommands of bin/slide: what each may be told, and what does the work. To add one: a file here with
// its run_..., its options and declaration below, its command line in train/slide.cc, a line in
// train/meson.build.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wsi/tiling.h"
#include "wsi/tissue.h"

namespace mt::wsi {
class Slide;
}

namespace mt::train {

/// What every command that opens a slide is told.
struct SlideArguments {
  std::string path;
  std::optional<double> mpp_override;

  std::unique_ptr<wsi::Slide> open() const;
};

struct InfoOptions {
  SlideArguments slide;
  bool json = false;
};

struct PhantomOptions {
  std::string folder;
  std::vector<int> slides = {100, 30, 50};
  uint64_t seed = 1;
  std::string difficulty = "default";
  std::string dialect = "philips";
  std::string layout = "official";
  int threads = 0;
};

struct RegionOptions {
  SlideArguments slide;
  int64_t x = 0, y = 0, width = 0, height = 0;
  std::string output;
  int level = 0;
  std::optional<double> mpp;
  bool alpha = false;
};

struct ThumbOptions {
  SlideArguments slide;
  std::string output;
  int64_t size = 1024;
  std::string picture;
};

struct TissueOptions {
  SlideArguments slide;
  std::string output;
  std::string annotation;
  std::vector<std::string> tumour_groups;
  int64_t size = 1536;
  wsi::TissueOptions tissue;
  wsi::TilingOptions tiling;
  bool fixed_threshold = false;
};

// Each throws Error or UsageError.
void run_info(const InfoOptions& options);
void run_phantom(const PhantomOptions& options);
void run_region(const RegionOptions& options);
void run_thumb(const ThumbOptions& options);
void run_tissue(TissueOptions options);

}  // namespace mt::train
