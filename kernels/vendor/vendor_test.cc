// What can be tested of the vendor's kernels without a GPU: that the module links, loads and has its tables,
// who is chosen, and what our side of the module does when a library is missing, has nothing for a problem,
// or fails: kernels/vendor/fake/. On a machine with a GPU the tests of gemm and conv2d run the version
// "vendor".

#include "kernels/vendor/vendor.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/common/tables.h"
#include "kernels/vendor/fake/fake.h"
#include "tests/harness/error_of.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/temporary_folder.h"

namespace mt {
namespace {

class VendorTest : public ::testing::Test {
 protected:
  void TearDown() override { set_kernel_choice(KernelChoice::own); }
  static bool in_build() {
    register_device_operations();
    for (const auto& version : device_versions<Gemm<float>>(Device::cuda)) {
      if (version.name == kVendorVersion) return true;
    }
    return false;
  }
};

TEST_F(VendorTest, ModuleLoadsAndHasItsTables) {
  if (!vendor_missing().empty()) GTEST_SKIP() << vendor_missing();
  const VendorTables& tables = vendor_tables();
  for (const Gemm<float>* gemm : {tables.gemm, tables.gemm_tf32}) EXPECT_NE(gemm->multiply, nullptr);
  for (const Conv2d<float>* conv2d : {tables.conv2d, tables.conv2d_tf32}) {
    EXPECT_NE(conv2d->forward, nullptr);
    EXPECT_NE(conv2d->backward_data, nullptr);
    EXPECT_NE(conv2d->backward_weights, nullptr);
    EXPECT_NE(conv2d->forward_fused, nullptr);
    EXPECT_NE(conv2d->forward_pixels, nullptr);
  }
}

TEST_F(VendorTest, ChoiceDecidesWhoComputesOnCuda) {
  if (!vendor_missing().empty()) GTEST_SKIP() << vendor_missing();
  const auto& vendor = *find_device_table<Gemm<float>>(Device::cuda, kVendorVersion);
  set_kernel_choice(KernelChoice::own);
  EXPECT_NE(&gemm<float>(Device::cuda), &vendor);
  set_kernel_choice(KernelChoice::vendor);
  EXPECT_EQ(&gemm<float>(Device::cuda), &vendor);
  set_kernel_choice(KernelChoice::automatic);
  EXPECT_EQ(&gemm<float>(Device::cuda), &vendor);
}

TEST_F(VendorTest, ChoiceLeavesOtherDevicesAlone) {
  const auto& own = gemm<float>(Device::cpu);
  set_kernel_choice(KernelChoice::vendor);
  EXPECT_EQ(&gemm<float>(Device::cpu), &own);
}

TEST_F(VendorTest, TheFlagIsCheckedAgainstTheDevice) {
  EXPECT_THROW(choose_kernels("best", Device::cuda), UsageError);
  EXPECT_THROW(choose_kernels("vendor", Device::cpu), UsageError);
  EXPECT_THROW(choose_kernels("vendor", Device::simt), UsageError);
  choose_kernels("auto", Device::cpu);
  EXPECT_EQ(kernel_choice(), KernelChoice::automatic);
  choose_kernels("own", Device::simt);
  EXPECT_EQ(kernel_choice(), KernelChoice::own);
}

TEST_F(VendorTest, WithoutTheLibrariesTheErrorSaysSo) {
  if (in_build()) GTEST_SKIP() << "this build has cuBLASLt and cuDNN";
  set_kernel_choice(KernelChoice::vendor);
  EXPECT_EQ(error_of([] { gemm<float>(Device::cuda); }),
            "gemm: this build has no cuda vendor version; use --device cpu");
  EXPECT_NE(error_of([] { vendor_tables(); }).find("use --kernels own"), std::string::npos);
}

// ---- Modules that do not load

/// A fake of the build, copied into a folder of its own: loaded anew, and without what lay beside it.
class VendorModuleTest : public VendorTest {
 protected:
  std::string copy_of(const std::string& name) {
    const std::filesystem::path original = vendor::fake_module(name);
    if (!std::filesystem::exists(original)) return "";
    const std::string path = folder_ / (name + ".so");
    std::filesystem::copy_file(original, path);
    return path;
  }
  TemporaryFolder folder_;
};

TEST_F(VendorModuleTest, AMissingModuleIsNamed) {
  const VendorModule module = load_vendor_module(folder_ / "nothing.so");
  EXPECT_EQ(module.tables, nullptr);
  EXPECT_NE(module.missing.find("nothing.so: cannot open"), std::string::npos) << module.missing;
}

TEST_F(VendorModuleTest, AMissingLibraryIsNamed) {
  const std::string path = copy_of("fake_needs_absent");
  if (path.empty()) GTEST_SKIP() << "the fake modules of the build are not on this machine";
  const VendorModule module = load_vendor_module(path);
  EXPECT_EQ(module.tables, nullptr);
  EXPECT_NE(module.missing.find("libmicrotome_absent.so: cannot open"), std::string::npos) << module.missing;
}

TEST_F(VendorModuleTest, AMissingSymbolIsNamed) {
  const std::string path = copy_of("fake_undefined_symbol");
  if (path.empty()) GTEST_SKIP() << "the fake modules of the build are not on this machine";
  const VendorModule module = load_vendor_module(path);
  EXPECT_EQ(module.tables, nullptr);
  EXPECT_NE(module.missing.find("undefined symbol: microtome_absent"), std::string::npos) << module.missing;
}

TEST_F(VendorModuleTest, AModuleOfAnotherBuildIsRefused) {
  const std::string path = copy_of("fake_without_entry");
  if (path.empty()) GTEST_SKIP() << "the fake modules of the build are not on this machine";
  const VendorModule module = load_vendor_module(path);
  EXPECT_EQ(module.tables, nullptr);
  EXPECT_NE(module.missing.find("fake_without_entry.so: microtome_vendor_tables_2 is missing"),
            std::string::npos)
      << module.missing;
}

TEST_F(VendorModuleTest, AModuleThatIsNoLibraryIsRefused) {
  const VendorModule module = load_vendor_module(folder_.put("text.so", "no library"));
  EXPECT_EQ(module.tables, nullptr);
  EXPECT_NE(module.missing.find("text.so"), std::string::npos) << module.missing;
}

/// What a program does whose environment names this module: the module is looked for once for a process, so
/// each has one of its own.
class VendorProgramTest : public VendorModuleTest {
 protected:
  void SetUp() override { ::testing::FLAGS_gtest_death_test_style = "threadsafe"; }
  [[noreturn]] static void choose(const std::string& module, const std::string& word) {
    setenv("MICROTOME_VENDOR_MODULE", module.c_str(), 1);
    const std::string error = error_of([&] { choose_kernels(word, Device::cuda); });
    const bool own = find_device_table<Gemm<float>>(Device::cuda, kVendorVersion) == nullptr &&
                     find_device_table<Gemm<float>>(Device::cuda, "vendor_tf32") == nullptr &&
                     (error != "no error" ||
                      &gemm<float>(Device::cuda) == &device_table<Gemm<float>>(Device::cuda, "gemm"));
    fmt::print(stderr, "{}, {}", error, own ? "own kernels" : "vendor kernels");
    std::exit(0);
  }
};

TEST_F(VendorProgramTest, AutoComputesByOwnKernelsWhereTheModuleDoesNotLoad) {
  if (!in_build()) GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  EXPECT_EXIT(choose("/nowhere/v.so", "auto"), ::testing::ExitedWithCode(0),
              "^note: --kernels auto: [^\n]*/nowhere/v.so: cannot open[^\n]*\nno error, own kernels$");
}

TEST_F(VendorProgramTest, OwnLooksForNoModule) {
  if (!in_build()) GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  EXPECT_EXIT(choose("/nowhere/v.so", "own"), ::testing::ExitedWithCode(0), "^no error, own kernels$");
}

TEST_F(VendorProgramTest, VendorSaysWhatIsMissing) {
  if (!in_build()) GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  EXPECT_EXIT(choose("/nowhere/v.so", "vendor"), ::testing::ExitedWithCode(0),
              "^--kernels vendor: /nowhere/v.so: cannot open[^\n]*; use --kernels own, own kernels$");
}

TEST_F(VendorProgramTest, AutoTakesAModuleThatLoads) {
  if (!std::filesystem::exists(vendor::fake_module("fake_libraries")))
    GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  EXPECT_EXIT(choose(vendor::fake_module("fake_libraries").string(), "auto"), ::testing::ExitedWithCode(0),
              "^no error, vendor kernels$");
}

// ---- Our side of the module, on libraries that do what a test says

std::vector<std::string> notes;  // what the module said

class VendorFallbackTest : public VendorModuleTest {
 protected:
  /// False where the build has no fake libraries.
  bool load(vendor::FakeBehaviour behaviour) {
    notes.clear();
    const std::string path = copy_of("fake_libraries");
    if (path.empty()) return false;
    void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(module, nullptr) << dlerror();
    static const VendorHost host{&allocator(Device::cpu),  // the fakes leave their workspaces alone
                                 &gemm<float>(Device::simt),
                                 &activation<float>(Device::simt),
                                 &conv2d<float>(Device::simt),
                                 check_conv2d_shape,
                                 [](const std::string& note) { notes.push_back(note); }};
    reinterpret_cast<vendor::FakeSetter>(dlsym(module, vendor::kFakeSetter))(behaviour);
    tables_ = reinterpret_cast<VendorEntry>(dlsym(module, kVendorEntry))(host);
    return true;
  }
  /// The three passes of a convolution, one after the other.
  std::vector<float> convolve(const Conv2d<float>& table) {
    const Conv2dShape s{1, 5, 5, 2, 3, 3, 3, 1, 1};
    testing::Buffer<float> x(testing::uniform_values(50, 1), Device::simt);   // (1,5,5,2)
    testing::Buffer<float> w(testing::uniform_values(54, 2), Device::simt);   // (3,3,3,2)
    testing::Buffer<float> dy(testing::uniform_values(75, 3), Device::simt);  // (1,5,5,3)
    testing::Buffer<float> y(75, Device::simt);
    testing::Buffer<float> dx(50, Device::simt);
    testing::Buffer<float> dw(54, Device::simt);
    table.forward(x.data(), w.data(), y.data(), s, nullptr);
    table.backward_data(dy.data(), w.data(), dx.data(), s, nullptr);
    table.backward_weights(x.data(), dy.data(), dw.data(), s, nullptr);
    return joined({y.host(), dx.host(), dw.host()});
  }
  /// A product with beta, and one with a bias and a ReLU.
  std::vector<float> multiply(const Gemm<float>& table) {
    testing::Buffer<float> a(testing::uniform_values(12, 4), Device::simt);     // (3,4)
    testing::Buffer<float> b(testing::uniform_values(20, 5), Device::simt);     // (4,5)
    testing::Buffer<float> bias(testing::uniform_values(5, 6), Device::simt);   // (5)
    testing::Buffer<float> c(testing::uniform_values(15, 7), Device::simt);     // (3,5)
    testing::Buffer<float> relu(testing::uniform_values(15, 8), Device::simt);  // (3,5)
    table.multiply(false, false, 3, 5, 4, a.data(), 4, b.data(), 5, 2, c.data(), 5, {}, nullptr);
    table.multiply(false, false, 3, 5, 4, a.data(), 4, b.data(), 5, 0, relu.data(), 5,
                   {.bias = bias.data(), .activation = GemmActivation::relu}, nullptr);
    return joined({c.host(), relu.host()});
  }
  static std::vector<float> joined(const std::vector<std::vector<float>>& parts) {
    std::vector<float> all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  }
  void expect_own_answers(const std::string& said_by_cudnn, const std::string& said_by_cublas) {
    const std::vector<float> y = convolve(conv2d<float>(Device::simt));
    for (int again = 0; again < 2; ++again) {
      testing::expect_same_bits(convolve(*tables_->conv2d), y, "conv2d");
      EXPECT_EQ(tables_->last_choice(), "own kernel");
    }
    ASSERT_EQ(notes.size(), 1U);  // of three passes, twice
    EXPECT_NE(notes[0].find(said_by_cudnn), std::string::npos) << notes[0];
    const std::vector<float> c = multiply(gemm<float>(Device::simt));
    for (int again = 0; again < 2; ++again) {
      testing::expect_same_bits(multiply(*tables_->gemm), c, "gemm");
      EXPECT_EQ(tables_->last_choice(), "own kernel");
    }
    ASSERT_EQ(notes.size(), 2U);
    EXPECT_NE(notes[1].find(said_by_cublas), std::string::npos) << notes[1];
  }
  const VendorTables* tables_ = nullptr;
};

TEST_F(VendorFallbackTest, TheLibraryThatComputesIsNamed) {
  if (!load(vendor::FakeBehaviour::computes)) GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  EXPECT_EQ(convolve(*tables_->conv2d)[0], vendor::kFakeAnswer);
  EXPECT_EQ(tables_->last_choice(), "eng7 k2=7");
  EXPECT_EQ(multiply(*tables_->gemm)[0], vendor::kFakeAnswer);
  EXPECT_EQ(tables_->last_choice(), "algorithm 7");
  EXPECT_TRUE(notes.empty());
}

TEST_F(VendorFallbackTest, WhatTheLibrariesDoNotOfferIsComputedByOwnKernels) {
  if (!load(vendor::FakeBehaviour::has_nothing))
    GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  expect_own_answers("cuDNN has no deterministic engine for the forward of 1x5x5x2 with 3 filters of 3x3",
                     "cuBLASLt: product of 3 x 5 x 4");
}

TEST_F(VendorFallbackTest, ALibraryThatDoesNotStartIsReplacedByOwnKernels) {
  if (!load(vendor::FakeBehaviour::does_not_start))
    GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  expect_own_answers("cuDNN: start", "cuBLASLt: start");
}

TEST_F(VendorFallbackTest, AnEngineThatFailsIsReplacedByOwnKernels) {
  if (!load(vendor::FakeBehaviour::fails)) GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  expect_own_answers("forward of 1x5x5x2", "cuBLASLt: product of 3 x 5 x 4");
}

TEST_F(VendorFallbackTest, TensorCoresComputeNoFloat32) {
  if (!load(vendor::FakeBehaviour::tensor_cores))
    GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  EXPECT_EQ(convolve(*tables_->conv2d_tf32)[0], vendor::kFakeAnswer);
  testing::expect_same_bits(convolve(*tables_->conv2d), convolve(conv2d<float>(Device::simt)), "conv2d");
}

}  // namespace
}  // namespace mt
