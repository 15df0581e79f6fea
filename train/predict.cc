// bin/predict: a finished run applied to slides.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "kernels/common/tables.h"
#include "kernels/device/device.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/cli/interrupt.h"
#include "train/cli/program.h"
#include "train/cli/version.h"
#include "train/cli/wait_policy.h"
#include "train/feature_files/feature_files.h"
#include "train/method/predictor.h"
#include "train/settings/choices.h"
#include "wsi/png.h"

namespace mt::train {
namespace {

struct Options {
  std::string run;
  std::string variant;
  std::string out = ".";
  double mpp_override = 0;
  float region_score = 0.5F;
  int threads = 0;
  std::string device = "cpu";
  int gpu = -1;  // the first
  std::string kernels = "auto";
  std::vector<std::string> slides;
};

constexpr const char* kFooter = R"(
For every slide: a line with its score and predicted class, OUT/SLIDE.h5 (features, coordinates, instance_scores) and
OUT/SLIDE_heatmap.png, and the regions of patches that score --region-score and more as OUT/SLIDE.geojson for QuPath and
OUT/SLIDE.xml for ASAP. A slide that cannot be read costs one error line; the others go on, and the exit code is 1.

Example:
  predict --run runs/demo --out predictions runs/demo/phantom/testing/images/test_001.tif)";

int run(const Options& options) {
  if (options.threads > 0) set_thread_count(options.threads);
  const Device device = parse_device(options.device);
  if (options.gpu >= 0 && device != Device::cuda)
    throw UsageError("--gpu: chooses among GPUs, so it needs --device cuda");
  if (options.gpu >= 0) choose_gpu(options.gpu);
  require_device(device);
  choose_kernels(options.kernels, device);
  const Predictor predictor(options.run, options.variant, options.mpp_override, device);
  const std::filesystem::path out = options.out;
  std::filesystem::create_directories(out);
  std::printf("%-28s %8s %10s %-8s %8s\n", "slide", "score", "threshold", "class", "patches");
  int failed = 0;
  for (const std::string& slide : options.slides) {
    check_interrupted();
    try {
      const Prediction prediction = predictor.predict(slide, options.region_score);
      const std::string base = (out / prediction.slide_id).string();
      write_features(base + ".h5", prediction.features);
      wsi::write_png(base + "_heatmap.png", prediction.heatmap);
      write_file(base + ".geojson", wsi::to_geojson(prediction.regions));
      write_file(base + ".xml", wsi::to_asap(prediction.regions));
      if (prediction.given_mpp > 0)
        std::printf("note: %s says no um/px and is given %g (--mpp-override, or the run's)\n",
                    printable(slide).c_str(), prediction.given_mpp);
      std::printf("%-28s %8.6f %10.6f %-8s %8lld\n", prediction.slide_id.c_str(), prediction.score,
                  prediction.threshold, printable(prediction.class_name, 40).c_str(),
                  static_cast<long long>(prediction.features.features.dim(0)));
      std::fflush(stdout);
    } catch (const Interrupted&) {
      throw;
    } catch (const Error& error) {
      std::fprintf(stderr, "error: %s\n", error.what());
      ++failed;
    }
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace mt::train

int main(int argc, char** argv) {
  mt::train::wait_without_spinning(argv);
  mt::train::Options options;
  CLI::App app("Applies a finished run to slides.", "predict");
  app.set_version_flag("--version", std::string("microtome ") + mt::train::kVersion);
  app.footer(mt::train::kFooter);
  app.add_option("--run", options.run, "run folder that train has finished")->required();
  app.add_option("--variant", options.variant, "variant of an ablation run, such as hnm+ranking");
  app.add_option("--out", options.out, "folder for the results")->capture_default_str();
  app.add_option("--mpp-override", options.mpp_override,
                 "micrometres per level-0 pixel, for slides that do not say it (0: as in the run)")
      ->capture_default_str();
  app.add_option("--region-score", options.region_score, "least instance score of a patch in a region")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--threads", options.threads, "threads (0: all cores)")
      ->capture_default_str()
      ->check(CLI::Range(0, mt::kMostThreads));
  app.add_option("--device", options.device, "where to compute: cpu, cuda or simt, whatever the run used")
      ->capture_default_str()
      ->check(CLI::IsMember(mt::train::choice_names<mt::Device>()));
  app.add_option("--gpu", options.gpu,
                 "which GPU cuda is: its number for nvidia-smi, or its place in CUDA_VISIBLE_DEVICES, from 0 "
                 "(-1: the first)")
      ->capture_default_str()
      ->check(CLI::Range(-1, 1023));
  app.add_option("--kernels", options.kernels,
                 "convolutions and matrix products on cuda: own, vendor (cuDNN, cuBLASLt) or auto")
      ->capture_default_str()
      ->check(CLI::IsMember(mt::train::choice_names<mt::KernelChoice>()));
  app.add_option("SLIDE", options.slides, "slides")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::printf("%s", app.help().c_str());
    return 0;
  } catch (const CLI::CallForVersion&) {
    std::printf("microtome %s\n", mt::train::kVersion);
    return 0;
  } catch (const CLI::Error& error) {
    std::fprintf(stderr, "error: %s; see predict --help\n", error.what());
    return 2;
  }
  mt::train::catch_interrupts();
  return mt::train::program_main([&] { return mt::train::run(options); });
}
