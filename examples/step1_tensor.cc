// Step 1 of 5: a value. A tensor is typed, shaped memory on a device; a view shares it, and what computes is a kernel.
// Build and run: ninja -C build examples/step1_tensor && build/examples/step1_tensor

#include <cstdio>

#include "kernels/softmax/softmax.h"
#include "tensor/tensor.h"

using namespace mt;

namespace {

void print(const char* name, const Tensor& matrix) {  // (rows,columns), with any strides
  std::printf("%s %s\n", name, matrix.shape().str().c_str());
  for (int64_t r = 0; r < matrix.dim(0); ++r) {
    for (int64_t c = 0; c < matrix.dim(1); ++c)
      std::printf(" %6.3f",
                  static_cast<double>(matrix.data<float>()[r * matrix.stride(0) + c * matrix.stride(1)]));
    std::printf("\n");
  }
}

}  // namespace

int main() {
  const Tensor logits = Tensor::of(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  print("logits", logits);
  print("its transpose, the same six floats read in another order", logits.transpose(0, 1));
  print("its second row, a view as well", logits.slice(0, 1, 2));

  // An operation is a table of functions; there is one for each device. This is softmax's on the cpu.
  const Tensor y = Tensor::empty(logits.shape());
  softmax<float>(Device::cpu).forward(logits.data<float>(), y.data<float>(), y.dim(0), y.dim(1), nullptr);
  print("softmax of its rows", y);

  // Errors are one line that says what does not fit.
  try {
    logits.view({4, 2});
  } catch (const Error& error) {
    std::printf("error: %s\n", error.what());
  }
}
