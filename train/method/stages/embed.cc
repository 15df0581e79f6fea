#include <algorithm>

#include "autograd/arithmetic.h"
#include "autograd/tape.h"
#include "tensor/check.h"
#include "tensor/io/seal.h"
#include "tensor/io/sha256.h"
#include "train/cli/interrupt.h"
#include "train/cli/progress.h"
#include "train/data/device_feed.h"
#include "train/feature_files/feature_files.h"
#include "train/method/stages/stages.h"

namespace mt::train {
namespace {

/// Patches per forward pass: bounded by the size of the first activation, so that memory does not grow with
/// the patch.
int64_t embedding_batch(const Config& config) {
  const int64_t stem_bytes = config.patch / 2 * (config.patch / 2) * config.width * 4;
  return std::clamp<int64_t>((int64_t{96} << 20) / stem_bytes / 8 * 8, 8, 256);
}

FeatureAttributes attributes_of(const SlideRecord& slide, const SlideTiles& tiles, int64_t overlap) {
  FeatureAttributes attributes;
  attributes.name = slide.id;
  attributes.patch_size = tiles.patch;
  attributes.patch_size_level0 = static_cast<int64_t>(tiles.patch_level0 + 0.5);
  attributes.overlap = overlap;
  attributes.level0_width = tiles.level0_width;
  attributes.level0_height = tiles.level0_height;
  if (tiles.mpp > 0) {  // 10 um per pixel at 1x: the convention of TRIDENT
    attributes.target_magnification = 10.0 / tiles.mpp;
    attributes.level0_magnification =
        10.0 / tiles.mpp * tiles.patch_level0 / static_cast<double>(tiles.patch);
  }
  return attributes;
}

Tensor coordinates(const SlideTiles& tiles) {
  std::vector<int64_t> coords;
  for (std::size_t t = 0; t < tiles.x_level0.size(); ++t) {
    coords.push_back(tiles.x_level0[t]);
    coords.push_back(tiles.y_level0[t]);
  }
  return Tensor::of(coords, {tiles.count(), 2});  // (N,2)
}

/// The patches of a slide, in batches.
std::vector<std::vector<PatchId>> batches_of(int32_t slide, int64_t count, const Config& config) {
  std::vector<PatchId> ids;
  for (int64_t t = 0; t < count; ++t) ids.push_back({slide, static_cast<int32_t>(t)});
  return in_batches(ids, static_cast<std::size_t>(embedding_batch(config)));
}

/// The features of the patches, into the rows of `features` (on the cpu) from `row` on. Where memory runs out
/// they are made in halves: each patch's features are its own.
void embed_into(const Tensor& features, int64_t row, const Encoder& encoder, const Tensor& pixels) {
  const int64_t n = pixels.dim(0);
  try {
    const Variable made = encoder.features(pixels);  // (n,D)
    copy_into(features.slice(0, row, row + n), made.value());
    return;
  } catch (const OutOfMemory&) {
    if (n <= 8) throw;
  }
  const int64_t half = (n + 15) / 16 * 8;
  embed_into(features, row, encoder, pixels.slice(0, 0, half));
  embed_into(features, row + half, encoder, pixels.slice(0, half, n));
}

/// Takes the batches of one slide from the feed.
SlideFeatures embed_from(DeviceFeed& feed, const Encoder& encoder, const PatchSource& patches, int32_t slide,
                         Progress* progress) {
  const NoGradGuard no_grad;
  const auto& [record, tiles] = patches.at(slide);
  const int64_t width = encoder.network->config().feature_width();
  SlideFeatures out;
  out.features = Tensor::empty({tiles.count(), width});  // (N,D)
  DeviceFeed::Batch batch;
  for (int64_t row = 0; row < tiles.count();) {
    check_interrupted();
    check(feed.next(batch), "embed: the pipeline ended early");
    const auto n = static_cast<int64_t>(batch.ids.size());
    embed_into(out.features, row, encoder, batch.pixels);
    row += n;
    if (progress != nullptr) progress->advance(n);
  }
  out.coords = coordinates(tiles);
  out.attributes = attributes_of(record, tiles, patches.config().overlap);
  return out;
}

}  // namespace

SlideFeatures embed_slide(const Encoder& encoder, PatchSource& patches, int32_t slide, Progress* progress) {
  DeviceFeed feed(patches, batches_of(slide, patches.at(slide).tiles.count(), patches.config()),
                  encoder.network->device());
  return embed_from(feed, encoder, patches, slide, progress);
}

void embed(RunContext& context, const RoundFiles& files, const Shard& shard) {
  const Step<EmbedRecord> step = files.embedding();
  const std::filesystem::path encoder_file = context.folder.checked(files.encoder());
  const std::string encoder_digits = read_seal(encoder_file.string());

  // The slides that still lack a file, or have one of other patches or another encoder, in order; batches
  // never cross slides, so every file is the same whoever makes it.
  const auto file_of = [&](std::size_t s) {
    return context.folder.to_write(files.features(context.slides[s].record.id));
  };
  const auto made_from = [&](std::size_t s) {
    return sha256(fmt::format("features 1|{}|{}", context.slides[s].tiles.made_from, encoder_digits));
  };
  const auto is_there = [&](std::size_t s) {
    const auto file = file_of(s);
    if (!std::filesystem::exists(file)) return false;
    const std::string found = read_made_from(file.string());
    if (found.empty()) check_seal(file.string(), kRunFileRemedy);
    return found == made_from(s);
  };
  std::vector<std::vector<PatchId>> batches;
  std::vector<std::size_t> todo;
  int64_t patches = 0;
  int64_t patches_of_all = 0;
  for (std::size_t s = 0; s < context.slides.size(); ++s) {
    patches_of_all += context.slides[s].tiles.count();
    if (!shard.has(s) || is_there(s)) continue;
    todo.push_back(s);
    patches += context.slides[s].tiles.count();
    for (auto& batch : batches_of(static_cast<int32_t>(s), context.slides[s].tiles.count(), context.config))
      batches.push_back(std::move(batch));
  }
  const bool was_done = context.folder.done(step);
  if (todo.empty() && (was_done || shard.count > 1)) return;
  const Encoder encoder = load_encoder(encoder_file, context.config);
  const Stopwatch watch;
  Progress progress("embed " + files.features_label(), patches, "patches");
  DeviceFeed feed(context.patches, std::move(batches), encoder.network->device());
  for (const std::size_t s : todo) {
    SlideFeatures made = embed_from(feed, encoder, context.patches, static_cast<int32_t>(s), &progress);
    made.made_from = made_from(s);
    write_features(file_of(s).string(), made);
  }
  if (shard.count > 1 || was_done) return;
  EmbedRecord record;
  record.seconds = watch.seconds();
  record.images = patches_of_all;
  context.folder.finish(step, record);
}

}  // namespace mt::train
