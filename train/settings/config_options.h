#pragma once
// The one list of options. Included by the few who walk through it, for it holds the help texts.

#include "train/settings/config.h"

namespace mt::train {

template <typename C, typename Visitor>
void visit_options(C& c, Visitor&& visit) {
  const char* group = "What to do";
  visit(OptionText{"data", group,
                   "phantom, camelyon16, or a table of slides: CSV with slide_id,label[,path,case_id,split,"
                   "annotation,mpp] (CLAM's too), or DSMIL's list of bags",
                   true, true},
        c.data);
  visit(OptionText{"preset", group,
                   "recipe: fast is for small machines, paper is the published method to the letter (20 "
                   "rounds, 350 MIL epochs), tiny is for "
                   "tests"},
        c.preset);
  visit(OptionText{"method", group,
                   "mil: no fine-tuning; its2clr: fine-tune against all negatives; hnm: against mined hard "
                   "negatives. Two controls: random: against as "
                   "many negatives as hnm, drawn by lot; unmined: the same, and every patch of a positive "
                   "slide for a positive, so that nothing is mined"},
        c.method);
  visit(OptionText{"ranking", group, "patch-wise ranking loss in MIL training"}, c.ranking);
  visit(
      OptionText{
          "ablation", group,
          "run all of method x ranking, the controls too, on shared tiles, pre-training and first round"},
      c.ablation);
  visit(OptionText{"mil", group, "bag model"}, c.mil);
  visit(OptionText{"pretrain", group,
                   "self-supervised pre-training of the encoder (default: simclr unless --weights is given)"},
        c.pretrain);

  group = "Slides";
  visit(OptionText{"root", group,
                   "folder of the dataset; slides that a table names without a path are looked for there by "
                   "their id, and one folder below",
                   false},
        c.root);
  visit(OptionText{"labels", group, "label CSV (case_id,slide_id,label) in place of the dataset's", false},
        c.labels);
  visit(OptionText{"splits", group,
                   "split CSV in place of the dataset's: columns train,val,test with names (CLAM's "
                   "splits_0.csv) or True and False (splits_0_bool.csv), or slide_id,split; the paper's for "
                   "Camelyon16 is train/data/datasets/splits/camelyon16_paper.csv",
                   false},
        c.splits);
  visit(OptionText{"positive", group,
                   "name of the positive class where labels are called as you like (mutant and wildtype); "
                   "0/1, normal/tumor, negative/positive and CLAM's normal_tissue/tumor_tissue need none",
                   false},
        c.positive);
  visit(OptionText{"features", group,
                   "folder of .h5, .pt, .safetensors or .csv features of any foundation model, CLAM's and "
                   "TRIDENT's folders too; method mil only",
                   true, true},
        c.features);
  visit(OptionText{"features-key", group,
                   "name of the features in their files (default: features, feats or embeddings)"},
        c.features_key);
  visit(
      OptionText{"mpp", group, "micrometres per pixel of a patch, or native:LEVEL to read a level as it is"},
      c.mpp);
  visit(
      OptionText{
          "mpp-override", group,
          "micrometres per level-0 pixel, for slides that do not say it (0: none); a column mpp of the "
          "table holds for its slide, whatever that says"},
      c.mpp_override);
  visit(OptionText{"patch", group, "side of a patch in pixels"}, c.patch);
  visit(OptionText{"overlap", group, "pixels that neighbouring patches share"}, c.overlap);
  visit(OptionText{"min-tissue", group, "least share of tissue in a patch"}, c.min_tissue);
  visit(OptionText{"tumour-overlap", group, "least share of annotated tumour for a patch to count as tumour"},
        c.tumour_overlap);
  visit(OptionText{"tumour-groups", group,
                   "annotation groups or classes, comma-separated, that are tumour beside Tumor, _0 and _1; "
                   "unknown ones are then left out"},
        c.tumour_groups);
  visit(OptionText{"skip-bad-slides", group, "leave out slides that cannot be used instead of ending", false},
        c.skip_bad_slides);
  visit(OptionText{"phantom-slides", group, "phantom: training/validation/test slides"}, c.phantom_slides);
  visit(OptionText{"phantom-difficulty", group,
                   "phantom: tumour is 5-30 % (default) or 1-10 % (hard) of the tissue"},
        c.phantom_difficulty);

  group = "Encoder";
  visit(OptionText{"encoder", group, "network that embeds a patch"}, c.encoder);
  visit(OptionText{"width", group, "channels of its first stage (64 is the published ResNet)"}, c.width);
  visit(OptionText{"norm", group, "normalisation layers"}, c.norm);
  visit(
      OptionText{
          "bn", group,
          "statistics of BatchNorm while training: frozen, the running ones, is exact with any --chunk "
          "and wants weights that bring them; batch needs a chunk as large as the batch"},
      c.bn);
  visit(OptionText{"layer4-stride", group, "stride of the last stage; 1 keeps small patches above 2x2"},
        c.layer4_stride);
  visit(OptionText{"head-hidden", group, "width of the projection head"}, c.head_hidden);
  visit(OptionText{"head-output", group, "outputs of the projection head"}, c.head_output);
  visit(OptionText{"weights", group, "initial weights: .safetensors, .pth (SimCLR, MoCo, torchvision names)",
                   true, true},
        c.weights);
  visit(OptionText{"channels", group, "channel order that the weights expect"}, c.channels);

  group = "The run";
  visit(OptionText{"run", group, "run folder; the same command again resumes it", false}, c.run);
  visit(OptionText{"seed", group, "seed of every random number"}, c.seed);
  visit(OptionText{"threads", group, "threads (0: all cores); results do not depend on it", false},
        c.threads);
  visit(
      OptionText{
          "device", group,
          "where to compute: cpu, cuda (an NVIDIA GPU), or simt, which runs the GPU's kernels without one, "
          "slowly. Results agree within rounding, not to the bit"},
      c.device);
  visit(
      OptionText{
          "kernels", group,
          "whose convolutions and matrix products compute on cuda: the project's own, the vendor's (cuDNN, "
          "cuBLASLt), or auto: the vendor's where they load. Only own are bitwise repeatable"},
      c.kernels);
  visit(OptionText{"gpu", group,
                   "which GPU cuda is: its number for nvidia-smi, or its place in CUDA_VISIBLE_DEVICES, "
                   "from 0 (-1: the first)",
                   false},
        c.gpu);
  visit(OptionText{"switch-device", group,
                   "go on with --device in a run folder of another device; its results are then of both",
                   false},
        c.switch_device);
  visit(OptionText{"device-memory", group,
                   "most MiB of tensors on the device at a time (0: all there is); where memory runs out, "
                   "--chunk is halved",
                   false},
        c.device_memory);
  visit(
      OptionText{
          "shard", group,
          "i/n: tile and embed this part of the slides, then stop; several machines can fill one folder",
          false},
      c.shard);
  visit(OptionText{"until", group,
                   "stop after a stage: the slides are tiled, the encoder is pre-trained, patches are "
                   "embedded, the first MIL model is "
                   "trained; without it the same command goes on",
                   false},
        c.until);
  visit(OptionText{"dry-run", group, "check everything, say what would be done, compute nothing", false},
        c.dry_run);
  visit(OptionText{"checkpoint-seconds", group, "how often pre-training and MIL training are saved", false},
        c.checkpoint_seconds);

  group = "Recipe: pre-training (a preset sets these)";
  visit(OptionText{"pretrain-steps", group, "optimizer steps"}, c.pretrain_steps);
  visit(OptionText{"pretrain-batch", group, "patches per step, two views each"}, c.pretrain_batch);
  visit(OptionText{"pretrain-lr", group, "Adam's learning rate, cosine to 0"}, c.pretrain_lr);
  visit(OptionText{"pretrain-temperature", group, "temperature of NT-Xent"}, c.pretrain_temperature);
  visit(OptionText{"view-crop", group, "least area of the random resized crop"}, c.view_crop);
  visit(OptionText{"view-jitter", group,
                   "strength of brightness, contrast and saturation jitter; hue a quarter of it"},
        c.view_jitter);
  visit(OptionText{"view-blur", group, "chance of Gaussian blur"}, c.view_blur);
  visit(OptionText{"view-stain", group, "strength of stain jitter in optical density (0: none)"},
        c.view_stain);
  visit(OptionText{"view-turns", group, "vertical flips and quarter turns: tissue has no up"}, c.view_turns);

  group = "Recipe: MIL (a preset sets these)";
  visit(OptionText{"mil-epochs", group, "epochs; one is min(positive, negative) pairs of bags"},
        c.mil_epochs);
  visit(OptionText{"mil-lr", group, "Adam's learning rate"}, c.mil_lr);
  visit(OptionText{"mil-weight-decay", group, "Adam's weight decay"}, c.mil_weight_decay);
  visit(OptionText{"mil-halve-every", group, "epochs after which the learning rate halves"},
        c.mil_halve_every);
  visit(OptionText{"mil-label-epoch", group,
                   "epoch whose weights give instance scores (0: best validation loss)"},
        c.mil_label_epoch);
  visit(
      OptionText{"mil-features", group, "features as they are, or centred and divided by one global scalar"},
      c.mil_features);
  visit(OptionText{"mil-steps", group,
                   "without ranking: step on pairs with weight 0, or on single bags as the public code does"},
        c.mil_steps);
  visit(OptionText{"rank-k", group, "K of the ranking loss's top-K mean"}, c.rank_k);
  visit(OptionText{"rank-weight", group, "weight of the ranking loss"}, c.rank_weight);

  group = "Recipe: mining and fine-tuning (a preset sets these)";
  visit(OptionText{"rounds", group, "rounds of mining and fine-tuning after the first MIL training"},
        c.rounds);
  visit(OptionText{"round-epochs", group, "fine-tuning epochs a round"}, c.round_epochs);
  visit(OptionText{"warmup-epochs", group,
                   "fine-tuning epochs before the positive step and self-paced growth begin"},
        c.warmup_epochs);
  visit(OptionText{"positive-threshold", group, "least instance score of a pseudo-positive"},
        c.positive_threshold);
  visit(OptionText{"positive-fallback", group,
                   "share of top patches taken where the threshold passes under 3 % or over 50 % (0: never)"},
        c.positive_fallback);
  visit(OptionText{"positive-start", group, "self-paced share of pseudo-positives at first"},
        c.positive_start);
  visit(OptionText{"positive-end", group, "self-paced share of pseudo-positives at last"}, c.positive_end);
  visit(OptionText{"negative-ratio", group,
                   "share of negative-slide patches mined as hard negatives (method hnm)"},
        c.negative_ratio);
  visit(OptionText{"random-negatives", group,
                   "share of negative-slide patches added at random each epoch (method hnm)"},
        c.random_negatives);
  visit(
      OptionText{
          "uncertain-negatives", group,
          "two-step: after the first accepted round, step B's negatives also hold the self-paced lowest "
          "share of the patches of positive slides at or below the threshold"},
      c.uncertain_negatives);
  visit(OptionText{"finetune-loss", group,
                   "two-step: the paper's; joint: one SupCon with both classes as anchors plus NT-Xent"},
        c.finetune_loss);
  visit(OptionText{"finetune-batch", group, "patches per step, two views each"}, c.finetune_batch);
  visit(OptionText{"finetune-positives", group, "share of pseudo-positives in a batch (two-step: in step A)"},
        c.finetune_positives);
  visit(OptionText{"finetune-positives-two", group, "two-step: share of pseudo-positives in step B"},
        c.finetune_positives_two);
  visit(OptionText{"finetune-temperature", group, "temperature of the contrastive losses"},
        c.finetune_temperature);
  visit(OptionText{"finetune-lr", group, "SGD's learning rate"}, c.finetune_lr);
  visit(OptionText{"finetune-momentum", group, "SGD's momentum"}, c.finetune_momentum);
  visit(OptionText{"finetune-weight-decay", group, "SGD's weight decay"}, c.finetune_weight_decay);
  visit(OptionText{"finetune-cosine-from", group, "epoch at which the cosine schedule starts"},
        c.finetune_cosine_from);
  visit(OptionText{"gate", group,
                   "when new pseudo-labels are taken: validation AUC not worse and loss lower, or best F1 "
                   "(the paper's)"},
        c.gate);
  visit(OptionText{"finetune-on-validation", group,
                   "fine-tune on validation slides too, as the public code does"},
        c.finetune_on_validation);
  visit(
      OptionText{
          "collapse-at", group,
          "squared norm of the mean embedding that counts as collapse: the round is rolled back (0: never)"},
      c.collapse_at);
  visit(OptionText{"chunk", group,
                   "views per gradient chunk, a multiple of 8: memory against a second forward pass"},
        c.chunk);
}

}  // namespace mt::train
