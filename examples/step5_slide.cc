// Step 5 of 5: from a slide to a heatmap, here of how dark each patch of tissue is; `predict` draws the scores of a trained model so.
// Build and run: ninja -C build examples/step5_slide && build/examples/step5_slide slide.svs heatmap.png

#include <algorithm>
#include <cstdio>
#include <vector>

#include "tensor/check.h"
#include "wsi/heatmap.h"
#include "wsi/png.h"
#include "wsi/tiling.h"

using namespace mt;

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: step5_slide SLIDE HEATMAP.png\n");
    return 2;
  }
  try {
    const auto slide = wsi::Slide::open(argv[1]);
    const wsi::Level& level0 = slide->levels().front();
    std::printf("%s, %lld x %lld pixels, %d levels, %.3f um/px\n", slide->dialect().c_str(),
                static_cast<long long>(level0.width), static_cast<long long>(level0.height),
                slide->level_count(), slide->required_mpp());

    wsi::TilingOptions options;
    options.patch = 64;
    options.mpp = 2;
    const wsi::Tiling tiling = tile_slide(*slide, wsi::find_tissue(*slide), options);
    std::printf("%zu of %lld patches are tissue\n", tiling.patches.size(),
                static_cast<long long>(tiling.grid_patches));

    std::vector<wsi::PatchScore> scores;
    for (const wsi::Patch& patch : tiling.patches) {
      const wsi::RgbImage pixels = read_patch(*slide, patch, options);  // (64,64,3)
      double sum = 0;
      for (const uint8_t value : pixels.pixels) sum += value;
      const double darkness = 1 - sum / 255 / static_cast<double>(pixels.pixels.size());
      scores.push_back({patch.x_level0, patch.y_level0, static_cast<float>(darkness)});
    }
    wsi::RgbImage picture = slide->thumbnail(1000);
    draw_heatmap(picture, wsi::ThumbnailScale(picture, level0), scores, tiling.patch_level0);
    write_png(argv[2], picture);
    std::printf("%s\n", argv[2]);
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return error.exit_code();
  }
}
