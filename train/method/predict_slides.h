#pragma once
// predict's work: slide after slide, into a folder.

#include "train/data/given_slides.h"
#include "train/method/predictor.h"
#include "train/run/prediction_folder.h"

namespace mt::train {

/// Predicts every slide that the folder does not hold already, prints a row for each, and finishes the
/// folder. A slide that cannot be predicted costs an error line; false when there was one. Throws Error
/// before anything is computed where a slide's files would replace what predict did not write, and for a
/// folder that cannot be written; Error with the exit code of Interrupted after Ctrl-C, when what is finished
/// is kept.
bool predict_slides(const Predictor& predictor, const GivenSlides& given, PredictionFolder& folder);

}  // namespace mt::train
