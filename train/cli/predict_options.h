#pragma once
// The command line of predict.

#include <optional>
#include <string>
#include <vector>

#include "tensor/device.h"

namespace mt::train {

struct PredictOptions {
  std::string run;
  std::string variant;
  std::string out = "predictions";
  std::vector<std::string> inputs;    // slides, folders, tables; or features
  std::vector<std::string> features;  // --features
  std::string features_key;
  std::string root;
  bool overwrite = false;
  double mpp_override = 0;  // 0: as in the run
  float region_score = 0.5F;
  int threads = 0;
  std::string device = "cpu";
  int gpu = -1;  // the first
  std::string kernels = "auto";
};

/// Nothing after --help and --version, which are printed here. Throws UsageError.
std::optional<PredictOptions> parse_predict_options(int argc, const char* const* argv);

}  // namespace mt::train
