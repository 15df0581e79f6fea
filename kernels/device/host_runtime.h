#pragma once
// The body of cpu and simt: their memory is the host's, and work is done when the call returns.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "kernels/device/device.h"
#include "tensor/check.h"

namespace mt {

/// Asynchronous copies are made when somebody waits for them and no earlier: a forgotten wait shows.
struct StreamHandle {
  struct Copy {
    void* target;
    const void* source;
    std::size_t bytes;
  };
  std::deque<Copy> pending;
  uint64_t done = 0;  // copies made so far
};
struct EventObject {
  std::chrono::steady_clock::time_point time;
  Stream stream = nullptr;
  uint64_t copies = 0;  // of the stream, before the event
};

/// Nothing is faster for being recorded here: the work is done anew.
struct GraphObject {
  std::function<void()> body;
};

class HostRuntime : public DeviceRuntime {
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
  void copy_to_device_async(void* target, const void* source, std::size_t bytes, Stream stream) override {
    if (stream == nullptr) return copy_to_device(target, source, bytes, stream);
    stream->pending.push_back({target, source, bytes});
  }
  void copy_to_device_staged(void* target, const void* source, std::size_t bytes, Stream stream) override {
    copy_to_device(target, source, bytes, stream);
  }
  void* allocate_pinned(std::size_t bytes) override {
    void* pointer = std::aligned_alloc(64, (bytes / 64 + 1) * 64);
    if (pointer == nullptr) throw OutOfMemory("out of memory for a staging buffer");
    return pointer;
  }
  void deallocate_pinned(void* pointer) noexcept override { std::free(pointer); }
  Stream create_stream() override { return new StreamHandle; }
  void destroy_stream(Stream stream) noexcept override { delete stream; }
  void synchronize(Stream stream) override {
    if (stream != nullptr) make_copies(stream, stream->done + stream->pending.size());
  }
  EventHandle create_event() override { return new EventObject; }
  void destroy_event(EventHandle event) noexcept override { delete event; }
  void record_event(EventHandle event, Stream stream) override {
    event->time = std::chrono::steady_clock::now();
    event->stream = stream;
    if (stream != nullptr) event->copies = stream->done + stream->pending.size();
  }
  void let_wait(Stream, EventHandle event) override { wait(event); }
  void wait(EventHandle event) override {
    if (event->stream != nullptr) make_copies(event->stream, event->copies);
  }
  double seconds_between(EventHandle start, EventHandle stop) override {
    return std::chrono::duration<double>(stop->time - start->time).count();
  }
  GraphHandle record_graph(Stream, const std::function<void()>& body) override {
    return new GraphObject{body};
  }
  void replay_graph(GraphHandle graph, Stream) override { graph->body(); }
  void destroy_graph(GraphHandle graph) noexcept override { delete graph; }

 private:
  /// Until `count` copies of the stream have been made.
  void make_copies(Stream stream, uint64_t count) {
    for (; stream->done < count; ++stream->done) {
      const StreamHandle::Copy copy = stream->pending.front();
      stream->pending.pop_front();
      copy_to_device(copy.target, copy.source, copy.bytes, nullptr);
    }
  }

  std::string description_;
};

}  // namespace mt
