#include "wsi/phantom/phantom_dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/csv.h"
#include "tensor/io/input_file.h"
#include "tensor/parallel.h"
#include "wsi/annotation.h"

namespace mt::wsi {
namespace {

namespace fs = std::filesystem;

enum class Split { train, validation, test };

struct PlannedSlide {
  std::string name;
  bool tumour = false;
  Split split = Split::train;
};

void add_training_slides(std::vector<PlannedSlide>& slides, const PhantomSetOptions& options, bool tumour) {
  const int train = tumour ? options.train_slides / 2 : options.train_slides - options.train_slides / 2;
  const int validation =
      tumour ? options.validation_slides / 2 : options.validation_slides - options.validation_slides / 2;
  for (int i = 0; i < train + validation; ++i) {
    slides.push_back({fmt::format("{}_{:03d}", tumour ? "tumor" : "normal", i + 1), tumour,
                      i < train ? Split::train : Split::validation});
  }
}

std::vector<PlannedSlide> plan_slides(const PhantomSetOptions& options) {
  std::vector<PlannedSlide> slides;
  add_training_slides(slides, options, false);
  add_training_slides(slides, options, true);
  // The names of test slides must not tell their label.
  std::vector<int> order(static_cast<std::size_t>(options.test_slides));
  std::iota(order.begin(), order.end(), 0);
  RandomStream random(options.seed, Purpose::phantom, 100);
  random.shuffle(std::span<int>(order));
  for (int i = 0; i < options.test_slides; ++i) {
    const bool tumour = order[static_cast<std::size_t>(i)] < options.test_slides / 2;
    slides.push_back({fmt::format("test_{:03d}", i + 1), tumour, Split::test});
  }
  return slides;
}

/// Where the parts of a slide go.
class Layout {
 public:
  Layout(fs::path folder, PhantomLayout layout) : folder_(std::move(folder)), layout_(layout) {}

  fs::path image(const PlannedSlide& slide) const {
    const std::string file = slide.name + ".tif";
    if (layout_ == PhantomLayout::bucket) return folder_ / "images" / file;
    if (slide.split == Split::test) return folder_ / "testing" / "images" / file;
    return folder_ / "training" / (slide.tumour ? "tumor" : "normal") / file;
  }
  fs::path annotation(const PlannedSlide& slide) const {
    const std::string file = slide.name + ".xml";
    if (layout_ == PhantomLayout::bucket) return folder_ / "annotations" / file;
    return folder_ / (slide.split == Split::test ? "testing" : "training") / "lesion_annotations" / file;
  }
  fs::path reference() const {
    return folder_ / (layout_ == PhantomLayout::bucket ? "evaluation" : "testing") / "reference.csv";
  }
  fs::path beside(const std::string& file) const { return folder_ / "phantom" / file; }
  fs::path cells(const PlannedSlide& slide) const { return beside("truth") / (slide.name + ".cells.csv"); }
  fs::path facts(const PlannedSlide& slide) const { return beside("truth") / (slide.name + ".facts.csv"); }

  void make_folders(const std::vector<PlannedSlide>& slides) const {
    fs::create_directories(beside("truth"));
    fs::create_directories(reference().parent_path());
    for (const PlannedSlide& slide : slides) {
      fs::create_directories(image(slide).parent_path());
      fs::create_directories(annotation(slide).parent_path());
    }
  }

