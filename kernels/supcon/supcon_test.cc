#include "kernels/supcon/supcon.h"

#include <algorithm>
#include <array>

#include "kernels/device/device.h"
#include "tests/harness/error_of.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

struct Problem {
  std::vector<double> z;  // (rows, width), unit rows
  int64_t rows = 0;
  int64_t width = 0;
  int64_t anchors = 0;
  PairMode mode = PairMode::all;
  double temperature = 0.07;
  std::vector<int32_t> labels{};
  std::vector<uint8_t> uncertain{};       // or empty
  std::vector<uint8_t> positive_pairs{};  // or empty
  int64_t images = 0;
};

template <typename T>
struct Result {
  std::vector<T> lse, positive_sum, dz;
  std::vector<int32_t> positive_count;
  T loss = 0;
};

/// With `shards` > 1 each call of the table handles one part of the rows.
template <typename T>
Result<T> run(const SupCon<T>& op, const Problem& p, Device device = Device::cpu, int64_t shards = 1) {
  Buffer<T> z(std::vector<T>(p.z.begin(), p.z.end()), device);
  Buffer<int32_t> labels(p.labels, device);
  Buffer<uint8_t> uncertain(p.uncertain, device);
  Buffer<uint8_t> pairs(p.positive_pairs, device);
  SupConBatch<T> batch;
  batch.z = z.data();
  batch.labels = p.labels.empty() ? nullptr : labels.data();
  batch.uncertain = p.uncertain.empty() ? nullptr : uncertain.data();
  batch.positive_pairs = p.positive_pairs.empty() ? nullptr : pairs.data();
  batch.images = p.images;
  batch.rows = p.rows;
  batch.anchors = p.anchors;
  batch.width = p.width;
  batch.pair_mode = p.mode;
  batch.temperature = p.temperature;
  Buffer<T> lse(p.anchors, device), positive_sum(p.anchors, device), loss(1, device),
      dz(p.rows * p.width, device);
  Buffer<T> dloss(std::vector<T>{1}, device);
  Buffer<int32_t> count(p.anchors, device);
  const auto each_shard = [&](const auto& call) {
    for (int64_t k = 0; shards > 1 && k < shards; ++k) {
      batch.shard_begin = p.rows * k / shards;
      batch.shard_end = p.rows * (k + 1) / shards;
      call();
    }
    if (shards == 1) call();
  };
  each_shard([&] {
    op.forward(batch, lse.data(), positive_sum.data(), count.data(), shards == 1 ? loss.data() : nullptr,
               nullptr);
  });
  if (shards > 1) op.mean(batch, lse.data(), positive_sum.data(), count.data(), loss.data(), nullptr);
  each_shard([&] { op.backward(batch, lse.data(), count.data(), dloss.data(), dz.data(), nullptr); });
  return {lse.host(), positive_sum.host(), dz.host(), count.host(), loss.host()[0]};
}

void normalise_rows(std::vector<double>& z, int64_t width) {
  for (std::size_t row = 0; row < z.size(); row += static_cast<std::size_t>(width)) {
    double square = 0;
    for (std::size_t d = 0; d < static_cast<std::size_t>(width); ++d) square += z[row + d] * z[row + d];
    for (std::size_t d = 0; d < static_cast<std::size_t>(width); ++d) z[row + d] /= std::sqrt(square);
  }
}

Problem random_problem(int64_t rows, int64_t width, PairMode mode, bool masked, uint64_t seed) {
  Problem p{.z = testing::widened(testing::uniform_values(rows * width, seed)), .rows = rows, .width = width};
  normalise_rows(p.z, width);
  for (double& value : p.z)
    value = static_cast<double>(static_cast<float>(value));  // both precisions see the same rows
  p.anchors = rows;
  p.mode = mode;
  RandomStream random(seed, Purpose::test, 1);
  for (int64_t i = 0; i < rows; ++i) p.labels.push_back(static_cast<int32_t>(random.below(3)));
  for (int64_t i = 0; masked && i < rows; ++i) p.uncertain.push_back(random.chance(0.3F) ? 1 : 0);
  return p;
}

