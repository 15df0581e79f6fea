// Rules of attention pooling over the instances of one bag.

#include "autograd/arithmetic.h"
#include "autograd/dispatch.h"
#include "autograd/ops.h"
#include "autograd/rule.h"
#include "kernels/dsmil/dsmil.h"
#include "kernels/gated_attention/gated_attention.h"

namespace mt::ops {
namespace {

/// pooled = softmax(k q q_c) v; kernels/dsmil/dsmil.md derives the gradients
struct DsmilAttention {
  static constexpr const char* kName = "dsmil_attention";
  DsmilShape shape;
  Saved critical;     // (C)
  Saved attention;    // (N,C), which forward fills
  Saved q = {};       // (N,Q)
  Saved values = {};  // (N,V)
  auto saves() { return std::tie(critical, attention, q, values); }

  Tensor forward(const Tensor& query, const Tensor& v) {
    q = query;
    values = v;
    const Tensor pooled = empty_like(query, Shape{shape.classes, shape.value_width});  // (C,V)
    by_dtype(query.dtype(), kName, [&]<typename T>() {
      mt::dsmil<T>(query.device())
          .forward(shape, query.data<T>(), critical.kept().data<int64_t>(), v.data<T>(),
                   attention.kept().data<T>(), pooled.data<T>(), kDefaultStream);
    });
    return pooled;
  }
  Gradients backward(const Tensor& dpooled, const Wanted& wanted) const {
    Gradients gradients{empty_like(q.get()),
                        wanted[1] ? empty_like(values.get()) : Tensor()};  // (N,Q), (N,V)
    by_dtype(dpooled.dtype(), kName, [&]<typename T>() {
      mt::dsmil<T>(dpooled.device())
          .backward(shape, q.get().data<T>(), critical.get().data<int64_t>(), values.get().data<T>(),
                    attention.get().data<T>(), dpooled.data<T>(), nullptr, gradients[0].data<T>(),
                    wanted[1] ? gradients[1].data<T>() : nullptr, kDefaultStream);
    });
    return gradients;
  }
};

/// pooled = softmax(w (tanh v ⊙ σ(u))) h; kernels/gated_attention/gated_attention.md derives the gradients
struct GatedAttention {
  static constexpr const char* kName = "gated_attention";
  GatedAttentionShape shape;
  Saved attention;  // (N), which forward fills
  Saved v = {};     // (N,K)
  Saved u = {};     // (N,K)
  Saved w = {};     // (1,K)
  Saved h = {};     // (N,L)
  auto saves() { return std::tie(attention, v, u, w, h); }

  Tensor forward(const Tensor& gate_v, const Tensor& gate_u, const Tensor& weight, const Tensor& instances) {
    v = gate_v;
    u = gate_u;
    w = weight;
    h = instances;
    const Tensor logits = empty_like(instances, Shape{shape.instances});  // (N)
    const Tensor pooled = empty_like(instances, Shape{1, shape.width});   // (1,L)
    by_dtype(instances.dtype(), kName, [&]<typename T>() {
      mt::gated_attention<T>(instances.device())
          .forward(shape, gate_v.data<T>(), gate_u.data<T>(), weight.data<T>(), instances.data<T>(),
                   logits.data<T>(), attention.kept().data<T>(), pooled.data<T>(), kDefaultStream);
    });
    return pooled;
  }
  Gradients backward(const Tensor& dpooled, const Wanted& wanted) const {
    Gradients gradients{empty_like(v.get()), empty_like(u.get()), empty_like(w.get()),
                        wanted[3] ? empty_like(h.get()) : Tensor()};
    by_dtype(dpooled.dtype(), kName, [&]<typename T>() {
      mt::gated_attention<T>(dpooled.device())
          .backward(shape, v.get().data<T>(), u.get().data<T>(), w.get().data<T>(), h.get().data<T>(),
                    attention.get().data<T>(), dpooled.data<T>(), nullptr, gradients[0].data<T>(),
                    gradients[1].data<T>(), gradients[2].data<T>(),
                    wanted[3] ? gradients[3].data<T>() : nullptr, kDefaultStream);
    });
    return gradients;
  }
};

}  // namespace

Tensor critical_instances(const Tensor& logits) {
  check(logits.rank() == 2 && logits.dim(0) >= 1, "critical_instances: wants (instances,classes), not {}",
        logits.shape().str());
  const Tensor critical = Tensor::empty({logits.dim(1)}, DType::i64, logits.device());  // (C)
  by_dtype(logits.dtype(), "critical_instances", [&]<typename T>() {
    mt::dsmil<T>(logits.device())
        .critical_instances(logits.data<T>(), critical.data<int64_t>(), logits.dim(0), logits.dim(1),
                            kDefaultStream);
  });
  return critical;
}

AttentionPooling dsmil_attention(const Variable& q, const Tensor& critical, const Variable& values,
                                 double scale) {
  check(q.rank() == 2 && values.rank() == 2 && q.dim(0) == values.dim(0) && q.dtype() == values.dtype() &&
            critical.rank() == 1 && critical.dtype() == DType::i64,
        "dsmil_attention: q {}, critical instances {}, values {} do not match", q.shape().str(),
        critical.shape().str(), values.shape().str());
  check_device(critical, q.device(), "dsmil_attention", "critical instances are");
  const DsmilShape shape{q.dim(0), critical.dim(0), q.dim(1), values.dim(1), scale};
  const Tensor attention = empty_like(q.value(), Shape{shape.instances, shape.classes});  // (N,C)
  return {apply(DsmilAttention{shape, critical, attention}, q, values), attention};
}

AttentionPooling gated_attention(const Variable& gate_v, const Variable& gate_u, const Variable& w,
                                 const Variable& h) {
  check(gate_v.rank() == 2 && gate_u.shape() == gate_v.shape() && w.shape() == Shape{1, gate_v.dim(1)} &&
            h.rank() == 2 && h.dim(0) == gate_v.dim(0) && gate_u.dtype() == gate_v.dtype() &&
            w.dtype() == gate_v.dtype() && h.dtype() == gate_v.dtype(),
        "gated_attention: gates {} and {}, w {}, h {} do not match", gate_v.shape().str(),
        gate_u.shape().str(), w.shape().str(), h.shape().str());
  const GatedAttentionShape shape{gate_v.dim(0), gate_v.dim(1), h.dim(1)};
  const Tensor attention = empty_like(h.value(), Shape{shape.instances});  // (N)
  return {apply(GatedAttention{shape, attention}, gate_v, gate_u, w, h), attention};
}

Variable max_instances(const Variable& logits) {
  const Tensor critical = critical_instances(logits.value());  // (C)
  const int64_t classes = critical.dim(0);
  const Variable rows = gather_rows(logits, critical);  // (C,C): row c is that of class c's critical instance
  if (classes == 1) return reshape(rows, Shape{1});
  std::vector<int64_t> diagonal;
  for (int64_t c = 0; c < classes; ++c) diagonal.push_back(c * classes + c);
  const Tensor places = moved_to(Tensor::of(diagonal, {classes}), logits.device());            // (C)
  return reshape(gather_rows(reshape(rows, {classes * classes, 1}), places), Shape{classes});  // (C)
}

}  // namespace mt::ops
