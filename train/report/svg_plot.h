#pragma once
// Curves as inline SVG.

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mt::train {

struct Curve {
  std::string label;
  std::vector<double> x;
  std::vector<double> y;  // NaN leaves a gap
  std::string colour;     // a CSS colour
  bool dashed = false;
  bool dots = false;  // mark every point: for few points
  bool line = true;   // false: the points alone
};

/// A straight line over the whole plot.
struct GuideLine {
  enum class Kind { horizontal, vertical } kind = Kind::horizontal;
  double at = 0;
  std::string label;  // shown at its end; may be empty
};

struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Curve> curves;
  std::vector<GuideLine> lines;
  bool whole_x = false;                              // x counts something: whole numbers on its axis
  bool whole_y = false;                              // the same of y, whose sign only says which side
  bool diagonal = false;                             // from (0,0) to (1,1): chance
  std::optional<std::pair<double, double>> x_range;  // by default what the curves need
  std::optional<std::pair<double, double>> y_range;
};

/// A <figure> with title, SVG and legend (where some curve has a label). Curves of many points are thinned to
/// what can be seen. A plot without a finite point says so.
std::string draw_plot(const Plot& plot);

/// At most `bins` points, each the mean of its neighbours: the trend of a noisy curve.
Curve binned_mean(Curve curve, std::size_t bins);

/// Round numbers that cover [low, high] in about `count` steps of at least `least_step`.
std::vector<double> nice_ticks(double low, double high, int count, double least_step = 0);

/// Colours that colour-blind people tell apart (Okabe and Ito, 2008).
inline constexpr const char* kBlue = "#0072b2";
inline constexpr const char* kVermilion = "#d55e00";
inline constexpr const char* kGreen = "#009e73";
inline constexpr const char* kPurple = "#a3588f";
inline constexpr const char* kGrey = "#777";

}  // namespace mt::train