constexpr std::array kModes{PairMode::all, PairMode::positives, PairMode::negatives};

// supcon.md. Rows are unit vectors to float's precision, so that S = 1/τ bounds every similarity.
struct Bounds {
  explicit Bounds(const Problem& p)
      : largest_similarity(1 / p.temperature),
        similarity(testing::kRoundoff * static_cast<double>(p.width + 4) * largest_similarity),
        lse(testing::kRoundoff *
            (static_cast<double>(p.width + 8) * largest_similarity + static_cast<double>(p.rows) / 16 + 16)),
        probability(similarity + lse + testing::kRoundoff * (4 + largest_similarity)) {}
  double positive_sum(int32_t count) const {
    return count * (similarity + testing::kRoundoff * (count / 16.0 + 12) * largest_similarity);
  }
  double largest_similarity, similarity, lse, probability;
};

/// Σ_j (|g_ij| + |g_ji|) |z_jd| / τ with every term taken as positive: what the error of dz is relative to.
std::vector<double> gradient_scale(const Problem& p, const Result<double>& want) {
  std::vector<double> scale(p.z.size(), 0.0);
  for (int64_t i = 0; i < p.anchors; ++i) {
    if (want.positive_count[static_cast<std::size_t>(i)] == 0) continue;
    for (int64_t j = 0; j < p.rows; ++j) {
      const bool is_column = p.uncertain.empty() || p.uncertain[static_cast<std::size_t>(j)] == 0;
      if (i == j || !is_column) continue;
      double s = 0;
      for (int64_t d = 0; d < p.width; ++d) {
        s += p.z[static_cast<std::size_t>(i * p.width + d)] * p.z[static_cast<std::size_t>(j * p.width + d)];
      }
      const bool may_be_positive = !p.positive_pairs.empty() || p.labels[static_cast<std::size_t>(i)] ==
                                                                    p.labels[static_cast<std::size_t>(j)];
      const double g = (std::exp(s / p.temperature - want.lse[static_cast<std::size_t>(i)]) +
                        (may_be_positive ? 1.0 / want.positive_count[static_cast<std::size_t>(i)] : 0)) *
                       p.temperature / 0.07 / static_cast<double>(p.anchors) / p.temperature;
      for (int64_t d = 0; d < p.width; ++d) {
        const auto of_i = static_cast<std::size_t>(i * p.width + d);
        const auto of_j = static_cast<std::size_t>(j * p.width + d);
        scale[of_i] += g * std::abs(p.z[of_j]);
        scale[of_j] += g * std::abs(p.z[of_i]);
      }
    }
  }
  return scale;
}

Result<double> run_reference(const Problem& p) {
  return run<double>(supcon<double>(Device::cpu), p);
}

void expect_agreement(const SupCon<float>& op, const Problem& p, Device device, const std::string& what) {
  const Result<double> want = run_reference(p);
  const Result<float> got = run<float>(op, p, device);
  const Bounds bounds(p);
  EXPECT_EQ(got.positive_count, want.positive_count) << what;
  testing::expect_within(
      got.lse, want.lse, [&](std::size_t) { return bounds.lse; }, what + " lse");
  testing::expect_within(
      got.positive_sum, want.positive_sum,
      [&](std::size_t i) { return bounds.positive_sum(want.positive_count[i]); }, what + " positive sum");
  double loss_bound = 0;
  for (const int32_t count : want.positive_count) {
    if (count > 0) loss_bound += bounds.lse + bounds.positive_sum(count) / count;
  }
  loss_bound = loss_bound / static_cast<double>(p.anchors) * p.temperature / 0.07;
  loss_bound += testing::kRoundoff * std::abs(want.loss);
  EXPECT_TRUE(std::abs(static_cast<double>(got.loss) - want.loss) <= loss_bound)
      << what << " loss " << got.loss << ", want " << want.loss << ", bound " << loss_bound;
  const auto scale = gradient_scale(p, want);
  const double relative = bounds.probability + testing::kRoundoff * static_cast<double>(p.rows + 16);
  testing::expect_within(
      got.dz, want.dz, [&](std::size_t i) { return scale[i] * relative + 0x1p-126; }, what + " dz");
}

