// bin/predict: a finished run applied to slides.

#include "kernels/common/tables.h"
#include "kernels/device/device.h"
#include "tensor/parallel.h"
#include "train/cli/interrupt.h"
#include "train/cli/predict_options.h"
#include "train/cli/program.h"
#include "train/cli/wait_policy.h"
#include "train/data/given_slides.h"
#include "train/method/predict_slides.h"
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

int run(const PredictOptions& options) {
  const Device device = use_device(options);
  const Predictor predictor({options.run, options.variant, options.mpp_override, options.features_key,
                             options.region_score, device});
  const GivenSlides given =
      given_slides({options.inputs, options.features, options.root, options.out, predictor.features_run()});
  PredictionFolder folder(options.out, predictor.model(), options.overwrite);
  return predict_slides(predictor, given, folder) ? 0 : 1;
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
