#include "tensor/io/torch_checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "tensor/io/dense.h"
#include "tensor/io/input_file.h"
#include "tensor/io/npz.h"
#include "tensor/io/safetensors.h"
#include "tensor/rng.h"
#include "tests/harness/error_of.h"
#include "tests/harness/places.h"
#include "tests/harness/temporary_folder.h"

namespace mt {
namespace {

std::string golden(const std::string& name) {
  return testing::golden_path(name);
}

void expect_same_bytes(const Tensor& actual, const Tensor& expected, const std::string& name) {
  ASSERT_EQ(actual.shape(), expected.shape()) << name;
  ASSERT_EQ(actual.dtype(), expected.dtype()) << name;
  const Tensor values = dense(actual);
  EXPECT_EQ(std::memcmp(values.raw(), expected.raw(), expected.bytes()), 0) << name;
}

Tensor widened_from_bf16(const Tensor& tensor) {
  Tensor result = Tensor::empty(tensor.shape());
  const auto* bits = static_cast<const uint16_t*>(tensor.raw());
  for (int64_t i = 0; i < tensor.numel(); ++i) result.data<float>()[i] = bf16_to_float(bits[i]);
  return result;
}

const Tensor& find(const TorchCheckpoint& checkpoint, const std::string& path) {
  for (const TorchEntry& entry : checkpoint.tensors) {
    if (entry.path() == path) return entry.tensor;
  }
  fail("the checkpoint has no {}", path);
}

class OddCheckpoint : public ::testing::TestWithParam<const char*> {};

TEST_P(OddCheckpoint, HoldsTheExpectedValues) {
  const TorchCheckpoint checkpoint = read_torch_checkpoint(golden(GetParam()));
  const NpzFile expected(golden("odd_expected.npz"));
  EXPECT_EQ(checkpoint.tensors.size(), expected.names().size());
  for (const std::string& name : expected.names()) {
    const Tensor& tensor = find(checkpoint, name);
    expect_same_bytes(name == "bf16" ? widened_from_bf16(tensor) : tensor, expected[name], name);
  }
}

TEST_P(OddCheckpoint, KeepsViewsAsTheyWereSaved) {
  const TorchCheckpoint checkpoint = read_torch_checkpoint(golden(GetParam()));
  EXPECT_EQ(find(checkpoint, "shared_a").storage(), find(checkpoint, "shared_b").storage());
  EXPECT_EQ(find(checkpoint, "view_row1").offset(), 6);
  EXPECT_EQ(find(checkpoint, "transposed").stride(1), 6);
  EXPECT_EQ(find(checkpoint, "expanded").stride(0), 0);
  EXPECT_EQ(find(checkpoint, "channels_last").stride(1), 1);
  EXPECT_EQ(find(checkpoint, "i64_0d").rank(), 0);
}

TEST_P(OddCheckpoint, TruncatedAnywhereIsAnError) {
  const TemporaryFolder folder;
  const std::string content = read_file(golden(GetParam()));
  for (std::size_t length = 0; length < content.size(); ++length) {
    const std::string path = folder.put("cut.pth", content.substr(0, length));
    ASSERT_THROW(read_weights(path), Error) << length << " bytes";
  }
}

TEST_P(OddCheckpoint, FlippedBitsNeverCrash) {
  const TemporaryFolder folder;
  const std::string content = read_file(golden(GetParam()));
  RandomStream random(1, Purpose::test);
  for (int flip = 0; flip < 2000; ++flip) {
    std::string damaged = content;
    damaged[random.below(damaged.size())] ^= static_cast<char>(1 + random.below(255));
    const std::string path = folder.put("damaged.pth", damaged);
    ASSERT_TRUE(survives([&] { read_weights(path); })) << flip;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, OddCheckpoint, ::testing::Values("odd_zip.pth", "odd_legacy.pth"),
                         [](const auto& test) { return std::string(test.param).substr(4, 3); });

TEST(TorchCheckpointTest, BothFormatsGiveTheNetworksWeights) {
  const NpzFile expected(golden("resnet18_instancenorm_narrow.npz"));
  for (const char* name : {"r18in_narrow_zip.pth", "r18in_narrow_legacy.pth", "r18in_narrow_trainer.pth"}) {
    SCOPED_TRACE(name);
    const NamedTensors weights = read_weights(golden(name));
    EXPECT_EQ(weights.size(), 24);
    for (const auto& [full, tensor] : weights) {
      const std::string plain = full.starts_with("resnet.") ? full.substr(7) : full;
      expect_same_bytes(tensor, expected["w." + plain], full);
    }
  }
}

TEST(TorchCheckpointTest, NestedOptimizerStateKeepsItsPlace) {
  const TorchCheckpoint checkpoint = read_torch_checkpoint(golden("r18in_narrow_trainer.pth"));
  EXPECT_EQ(find(checkpoint, "optimizer.state.0.momentum_buffer").shape(), Shape({16, 3, 7, 7}));
  EXPECT_EQ(find(checkpoint, "net.resnet.conv1.weight").shape(), Shape({16, 3, 7, 7}));
  for (const TorchEntry& entry : checkpoint.tensors) {
    EXPECT_EQ(entry.keys.size(), entry.keys[0] == "net" ? 2 : 4) << entry.path();
  }
}

TEST(TorchCheckpointTest, LayoutsKeepPrefixesAndValues) {
  const TorchCheckpoint moco = read_torch_checkpoint(golden("layout_moco_zip.pth"));
  EXPECT_NE(
      std::find(moco.values.begin(), moco.values.end(), std::pair<std::string, std::string>("epoch", "199")),
      moco.values.end());
  EXPECT_NE(std::find(moco.values.begin(), moco.values.end(),
                      std::pair<std::string, std::string>("arch", "resnet18")),
            moco.values.end());
  EXPECT_EQ(read_weights(golden("layout_moco_zip.pth"))[0].first, "module.encoder_q.conv1.weight");
  EXPECT_EQ(read_weights(golden("layout_simclr_legacy.pth"))[0].first, "module.resnet.conv1.weight");
}

TEST(TorchCheckpointTest, ContentDecidesTheFormatNotTheName) {
  const TemporaryFolder folder;
  const Tensor one = Tensor::of<float>({1}, Shape({1}));
  write_safetensors(folder / "weights.pth", {{"a", one}});
  EXPECT_EQ(read_weights(folder / "weights.pth")[0].first, "a");
  const std::string text = folder.put("text.pth", "these are no weights");
  EXPECT_EQ(error_of([&] { read_weights(text); }),
            text + ": is neither a safetensors file nor one that torch.save wrote (zip or legacy)");
  const std::string empty = folder.put("empty.pth", "");
  EXPECT_EQ(error_of([&] { read_weights(empty); }), empty + ": is empty");
  EXPECT_THROW(read_weights(folder.path()), Error);
  EXPECT_EQ(error_of([] { read_torch_checkpoint("/nonexistent.pth"); }),
            "/nonexistent.pth: cannot be opened (No such file or directory)");
}

// A legacy file whose object is the given pickle.
std::string legacy_file(const std::string& pickle) {
  using std::string_literals::operator""s;
  return "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s + "\x80\x02M\xe9\x03."s +
         "\x80\x02}."s + pickle + "\x80\x02]."s;
}

std::string error_of_pickle(const std::string& pickle) {
  const TemporaryFolder folder;
  const std::string path = folder.put("p.pth", legacy_file(pickle));
  const std::string text = error_of([&] { read_weights(path); });
  return text.starts_with(path + ": ") ? text.substr(path.size() + 2) : text;
}

TEST(TorchCheckpointTest, ImportsAreNotMadeAndAreNamedWhereNothingElseIsThere) {
  const TemporaryFolder folder;
  const std::string touched = folder / "touched";
  const std::string command = "touch " + touched;
  EXPECT_EQ(error_of_pickle("\x80\x02"
                            "cos\nsystem\nU" +
                            std::string(1, static_cast<char>(command.size())) + command + "\x85R."),
            "has no state dict (looked under state_dict, model_state_dict, net, model and at the root); "
            "objects are not read, and nothing is executed: the file itself (os.system)");
  EXPECT_FALSE(std::filesystem::exists(touched));
  using std::string_literals::operator""s;
  EXPECT_EQ(error_of_pickle("\x80\x04\x8c\x08"
                            "builtins\x8c\x04"
                            "eval\x93."s),
            "has no state dict (looked under state_dict, model_state_dict, net, model and at the root); "
            "objects are not read, and nothing is executed: the file itself (builtins.eval)");
  // The names that are known cannot be combined into anything else.
  EXPECT_EQ(error_of_pickle("\x80\x02"
                            "ctorch\nFloatStorage\n)R."s),
            "pickle: torch.FloatStorage cannot be called");
  // An import that only looks like a known one.
  EXPECT_NE(error_of_pickle("\x80\x02"
                            "ctorch._utils\n_rebuild_tensor_v3\n."s)
                .find("_rebuild_tensor_v3"),
            std::string::npos);
}

/// What trainers save beside their weights: Namespace, numpy numbers and arrays, sets, paths, counters.
TEST(TorchCheckpointTest, ObjectsBesideTheTensorsArePassedOver) {
  for (const char* protocol : {"p2", "p4", "p5"}) {
    SCOPED_TRACE(protocol);
    const std::string path = golden(std::string("objects_beside_") + protocol + ".pth");
    const NamedTensors weights = read_weights(path);
    ASSERT_EQ(weights.size(), 1U);
    EXPECT_EQ(weights[0].first, "fc.weight");
    EXPECT_EQ(weights[0].second.shape(), Shape({2, 3}));
    EXPECT_EQ(weights[0].second.data<float>()[5], 5);
    EXPECT_EQ(read_all_tensors(path)[0].first, "state_dict.fc.weight");
    const TorchCheckpoint checkpoint = read_torch_checkpoint(path);
    const auto has = [&](const std::string& name, const std::string& type) {
      return std::find(checkpoint.opaque.begin(), checkpoint.opaque.end(), std::pair(name, type)) !=
             checkpoint.opaque.end();
    };
    EXPECT_TRUE(has("args", "argparse.Namespace"));
    EXPECT_TRUE(has("path", "pathlib.PurePosixPath"));
    for (const char* name : {"best_acc", "array", "set", "frozen", "counter", "complex", "range", "dtype"}) {
      EXPECT_TRUE(std::any_of(checkpoint.opaque.begin(), checkpoint.opaque.end(), [&](const auto& entry) {
        return entry.first == name;
      })) << name;
    }
  }
}

TEST(TorchCheckpointTest, HostilePicklesAreErrors) {
  using std::string_literals::operator""s;
  EXPECT_NE(error_of_pickle("\x80\x02i."s).find("opcode 0x69 at byte "), std::string::npos);
  EXPECT_NE(error_of_pickle("\x80\x02R."s).find("takes more than it has"), std::string::npos);
  EXPECT_NE(error_of_pickle("\x80\x02h\x07."s).find("asks for memo 7"), std::string::npos);
  EXPECT_NE(error_of_pickle("\x80\x02t."s).find("no mark"), std::string::npos);
  // A list that holds itself.
  EXPECT_NE(error_of_pickle("\x80\x02]q\x00h\x00"
                            "a."s)
                .find("nested too deeply"),
            std::string::npos);
  // Lists of ten references to the list before, thirty levels deep: 10^30 values if it were unfolded.
  std::string laughs = "\x80\x02K\x01q\x00"s;
  for (int level = 0; level < 30; ++level) {
    laughs += "]("s;
    for (int i = 0; i < 10; ++i) laughs += "h"s + static_cast<char>(level);
    laughs += "eq"s + static_cast<char>(level + 1);
  }
  EXPECT_NE(error_of_pickle(laughs + ".").find("nested too deeply"), std::string::npos);
  // A storage that claims more than the file has.
  EXPECT_NE(error_of_pickle("\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00"
                            "0X\x03\x00\x00\x00"
                            "cpuJ\xff\xff\xff\x7fNtQ."s)
                .find("claims 2147483647 elements"),
            std::string::npos);
  EXPECT_NE(error_of_pickle("\x80\x02}."s).find("has no state dict"), std::string::npos);
}

}  // namespace
}  // namespace mt
