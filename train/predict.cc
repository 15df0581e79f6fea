// bin/predict: a finished run applied to slides.

#include <cstdio>
#include <filesystem>

#include "kernels/common/tables.h"
#include "kernels/device/device.h"
#include "tensor/check.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/cli/interrupt.h"
#include "train/cli/predict_options.h"
#include "train/cli/program.h"
#include "train/cli/wait_policy.h"
#include "train/data/datasets/slide_names.h"
#include "train/data/given_slides.h"
#include "train/method/predictor.h"
#include "train/run/prediction_folder.h"

namespace mt::train {
namespace {

Device use_device(const PredictOptions& options) {
  if (options.threads > 0) set_thread_count(options.threads);
  const Device device = parse_device(options.device);
  if (options.gpu >= 0) choose_gpu(options.gpu);
  require_device(device);
  choose_kernels(options.kernels, device);
  return device;
}

/// Score and threshold with as many decimals as it takes to see which is larger.
std::pair<std::string, std::string> score_and_threshold(const SlidePrediction& slide) {
  for (int decimals = 6;; decimals += 3) {
    std::pair texts(fmt::format("{:.{}f}", slide.score, decimals),
                    fmt::format("{:.{}f}", slide.threshold, decimals));
    if (texts.first != texts.second || slide.score == slide.threshold || decimals > 15) return texts;
  }
}

void print_row(const SlidePrediction& slide) {
  const auto [score, threshold] = score_and_threshold(slide);
  for (const std::string& note : slide.notes)
    std::printf("note: %s: %s\n", printable(slide.slide_id).c_str(), printable(note, 1000).c_str());
  std::printf("%-28s %8s %10s %-8s %8lld\n", printable(slide.slide_id).c_str(), score.c_str(),
              threshold.c_str(), printable(slide.call, 40).c_str(), static_cast<long long>(slide.patches));
  std::fflush(stdout);
}

class Work {
 public:
  Work(const PredictOptions& options, const Predictor& predictor, GivenSlides given)
      : predictor_(predictor),
        given_(std::move(given)),
        folder_(options.out, predictor.model(), options.overwrite),
        overwrite_(options.overwrite) {
    for (const std::string& note : given_.notes) std::printf("note: %s\n", printable(note, 4000).c_str());
  }

  /// Throws Error for files that are not predict's, before anything is computed.
  void look_around() {
    std::vector<std::string> foreign;
    for (const GivenSlide& slide : given_.slides) {
      check_interrupted();
      Plan& plan = plans_.emplace_back();
      if (!slide.problem.empty()) continue;
      const SlidePrediction* before = folder_.find(slide.record.id);
      const Predictor::Source source = predictor_.source_of(slide.record);
      plan.source_sha256 = source.sha256;
      plan.is_kept = before != nullptr && before->made_from == source.made_from && folder_.is_whole(*before);
      if (plan.is_kept) continue;
      if (before != nullptr && !overwrite_) check_same_slide(*before, slide.record, source);
      for (std::string& name : folder_.foreign(prediction_file_names(slide.record.id)))
        foreign.push_back(std::move(name));
    }
    check(
        foreign.empty(),
        "{}: {} that predict did not write, or that {} changed since: {}; take another --out, move {} away, "
        "or --overwrite replaces {}",
        folder_.path().string(), counted(foreign.size(), "file"), foreign.size() == 1 ? "was" : "were",
        listed(foreign, 5), foreign.size() == 1 ? "it" : "them", foreign.size() == 1 ? "it" : "them");
  }

  /// Predicts slide after slide. What is finished is kept, whatever ends it.
  void run() {
    std::printf("%-28s %8s %10s %-8s %8s\n", "slide", "score", "threshold", "class", "patches");
    try {
      for (std::size_t i = 0; i < given_.slides.size(); ++i) {
        check_interrupted();
        take(given_.slides[i], plans_[i]);
      }
    } catch (const Interrupted&) {
      folder_.finish();
      throw Error(fmt::format("interrupted; {} of {} finished and kept in {}: the same command again keeps "
                              "them and goes on with the others",
                              done_, counted(given_.slides.size(), "slide"), folder_.path().string()),
                  Interrupted().exit_code());
    } catch (const Error&) {
      try {
        folder_.finish();
      } catch (const Error&) {  // the first error says it
      }
      throw;
    }
    folder_.finish();
  }

