#pragma once
// What the CUDA runtime's entry points share: registered kernels, streams, errors.
//
// Work in a stream is a queue of tasks. An eager stream does each task at once; a lazy one does its tasks
// when somebody waits for them, and no earlier: a wait that was forgotten then shows by value. In the
// ascending order the default stream is eager and all others are lazy; in the reversed order
// (MICROTOME_PTX_ORDER=reversed) it is the other way round.

#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/ptx/machine.h"
#include "kernels/ptx/module.h"
#include "tensor/check.h"

namespace mt::ptx {

/// An entry point's error, with its code.
class ApiError : public Error {
 public:
  ApiError(cudaError_t code, const std::string& text) : Error(text), code_(code) {}
  cudaError_t code() const { return code_; }

 private:
  cudaError_t code_;
};
template <typename... Args>
[[noreturn]] void fail_api(cudaError_t code, fmt::format_string<Args...> format, Args&&... args) {
  throw ApiError(code, fmt::format(format, std::forward<Args>(args)...));
}

using Task = std::function<void()>;

/// Work recorded by a stream's capture, in the order of its recording, which every dependency agrees with.
struct Graph {
  std::vector<Task> tasks;
};
struct GraphExec {
  std::vector<Task> tasks;
};

class Stream {
 public:
  explicit Stream(bool lazy) : lazy_(lazy) {}

  /// Queues a task, does it, or records it in the graph under capture.
  void add(Task task);
  /// Does everything up to the number-th task. The stream's own error is thrown.
  void finish(uint64_t number);
  void finish_all() { finish(queued_); }
  uint64_t queued() const { return queued_; }
  bool is_idle() const { return tasks_.empty(); }
  std::shared_ptr<Graph> capture;  // null: none
  bool began_capture = false;      // others join it by waiting for its events
  cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;

 private:
  bool lazy_;
  std::deque<Task> tasks_;
  uint64_t queued_ = 0;
  uint64_t done_ = 0;
};

struct Event {
  Stream* stream = nullptr;                                       // null: never recorded
  uint64_t number = 0;                                            // tasks of the stream before it
  std::shared_ptr<double> seconds = std::make_shared<double>(0);  // when it came to pass
  std::shared_ptr<Graph> capture;                                 // recorded under capture
};

/// A kernel that the host knows by an address.
struct Function {
  std::string name;
  std::vector<std::shared_ptr<Module>>* modules = nullptr;  // of its fat binary
  int64_t granted_shared_bytes = 0;                         // cudaFuncAttributeMaxDynamicSharedMemorySize
};

struct Binary {
  const void* wrapper = nullptr;
  bool is_read = false;
  std::vector<std::shared_ptr<Module>> modules;  // newest first
};

class Runtime {
 public:
  static Runtime& instance();

  std::recursive_mutex& mutex() { return mutex_; }
  Order order() const { return order_; }
  /// Compute capability of the device that is played: that of the newest PTX, or MICROTOME_PTX_ARCHITECTURE.
  int architecture();

  Binary& add_binary(const void* wrapper);
  void add_function(const void* host, Binary& binary, const char* name);
  void add_variable(const void* host, Binary& binary, const char* name);
  Function& function(const void* host);
  const Kernel& kernel(Function& function);
  /// Address and size of a __device__ or __constant__ variable.
  std::pair<uint64_t, std::size_t> variable(const void* host);

  Stream& stream(cudaStream_t handle);
  Stream* create_stream(unsigned flags);
  void destroy_stream(cudaStream_t handle);
  void synchronize_device();
  /// Whether a stream is under a capture of this mode.
  bool is_capturing(cudaStreamCaptureMode mode) const;
  /// All streams of this capture leave it.
  void end_capture(const std::shared_ptr<Graph>& graph);
  Event& event(cudaEvent_t handle);
  Event* create_event();
  void destroy_event(cudaEvent_t handle);

  /// Runs an entry point's body under the lock. Errors of kernels stay: every later call gives them again, as
  /// on a GPU.
  cudaError_t call(const std::function<void()>& body);
  /// The same for questions that a broken device still answers.
  cudaError_t ask(const std::function<void()>& body);
  /// The text for a code: what was wrong in the last call that gave it.
  const char* text(cudaError_t code);
  cudaError_t take_last_error();
  cudaError_t last_error() const { return sticky_ != cudaSuccess ? sticky_ : last_; }

 private:
  Runtime();
  void read(Binary& binary);
  void write_log();

  std::recursive_mutex mutex_;
  Order order_;
  int architecture_ = 0;
  std::deque<Binary> binaries_;
  std::unordered_map<const void*, Function> functions_;
  std::unordered_map<const void*, std::pair<Binary*, std::string>> variables_;
  std::unique_ptr<Stream> default_stream_;
  std::map<Stream*, std::unique_ptr<Stream>> streams_;
  std::map<Event*, std::unique_ptr<Event>> events_;
  cudaError_t sticky_ = cudaSuccess;
  cudaError_t last_ = cudaSuccess;
  std::map<cudaError_t, std::string> texts_;
  std::deque<std::string> kept_;  // what was given to callers
};

/// Seconds of a steady clock.
double now();

inline cudaError_t query(const std::function<void()>& body) {
  return Runtime::instance().ask(body);
}
inline cudaError_t api(const std::function<void()>& body) {
  return Runtime::instance().call(body);
}

}  // namespace mt::ptx