class SupConTest : public testing::KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (!IsSkipped() && device() == Device::cuda && GetParam().version == "tf32x3" &&
        device_runtime(device()).architecture() < 80)
      GTEST_SKIP() << "tensor cores need sm_80";
  }
  const SupCon<float>& op() const { return version_of(supcon<float>(device())); }
};

TEST_P(SupConTest, AgreesWithReferenceInAllModes) {
  // One row, below and above a panel of 16, a task of 48 rows and a chunk of 128 columns.
  // The GPU: tiles of 64, splits of the columns, chunks of 64, 128 and 256 of the width, rows that start on
  // 16 bytes and others.
  std::vector<std::pair<int64_t, int64_t>> shapes{{1, 3},    {2, 16},   {15, 7},   {49, 33},
                                                  {70, 100}, {130, 20}, {300, 129}};
  if (device() == Device::simt) shapes = {{1, 3}, {40, 200}, {66, 70}, {130, 20}};
  for (const auto& [rows, width] : shapes) {
    for (const PairMode mode : kModes) {
      for (const bool masked : {false, true}) {
        if (device() == Device::simt && rows < 60 && mode != PairMode::negatives) continue;
        if (device() == Device::simt && GetParam().version == "tf32x3" && mode != PairMode::negatives)
          continue;
        Problem p = random_problem(rows, width, mode, masked, static_cast<uint64_t>(rows));
        const std::string what =
            fmt::format("{} rows, width {}, mode {}, mask {}", rows, width, static_cast<int>(mode), masked);
        if (device() != Device::simt || !masked) expect_agreement(op(), p, device(), what);
        p.anchors = (rows + 1) / 2;
        if (device() != Device::simt || masked)
          expect_agreement(op(), p, device(), what + ", half of them anchors");
      }
    }
  }
}

TEST_P(SupConTest, AgreesWithReferenceForExplicitPairs) {
  const int64_t images = device() == Device::simt ? 35 : 67;  // two tiles of 64 rows
  Problem p = random_problem(2 * images, 24, PairMode::all, false, 9);
  p.images = images;
  RandomStream random(9, Purpose::test, 2);
  for (int64_t i = 0; i < p.images * p.images; ++i) p.positive_pairs.push_back(random.chance(0.1F) ? 1 : 0);
  expect_agreement(op(), p, device(), "explicit pairs");
  for (int64_t i = 0; i < p.rows; ++i) p.uncertain.push_back(i % 5 == 0 ? 1 : 0);
  expect_agreement(op(), p, device(), "explicit pairs, masked");
}

