#pragma once
// The host's side of a device, written once for cpu, cuda and simt: is it there, copies, streams, events.
// Memory comes from allocator(device) (tensor/allocator.h); what kernels see is in kernels/device/kernel.h.

#include <cstddef>
#include <string>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

using EventHandle = struct EventObject*;

/// A backend's body of the functions below. Registered when it is linked in.
class DeviceRuntime {
 public:
  virtual ~DeviceRuntime() = default;
  /// Whether work can run now: cuda needs an NVIDIA GPU and its driver.
  virtual bool present() = 0;
  /// "NVIDIA H100 80GB HBM3, sm_90", say.
  virtual std::string description() = 0;
  /// 80 for sm_80, say; 0 where kernels need not ask (cpu, simt).
  virtual int architecture() { return 0; }
  virtual void copy_to_device(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  virtual void copy_to_host(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  virtual void copy_on_device(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  /// Returns at once; the bytes are there when an event recorded behind it in the stream has passed. `source`
  /// is pinned and stays as it is until then.
  virtual void copy_to_device_async(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
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
};

void register_device(Device device, DeviceRuntime* runtime);
/// Throws when the device is not part of this build.
DeviceRuntime& device_runtime(Device device);
/// In this build, and its hardware is there.
bool device_is_present(Device device);
/// Throws one clear line unless device_is_present(); for `--device`.
void require_device(Device device);

/// Copies `bytes` bytes from one device's memory to another's (one of them the cpu, or both the same), behind
/// the work already in `stream`; returns when the bytes are there.
void copy_bytes(void* target, Device target_device, const void* source, Device source_device,
                std::size_t bytes, Stream stream = nullptr);
/// Waits until all work in the stream is done, and throws what went wrong in it.
void synchronize(Device device, Stream stream = nullptr);

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

}  // namespace mt
