// conv2d by cuDNN 9's graph interface, NHWC. cuDNN names dimensions in the order N,C,H,W and K,C,R,S whatever
// lies in memory; the strides say that channels are neighbours.

#include <map>
#include <mutex>
#include <optional>

#include "kernels/vendor/cudnn_graph.h"
#include "kernels/vendor/vendor_module.h"
#include "tensor/check.h"

namespace mt::vendor {
namespace {

enum class Pass : uint8_t { forward, data, weights };

// Names of the three tensors in a plan.
constexpr int64_t kImages = 1;   // x or dx
constexpr int64_t kFilters = 2;  // weight or dw
constexpr int64_t kOutputs = 3;  // y or dy

Descriptor tensor(int64_t id, const std::array<int64_t, 4>& dims, int64_t alignment) {  // dims: N,C,H,W
  const auto [n, c, h, w] = dims;
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT);
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, dims);
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, std::array<int64_t, 4>{h * w * c, 1, w * c, c});
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  tensor.finalize("describe a tensor");
  return tensor;
}

Descriptor convolution(const Conv2dShape& s) {
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const std::array<int64_t, 2> padding{s.padding, s.padding};
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  convolution.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2});
  convolution.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding);
  convolution.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding);
  convolution.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::array<int64_t, 2>{1, 1});
  convolution.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::array<int64_t, 2>{s.stride, s.stride});
  convolution.finalize("describe a convolution");
  return convolution;
}

/// What cuDNN calls the parts of each pass.
struct PassNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, images, filters, outputs, alpha, beta;
};

PassNames names_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case Pass::data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case Pass::weights:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
  fail("cuDNN: unknown pass");
}

/// Notes of engines that a precision leaves out. Never: an engine whose sums depend on the order of threads.
std::vector<cudnnBackendNumericalNote_t> refused(Precision precision) {
  std::vector<cudnnBackendNumericalNote_t> notes{CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC};
  if (precision == Precision::fp32) {  // the error bounds of conv2d.md hold for plain float32 sums only
    notes.insert(notes.end(), {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
                               CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, CUDNN_NUMERICAL_NOTE_FFT,
                               CUDNN_NUMERICAL_NOTE_WINOGRAD});
  }
  return notes;
}

/// How cuDNN computes a pass.
struct Plan {
  std::optional<Descriptor> execution;  // empty: it does not
  int64_t workspace_bytes = 0;
  std::string name;  // of the engine
};

/// Engines that want more are passed over.
constexpr int64_t kMostWorkspaceBytes = int64_t{1} << 30;

/// "backward data of 64x56x56x64 with 128 filters of 3x3, stride 2".
std::string text_of(Pass pass, const Conv2dShape& s) {
  const char* name = pass == Pass::forward ? "forward"
                     : pass == Pass::data  ? "backward data"
                                           : "backward weights";
  return fmt::format("{} of {}x{}x{}x{} with {} filters of {}x{}, stride {}", name, s.n, s.h, s.w, s.c, s.k,
                     s.r, s.s, s.stride);
}

using Key = std::array<int64_t, 12>;

class Library {
 public:
  Library() { check_cudnn(cudnnCreate(&handle_), "start"); }

  /// False, with `outputs` of the pass as they were, where cuDNN has nothing for it.
  bool run(Pass pass, Precision precision, const Conv2dShape& s, void* images, void* filters, void* outputs,
           Stream stream) {
    const std::scoped_lock lock(mutex_);
    Plan& plan = plan_for(pass, precision, s, alignment_of(images, filters, outputs));
    if (plan.execution) {
      try {
        execute(plan, images, filters, outputs, stream);
      } catch (const OutOfMemory&) {  // the caller knows smaller parts
        throw;
      } catch (const Error& error) {
        refusals_.say(fmt::format("{}: {}", text_of(pass, s), error.what()));
        plan.execution.reset();
      }
    }
    last_choice = plan.execution ? plan.name : kOwnKernel;
    return plan.execution.has_value();
  }