// Beyond 1,024 rows a split has several tiles of columns, one after the other in the same shared memory. One
// shard of the rows, so that the SIMT machine has to go through 18 tiles only.
TEST_P(SupConTest, SplitsOfSeveralTiles) {
  const Problem p = random_problem(1090, 8, PairMode::all, false, 6);
  const Result<double> want = run_reference(p);
  Buffer<float> z(std::vector<float>(p.z.begin(), p.z.end()), device());
  Buffer<int32_t> labels(p.labels, device());
  SupConBatch<float> batch;
  batch.z = z.data();
  batch.labels = labels.data();
  batch.rows = batch.anchors = p.rows;
  batch.width = p.width;
  batch.temperature = p.temperature;
  batch.shard_begin = 500;
  batch.shard_end = 550;
  Buffer<float> lse(p.rows, device()), positive_sum(p.rows, device()), dz(p.rows * p.width, device()),
      dloss(std::vector<float>{1}, device());
  Buffer<int32_t> count(p.rows, device());
  op().forward(batch, lse.data(), positive_sum.data(), count.data(), nullptr, nullptr);
  const Bounds bounds(p);
  const auto rows = [&](const auto& all, int64_t width = 1) {
    return std::vector(all.begin() + batch.shard_begin * width, all.begin() + batch.shard_end * width);
  };
  EXPECT_EQ(rows(count.host()), rows(want.positive_count));
  testing::expect_within(
      rows(lse.host()), rows(want.lse), [&](std::size_t) { return bounds.lse; }, "lse");

  Buffer<float> all_lse(std::vector<float>(want.lse.begin(), want.lse.end()), device());
  Buffer<int32_t> all_counts(want.positive_count, device());
  op().backward(batch, all_lse.data(), all_counts.data(), dloss.data(), dz.data(), nullptr);
  const std::vector<double> scale = rows(gradient_scale(p, want), p.width);
  const double relative = bounds.probability + testing::kRoundoff * static_cast<double>(p.rows + 16);
  testing::expect_within(
      rows(dz.host(), p.width), rows(want.dz, p.width),
      [&](std::size_t i) { return scale[i] * relative + 0x1p-126; }, "dz");
}

TEST_P(SupConTest, SmallTemperatureDoesNotOverflow) {
  for (const bool masked : {false, true}) {
    Problem p = random_problem(device() == Device::simt ? 70 : 140, 8, PairMode::all, masked, 5);
    p.temperature = 0.005;  // similarities from -200 to 200: e^200 is no float
    expect_agreement(op(), p, device(), "temperature 0.005");
  }
}

TEST_P(SupConTest, AnchorsWithoutPositivesContributeNothing) {
  Problem p = random_problem(20, 8, PairMode::all, false, 6);
  for (int32_t i = 0; i < 20; ++i) p.labels[static_cast<std::size_t>(i)] = i;
  const Result<float> got = run<float>(op(), p, device());
  EXPECT_EQ(got.loss, 0.0F);
  for (const float value : got.dz) EXPECT_EQ(value, 0.0F);
}

TEST_P(SupConTest, UncertainRowsAreAnchorsButNoColumns) {
  Problem p = random_problem(40, 8, PairMode::all, false, 7);
  std::fill(p.labels.begin(), p.labels.end(), 1);
  p.uncertain.assign(40, 0);
  p.uncertain[3] = 1;
  const auto got = run<float>(op(), p, device());
  EXPECT_EQ(got.positive_count[3], 39);  // all other rows
  EXPECT_EQ(got.positive_count[4], 38);  // all others but row 3
}

TEST_P(SupConTest, NanMakesTheLossNan) {
  Problem p = random_problem(60, 8, PairMode::all, false, 8);
  p.z[17] = NAN;
  EXPECT_TRUE(std::isnan(run<float>(op(), p, device()).loss));
}

TEST_P(SupConTest, SameBitsForOneTwoAndFourShards) {
  const std::vector<int64_t> anchor_counts =
      device() == Device::simt ? std::vector<int64_t>{100} : std::vector<int64_t>{150, 80};
  for (const int64_t anchors : anchor_counts) {
    Problem p = random_problem(150, 24, PairMode::all, true, 12);
    p.anchors = anchors;
    const Result<float> whole = run<float>(op(), p, device());
    for (const int64_t shards : {2, 4}) {
      const Result<float> parts = run<float>(op(), p, device(), shards);
      const std::string what = fmt::format("{} anchors, {} shards", anchors, shards);
      testing::expect_same_bits(parts.lse, whole.lse, what + " lse");
      testing::expect_same_bits(parts.positive_sum, whole.positive_sum, what + " positive sum");
      EXPECT_EQ(parts.positive_count, whole.positive_count) << what;
      testing::expect_same_bits({&parts.loss, 1}, {&whole.loss, 1}, what + " loss");
      testing::expect_same_bits(parts.dz, whole.dz, what + " dz");
    }
  }
}

