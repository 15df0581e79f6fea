#include "train/cli/predict_options.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>

#include "kernels/common/tables.h"
#include "tensor/check.h"
#include "tensor/parallel.h"
#include "train/cli/command_text.h"
#include "train/settings/choices.h"
#include "wsi/level.h"

namespace mt::train {
namespace {

constexpr const char* kFooter =
    "INPUT is a slide, a folder of slides (here and one folder below), or a table of them as train reads it "
    "(slide_id[,path,mpp]; slides without a path are found by their id in --root). For a run that train made "
    "with --features it is a file or a folder of such features; a table then names those of the one folder "
    "given with --features.\n"
    "\n"
    "In OUT, for every slide: SLIDE.h5 (coordinates, instance_scores, attention, features), "
    "SLIDE_heatmap.png (instance scores, pale 0 to dark 1), and the regions of patches that score "
    "--region-score and more, SLIDE_regions.geojson for QuPath and SLIDE_regions.xml for ASAP: class Tumor "
    "(or what the positive class is called) on a slide called positive, Suspicious on one called negative. "
    "For all of them: predictions.csv and predictions.json (docs/predictions.schema.json).\n"
    "\n"
    "A file that predict did not write, or that was changed since, is never replaced without --overwrite. "
    "Slides that OUT holds already, made from the same, are kept; so the same command again goes on after an "
    "interruption, and ends with the same files. A slide that cannot be read costs one error line; the "
    "others go on, and the exit code is 1.\n"
    "\n"
    "Examples:\n"
    "  predict --run runs/c16 new_slide.svs\n"
    "  predict --run runs/c16 --out week_12 /data/week_12 more.svs\n"
    "  predict --run runs/egfr --root /data/svs tcga.csv\n"
    "  predict --run runs/uni --features uni_features/\n"
    "\n"
    "Exit codes: 0 done, 1 error (of a slide, too), 2 wrong usage, 130 interrupted.";

/// A finite number of [low, high], and nothing else: CLI::Range lets NaN pass.
CLI::Validator within(double low, double high, const std::string& words) {
  return {[=](const std::string& text) -> std::string {
            double value = std::nan("");
            const bool is_number = CLI::detail::lexical_cast(text, value);
            return is_number && value >= low && value <= high ? "" : text + ": " + words;
          },
          words};
}

void add_options(CLI::App& app, PredictOptions& options) {
  add_program_flags(app);
  app.footer(kFooter);
  app.add_option("--run", options.run, "run folder that train has finished")->required();
  app.add_option("--variant", options.variant, "variant of an ablation run, such as hnm+ranking");
  app.add_option("--out", options.out, "folder for the results")->capture_default_str();
  app.add_flag("--overwrite", options.overwrite,
               "replace files in OUT that predict did not write, and what another model predicted");
  app.add_option("--root", options.root, "folder of slides that a table names without a path");
  app.add_option("--features", options.features,
                 "features in place of slides, for a run that was trained on them: a file or a folder")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--features-key", options.features_key,
                 "name of the features in their files (default: as in the run)");
  app.add_option("--mpp-override", options.mpp_override,
                 "um per level-0 pixel of slides that do not say it (default: as in the run)")
      ->check(within(wsi::kFinestMpp, wsi::kCoarsestMpp, "0.05 to 20 micrometres per pixel"));
  app.add_option("--region-score", options.region_score, "least instance score of a patch in a region")
      ->capture_default_str()
      ->check(within(0, 1, "a number from 0 to 1"));
  app.add_option("--threads", options.threads, "threads (0: all cores); results do not depend on it")
      ->capture_default_str()
      ->check(CLI::Range(0, kMostThreads));
  app.add_option("--device", options.device, "where to compute, whatever the run used")
      ->capture_default_str()
      ->check(CLI::IsMember(choice_names<Device>()));
  app.add_option("--gpu", options.gpu,
                 "which GPU cuda is: its number for nvidia-smi, or its place in CUDA_VISIBLE_DEVICES, from 0 "
                 "(-1: the first)")
      ->capture_default_str()
      ->check(CLI::Range(-1, 1023));
  app.add_option("--kernels", options.kernels,
                 "convolutions and matrix products on cuda: own, vendor (cuDNN, cuBLASLt) or auto")
      ->capture_default_str()
      ->check(CLI::IsMember(choice_names<KernelChoice>()));
  app.add_option("INPUT", options.inputs, "slides, folders of slides, tables of slides; or features");
}

}  // namespace

std::optional<PredictOptions> parse_predict_options(int argc, const char* const* argv) {
  PredictOptions options;
  CLI::App app("Applies a finished run to slides.", "predict");
  add_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    answer(app, error);
    return std::nullopt;
  }
  if (options.inputs.empty() && options.features.empty())
    throw UsageError("INPUT is required: slides, a folder of slides or a table; see predict --help");
  if (options.out.empty()) throw UsageError("--out: a folder is needed");
  if (options.gpu >= 0 && options.device != "cuda")
    throw UsageError("--gpu: chooses among GPUs, so it needs --device cuda");
  return options;
}

}  // namespace mt::train