  int summary() const {
    std::string text = counted(given_.slides.size(), "slide");
    if (kept_ > 0) text += fmt::format(", {} of them as before", kept_);
    if (failed_ > 0) text += fmt::format(", {} failed", failed_);
    std::printf("%s: %s\n", text.c_str(),
                printable((folder_.path() / PredictionFolder::kCsv).string(), 1000).c_str());
    return failed_ == 0 ? 0 : 1;
  }

 private:
  /// What is known of a slide before it is predicted.
  struct Plan {
    bool is_kept = false;       // its result is there
    std::string source_sha256;  // empty: it cannot be read
  };

  void take(const GivenSlide& slide, const Plan& plan) {
    if (!slide.problem.empty()) {
      fail(slide, plan, slide.problem);
      return;
    }
    if (plan.is_kept) {
      ++kept_;
      print_row(*folder_.find(slide.record.id));
    } else if (!predict(slide, plan)) {
      return;
    }
    ++done_;
  }

  bool predict(const GivenSlide& slide, const Plan& plan) {
    Prediction prediction;
    try {
      prediction = predictor_.predict(slide.record);
    } catch (const Interrupted&) {
      throw;
    } catch (const OutOfMemory&) {
      throw;
    } catch (const Error& error) {
      fail(slide, plan, error.what());
      return false;
    }
    folder_.keep(prediction.result, prediction_files(prediction));
    print_row(prediction.result);
    return true;
  }

  /// An older result stays where the slide cannot be read now, and goes where it is another slide now.
  void fail(const GivenSlide& slide, const Plan& plan, const std::string& reason) {
    std::fflush(stdout);
    std::fprintf(stderr, "error: %s\n", printable(reason, 4000).c_str());
    ++failed_;
    const SlidePrediction* before = folder_.find(slide.record.id);
    if (before != nullptr && (plan.source_sha256.empty() || plan.source_sha256 == before->source_sha256))
      return;
    const std::string path = slide.record.path.empty()
                                 ? ""
                                 : std::filesystem::absolute(slide.record.path).lexically_normal().string();
    folder_.fail({as_utf8(slide.record.id), as_utf8(path), as_utf8(reason)});
  }

  /// A slide of the same name and another place is another slide.
  void check_same_slide(const SlidePrediction& before, const SlideRecord& now,
                        const Predictor::Source& source) const {
    const std::string path = as_utf8(std::filesystem::absolute(now.path).lexically_normal().string());
    check(before.path == path || before.source_sha256 == source.sha256 || source.sha256.empty(),
          "{}: slide {} is there already, predicted from {}, and {} is another; take another --out, or give "
          "it another name in a table (slide_id,path)",
          folder_.path().string(), printable(now.id, 80), before.path, path);
  }

  const Predictor& predictor_;
  GivenSlides given_;
  PredictionFolder folder_;
  bool overwrite_;
  std::vector<Plan> plans_;  // of given_.slides
  std::size_t done_ = 0;
  std::size_t kept_ = 0;
  std::size_t failed_ = 0;
};

int run(const PredictOptions& options) {
  const Device device = use_device(options);
  const Predictor predictor({options.run, options.variant, options.mpp_override, options.features_key,
                             options.region_score, device});
  GivenSlides given =
      given_slides({options.inputs, options.features, options.root, options.out, predictor.features_run()});
  Work work(options, predictor, std::move(given));
  work.look_around();
  work.run();
  return work.summary();
}

}  // namespace
}  // namespace mt::train

int main(int argc, char** argv) {
  mt::train::wait_without_spinning(argv);
  mt::train::catch_interrupts();
  return mt::train::program_main([&] {
    const auto options = mt::train::parse_predict_options(argc, argv);
    return options ? mt::train::run(*options) : 0;
  });
}