TEST_P(SupConTest, SameBitsAlways) {
  const Problem p = random_problem(device() == Device::cpu ? 333 : 140, 40, PairMode::all, true, 10);
  expect_same_bits_always([&] {
    Result<float> got = run<float>(op(), p, device());
    got.dz.insert(got.dz.end(), got.lse.begin(), got.lse.end());
    got.dz.push_back(got.loss);
    return got.dz;
  });
}

TEST_P(SupConTest, RefusesWhatItCannotMean) {
  Problem p = random_problem(4, 2, PairMode::all, false, 1);
  p.anchors = 5;
  EXPECT_NE(error_of([&] { run<float>(op(), p, device()); }).find("supcon: 5 anchors of 4 rows"),
            std::string::npos);
  p.anchors = 4;
  p.temperature = 0;
  EXPECT_NE(error_of([&] { run<float>(op(), p, device()); }).find("supcon: temperatures"), std::string::npos);
  p.temperature = 1;
  p.labels.clear();
  EXPECT_NE(error_of([&] { run<float>(op(), p, device()); }).find("supcon: labels are missing"),
            std::string::npos);
}

MT_ON_EVERY_DEVICE(SupConTest, SupCon<float>);

/// The most device memory that both calls hold at a time, beside the Buffers of the test.
int64_t scratch_bytes(const SupCon<float>& op, int64_t rows, int64_t width) {
  const Problem p = random_problem(rows, width, PairMode::all, false, 13);
  Buffer<float> z(std::vector<float>(p.z.begin(), p.z.end()), Device::simt);
  Buffer<int32_t> labels(p.labels, Device::simt), count(rows, Device::simt);
  Buffer<float> lse(rows, Device::simt), positive_sum(rows, Device::simt), loss(1, Device::simt),
      dz(rows * width, Device::simt), dloss(std::vector<float>{1}, Device::simt);
  SupConBatch<float> batch;
  batch.z = z.data();
  batch.labels = labels.data();
  batch.rows = batch.anchors = rows;
  batch.width = width;
  Allocator& memory = allocator(Device::simt);
  const std::size_t before = memory.live_bytes();
  memory.reset_peak();
  op.forward(batch, lse.data(), positive_sum.data(), count.data(), loss.data(), nullptr);
  op.backward(batch, lse.data(), count.data(), dloss.data(), dz.data(), nullptr);
  return static_cast<int64_t>(memory.peak_bytes() - before);
}

TEST(SupConMemoryTest, ScratchIsThatOfTheBlocksRows) {
  register_device_operations();
  for (const Version<SupCon<float>>& version : device_versions<SupCon<float>>(Device::simt)) {
    if (version.name == "tf32x3") continue;  // allocates in the same lines as the first version
    for (const int64_t width : {4, 12}) {
      for (const int64_t rows : {256, 512}) {  // 512² floats are 1 MiB
        const int64_t bytes = scratch_bytes(*version.table, rows, width);
        // The splits' sums of dz, 16 bytes for each split's statistics or each row's terms, and single
        // values: of at most 264 blocks of 64 rows, whatever their number.
        const int64_t splits = std::min<int64_t>(rows / 64, 264 / (rows / 64));
        const int64_t most = splits * rows * (width * 4 + 16) + 4096;
        EXPECT_LE(bytes, most) << version.name << ": " << rows << " rows, width " << width;
      }
    }
  }
}

TEST(SupConReferenceTest, BackwardAgreesWithFiniteDifferences) {
  for (const PairMode mode : kModes) {
    for (const bool masked : {false, true}) {
      Problem p = random_problem(9, 4, mode, masked, 11);
      p.temperature = 0.5;
      p.anchors = masked ? 9 : 5;
      const auto loss = [&](const std::vector<double>& z) {
        Problem moved = p;
        moved.z = z;
        return run_reference(moved).loss;
      };
      // The base temperature multiplies loss and derivatives by 7, third derivatives by (1/τ)³ more.
      testing::expect_gradient(loss, p.z, run_reference(p).dz, "dz", 1e-6);
    }
  }
}