 private:
  /// The largest of 16, 8 and 4 bytes that all three are aligned to.
  static int64_t alignment_of(const void* a, const void* b, const void* c) {
    const auto bits =
        reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) | reinterpret_cast<uintptr_t>(c);
    return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : 4;
  }

  void execute(const Plan& plan, void* images, void* filters, void* outputs, Stream stream) {
    check_cudnn(cudnnSetStream(handle_, reinterpret_cast<cudaStream_t>(stream)), "set the stream");
    const std::array<int64_t, 3> ids{kImages, kFilters, kOutputs};
    const std::array<void*, 3> pointers{images, filters, outputs};
    void* workspace = plan.workspace_bytes > 0
                          ? workspace_.reserve(static_cast<std::size_t>(plan.workspace_bytes))
                          : nullptr;
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, pointers.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    pack.finalize("name the tensors of a convolution");
    check_cudnn(cudnnBackendExecute(handle_, plan.execution->raw(), pack.raw()), "convolution");
  }

  Plan& plan_for(Pass pass, Precision precision, const Conv2dShape& s, int64_t alignment) {
    const Key key{static_cast<int64_t>(pass),
                  static_cast<int64_t>(precision),
                  s.n,
                  s.h,
                  s.w,
                  s.c,
                  s.k,
                  s.r,
                  s.s,
                  s.stride,
                  s.padding,
                  alignment};
    if (const auto known = plans_.find(key); known != plans_.end()) return known->second;
    Plan plan;
    try {
      plan = make_plan(graph(pass, s, alignment), precision);
      if (!plan.execution) refusals_.say("cuDNN has no deterministic engine for the " + text_of(pass, s));
    } catch (const Error& error) {
      refusals_.say(fmt::format("{}: {}", text_of(pass, s), error.what()));
    }
    return plans_.emplace(key, std::move(plan)).first->second;
  }

  Descriptor graph(Pass pass, const Conv2dShape& s, int64_t alignment) {
    const PassNames names = names_of(pass);
    const Descriptor shape = convolution(s);
    const Descriptor images = tensor(kImages, {s.n, s.c, s.h, s.w}, alignment);
    const Descriptor filters = tensor(kFilters, {s.k, s.c, s.r, s.s}, alignment);
    const Descriptor outputs = tensor(kOutputs, {s.n, s.k, s.out_h(), s.out_w()}, alignment);
    Descriptor operation(names.type);
    operation.set(names.convolution, shape);
    operation.set(names.images, images);
    operation.set(names.filters, filters);
    operation.set(names.outputs, outputs);
    operation.set(names.alpha, 1.0F);
    operation.set(names.beta, 0.0F);
    operation.finalize("describe a pass of a convolution");
    Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle_);
    graph.finalize("make a graph of a convolution");
    return graph;
  }

  /// The first proposal that the precision allows and that runs here; an empty plan where there is none.
  Plan make_plan(const Descriptor& graph, Precision precision) {
    const auto notes = refused(precision);
    for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
      for (const Descriptor& proposal : proposed_engines(graph, mode)) {
        if (has_note(proposal, notes)) continue;
        Descriptor execution(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
        execution.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle_);
        execution.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, proposal);
        if (!execution.try_finalize()) continue;
        const int64_t bytes = execution.integer(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
        if (bytes > kMostWorkspaceBytes) continue;
        return {std::move(execution), bytes, name_of_engine(proposal)};
      }
    }
    return {};
  }

  cudnnHandle_t handle_ = nullptr;
  Workspace workspace_;
  Refusals refusals_;
  std::mutex mutex_;
  std::map<Key, Plan> plans_;
};

/// null where cuDNN does not start, which is said.
Library* library() {
  static auto* instance =
      []() -> Library* {  // lives as long as the process: the driver may be gone before statics
    try {
      return new Library;
    } catch (const Error& error) {
      Refusals().say(error.what());
      return nullptr;
    }
  }();
  return instance;
}

bool is_empty(const Conv2dShape& s) {
  return s.n == 0 || s.c == 0 || s.k == 0;
}

/// Whether cuDNN has computed the pass; where not the project's own kernel does.
bool computed(Pass pass, Precision precision, const Conv2dShape& s, void* images, void* filters,
              void* outputs, Stream stream) {
  host->check_conv2d(s);
  last_choice = kOwnKernel;
  Library* cudnn = is_empty(s) ? nullptr : library();
  return cudnn != nullptr && cudnn->run(pass, precision, s, images, filters, outputs, stream);
}

void* writable(const float* pointer) {
  return const_cast<float*>(pointer);  // cuDNN takes inputs and outputs by the same type
}

template <Precision kPrecision>
void forward(const float* x, const float* weight, float* y, const Conv2dShape& s, Stream stream) {
  if (!computed(Pass::forward, kPrecision, s, writable(x), writable(weight), y, stream)) {
    host->conv2d->forward(x, weight, y, s, stream);
  }
}

template <Precision kPrecision>
void backward_data(const float* dy, const float* weight, float* dx, const Conv2dShape& s, Stream stream) {
  if (!computed(Pass::data, kPrecision, s, dx, writable(weight), writable(dy), stream)) {
    host->conv2d->backward_data(dy, weight, dx, s, stream);
  }
}

template <Precision kPrecision>
void backward_weights(const float* x, const float* dy, float* dw, const Conv2dShape& s, Stream stream) {
  if (!computed(Pass::weights, kPrecision, s, writable(x), dw, writable(dy), stream)) {
    host->conv2d->backward_weights(x, dy, dw, s, stream);
  }
}

// With an epilogue and of 8-bit pixels the project's own kernels compute: their sums per channel have a fixed
// order, and their ReLU keeps NaN.

void forward_fused(const float* x, const float* weight, float* y, const Conv2dShape& s,
                   const Conv2dEpilogue<float>& epilogue, Stream stream) {
  last_choice = kOwnKernel;
  host->conv2d->forward_fused(x, weight, y, s, epilogue, stream);
}

void forward_pixels(const uint8_t* pixels, const ImageScaling& scaling, const float* weight, float* y,
                    const Conv2dShape& s, const Conv2dEpilogue<float>& epilogue, Stream stream) {
  last_choice = kOwnKernel;
  host->conv2d->forward_pixels(pixels, scaling, weight, y, s, epilogue, stream);
}

}  // namespace

const Conv2d<float> kConv2dFp32{forward<Precision::fp32>, backward_data<Precision::fp32>,
                                backward_weights<Precision::fp32>, forward_fused, forward_pixels};
const Conv2d<float> kConv2dTf32{forward<Precision::tf32>, backward_data<Precision::tf32>,
                                backward_weights<Precision::tf32>, forward_fused, forward_pixels};

}  // namespace mt::vendor
