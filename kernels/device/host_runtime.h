#pragma once
// The body of cpu and simt: their memory is the host's, and work is done when the call returns.

#include <chrono>
#include <cstring>
#include <string>
#include <utility>

#include "kernels/device/device.h"

namespace mt {

struct StreamHandle {};
struct EventObject {
  std::chrono::steady_clock::time_point time;
};

class HostRuntime final : public DeviceRuntime {
 public:
  explicit HostRuntime(std::string description) : description_(std::move(description)) {}

  bool present() override { return true; }
  std::string description() override { return description_; }
  void copy_to_device(void* target, const void* source, std::size_t bytes, Stream) override {
    std::memcpy(target, source, bytes);
  }
  void copy_to_host(void* target, const void* source, std::size_t bytes, Stream) override {
    std::memcpy(target, source, bytes);
  }
  void copy_on_device(void* target, const void* source, std::size_t bytes, Stream) override {
    std::memmove(target, source, bytes);
  }
  Stream create_stream() override { return new StreamHandle; }
  void destroy_stream(Stream stream) noexcept override { delete stream; }
  void synchronize(Stream) override {}
  EventHandle create_event() override { return new EventObject; }
  void destroy_event(EventHandle event) noexcept override { delete event; }
  void record_event(EventHandle event, Stream) override { event->time = std::chrono::steady_clock::now(); }
  double seconds_between(EventHandle start, EventHandle stop) override {
    return std::chrono::duration<double>(stop->time - start->time).count();
  }

 private:
  std::string description_;
};

}  // namespace mt
