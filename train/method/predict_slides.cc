#include "train/method/predict_slides.h"

#include <cstdio>
#include <filesystem>
#include <new>

#include "tensor/check.h"
#include "tensor/text.h"
#include "train/cli/interrupt.h"
#include "train/data/datasets/slide_names.h"

namespace mt::train {
namespace {

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
  Work(const Predictor& predictor, const std::vector<GivenSlide>& slides, PredictionFolder& folder)
      : predictor_(predictor), slides_(slides), folder_(folder) {}

  /// What is finished is kept, whatever ends it.
  void run() {
    try {
      look_around();
      std::printf("%-28s %8s %10s %-8s %8s\n", "slide", "score", "threshold", "class", "patches");
      for (std::size_t i = 0; i < slides_.size(); ++i) {
        check_interrupted();
        take(slides_[i], plans_[i]);
      }
    } catch (const Interrupted& interrupted) {
      folder_.finish();
      throw Error(fmt::format("interrupted; {} of {} finished and kept in {}: the same command again keeps "
                              "them and goes on with the others",
                              done_, counted(slides_.size(), "slide"), folder_.path().string()),
                  interrupted.exit_code());
    } catch (const Error&) {
      try {
        folder_.finish();
      } catch (const Error&) {  // the first error says it
      }
      throw;
    }
    folder_.finish();
  }

  bool summary() const {
    std::string text = counted(slides_.size(), "slide");
    if (kept_ > 0) text += fmt::format(", {} of them as before", kept_);
    if (failed_ > 0) text += fmt::format(", {} failed", failed_);
    std::printf("%s: %s\n", text.c_str(),
                printable((folder_.path() / PredictionFolder::kCsv).string(), 1000).c_str());
    return failed_ == 0;
  }

 private:
  /// What is known of a slide before it is predicted.
  struct Plan {
    bool is_kept = false;       // its result is there
    std::string source_sha256;  // empty: it cannot be read
  };

  /// Throws Error for files that are not predict's, before anything is computed.
  void look_around() {
    std::vector<std::string> foreign;
    for (const GivenSlide& slide : slides_) {
      check_interrupted();
      Plan& plan = plans_.emplace_back();
      if (!slide.problem.empty()) continue;
      const SlidePrediction* before = folder_.find(slide.record.id);
      const Predictor::Source source = predictor_.source_of(slide.record);
      plan.source_sha256 = source.sha256;
      plan.is_kept = before != nullptr && before->made_from == source.made_from && folder_.is_whole(*before);
      if (plan.is_kept) continue;
      if (before != nullptr && !folder_.overwrites()) check_same_slide(*before, slide.record, source);
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
    } catch (const Error& error) {
      fail(slide, plan, error.what());
      return false;
    } catch (const std::bad_alloc&) {
      fail(slide, plan, slide.record.path.string() + ": out of memory");
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
  const std::vector<GivenSlide>& slides_;
  PredictionFolder& folder_;
  std::vector<Plan> plans_;  // of slides_
  std::size_t done_ = 0;
  std::size_t kept_ = 0;
  std::size_t failed_ = 0;
};

}  // namespace

bool predict_slides(const Predictor& predictor, const GivenSlides& given, PredictionFolder& folder) {
  for (const std::string& note : given.notes) std::printf("note: %s\n", printable(note, 4000).c_str());
  Work work(predictor, given.slides, folder);
  work.run();
  return work.summary();
}

}  // namespace mt::train
