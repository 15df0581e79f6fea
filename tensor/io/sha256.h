#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace mt {

/// SHA-256 (FIPS 180-4) of bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(const void* data, std::size_t bytes);
  /// 64 lower-case hexadecimal digits; call once, at the end.
  std::string hex();
  /// The same of the bytes so far; more may follow.
  std::string hex_so_far() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256(std::string_view bytes);

}  // namespace mt
