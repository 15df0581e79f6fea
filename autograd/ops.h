#pragma once
// Everything that gradients can flow through. Each is a rule (autograd/rule.h), forward and backward side by side in
//   ops_dense.cc      linear, matmul, conv2d, conv2d_pixels
//   ops_norm.cc       instance_norm, batch_norm_train, batch_norm_eval, max_pool, global_average_pool
//   ops_pointwise.cc  add, sub, mul, scale, activation, softmax, l2_normalise, sum, mean, subtract_column_mean
//   ops_shape.cc      reshape, slice_rows, concat_rows, gather_rows
//   ops_mil.cc        dsmil_attention, gated_attention, max_instances
//   ops_loss.cc       supcon, rank_hinge, bce
// f32 runs on the tensor's device, f64 on the double reference. The math of each is in kernels/OP/OP.md; shapes that do not fit are an
// Error that names the operation. A Variable that is not defined() means "there is none" where the text says so. Inputs are contiguous.

#include <vector>

#include "autograd/tape.h"
#include "kernels/activation/activation.h"
#include "kernels/copy/copy.h"
#include "kernels/gemm/gemm.h"
#include "kernels/pool/pool.h"
#include "kernels/supcon/supcon.h"

namespace mt::ops {

// ---- dense ----

/// act(x wᵀ + b): x (N,I), weight (O,I), bias (O) or none → (N,O).
Variable linear(const Variable& x, const Variable& weight, const Variable& bias,
                GemmActivation activation = GemmActivation::none);
/// op(a) op(b): (M,K) (K,N) → (M,N), each transposed first where asked.
Variable matmul(const Variable& a, const Variable& b, bool transpose_a = false, bool transpose_b = false);
/// x (N,H,W,C), weight (K,R,S,C) → (N,P,Q,K); same stride and zero padding in both directions.
Variable conv2d(const Variable& x, const Variable& weight, int64_t stride, int64_t padding);
/// conv2d of x = Copy::image_to_float(pixels, scaling), pixels (N,H,W,3) of u8: the same bits, but the pass
/// reads and the tape keeps bytes. The weight alone has a gradient; only there x is made, for a while.
Variable conv2d_pixels(const Tensor& pixels, const ImageScaling& scaling, const Variable& weight,
                       int64_t stride, int64_t padding);

// ---- normalisation and pooling of (N,H,W,C) ----

/// y = act((x − mean) / √(variance + eps) · gamma + beta + residual).
struct NormOptions {
  Variable gamma;     // (C) or none
  Variable beta;      // (C) or none
  Variable residual;  // (N,H,W,C) or none
  bool relu = false;
  double eps = 1e-5;
};
/// Statistics per image and channel.
Variable instance_norm(const Variable& x, const NormOptions& options);
/// Statistics per channel of the batch. Updates running_mean, running_var (C) in place, but not when a
/// segment is recomputed.
Variable batch_norm_train(const Variable& x, const NormOptions& options, const Tensor& running_mean,
                          const Tensor& running_var, double momentum);
/// Frozen statistics running_mean, running_var (C).
Variable batch_norm_eval(const Variable& x, const NormOptions& options, const Tensor& running_mean,
                         const Tensor& running_var);
/// global_average_pool of the norm, (N,H,W,C) → (N,C), with the bits of the two rules. Where nothing is
/// recorded, as when patches are embedded, the norm's own result is never written.
Variable instance_norm_average(const Variable& x, const NormOptions& options);
Variable batch_norm_eval_average(const Variable& x, const NormOptions& options, const Tensor& running_mean,
                                 const Tensor& running_var);
/// → (N,P,Q,C); of equal values the first in the window takes the gradient.
Variable max_pool(const Variable& x, const PoolWindow& window);
/// → (N,C)
Variable global_average_pool(const Variable& x);

// ---- pointwise, rows, reductions ----

Variable add(const Variable& a, const Variable& b);  ///< same shapes
Variable sub(const Variable& a, const Variable& b);
Variable mul(const Variable& a, const Variable& b);
Variable scale(const Variable& x, double factor);
Variable activation(ActivationKind kind, const Variable& x);
/// Over the columns of (R,C).
Variable softmax(const Variable& x);
/// Rows of (R,C) divided by max(their length, 1e-12).
Variable l2_normalise(const Variable& x);
/// → a scalar of rank 0
Variable sum(const Variable& x);
Variable mean(const Variable& x);
/// Each row of (R,C) minus the mean of all rows.
Variable subtract_column_mean(const Variable& x);

// ---- shape ----

Variable reshape(const Variable& x, const Shape& shape);
/// Rows [begin, end): the outermost dimension.
Variable slice_rows(const Variable& x, int64_t begin, int64_t end);
Variable concat_rows(const std::vector<Variable>& parts);
/// x (R,C), indices i64 (count) → (count,C)
Variable gather_rows(const Variable& x, const Tensor& indices);

// ---- multiple-instance learning: one bag of N instances ----

/// For each class the smallest index of its largest logit: logits (N,C) → i64 (C). No gradient.
Tensor critical_instances(const Tensor& logits);

struct AttentionPooling {
  Variable pooled;
  Tensor attention;  // for looking at; no gradient flows through it
};
/// attention[·,c] = softmax over n of scale · q[n]·q[critical[c]]; pooled[c] = Σ attention[n,c] values[n].
/// q (N,Q), critical i64 (C), values (N,V) → pooled (C,V), attention (N,C).
AttentionPooling dsmil_attention(const Variable& q, const Tensor& critical, const Variable& values,
                                 double scale);
/// attention = softmax over n of Σ_k w[k] tanh(gate_v[n,k]) sigmoid(gate_u[n,k]); pooled = Σ attention[n]
/// h[n]. gate_v, gate_u (N,K), w (1,K), h (N,L) → pooled (1,L), attention (N).
AttentionPooling gated_attention(const Variable& gate_v, const Variable& gate_u, const Variable& w,
                                 const Variable& h);
/// The largest instance logit of each class: (N,C) → (C). The first of equal ones takes the gradient.
Variable max_instances(const Variable& logits);

// ---- losses ----

struct SupConOptions {
  Tensor labels;     // i32 (R): 0 is negative, else positive; for NT-Xent the images' numbers
  Tensor uncertain;  // u8 (R) or undefined: rows that are never a column
  PairMode pair_mode = PairMode::all;
  double temperature = 0.07;
  double base_temperature = 0.07;
  int64_t anchors = 0;    // rows [0, anchors) are anchors; 0: all
  Tensor positive_pairs;  // u8 (I,I) or undefined: row r shows image r % I, nonzero = a positive pair;
                          // instead of labels
};
/// z (R,D), rows of length 1 → a scalar. kernels/supcon/supcon.h has the formula.
Variable supcon(const Variable& z, const SupConOptions& options);

/// Bag p of the pairs: positive logits [offsets[2p], offsets[2p+1]), negative ones up to offsets[2p+2].
/// max(0, 1 − mean of the top positive logits + mean of the top negative ones): logits (n) → (pairs).
Variable rank_hinge(const Variable& logits, const std::vector<int64_t>& offsets, int64_t top);

/// Mean binary cross-entropy with logits: logits and targets of one shape → a scalar.
Variable bce(const Variable& logits, const Tensor& targets, double pos_weight = 1);

}  // namespace mt::ops
