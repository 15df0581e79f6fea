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
  virtual void copy_to_device(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  virtual void copy_to_host(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  virtual void copy_on_device(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
  virtual Stream create_stream() = 0;
  virtual void destroy_stream(Stream stream) noexcept = 0;
  virtual void synchronize(Stream stream) = 0;
  virtual EventHandle create_event() = 0;
  virtual void destroy_event(EventHandle event) noexcept = 0;
  virtual void record_event(EventHandle event, Stream stream) = 0;
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

/// A point in a stream, for timing.
class Event {
 public:
  explicit Event(Device device) : device_(device), event_(device_runtime(device).create_event()) {}
  ~Event() { device_runtime(device_).destroy_event(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(Stream stream = nullptr) { device_runtime(device_).record_event(event_, stream); }
  /// Seconds from `start` to this event; waits for this event.
  double seconds_since(const Event& start) const {
    return device_runtime(device_).seconds_between(start.event_, event_);
  }

 private:
  Device device_;
  EventHandle event_;
};

}  // namespace mt
