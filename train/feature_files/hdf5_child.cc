#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <type_traits>
#include <vector>

#include "train/feature_files/hdf5_features.h"
#include "train/feature_files/hdf5_handle.h"

namespace mt::train {
namespace {

// A damaged file can make libhdf5 loop, take all memory, or wait for something.
constexpr rlim_t kSecondsOfCpu = 2;             // and one for each
constexpr uint64_t kBytesASecond = 16'000'000;  // of the file
constexpr unsigned kSecondsOfPatience = 60;     // of waiting, and one for each
constexpr uint64_t kBytesAPatientSecond = 1'000'000;
constexpr uint64_t kMemoryBeside = uint64_t{192} << 20;  // of libhdf5, beside the datasets
constexpr char kDone = 'D';
constexpr char kFailed = 'F';

// The child's end of the pipe.
class Sender {
 public:
  explicit Sender(int descriptor) : descriptor_(descriptor) {}
  void bytes(const void* data, std::size_t count) const {
    const auto* from = static_cast<const char*>(data);
    while (count > 0) {
      const ssize_t put = write(descriptor_, from, count);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) _exit(1);  // the parent has gone
      from += put;
      count -= static_cast<std::size_t>(put);
    }
  }
  template <typename T>
  void value(const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes(&value, sizeof value);
  }
  void text(const std::string& text) const {
    value(static_cast<uint64_t>(text.size()));
    bytes(text.data(), text.size());
  }
  void tensor(const Tensor& tensor) const {
    value(static_cast<int64_t>(tensor.defined() ? tensor.rank() : -1));
    if (!tensor.defined()) return;
    value(tensor.dtype());
    for (const int64_t dim : tensor.shape().dims()) value(dim);
    bytes(tensor.raw(), tensor.bytes());
  }
  template <typename T>
  void optional(const std::optional<T>& optional) const {
    value(optional.has_value());
    if (!optional) return;
    if constexpr (std::is_same_v<T, std::string>) {
      text(*optional);
    } else {
      value(*optional);
    }
  }

 private:
  int descriptor_;
};

// The parent's end. A child that ends early leaves `ok` false; nothing that it sent is used then.
class Receiver {
 public:
  explicit Receiver(int descriptor) : descriptor_(descriptor) {}
  ~Receiver() { close(descriptor_); }
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  void bytes(void* data, std::size_t count) const {
    auto* to = static_cast<char*>(data);
    while (count > 0) {
      const ssize_t got = read(descriptor_, to, count);
      if (got < 0 && errno == EINTR) continue;
      check(got > 0, "the reading process ended early");
      to += got;
      count -= static_cast<std::size_t>(got);
    }
  }
  template <typename T>
  T value() const {
    T value{};
    bytes(&value, sizeof value);
    return value;
  }
  std::string text() const {
    std::string text(value<uint64_t>(), '\0');
    bytes(text.data(), text.size());
    return text;
  }
  Tensor tensor() const {
    const auto rank = value<int64_t>();
    if (rank < 0) return {};
    const auto dtype = value<DType>();
    std::vector<int64_t> dims;
    for (int64_t i = 0; i < rank; ++i) dims.push_back(value<int64_t>());
    Tensor tensor = Tensor::empty(Shape{std::span<const int64_t>(dims)}, dtype);
    bytes(tensor.raw(), tensor.bytes());
    return tensor;
  }
  template <typename T>
  void optional(std::optional<T>& target) const {
    if (!value<bool>()) return;
    if constexpr (std::is_same_v<T, std::string>) {
      target = text();
    } else {
      target = value<T>();
    }
  }

 private:
  int descriptor_;
};

// Both sides name the attributes in the same order.
template <typename Pipe, typename Attributes>
void transfer_attributes(const Pipe& pipe, Attributes& attributes) {
  pipe.optional(attributes.name);
  pipe.optional(attributes.patch_size);
  pipe.optional(attributes.patch_size_level0);
  pipe.optional(attributes.level0_magnification);
  pipe.optional(attributes.target_magnification);
  pipe.optional(attributes.overlap);
  pipe.optional(attributes.level0_width);
  pipe.optional(attributes.level0_height);
}

/// Bytes of address space that this process has.
uint64_t taken_memory() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

[[noreturn]] void child(int descriptor, const std::string& path, const std::string& key) {
  struct stat facts {};
  const uint64_t size = stat(path.c_str(), &facts) == 0 ? static_cast<uint64_t>(facts.st_size) : 0;
  const rlim_t seconds = kSecondsOfCpu + size / kBytesASecond;
  const rlimit limit{seconds, seconds};
  setrlimit(RLIMIT_CPU, &limit);
  alarm(kSecondsOfPatience + static_cast<unsigned>(size / kBytesAPatientSecond));
  const rlim_t memory = taken_memory() + 5 * size + kMemoryBeside;
  const rlimit address_space{memory, memory};
  setrlimit(RLIMIT_AS, &address_space);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const Sender sender(descriptor);
  try {
    const SlideFeatures slide = parse_hdf5_features(path, key);
    sender.value(kDone);
    sender.tensor(slide.features);
    sender.tensor(slide.coords);
    transfer_attributes(sender, slide.attributes);
    sender.value(static_cast<uint64_t>(slide.instances.size()));
    for (const auto& [name, tensor] : slide.instances) {
      sender.text(name);
      sender.tensor(tensor);
    }
  } catch (const std::exception& error) {
    sender.value(kFailed);
    sender.text(error.what());
  }
  _exit(0);
}

SlideFeatures receive(const Receiver& receiver) {
  if (receiver.value<char>() == kFailed) fail("{}", receiver.text());
  SlideFeatures slide;
  slide.features = receiver.tensor();
  slide.coords = receiver.tensor();
  transfer_attributes(receiver, slide.attributes);
  const auto count = receiver.value<uint64_t>();
  for (uint64_t i = 0; i < count; ++i) {
    std::string name = receiver.text();
    slide.instances.emplace_back(std::move(name), receiver.tensor());
  }
  return slide;
}

}  // namespace

SlideFeatures parse_hdf5_features_in_child(const std::string& path, const std::string& key) {
  std::array<int, 2> ends{};
  check(pipe(ends.data()) == 0, "{}: no pipe for reading it ({})", path, std::strerror(errno));
  pid_t process = -1;
  {
    // With the lock held no other thread is inside libhdf5, so the child finds it in order.
    const std::unique_lock lock(hdf5_mutex());
    process = fork();
    if (process == 0) {
      hdf5_mutex().unlock();
      close(ends[0]);
      child(ends[1], path, key);
    }
  }
  close(ends[1]);
  const Receiver receiver(ends[0]);
  check(process > 0, "{}: no process for reading it ({})", path, std::strerror(errno));
  SlideFeatures slide;
  std::string problem;
  try {
    slide = receive(receiver);
  } catch (const Error& error) {
    problem = error.what();
    kill(process, SIGKILL);
  }
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  const bool crashed = WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL;
  const bool too_long = crashed && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGALRM);
  check(!too_long, "{}: libhdf5 does not come to an end with it; the file is damaged", path);
  check(!crashed, "{}: libhdf5 crashed on it (signal {}); the file is damaged", path, WTERMSIG(status));
  check(problem.empty(), "{}", problem.starts_with(path) ? problem : path + ": " + problem);
  return slide;
}

}  // namespace mt::train
