#pragma once
// RAII and error handling for libhdf5's C interface. Included by .cc files only.

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

#include "tensor/check.h"
#include "tensor/text.h"

namespace mt::train {

/// libhdf5 is used by one thread at a time: Debian's build is not thread-safe.
std::mutex& hdf5_mutex();

/// What libhdf5 says of its last failure, from where it began: " (libhdf5: no locks available)", or nothing.
inline std::string hdf5_words() {
  std::string words;
  const auto first = [](unsigned, const H5E_error2_t* error, void* target) -> herr_t {
    auto* text = static_cast<std::string*>(target);
    if (text->empty() && error->desc != nullptr) *text = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first, &words);
  return words.empty() ? words : " (libhdf5: " + printable(words, 160) + ")";
}

/// An identifier that is closed by the function for its kind. Throws Error when the library did not give one.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Hdf5Handle(hid_t id, Close close, const std::string& path, const char* what) : id_(id), close_(close) {
    check(id_ >= 0, "{}: {} is missing or damaged{}", path, what, hdf5_words());
  }
  ~Hdf5Handle() {
    if (id_ >= 0) close_(id_);
  }
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle(const Hdf5Handle&) = delete;
  Hdf5Handle& operator=(const Hdf5Handle&) = delete;
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

/// Keeps libhdf5 from printing its stack of errors (ours say it in one line), and from following external
/// links.
inline void silence_hdf5() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  // A link into another file could lead anywhere: to a FIFO, or to a file of somebody else.
  if (H5Lis_registered(H5L_TYPE_EXTERNAL) > 0) H5Lunregister(H5L_TYPE_EXTERNAL);
}

}  // namespace mt::train
