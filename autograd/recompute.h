#pragma once
// Gradient checkpointing: trade a second forward pass for memory (Chen et al., "Training deep nets with
// sublinear memory cost", 2016).

#include <functional>

#include "autograd/tape.h"

namespace mt {

using Segment = std::function<Variable(const Variable& input)>;

/// segment(input), of which only the input is kept: backward() runs the segment again, this time with a tape,
/// and goes through that one at once. Values and gradients are bitwise those of segment(input) called
/// directly, as rules are deterministic. The segment may use parameters of its own, which get their gradients
/// as ever.
Variable recompute(Segment segment, const Variable& input);

/// True within the second run of a segment. BatchNorm asks, so as not to update its running statistics twice.
bool is_recomputing();

}  // namespace mt
