#include "tensor/io/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "tensor/check.h"

namespace mt {

namespace {

std::string finish(EVP_MD_CTX* context) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  check(EVP_DigestFinal_ex(context, digest.data(), &size) == 1, "sha256: libcrypto failed");
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  check(state_->context != nullptr && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
        "sha256: libcrypto does not offer it");
}

Sha256::~Sha256() = default;

void Sha256::update(const void* data, std::size_t bytes) {
  check(EVP_DigestUpdate(state_->context, data, bytes) == 1, "sha256: libcrypto failed");
}

std::string Sha256::hex() {
  return finish(state_->context);
}

std::string Sha256::hex_so_far() const {
  const State copy;
  check(copy.context != nullptr && EVP_MD_CTX_copy_ex(copy.context, state_->context) == 1,
        "sha256: libcrypto failed");
  return finish(copy.context);
}

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.hex();
}

}  // namespace mt