 private:
  fs::path folder_;
  PhantomLayout layout_;
};

const char* split_name(Split split) {
  return split == Split::train ? "train" : split == Split::validation ? "val" : "test";
}

std::string cells_csv(const PhantomSlide& slide) {
  std::string text;
  for (const TissueCell& cell : slide.cells) {
    text += fmt::format("{},{},{},{},{},{:.3f},{:.3f}\n", slide.name, cell.x_level0, cell.y_level0,
                        cell.size_level0, tissue_name(cell.type), cell.tissue_share, cell.tumour_share);
  }
  return text;
}

std::string facts_csv(const PhantomSlide& slide, const PlannedSlide& planned) {
  return fmt::format("{},{},{},{},{},{:.0f},{:.0f},{},{}\n", slide.name, planned.tumour ? "tumor" : "normal",
                     split_name(planned.split), slide.image.width, slide.image.height, slide.tissue_um2,
                     slide.tumour_um2, slide.pen ? 1 : 0, slide.out_of_focus ? 1 : 0);
}

/// Camelyon16's groups: `_0` and `_2` in training, `Tumor` and `Exclusion` in testing.
Annotations with_groups(const Annotations& annotations, Split split) {
  std::vector<Polygon> polygons = annotations.polygons();
  for (Polygon& polygon : polygons) {
    polygon.group =
        split == Split::test ? (polygon.excluded ? "Exclusion" : "Tumor") : (polygon.excluded ? "_2" : "_0");
  }
  return Annotations(std::move(polygons));
}

/// The picture comes last: where it is, everything of the slide is.
void write_slide(const PlannedSlide& planned, const Layout& layout, const PhantomSetOptions& options) {
  const PhantomSlide slide =
      render_phantom(planned.name, planned.tumour, {options.seed, options.difficulty, 0.5F});
  if (planned.tumour) {
    write_file(layout.annotation(planned).string(), to_asap(with_groups(slide.tumour, planned.split)));
  }
  write_file(layout.cells(planned).string(), cells_csv(slide));
  write_file(layout.facts(planned).string(), facts_csv(slide, planned));
  TiffWriteOptions tiff;
  tiff.dialect = options.dialect;
  tiff.mpp = slide.mpp;
  write_tiff_pyramid(layout.image(planned), slide.image, tiff);
}

/// What a folder was made with; the layout is not in it, for it does not change the slides.
std::string settings_csv(const PhantomSetOptions& options) {
  return fmt::format(
      "key,value\nrecipe,2\nseed,{}\ntrain_slides,{}\nvalidation_slides,{}\ntest_slides,{}\ndifficulty,{}"
      "\ndialect,{}\n"
      "layout,{}\n",
      options.seed, options.train_slides, options.validation_slides, options.test_slides,
      to_string(options.difficulty), to_string(options.dialect), to_string(options.layout));
}

void check_settings(const fs::path& path, const PhantomSetOptions& options) {
  if (!fs::exists(path)) {
    write_file(path.string(), settings_csv(options));
    return;
  }
  const std::vector<CsvRow> there = read_csv_rows(path.string());
  const std::vector<CsvRow> wanted = parse_csv_rows(settings_csv(options), "these options");
  check(there.size() == wanted.size(), "{}: not the settings of a phantom set; choose an empty folder",
        path.string());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    check(there[i].fields == wanted[i].fields,
          "{}: this folder holds a phantom set with {} = {}, asked for is {}; choose another folder",
          path.string(), wanted[i].fields[0], there[i].fields.back(), wanted[i].fields.back());
  }
}

/// Official columns. A phantom is too small for the 2 mm of a real macro-metastasis: from a tenth of the
/// tissue on it is called one.
std::string reference_csv(const std::vector<PlannedSlide>& slides, const Layout& layout) {
  std::string text;
  for (const PlannedSlide& slide : slides) {
    if (slide.split != Split::test) continue;
    const CsvRow facts = read_csv_rows(layout.facts(slide).string()).at(0);
    const double tissue = csv_number(facts, 5, slide.name);
    const double tumour = csv_number(facts, 6, slide.name);
    const char* size = tumour >= 0.1 * tissue ? "Macro" : "Micro";
    text += slide.tumour ? fmt::format("{},Tumor,IDC,{}\n", slide.name, size)
                         : fmt::format("{},Normal,None,None\n", slide.name);
  }
  return text;
}

std::string splits_csv(const std::vector<PlannedSlide>& slides) {
  std::array<std::vector<std::string>, 3> columns;
  for (const PlannedSlide& slide : slides)
    columns[static_cast<std::size_t>(slide.split)].push_back(slide.name);
  std::size_t rows = 0;
  for (const auto& column : columns) rows = std::max(rows, column.size());
  std::string text = "train,val,test\n";
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      text += fmt::format("{}{}", i > 0 ? "," : "", row < columns[i].size() ? columns[i][row] : "");
    }
    text += '\n';
  }
  return text;
}

void write_summaries(const std::vector<PlannedSlide>& slides, const Layout& layout) {
  std::string cells = "slide,x_level0,y_level0,size_level0,tissue,tissue_share,tumour_share\n";
  std::string facts = "slide,label,split,width,height,tissue_um2,tumour_um2,pen,out_of_focus\n";
  for (const PlannedSlide& slide : slides) {
    cells += read_file(layout.cells(slide).string());
    facts += read_file(layout.facts(slide).string());
  }
  write_file(layout.beside("tissue_types.csv").string(), cells);
  write_file(layout.beside("slides.csv").string(), facts);
  write_file(layout.beside("splits.csv").string(), splits_csv(slides));
  write_file(layout.reference().string(), reference_csv(slides, layout));
}

template <typename Value>
Value parse_name(const char* flag, const std::string& name, std::initializer_list<Value> values) {
  std::string known;
  for (const Value value : values) {
    if (name == to_string(value)) return value;
    known += (known.empty() ? "" : ", ") + std::string(to_string(value));
  }
  throw UsageError(fmt::format("{} \"{}\" is not one of {}", flag, name, known));
}

}  // namespace

PhantomSetSummary write_phantom_set(const fs::path& folder, const PhantomSetOptions& options) {
  check(options.train_slides >= 0 && options.validation_slides >= 0 && options.test_slides >= 0 &&
            options.train_slides + options.validation_slides + options.test_slides > 0,
        "phantom set: the numbers of slides must not be negative, nor all zero");
  const std::vector<PlannedSlide> slides = plan_slides(options);
  const Layout layout(folder, options.layout);
  layout.make_folders(slides);
  check_settings(layout.beside("settings.csv"), options);

  PhantomSetSummary summary;
  std::mutex mutex;
  const int total = static_cast<int>(slides.size());
  parallel_for(total, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const PlannedSlide& slide = slides[static_cast<std::size_t>(i)];
      const bool there = fs::exists(layout.image(slide));
      if (!there) write_slide(slide, layout, options);
      const std::scoped_lock lock(mutex);
      ++(there ? summary.kept : summary.written);
      if (options.progress) options.progress(summary.kept + summary.written, total);
    }
  });
  write_summaries(slides, layout);
  return summary;
}

const char* to_string(PhantomDifficulty difficulty) {
  return difficulty == PhantomDifficulty::hard ? "hard" : "default";
}
const char* to_string(PhantomLayout layout) {
  return layout == PhantomLayout::bucket ? "bucket" : "official";
}
const char* to_string(TiffDialect dialect) {
  return dialect == TiffDialect::philips ? "philips" : dialect == TiffDialect::aperio ? "aperio" : "generic";
}

PhantomDifficulty parse_difficulty(const std::string& name) {
  return parse_name("difficulty", name, {PhantomDifficulty::standard, PhantomDifficulty::hard});
}
PhantomLayout parse_layout(const std::string& name) {
  return parse_name("layout", name, {PhantomLayout::official, PhantomLayout::bucket});
}
TiffDialect parse_dialect(const std::string& name) {
  return parse_name("dialect", name, {TiffDialect::philips, TiffDialect::generic, TiffDialect::aperio});
}

}  // namespace mt::wsi
