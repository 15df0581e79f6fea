#pragma once
// Sums of products as tensor cores make them.
//
// Measured on V100 and A100 (Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores",
// PeerJ Computer Science 7:e330, 2021): products are exact; a block of them and the accumulator are shifted
// to the largest exponent, cut there to a few bits more than a float has, added without rounding, and the sum
// is cut to a float. Nobody rounds to nearest. Blocks: 4 products of TF32, 8 of bf16. What an H100 does has
// not been published in that detail: the machine takes the same for it.

namespace mt::ptx {

/// c (rows, columns) += a (rows, depth) · b (depth, columns), all row major, in blocks of 4 or 8 products.
/// columns: 8 or 16; rows at most 64; a multiple of the block in depth.
void multiply_matrices(float* c, const float* a, const float* b, int rows, int columns, int depth, int block);

}  // namespace mt::ptx
