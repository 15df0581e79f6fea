#include "autograd/ops.h"

namespace mt::ops {

std::span<const Rule> rules() {
  static constexpr Rule kRules[] = {
      {"linear", "y = act(x wᵀ + b)", "g = dy · act'(y); dx = g w, dw = gᵀ x, db = Σ rows of g"},
      {"matmul", "y = a b", "da = dy bᵀ, db = aᵀ dy (transposed where the inputs were)"},
      {"conv2d", "y = x ⋆ w", "dx = dy correlated with the flipped w, dw = x correlated with dy"},
      {"conv2d_pixels", "y = ((u8/255 − mean) / std) ⋆ w", "dw as conv2d's"},
      {"instance_norm", "y = act(γ x̂ + β + r), per image",
       "g = dy · [y>0]; dx = γ/σ (g − mean g − x̂ mean(g x̂)), dr = g"},
      {"batch_norm_train", "the same, per batch", "the same, means over the batch"},
      {"batch_norm_eval", "the same, frozen", "dx = g γ/σ, dγ = Σ g x̂, dβ = Σ g, dr = g"},
      {"max_pool", "y = max over a window", "dx = dy at the first maximum"},
      {"global_average_pool", "y = mean over pixels", "dx = dy / pixels"},
      {"add", "y = a + b", "da = dy, db = dy"},
      {"sub", "y = a − b", "da = dy, db = −dy"},
      {"mul", "y = a · b", "da = dy · b, db = dy · a"},
      {"scale", "y = k x", "dx = k dy"},
      {"activation", "y = f(x)", "dx = dy · f'(x)"},
      {"softmax", "y = eˣ / Σ eˣ", "dx = y (dy − Σ dy y)"},
      {"l2_normalise", "y = x / ‖x‖", "dx = (dy − y (y·dy)) / ‖x‖"},
      {"sum", "y = Σ x", "dx = dy everywhere"},
      {"subtract_column_mean", "y = x − mean of rows", "dx = dy − mean of rows of dy"},
      {"reshape", "y = x", "dx = dy"},
      {"slice_rows", "y = x[b:e]", "dx = dy in rows b to e, 0 elsewhere"},
      {"concat_rows", "y = [a; b; …]", "da, db, … = their rows of dy"},
      {"gather_rows", "y[i] = x[index i]", "dx[index i] += dy[i]"},
      {"dsmil_attention", "pooled = softmax(k q q_c) v", "kernels/dsmil/dsmil.md"},
      {"gated_attention", "pooled = softmax(w (tanh v ⊙ σ(u))) h",
       "kernels/gated_attention/gated_attention.md"},
      {"supcon", "SupCon and NT-Xent", "kernels/supcon/supcon.md"},
      {"rank_hinge", "max(0, 1 − top⁺ + top⁻)", "∓ dy / K at the chosen instances while the hinge is open"},
      {"bce", "mean of w y log(1+e⁻ˣ) + (1−y) log(1+eˣ)", "dx = dy ((1−y) σ(x) − w y σ(−x)) / n"},
      {"recompute", "y = segment(x)", "the segment again, with a tape"},
  };
  return kRules;
}

}  // namespace mt::ops
