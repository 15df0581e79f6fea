#pragma once
// The stages of a run, each of which leaves finished files and a record in the run folder, and is skipped
// when it finds them.

#include <filesystem>
#include <string>
#include <vector>

#include "train/feature_files/feature_files.h"
#include "train/method/encoder.h"
#include "train/method/mining.h"
#include "train/run/context.h"

namespace mt::train {

/// Tiles every slide, one file per slide in tiles/. Slides without tissue are an Error naming them, or, under
/// --skip-bad-slides, are taken out of the dataset (with a line each). Returns one entry per remaining slide.
/// A file that was made from another slide, label, annotation or grid than `inputs` name is made anew.
/// `mine(i)` says which slides this process tiles (a shard); the others must be there already unless it is a
/// shard.
struct Shard {
  int64_t index = 0;  // 0-based
  int64_t count = 1;
  bool has(std::size_t slide) const { return static_cast<int64_t>(slide) % count == index; }
};
Shard parse_shard(const std::string& text);
std::vector<SlideTiles> tile_slides(Dataset& dataset, const Config& config, const Manifest& inputs,
                                    RunFolder& folder, const Shard& shard);

/// Initial weights: --weights, or seeded values, SimCLR-trained on the training slides' patches when asked.
/// Step "pretrain". Returns the path of encoders/initial.safetensors.
std::filesystem::path pretrain(RunContext& context);

/// Features of every slide (of the shard) with this encoder, one HDF5 file per slide in `folder`. Step "embed
/// <folder>".
void embed(RunContext& context, const std::filesystem::path& encoder, const std::string& folder,
           const Shard& shard = {});

/// Features of all patches of slide number `slide`, with coordinates and attributes.
SlideFeatures embed_slide(const Encoder& encoder, PatchSource& patches, int32_t slide);

/// Trains a MIL model on the features in `features` (a folder inside of the run, or --features) and writes
/// into `out`: mil.safetensors (the selected epoch), label_scores.safetensors (instance scores of all slides
/// by the labelling epoch's weights), scores.safetensors (bag and instance scores of validation and test
/// slides by the selected weights). Step "mil <out>".
struct MilTask {
  std::string features;
  std::string out;
  bool ranking = true;
  uint64_t round = 0;
  std::string label;  // for the progress bar
};
void train_mil(RunContext& context, const MilTask& task);

/// Instance scores, one vector per slide of the dataset (empty where the file has none).
std::vector<std::vector<float>> read_instance_scores(const RunContext& context, const std::string& file);
/// Slide scores; NaN where the file has none.
std::vector<double> read_slide_scores(const RunContext& context, const std::string& file);

/// Fine-tunes the encoder of the round before on mined patches. Step "finetune <out>". The optimizer's state
/// goes on from round to round. Writes <out>/encoder.safetensors and <out>/optimizer.safetensors.
struct FinetuneTask {
  std::string method;               // its2clr | hnm
  std::filesystem::path encoder;    // of the round before
  std::filesystem::path optimizer;  // of the round before; empty in round 1
  std::string label_scores;         // file of the accepted pseudo-labels
  std::string out;
  int64_t round = 1;
  bool labels_updated = false;  // the pseudo-labels are no longer those of the first round
};
void finetune(RunContext& context, const FinetuneTask& task);

}  // namespace mt::train