// ---- golden/supcon.npz: the published loss in float64 ----

constexpr const char* kGolden = "supcon.npz";

/// (images, views, width) in the file → rows view by view, as the loss wants them.
std::vector<double> view_major(const std::vector<double>& x, int64_t images, int64_t views, int64_t width) {
  std::vector<double> rows(x.size());
  for (int64_t i = 0; i < images * views * width; ++i) {
    const int64_t row = i / width % views * images + i / (views * width);
    rows[static_cast<std::size_t>(row * width + i % width)] = x[static_cast<std::size_t>(i)];
  }
  return rows;
}

Problem golden_problem(int64_t views) {
  const auto raw = testing::golden_values<float>(kGolden, "raw");  // (12,2,16)
  const auto labels = testing::golden_values<int64_t>(kGolden, "labels");
  Problem p{.z = view_major({raw.begin(), raw.end()}, 12, 2, 16), .rows = 12 * views, .width = 16};
  p.z.resize(static_cast<std::size_t>(p.rows * p.width));
  normalise_rows(p.z, 16);
  p.anchors = p.rows;
  for (int64_t i = 0; i < p.rows; ++i)
    p.labels.push_back(static_cast<int32_t>(labels[static_cast<std::size_t>(i % 12)]));
  return p;
}

/// The code's mask: label 0 (negative) in a bag of label 1.
std::vector<uint8_t> uncertain_negatives(const Problem& p, const std::vector<int64_t>& bags) {
  std::vector<uint8_t> uncertain;
  for (std::size_t i = 0; i < p.labels.size(); ++i) {
    uncertain.push_back(p.labels[i] == 0 && bags[i % bags.size()] == 1 ? 1 : 0);
  }
  return uncertain;
}

void expect_golden(const Problem& p, const std::string& name) {
  const auto loss = testing::golden_values<double>(kGolden, name + "_loss_f64");
  const auto gradient = testing::golden_values<double>(kGolden, name + "_grad_f_f64");
  const Result<double> got = run_reference(p);
  EXPECT_NEAR(got.loss, loss[0], 1e-9 * (1 + std::abs(loss[0]))) << name;
  testing::expect_close(got.dz, view_major(gradient, 12, p.rows / 12, 16), name);
  expect_agreement(supcon<float>(Device::cpu), p, Device::cpu, name);
}

TEST(SupConGoldenTest, PairModesAndMask) {
  for (int mode = 0; mode < 3; ++mode) {
    for (int masked = 0; masked < 2; ++masked) {
      Problem p = golden_problem(2);
      p.mode = kModes[static_cast<std::size_t>(mode)];
      if (masked == 1)
        p.uncertain = uncertain_negatives(p, testing::golden_values<int64_t>(kGolden, "bag_labels"));
      expect_golden(p, fmt::format("pm{}_mask{}", mode, masked));
    }
  }
}

TEST(SupConGoldenTest, SpecialCases) {
  Problem one = golden_problem(2);
  one.anchors = 12;
  expect_golden(one, "one_pm0");
  Problem simclr = golden_problem(2);
  for (std::size_t i = 0; i < simclr.labels.size(); ++i) simclr.labels[i] = static_cast<int32_t>(i % 12);
  expect_golden(simclr, "simclr");
  Problem warm = golden_problem(2);
  warm.temperature = 0.5;
  expect_golden(warm, "temp05");
  Problem no_positives = golden_problem(2);
  std::fill(no_positives.labels.begin(), no_positives.labels.end(), 0);
  no_positives.mode = PairMode::positives;
  expect_golden(no_positives, "pm1_nopos");
  Problem all_masked = golden_problem(2);
  std::fill(all_masked.labels.begin(), all_masked.labels.end(), 0);
  all_masked.mode = PairMode::negatives;
  all_masked.uncertain.assign(24, 1);
  expect_golden(all_masked, "pm2_allmasked");
  expect_golden(golden_problem(1), "oneview_pm0");
  Problem explicit_pairs = golden_problem(2);
  explicit_pairs.labels.clear();
  explicit_pairs.images = 12;
  for (const float value : testing::golden_values<float>(kGolden, "mask_in")) {
    explicit_pairs.positive_pairs.push_back(value != 0 ? 1 : 0);
  }
  expect_golden(explicit_pairs, "maskarg");
}

