#pragma once
// The stages of a run, each of which leaves finished files and a record in the run folder, and is skipped
// when it finds them.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "train/cli/progress.h"
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
/// `made`: tiles that the preflight had to make, by slide.
std::vector<TiledSlide> tile_slides(Dataset& dataset, const Config& config, const Manifest& inputs,
                                    RunFolder& folder, const Shard& shard,
                                    std::map<std::string, SlideTiles> made = {});

/// The initial encoder: --weights, or seeded values, SimCLR-trained on the training slides' patches when
/// asked.
void pretrain(RunContext& context);

/// Features of every slide (of the shard) with the round's encoder, one HDF5 file per slide.
void embed(RunContext& context, const RoundFiles& files, const Shard& shard = {});

/// Features of all patches of slide number `slide` of the source, with coordinates and attributes.
SlideFeatures embed_slide(const Encoder& encoder, PatchSource& patches, int32_t slide,
                          Progress* progress = nullptr);

/// Trains a MIL model on the round's features (or on --features) and writes the round's mil, label_scores and
/// scores.
struct MilTask {
  RoundFiles files;
  bool ranking = true;
  std::string label;  // for the progress bar
};
void train_mil(RunContext& context, const MilTask& task);

/// Fine-tunes the encoder of the round before on mined patches. The optimizer's state goes on from round to
/// round. Writes the round's encoder and optimizer.
struct FinetuneTask {
  Method method = Method::hnm;  // any but mil
  RoundFiles files;
  RoundFiles before;    // the round before: its encoder, and from round 1 on its optimizer
  RoundFiles labelled;  // the accepted round whose scores are the pseudo-labels
};
void finetune(RunContext& context, const FinetuneTask& task);

}  // namespace mt::train
