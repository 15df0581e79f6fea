#pragma once
// A whole dataset of phantom slides, laid out on disk as Camelyon16 is.

#include <cstdint>
#include <filesystem>
#include <functional>

#include "wsi/phantom/phantom.h"
#include "wsi/tiff/writer.h"

namespace mt::wsi {

/// official: training/{normal,tumor}, training/lesion_annotations,
/// testing/{images,lesion_annotations,reference.csv}. bucket: images, annotations, evaluation/reference.csv.
/// The slides are the same bytes in both.
enum class PhantomLayout { official, bucket };

struct PhantomSetOptions {
  uint64_t seed = 1;
  int train_slides = 100;  // half of each kind (the odd one normal) carries tumour
  int validation_slides = 30;
  int test_slides = 50;
  PhantomDifficulty difficulty = PhantomDifficulty::standard;
  TiffDialect dialect = TiffDialect::philips;
  PhantomLayout layout = PhantomLayout::official;
  /// Called after each slide, from any thread but never from two at once: slides done, slides in all.
  std::function<void(int, int)> progress;
};

struct PhantomSetSummary {
  int written = 0;
  int kept = 0;  // were already there, complete
};

/// Writes the set into `folder`. Beside the layout stand phantom/splits.csv (columns train,val,test),
/// phantom/slides.csv (what each slide is) and phantom/tissue_types.csv (the commonest tissue of every 64 um
/// cell). Slides that are there already are kept, so an interrupted call can be repeated; a folder that holds
/// a set of other options is an Error that names the first that differs.
PhantomSetSummary write_phantom_set(const std::filesystem::path& folder, const PhantomSetOptions& options);

/// Names for flags and files; the parsers throw UsageError with the names they know.
const char* to_string(PhantomDifficulty difficulty);
const char* to_string(PhantomLayout layout);
const char* to_string(TiffDialect dialect);
PhantomDifficulty parse_difficulty(const std::string& name);
PhantomLayout parse_layout(const std::string& name);
TiffDialect parse_dialect(const std::string& name);

}  // namespace mt::wsi
