// bin/train: from slides to a report.

#include <cstdio>
#include <map>

#include "kernels/common/instruction_set.h"
#include "kernels/common/tables.h"
#include "kernels/device/device.h"
#include "kernels/vendor/vendor.h"
#include "tensor/allocator.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/cli/interrupt.h"
#include "train/cli/options.h"
#include "train/cli/program.h"
#include "train/cli/progress.h"
#include "train/cli/wait_policy.h"
#include "train/data/datasets/registry.h"
#include "train/data/preflight.h"
#include "train/method/estimate.h"
#include "train/method/rounds.h"
#include "train/method/stages/stages.h"
#include "train/report/report.h"
#include "train/run/context.h"
#include "train/run/inputs.h"
#include "wsi/phantom/phantom_dataset.h"

namespace mt::train {
namespace {

wsi::PhantomSetOptions phantom_options(const Config& config) {
  wsi::PhantomSetOptions options;
  options.seed = config.seed;
  int read = 0;
  long long counts[3] = {0, 0, 0};
  if (std::sscanf(config.phantom_slides.c_str(), "%lld/%lld/%lld%n", &counts[0], &counts[1], &counts[2],
                  &read) != 3 ||
      config.phantom_slides[static_cast<std::size_t>(read)] != '\0' || counts[0] < 2 || counts[1] < 2 ||
      counts[2] < 2) {
    throw UsageError(fmt::format("--phantom-slides {}: training/validation/test slides, at least 2 each",
                                 config.phantom_slides));
  }
  options.train_slides = static_cast<int>(counts[0]);
  options.validation_slides = static_cast<int>(counts[1]);
  options.test_slides = static_cast<int>(counts[2]);
  options.difficulty = config.phantom_difficulty == PhantomTumour::hard ? wsi::PhantomDifficulty::hard
                                                                        : wsi::PhantomDifficulty::standard;
  return options;
}

void write_phantom(const std::filesystem::path& root, wsi::PhantomSetOptions options) {
  Progress progress("phantom slides", options.train_slides + options.validation_slides + options.test_slides,
                    "slides");
  options.progress = [&](int, int) {
    check_interrupted();
    progress.advance();
  };
  wsi::write_phantom_set(root, options);
}

void count_slides(const Dataset& dataset, RunResult& result) {
  for (const SlideRecord& slide : dataset.slides) {
    if (slide.split == Split::train) ++result.slides_train;
    if (slide.split == Split::validation) ++result.slides_validation;
    if (slide.split == Split::test) ++result.slides_test;
  }
}

/// Throws one line when the device is not there.
void use_device(const Config& config) {
  if (config.gpu >= 0) choose_gpu(config.gpu);
  require_device(config.device);
  choose_kernels(choice_name(config.kernels), config.device);
  allocator(config.device).set_limit(static_cast<std::size_t>(config.device_memory) << 20);
}

/// What a reader of the figures must know about how they came about.
std::vector<std::string> notes_of(const RunFolder& folder, const Dataset& dataset, const Config& config) {
  std::vector<std::string> notes = dataset.notes;
  for (const std::string& device : folder.devices_before()) {
    if (device != name_of(config.device))
      notes.push_back(
          fmt::format("begun on {}, ended on {} (--switch-device)", device, name_of(config.device)));
  }
  for (const auto& [step, cost] : folder.costs()) {
    if (!cost.note.empty()) notes.push_back(fmt::format("{}: {}", step, cost.note));
  }
  if (kernel_choice() == KernelChoice::automatic && config.device == Device::cuda &&
      !vendor_missing().empty())
    notes.push_back("own kernels alone, as NVIDIA's libraries do not load: " + vendor_missing());
  return notes;
}

/// False where a slide turned out to be damaged and was put out of the run: the same has to begin again.
bool run_once(const Config& config, int argc, const char* const* argv) {
  if (config.threads > 0) set_thread_count(static_cast<int>(config.threads));
  use_device(config);
  const bool is_phantom = dataset_kind(config).lies_in_run;
  if (config.preset == Preset::fast && !is_phantom)
    std::printf(
        "preset fast: for small machines, not the published method to the letter, which is --preset paper\n");
  const wsi::PhantomSetOptions phantom = is_phantom ? phantom_options(config) : wsi::PhantomSetOptions{};
  parse_patch_scale(config.mpp);
  const Shard shard = parse_shard(config.shard);
  if (!config.weights.empty()) make_encoder(config);  // wrong weights are said before hours of tiling
  const std::filesystem::path phantom_root = RunFiles(config.run).phantom();
  if (config.dry_run && is_phantom && !std::filesystem::exists(phantom_root)) {
    std::printf("would write %s phantom slides into %s and go on from there\n", config.phantom_slides.c_str(),
                phantom_root.c_str());
    return true;
  }
  const std::map<std::string, Split> drawn = splits_drawn_in(config.run);
  Dataset dataset;
  if (!is_phantom) dataset = load_dataset(config, phantom_root, drawn);  // before a run folder is made
  if (config.dry_run) {
    if (is_phantom) dataset = load_dataset(config, phantom_root, drawn);
    check_run_folder(config, dataset);
    const PreflightFacts facts = preflight(dataset, config);
    say_what_it_takes(dataset, facts, config);
    std::printf("dry run: nothing was computed\n");
    return true;
  }
  RunFolder folder(config.run, config);
  if (is_phantom) {
    write_phantom(phantom_root, phantom);
    dataset = load_dataset(config, phantom_root, drawn);
  }
  Manifest inputs = take_manifest(config, dataset);
  const int64_t left_out_before = compare_inputs(folder, dataset, inputs);
  RunResult result;
  std::vector<TiledSlide> slides;
  PreflightFacts facts = preflight(dataset, config, [&](const SlideRecord& slide) {
    return std::filesystem::exists(folder.files().tiles(slide.id));
  });
  const bool is_shard = shard.count > 1;  // shards fill a folder, the run itself keeps the books
  if (!is_shard) keep_inputs(folder, dataset, inputs);
  if (config.features.empty()) {
    slides = tile_slides(dataset, config, inputs, folder, shard, std::move(facts.tiles));
    check_classes(dataset);
    note_small_outlines(dataset, slides, config);
    if (!is_shard && dataset.slides.size() != inputs.slides.size()) keep_inputs(folder, dataset, inputs);
  } else {
    slides = without_tiles(dataset);
  }
  const auto stopped_after = [&](const std::string& stage) {
    std::printf("%s%s is done%s\n", is_shard ? ("shard " + config.shard + ": ").c_str() : "", stage.c_str(),
                is_shard ? "" : "; the same command without --until goes on");
    return true;
  };
  if (config.until == Until::tile) return stopped_after("tile");
  PatchSource patches(slides, config);
  RunContext context{config, folder, dataset, slides, patches};
  try {
    result = run_method(context);
  } catch (const UnreadablePatch& patch) {
    const SlideRecord& slide = slides[static_cast<std::size_t>(patch.id.slide)].record;
    // Embedding reads every patch once. What could be read then, and cannot now, is no bad slide but bad storage.
    check(!folder.done(folder.round({}, 0).embedding()),
          "{}; it could be read when this run began: mend the storage, and the same command goes on",
          patch.what());
    check(config.skip_bad_slides, "{}; mend the file, or leave the slide out with --skip-bad-slides",
          patch.what());
    check(!is_shard, "{}; run it once without --shard, which leaves the slide out", patch.what());
    std::printf("problem: %s\nslide %s is left out, and the run begins again without it\n",
                printable(patch.what()).c_str(), printable(slide.id).c_str());
    std::fflush(stdout);
    quarantine(folder, slide.id, patch.what());
    return false;
  }
  if (is_shard) {
    std::printf("shard %s is done\n", config.shard.c_str());
    return true;
  }
  if (config.until != Until::end) return stopped_after(choice_name(config.until));
  count_slides(dataset, result);
  result.classes = dataset.classes;
  result.slides_left_out = static_cast<int64_t>(dataset.left_out.size()) + left_out_before;
  result.notes = notes_of(folder, dataset, config);
  result.device = device_runtime(config.device).description();
  result.instruction_set = instruction_set();
  result.threads = thread_count();
  result.facts = take_facts(folder.files(), argc, argv);
  write_file(folder.files().result().string(), to_json(result));
  write_file(folder.files().predictions().string(), predictions_csv(result));
  write_report(context, result);
  std::printf("%s\nreport: %s\n", summary_table(result).c_str(), folder.files().report().c_str());
  return true;
}

}  // namespace
}  // namespace mt::train

int main(int argc, char** argv) {
  mt::train::wait_without_spinning(argv);
  mt::train::catch_interrupts();
  const auto body = [&] {
    const auto config = mt::train::parse_train_options(argc, argv);
    while (config && !mt::train::run_once(*config, argc, argv)) {
    }
    return 0;
  };
  return mt::train::program_main(
      body, "; use smaller batches (--finetune-batch, --pretrain-batch, --chunk) or bags");
}
