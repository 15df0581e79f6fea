#include "train/run/weights_hash.h"

#include <gtest/gtest.h>

#include "tensor/io/sha256.h"

namespace mt::train {
namespace {

// FIPS 180-4's examples.
TEST(Sha256Test, KnownAnswers) {
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 pieces;
  pieces.update("a", 1);
  EXPECT_EQ(pieces.hex_so_far(), sha256("a"));
  pieces.update("bc", 2);
  EXPECT_EQ(pieces.hex(), sha256("abc"));
}

TEST(WeightsHashTest, IsTheHashOfTheBytesInOrderOfNames) {
  const Tensor a = Tensor::of<uint8_t>({'a', 'b'}, Shape({2}));
  const Tensor matrix = Tensor::of<uint8_t>({'1', '2', '3', '4'}, Shape({2, 2}));
  EXPECT_EQ(weights_sha256({{"y", matrix}, {"x", a}}), sha256("ab1234"));
  EXPECT_EQ(weights_sha256({{"x", a}, {"y", matrix}}), sha256("ab1234"));
  EXPECT_EQ(weights_sha256({{"x", a}, {"y", matrix.transpose(0, 1)}}), sha256("ab1324"));
  EXPECT_THROW(weights_sha256({{"x", a}, {"x", a}}), Error);
}

}  // namespace
}  // namespace mt::train
