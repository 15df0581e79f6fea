#pragma once
// Inside of the module: what its files share.

#include <string>
#include <utility>

#include "kernels/vendor/vendor.h"

namespace mt::vendor {

enum class Precision : uint8_t { fp32, tf32 };

/// Set before anything of the tables runs.
extern const VendorHost* host;

extern const Gemm<float> kGemmFp32;
extern const Gemm<float> kGemmTf32;
extern const Conv2d<float> kConv2dFp32;
extern const Conv2d<float> kConv2dTf32;

/// What VendorTables::last_choice() gives.
inline thread_local std::string last_choice;
inline constexpr const char* kOwnKernel = "own kernel";

/// Says once why a library leaves work to the project's own kernels.
class Refusals {
 public:
  void say(const std::string& reason) {
    if (std::exchange(said_, true)) return;
    host->say(reason + "; the project's own kernel computes it, and whatever else the library leaves");
  }

 private:
  bool said_ = false;
};

/// Device memory that grows to the largest size asked for and stays. One per library: each computes in one
/// stream at a time.
class Workspace {
 public:
  void* reserve(std::size_t bytes) {
    if (bytes > bytes_) {
      if (data_ != nullptr) host->memory->deallocate(data_, bytes_);
      data_ = nullptr;
      bytes_ = 0;
      data_ = host->memory->allocate(bytes);
      bytes_ = bytes;
    }
    return data_;
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace mt::vendor
