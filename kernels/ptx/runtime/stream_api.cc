// Streams, events, captured graphs.

#include "kernels/ptx/runtime/state.h"

namespace {

using namespace mt::ptx;

void refuse_captured(const Stream& stream, const char* what) {
  if (stream.capture != nullptr)
    fail_api(cudaErrorStreamCaptureUnsupported, "PTX machine: {} of a stream under capture", what);
}

/// Events are points of time: the moment is taken when the stream gets there.
void record(Event& event, Stream& stream) {
  event.capture = stream.capture;
  stream.add([seconds = event.seconds] { *seconds = now(); });
  event.stream = &stream;
  event.number = stream.queued();
}

void wait_for(Event& event, const char* what) {
  if (event.capture != nullptr)
    fail_api(cudaErrorStreamCaptureUnsupported, "PTX machine: {} of an event that was recorded under capture",
             what);
  if (event.stream != nullptr) event.stream->finish(event.number);
}

/// What is queued in the stream from now on runs after the event.
void let_wait(Stream& stream, Event& event) {
  if (event.capture != nullptr) {
    // The stream joins the event's capture: what follows is recorded behind it.
    if (stream.capture != nullptr && stream.capture != event.capture)
      fail_api(cudaErrorStreamCaptureMerge, "PTX machine: a stream cannot join two captures");
    stream.capture = event.capture;
    return;
  }
  if (stream.capture != nullptr)
    fail_api(cudaErrorStreamCaptureIsolation,
             "PTX machine: a stream under capture waits for an event from outside");
  if (event.stream == nullptr || event.stream == &stream) return;
  stream.add([before = event.stream, number = event.number] { before->finish(number); });
}

Graph& graph_of(cudaGraph_t handle) {
  if (handle == nullptr) fail_api(cudaErrorInvalidValue, "PTX machine: no graph");
  return *reinterpret_cast<Graph*>(handle);
}
GraphExec& executable(cudaGraphExec_t handle) {
  if (handle == nullptr) fail_api(cudaErrorInvalidValue, "PTX machine: no executable graph");
  return *reinterpret_cast<GraphExec*>(handle);
}
void instantiate(cudaGraphExec_t* executable, cudaGraph_t graph) {
  *executable = reinterpret_cast<cudaGraphExec_t>(new GraphExec{graph_of(graph).tasks});
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return api([&] { *stream = reinterpret_cast<cudaStream_t>(Runtime::instance().create_stream(flags)); });
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return api([&] { Runtime::instance().destroy_stream(stream); });
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return api([&] {
    Stream& stream = Runtime::instance().stream(handle);
    refuse_captured(stream, "cudaStreamSynchronize");
    stream.finish_all();
  });
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return api([&] {
    Stream& stream = Runtime::instance().stream(handle);
    refuse_captured(stream, "cudaStreamQuery");
    // Somebody who asks again and again is waiting.
    if (!stream.is_idle()) {
      stream.finish_all();
      fail_api(cudaErrorNotReady, "device not ready");
    }
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return api([&] { let_wait(Runtime::instance().stream(stream), Runtime::instance().event(event)); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return api([&] { *event = reinterpret_cast<cudaEvent_t>(Runtime::instance().create_event()); });
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return api([&] { Runtime::instance().destroy_event(event); });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return api([&] { record(Runtime::instance().event(event), Runtime::instance().stream(stream)); });
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return api([&] { wait_for(Runtime::instance().event(event), "cudaEventSynchronize"); });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return cudaEventSynchronize(event);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  return api([&] {
    Event& first = Runtime::instance().event(start);
    Event& last = Runtime::instance().event(stop);
    if (first.stream == nullptr || last.stream == nullptr)
      fail_api(cudaErrorInvalidResourceHandle, "PTX machine: time between events that were not recorded");
    wait_for(first, "cudaEventElapsedTime");
    wait_for(last, "cudaEventElapsedTime");
    *milliseconds = static_cast<float>((*last.seconds - *first.seconds) * 1e3);
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return api([&] {
    Stream& stream = Runtime::instance().stream(handle);
    if (reinterpret_cast<uintptr_t>(handle) <= 1)
      fail_api(cudaErrorStreamCaptureUnsupported, "PTX machine: the default stream cannot be captured");
    refuse_captured(stream, "cudaStreamBeginCapture");
    stream.capture = std::make_shared<Graph>();
    stream.began_capture = true;
    stream.capture_mode = mode;
  });
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return api([&] {
    Stream& stream = Runtime::instance().stream(handle);
    if (stream.capture == nullptr || !stream.began_capture)
      fail_api(cudaErrorIllegalState, "PTX machine: cudaStreamEndCapture of a stream that did not begin one");
    *graph = reinterpret_cast<cudaGraph_t>(new Graph(*stream.capture));
    Runtime::instance().end_capture(stream.capture);
    stream.began_capture = false;
  });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return api([&] {
    const bool captures = Runtime::instance().stream(stream).capture != nullptr;
    *status = captures ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  });
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  static thread_local cudaStreamCaptureMode current = cudaStreamCaptureModeGlobal;
  std::swap(current, *mode);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  return api([&] { instantiate(executable, graph); });
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph,
                                          unsigned long long) {
  return api([&] { instantiate(executable, graph); });
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream) {
  return api([&] {
    for (const Task& task : executable(handle).tasks) Runtime::instance().stream(stream).add(task);
  });
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t handle, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* result) {
  return api([&] {
    const bool same = executable(handle).tasks.size() == graph_of(graph).tasks.size();
    *result = {};
    result->result = same ? cudaGraphExecUpdateSuccess : cudaGraphExecUpdateErrorTopologyChanged;
    if (!same)
      fail_api(cudaErrorGraphExecUpdateFailure, "PTX machine: the graph has another number of nodes");
    executable(handle).tasks = graph_of(graph).tasks;
  });
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return api([&] {
    if (nodes != nullptr)
      fail_api(cudaErrorNotSupported, "PTX machine: the nodes of a graph are not shown, only counted");
    *count = graph_of(graph).tasks.size();
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return api([&] { delete &graph_of(graph); });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  return api([&] { delete &executable(handle); });
}

}  // extern "C"
