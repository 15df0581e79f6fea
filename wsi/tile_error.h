#pragma once
// The error of a damaged tile.

#include <string>

#include "tensor/check.h"

namespace mt::wsi {

/// A tile that cannot be read: the file is damaged there, and everywhere else the slide is as good as before.
/// The text names file, level, tile and place.
class TileError : public Error {
 public:
  TileError(const std::string& message, int damaged_level, double x_level0, double y_level0,
            double width_level0, double height_level0)
      : Error(message),
        level(damaged_level),
        x(x_level0),
        y(y_level0),
        width(width_level0),
        height(height_level0) {}
  int level;
  double x, y, width, height;  // the tile's rectangle in level-0 pixels
};

}  // namespace mt::wsi