/// The generator of the golden data (tests/golden/README.md): uniform in [−1, 1).
double golden_uniform(uint64_t seed, uint64_t stream, uint64_t i) {
  uint64_t z = seed * 0xD1342543DE82EF95U + (stream << 40) + i + 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return static_cast<double>(static_cast<int64_t>((z ^ (z >> 31)) >> 40) - (1 << 23)) * 0x1p-23;
}

/// Gradient to the rows before they were normalised: (dz − z (z·dz)) / |raw|, in the file's order (images,
/// views, width).
std::vector<double> raw_gradient(const std::vector<double>& raw, const std::vector<double>& dz,
                                 int64_t images, int64_t width) {
  std::vector<double> gradient(raw.size());
  for (int64_t row = 0; row < 2 * images; ++row) {
    const double* x = raw.data() + row * width;
    const double* g = dz.data() + (row % 2 * images + row / 2) * width;
    double square = 0;
    double along = 0;
    for (int64_t d = 0; d < width; ++d) {
      square += x[d] * x[d];
      along += x[d] * g[d];
    }
    for (int64_t d = 0; d < width; ++d) {
      gradient[static_cast<std::size_t>(row * width + d)] =
          (g[d] - x[d] * along / square) / std::sqrt(square);
    }
  }
  return gradient;
}

TEST(SupConGoldenTest, BatchOf128) {
  std::vector<double> raw(128 * 2 * 256);  // (images, views, width)
  for (std::size_t i = 0; i < raw.size(); ++i) raw[i] = golden_uniform(105, 0, i);
  const auto labels = testing::golden_values<int64_t>(kGolden, "b128_labels");
  for (int mode = 0; mode < 3; ++mode) {
    for (int masked = 0; masked < 2; ++masked) {
      Problem p{.z = view_major(raw, 128, 2, 256), .rows = 256, .width = 256, .anchors = 256};
      normalise_rows(p.z, 256);
      p.mode = kModes[static_cast<std::size_t>(mode)];
      for (std::size_t i = 0; i < 256; ++i) p.labels.push_back(static_cast<int32_t>(labels[i % 128]));
      if (masked == 1)
        p.uncertain = uncertain_negatives(p, testing::golden_values<int64_t>(kGolden, "b128_bag"));
      const std::string name = fmt::format("b128_pm{}_mask{}", mode, masked);
      const Result<double> got = run_reference(p);
      EXPECT_NEAR(got.loss, testing::golden_values<double>(kGolden, name + "_loss_f64")[0], 1e-9 * got.loss)
          << name;
      const auto gradient = raw_gradient(raw, got.dz, 128, 256);
      std::vector<double> digest{0, 0, 0, *std::min_element(gradient.begin(), gradient.end()),
                                 *std::max_element(gradient.begin(), gradient.end())};
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        digest[0] += gradient[i];
        digest[1] += gradient[i] * gradient[i];
        digest[2] += gradient[i] * golden_uniform(977, 0, i);
      }
      for (std::size_t k = 0; k < 32; ++k) digest.push_back(gradient[k * gradient.size() / 32]);
      testing::expect_close(digest, testing::golden_values<double>(kGolden, name + "_graddigest_f64"), name);
    }
  }
}

}  // namespace
}  // namespace mt
