// bin/slide: looks at whole-slide images. Its whole command line stands here, so that CLI11 is compiled once.

#include <CLI/CLI.hpp>

#include "tensor/parallel.h"
#include "train/cli/command_text.h"
#include "train/cli/program.h"
#include "train/cli/slide_commands/command.h"
#include "wsi/slide.h"

namespace mt::train {

std::unique_ptr<wsi::Slide> SlideArguments::open() const {
  wsi::OpenOptions options;
  options.mpp_override = mpp_override;
  return wsi::Slide::open(path, options);
}

namespace {

void add_slide(CLI::App& command, SlideArguments& slide) {
  command
      .add_option("SLIDE", slide.path, "Slide file: Philips TIFF, Aperio SVS, OME-TIFF or generic tiled TIFF")
      ->required();
  command
      .add_option("--mpp-override", slide.mpp_override,
                  "Micrometres per level-0 pixel, instead of what the file says [default: the file's]")
      ->check(CLI::Range(0.001, 1000.0));
}

void add_info_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("info", "Print format, physical size, levels and properties");
  auto options = std::make_shared<InfoOptions>();
  add_slide(*command, options->slide);
  command->add_flag("--json", options->json, "Print everything as one JSON object");
  command->footer("Example: slide info tumor_001.tif --json");
  command->callback([options] { run_info(*options); });
}

void add_phantom_command(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("phantom", "Write a dataset of phantom slides in Camelyon16's layout; resumes");
  auto options = std::make_shared<PhantomOptions>();
  command->add_option("FOLDER", options->folder, "Folder to write into")->required();
  command
      ->add_option("--slides", options->slides, "Slides for training, validation and test; half carry tumour")
      ->expected(3)
      ->capture_default_str()
      ->check(CLI::Range(0, 100000));
  command->add_option("--seed", options->seed, "Another seed, other slides")->capture_default_str();
  command
      ->add_option("--difficulty", options->difficulty,
                   "default: 5-30 % of the tissue is tumour; hard: 1-10 %")
      ->capture_default_str();
  command->add_option("--dialect", options->dialect, "philips (as Camelyon16), generic or aperio")
      ->capture_default_str();
  command
      ->add_option("--layout", options->layout,
                   "official (training/, testing/) or bucket (images/, annotations/)")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "Threads; 0 = one per core")
      ->capture_default_str()
      ->check(CLI::Range(0, mt::kMostThreads));
  command->footer("Example: slide phantom phantom-set --slides 10 4 6 --difficulty hard");
  command->callback([options] { run_phantom(*options); });
}

void add_region_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("region", "Write a rectangle of a slide as a PNG");
  auto options = std::make_shared<RegionOptions>();
  add_slide(*command, options->slide);
  command->add_option("X", options->x, "Left edge, in level-0 pixels")->required();
  command->add_option("Y", options->y, "Upper edge, in level-0 pixels")->required();
  command->add_option("W", options->width, "Pixels of the picture across")
      ->required()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("H", options->height, "Pixels of the picture down")
      ->required()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("OUT", options->output, "PNG file to write")->required();
  CLI::Option* level = command->add_option("--level", options->level, "Level of the pyramid; 0 is the finest")
                           ->capture_default_str()
                           ->check(CLI::Range(0, 63));
  CLI::Option* mpp =
      command->add_option("--mpp", options->mpp, "Micrometres per pixel of the picture, instead of a level")
          ->check(CLI::Range(0.001, 1000.0))
          ->excludes(level);
  command->add_flag("--alpha", options->alpha, "Transparent where there is no slide")->excludes(mpp);
  command->footer(
      "Outside the slide the background colour shows.\n"
      "Example: slide region tumor_001.tif 30000 41000 512 512 region.png --mpp 0.5");
  command->callback([options] { run_region(*options); });
}

void add_thumb_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("thumb", "Write the whole slide as a small PNG");
  auto options = std::make_shared<ThumbOptions>();
  add_slide(*command, options->slide);
  command->add_option("OUT", options->output, "PNG file to write")->required();
  CLI::Option* size = command->add_option("--size", options->size, "Pixels of the longer side")
                          ->capture_default_str()
                          ->check(CLI::Range(1, 16384));
  command->add_option("--picture", options->picture, "A stored picture instead: label, macro or thumbnail")
      ->excludes(size);
  command->footer("Example: slide thumb tumor_001.tif thumb.png --size 2000");
  command->callback([options] { run_thumb(*options); });
}

void add_tissue_command(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("tissue", "Write the tissue mask and the grid of patches as a PNG");
  auto options = std::make_shared<TissueOptions>();
  add_slide(*command, options->slide);
  command->add_option("OUT", options->output, "PNG file to write")->required();
  command->add_option("--size", options->size, "Pixels of the longer side")
      ->capture_default_str()
      ->check(CLI::Range(1, 16384));
  command->add_option("--annotation", options->annotation,
                      "Outlines that are drawn as well: ASAP XML, or GeoJSON from QuPath");
  command
      ->add_option("--tumour-groups", options->tumour_groups,
                   "Its groups or classes, comma-separated, that are tumour beside Tumor, _0 and _1")
      ->delimiter(',');
  command->add_option("--patch", options->tiling.patch, "Side of a patch in pixels")
      ->capture_default_str()
      ->check(CLI::Range(8, 8192));
  command->add_option("--overlap", options->tiling.overlap, "Pixels that neighbouring patches share")
      ->capture_default_str()
      ->check(CLI::Range(0, 8191));
  command->add_option("--mpp", options->tiling.mpp, "Micrometres per pixel of a patch")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 1000.0));
  command->add_option("--level", options->tiling.level,
                      "Lay the grid on this level as it is, instead of --mpp");
  command
      ->add_option("--min-tissue", options->tiling.min_tissue, "Least share of a patch that must be tissue")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--edge-rule", options->tiling.min_edge_score,
                      "Keep patches by DSMIL's edge score above this (theirs: 15), not by the mask");
  command->add_flag("--fixed-threshold", options->fixed_threshold,
                    "CLAM's fixed threshold on saturation, not Otsu's");
  command
      ->add_option("--saturation", options->tissue.saturation_threshold,
                   "That threshold, and the least that Otsu may answer")
      ->capture_default_str()
      ->check(CLI::Range(0, 254));
  command->footer(
      "Example: slide tissue tumor_001.tif tissue.png --patch 64 --mpp 1 --annotation tumor_001.xml");
  command->callback([options] { run_tissue(*options); });
}

int run(int argc, char** argv) {
  CLI::App program("Looks at whole-slide images: what they say, how they look.", "slide");
  add_program_flags(program);
  program.require_subcommand(1);
  program.footer(
      "Example: slide info tumor_001.tif\n`slide COMMAND --help` tells a command's options and defaults.");
  add_info_command(program);
  add_region_command(program);
  add_thumb_command(program);
  add_tissue_command(program);
  add_phantom_command(program);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    answer(program, error);
  }
  return 0;
}

}  // namespace
}  // namespace mt::train

int main(int argc, char** argv) {
  return mt::train::program_main([&] { return mt::train::run(argc, argv); });
}
