#include "kernels/ptx/runtime/state.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "kernels/ptx/execution_log.h"
#include "kernels/ptx/fat_binary.h"

namespace mt::ptx {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Stream::add(Task task) {
  if (capture != nullptr) {
    capture->tasks.push_back(std::move(task));
    return;
  }
  tasks_.push_back(std::move(task));
  ++queued_;
  if (!lazy_) finish_all();
}

void Stream::finish(uint64_t number) {
  while (done_ < number && !tasks_.empty()) {
    const Task task = std::move(tasks_.front());
    tasks_.pop_front();
    ++done_;
    task();
  }
}

Runtime& Runtime::instance() {
  static auto* runtime = new Runtime;  // used until the program's last destructor
  return *runtime;
}

Runtime::Runtime() {
  const char* order = std::getenv("MICROTOME_PTX_ORDER");
  order_ = order != nullptr && std::string_view(order) == "reversed" ? Order::reversed : Order::ascending;
  default_stream_ = std::make_unique<Stream>(order_ == Order::reversed);
  if (ExecutionLog::instance().is_wanted()) {
    std::atexit([] { instance().write_log(); });
  }
}

int Runtime::architecture() {
  if (architecture_ != 0) return architecture_;
  if (const char* wanted = std::getenv("MICROTOME_PTX_ARCHITECTURE"); wanted != nullptr)
    architecture_ = std::atoi(wanted);
  if (architecture_ == 0) {
    for (const Binary& binary : binaries_) {
      for (const PtxImage& image : ptx_images(binary.wrapper))
        architecture_ = std::max(architecture_, image.architecture);
    }
  }
  if (architecture_ == 0)
    fail_api(cudaErrorNoKernelImageForDevice,
             "PTX machine: there is no PTX in the program; compile it with -gencode "
             "arch=compute_90,code=compute_90");
  return architecture_;
}

Binary& Runtime::add_binary(const void* wrapper) {
  return binaries_.emplace_back(Binary{wrapper, false, {}});
}

void Runtime::add_function(const void* host, Binary& binary, const char* name) {
  functions_[host] = {name, &binary.modules, 0};
}

void Runtime::add_variable(const void* host, Binary& binary, const char* name) {
  variables_[host] = {&binary, name};
}

/// The newest PTX that the device can run.
void Runtime::read(Binary& binary) {
  if (binary.is_read) return;
  std::vector<PtxImage> images = ptx_images(binary.wrapper);
  std::erase_if(images, [&](const PtxImage& image) { return image.architecture > architecture(); });
  std::sort(images.begin(), images.end(),
            [](const PtxImage& a, const PtxImage& b) { return a.architecture > b.architecture; });
  if (!images.empty()) binary.modules.push_back(std::make_shared<Module>(std::move(images.front().text)));
  binary.is_read = true;
}

Function& Runtime::function(const void* host) {
  const auto found = functions_.find(host);
  if (found == functions_.end())
    fail_api(cudaErrorInvalidDeviceFunction, "PTX machine: a function that is no kernel of this program");
  return found->second;
}

const Kernel& Runtime::kernel(Function& function) {
  for (Binary& binary : binaries_) {
    if (&binary.modules == function.modules) read(binary);
  }
  if (function.modules->empty())
    fail_api(cudaErrorNoKernelImageForDevice, "PTX machine: no PTX for sm_{} or older with {}",
             architecture(), function.name);
  return function.modules->front()->kernel(function.name);
}

std::pair<uint64_t, std::size_t> Runtime::variable(const void* host) {
  const auto found = variables_.find(host);
  if (found == variables_.end())
    fail_api(cudaErrorInvalidSymbol, "PTX machine: a symbol that is no device variable of this program");
  read(*found->second.first);
  const auto& modules = found->second.first->modules;
  const auto place =
      modules.empty() ? std::pair<uint64_t, std::size_t>{} : modules.front()->variable(found->second.second);
  if (place.first == 0)
    fail_api(cudaErrorInvalidSymbol, "PTX machine: no variable {} in the PTX", found->second.second);
  return place;
}

Stream& Runtime::stream(cudaStream_t handle) {
  // cudaStreamLegacy and cudaStreamPerThread are 1 and 2.
  const auto number = reinterpret_cast<uintptr_t>(handle);
  if (number <= 2) return *default_stream_;
  const auto found = streams_.find(reinterpret_cast<Stream*>(handle));
  if (found == streams_.end())
    fail_api(cudaErrorInvalidResourceHandle, "PTX machine: a stream that does not exist");
  return *found->second;
}

Stream* Runtime::create_stream(unsigned flags) {
  if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking)
    fail_api(cudaErrorInvalidValue, "PTX machine: stream flags {} are unknown", flags);
  if (flags == cudaStreamDefault)
    fail_api(
        cudaErrorNotSupported,
        "PTX machine: streams that wait for the default stream are not supported; use cudaStreamNonBlocking");
  auto stream = std::make_unique<Stream>(order_ == Order::ascending);
  Stream* const handle = stream.get();
  streams_[handle] = std::move(stream);
  return handle;
}

