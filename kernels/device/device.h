#pragma once
// The host's side of a device, written once for cpu, cuda and simt: is it there, copies, streams, events.
// Memory comes from allocator(device) (tensor/allocator.h); what kernels see is in kernels/device/kernel.h.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

using EventHandle = struct EventObject*;
using GraphHandle = struct GraphObject*;

/// A backend's body of the functions below. Registered when it is linked in.
class DeviceRuntime {
 public:
  virtual ~DeviceRuntime() = default;
  /// Whether work can run now: cuda needs an NVIDIA GPU and its driver.
  virtual bool present() = 0;
  /// "NVIDIA H100 80GB HBM3, sm_90", say.
  virtual std::string description() = 0;
  /// Whether each access of a kernel is checked against what was allocated, to the byte (the PTX machine).
  virtual bool checks_memory() { return false; }
  /// 80 for sm_80, say; 0 where kernels need not ask (cpu, simt).
  virtual int architecture() { return 0; }
  virtual void copy_to_device(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  virtual void copy_to_host(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  virtual void copy_on_device(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  /// Returns at once; the bytes are there when an event recorded behind it in the stream has passed. `source`
  /// is pinned and stays as it is until then.
  virtual void copy_to_device_async(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  /// Returns at once, and `source` may change at once: it is read before, into pinned memory.
  virtual void copy_to_device_staged(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  /// Host memory that the device can read by itself. Throws OutOfMemory.
  virtual void* allocate_pinned(std::size_t bytes) = 0;
  virtual void deallocate_pinned(void* pointer) noexcept = 0;
  virtual Stream create_stream() = 0;
  virtual void destroy_stream(Stream stream) noexcept = 0;
  virtual void synchronize(Stream stream) = 0;
  virtual EventHandle create_event() = 0;
  virtual void destroy_event(EventHandle event) noexcept = 0;
  virtual void record_event(EventHandle event, Stream stream) = 0;
  /// What is queued in `stream` from now on starts after the event.
  virtual void let_wait(Stream stream, EventHandle event) = 0;
  /// Returns after the event; at once when it was never recorded.
  virtual void wait(EventHandle event) = 0;
  /// Waits for `stop`.
  virtual double seconds_between(EventHandle start, EventHandle stop) = 0;
  /// What `body` queues in `stream` (not the default one), to be queued again as a whole. null where
  /// something in it cannot be recorded: it waits for the device, or copies from memory that may have changed
  /// by then.
  virtual GraphHandle record_graph(Stream stream, const std::function<void()>& body) = 0;
  virtual void replay_graph(GraphHandle graph, Stream stream) = 0;
  virtual void destroy_graph(GraphHandle graph) noexcept = 0;
};

void register_device(Device device, DeviceRuntime* runtime);
/// Throws when the device is not part of this build.
DeviceRuntime& device_runtime(Device device);
/// In this build, and its hardware is there.
bool device_is_present(Device device);
/// Throws one clear line unless device_is_present(); for `--device`.
void require_device(Device device);
/// `--gpu N`: of the GPUs that CUDA_VISIBLE_DEVICES names, or of all in the order of nvidia-smi, only number
/// N (from 0) is seen from now on. To be called before anything asks for the cuda device. Throws UsageError.
void choose_gpu(int64_t number);

/// Copies `bytes` bytes from one device's memory to another's (one of them the cpu, or both the same), behind
/// the work already in `stream`. Returns when the bytes are there; a copy within one device is queued, as
/// kernels are.
void copy_bytes(void* target, Device target_device, const void* source, Device source_device,
                std::size_t bytes, Stream stream = nullptr);
/// Waits until all work in the stream is done, and throws what went wrong in it.
void synchronize(Device device, Stream stream = nullptr);
/// Waits like synchronize(), and leaves what went wrong to the next call that may throw: for destructors.
void settle(Device device, Stream stream) noexcept;

/// Queues a copy of host memory, which may change as soon as this returns. For a few KiB that kernels need
/// beside their arrays: offsets, parameters.
void queue_copy_to_device(Device device, void* target, const void* source, std::size_t bytes,
                          Stream stream = nullptr);

/// A queue of its own; work in different queues may overlap.
class OwnedStream {
 public:
  explicit OwnedStream(Device device) : device_(device), stream_(device_runtime(device).create_stream()) {}
  ~OwnedStream() { device_runtime(device_).destroy_stream(stream_); }
  OwnedStream(const OwnedStream&) = delete;
  OwnedStream& operator=(const OwnedStream&) = delete;
  Stream get() const { return stream_; }

 private:
  Device device_;
  Stream stream_;
};

/// Host memory from which copies to the device overlap with its work.
class PinnedMemory {
 public:
  PinnedMemory(Device device, std::size_t bytes)
      : device_(device), bytes_(bytes), data_(device_runtime(device).allocate_pinned(bytes)) {}
  ~PinnedMemory() { device_runtime(device_).deallocate_pinned(data_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  Device device_;
  std::size_t bytes_;
  void* data_;
};

/// A point in a stream, for timing and for streams that wait for each other.
class Event {
 public:
  explicit Event(Device device) : device_(device), event_(device_runtime(device).create_event()) {}
  ~Event() { device_runtime(device_).destroy_event(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(Stream stream = nullptr) { device_runtime(device_).record_event(event_, stream); }
  /// What is queued in `stream` from now on starts after this event.
  void let_wait(Stream stream) { device_runtime(device_).let_wait(stream, event_); }
  /// Returns after this event; at once when it was never recorded.
  void wait() { device_runtime(device_).wait(event_); }
  /// Seconds from `start` to this event; waits for this event.
  double seconds_since(const Event& start) const {
    return device_runtime(device_).seconds_between(start.event_, event_);
  }

 private:
  Device device_;
  EventHandle event_;
};

/// Work recorded once and queued again as a whole, at the cost of one launch. What it reads and writes must
/// stay where it is.
class Graph {
 public:
  /// Runs `body`, which queues its work in `stream`, as DeviceRuntime::record_graph() says.
  Graph(Device device, Stream stream, const std::function<void()>& body)
      : device_(device), graph_(device_runtime(device).record_graph(stream, body)) {}
  ~Graph() {
    if (graph_ != nullptr) device_runtime(device_).destroy_graph(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  /// Whether all of it could be recorded.
  bool recorded() const { return graph_ != nullptr; }
  void replay(Stream stream) { device_runtime(device_).replay_graph(graph_, stream); }

 private:
  Device device_;
  GraphHandle graph_;
};

}  // namespace mt
