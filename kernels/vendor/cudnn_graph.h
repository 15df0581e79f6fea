#pragma once
// cuDNN 9's graph interface with owners and errors: descriptors that are created, given attributes, and made
// final.

#include <cudnn.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mt::vendor {

/// Throws Error with the library's own words.
void check_cudnn(cudnnStatus_t status, const char* what);

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
           const void* values);
  void set(cudnnBackendAttributeName_t name, const Descriptor& value);
  void set(cudnnBackendAttributeName_t name, int64_t value) { set(name, CUDNN_TYPE_INT64, 1, &value); }
  void set(cudnnBackendAttributeName_t name, float value) { set(name, CUDNN_TYPE_FLOAT, 1, &value); }
  void set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
    set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
  }
  void set(cudnnBackendAttributeName_t name, cudnnHandle_t value) { set(name, CUDNN_TYPE_HANDLE, 1, &value); }
  template <std::size_t kCount>
  void set(cudnnBackendAttributeName_t name, const std::array<int64_t, kCount>& values) {
    set(name, CUDNN_TYPE_INT64, kCount, values.data());
  }
  /// False where the library says that it cannot do this.
  bool try_finalize() { return cudnnBackendFinalize(raw_) == CUDNN_STATUS_SUCCESS; }
  void finalize(const char* what) { check_cudnn(cudnnBackendFinalize(raw_), what); }

  int64_t integer(cudnnBackendAttributeName_t name) const;
  cudnnBackendDescriptor_t raw() const { return raw_; }

 private:
  cudnnBackendDescriptor_t raw_ = nullptr;
};

/// What the library's heuristics propose for a graph of operations, the best first.
std::vector<Descriptor> proposed_engines(const Descriptor& graph, cudnnBackendHeurMode_t mode);
/// Whether a proposal's engine carries any of these notes.
bool has_note(const Descriptor& configuration, const std::vector<cudnnBackendNumericalNote_t>& notes);

/// "eng38 k2=5 k5=1", as cuDNN's own tools name an engine with its knobs.
std::string name_of_engine(const Descriptor& configuration);

}  // namespace mt::vendor