void Runtime::destroy_stream(cudaStream_t handle) {
  stream(handle).finish_all();
  // Events that were recorded in it have come to pass.
  for (auto& [pointer, event] : events_) {
    if (event->stream == reinterpret_cast<Stream*>(handle))
      event->stream = default_stream_.get(), event->number = 0;
  }
  streams_.erase(reinterpret_cast<Stream*>(handle));
}

void Runtime::synchronize_device() {
  default_stream_->finish_all();
  for (auto& [handle, stream] : streams_) stream->finish_all();
}

bool Runtime::is_capturing(cudaStreamCaptureMode mode) const {
  const auto captures = [&](const Stream& stream) {
    return stream.capture != nullptr && stream.began_capture && stream.capture_mode == mode;
  };
  return captures(*default_stream_) || std::any_of(streams_.begin(), streams_.end(), [&](const auto& entry) {
           return captures(*entry.second);
         });
}

void Runtime::end_capture(const std::shared_ptr<Graph>& graph) {
  const std::shared_ptr<Graph> ended = graph;  // the argument may be one of those that are reset
  const auto leave = [&](Stream& stream) {
    if (stream.capture == ended) stream.capture.reset();
  };
  leave(*default_stream_);
  for (auto& [handle, stream] : streams_) leave(*stream);
  for (auto& [handle, event] : events_) {
    if (event->capture == ended) event->capture.reset();
  }
}

Event& Runtime::event(cudaEvent_t handle) {
  const auto found = events_.find(reinterpret_cast<Event*>(handle));
  if (found == events_.end())
    fail_api(cudaErrorInvalidResourceHandle, "PTX machine: an event that does not exist");
  return *found->second;
}

Event* Runtime::create_event() {
  auto event = std::make_unique<Event>();
  Event* const handle = event.get();
  events_[handle] = std::move(event);
  return handle;
}

void Runtime::destroy_event(cudaEvent_t handle) {
  event(handle);
  events_.erase(reinterpret_cast<Event*>(handle));
}

cudaError_t Runtime::call(const std::function<void()>& body) {
  const std::lock_guard lock(mutex_);
  return sticky_ != cudaSuccess ? sticky_ : ask(body);
}

cudaError_t Runtime::ask(const std::function<void()>& body) {
  const std::lock_guard lock(mutex_);
  try {
    body();
    return cudaSuccess;
  } catch (const ApiError& error) {
    last_ = error.code();
    texts_[last_] = error.what();
    return last_;
  } catch (const Error& error) {  // of a kernel
    sticky_ = cudaErrorLaunchFailure;
    texts_[sticky_] = error.what();
    return sticky_;
  }
}

const char* Runtime::text(cudaError_t code) {
  const std::lock_guard lock(mutex_);
  if (code == cudaSuccess) return "no error";
  const auto found = texts_.find(code);
  return kept_
      .emplace_back(found != texts_.end() ? found->second
                                          : fmt::format("CUDA error {}", static_cast<int>(code)))
      .c_str();
}

cudaError_t Runtime::take_last_error() {
  const std::lock_guard lock(mutex_);
  const cudaError_t error = last_error();
  last_ = cudaSuccess;
  return error;
}

/// Kernels that no launch named are decoded, so that the log tells which of them the machine could not run.
void Runtime::write_log() {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, std::string>> never;
  for (Binary& binary : binaries_) {
    read(binary);
    for (const auto& module : binary.modules) {
      for (const Entry& entry : module->entries()) {
        if (ExecutionLog::instance().has(entry.name)) continue;
        std::string reason;
        try {
          module->kernel(entry.name);
        } catch (const Error& error) {
          reason = error.what();
        }
        never.emplace_back(entry.name, reason);
      }
    }
  }
  ExecutionLog::instance().write(never);
}

}  // namespace mt::ptx
