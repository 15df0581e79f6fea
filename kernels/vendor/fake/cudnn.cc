// What our module calls of cuDNN, doing what a test asks for. Signatures are those of cudnn.h.

#include <cudnn.h>

#include <cstring>
#include <string>

#include "kernels/vendor/fake/fake.h"

namespace mt::vendor {

FakeBehaviour fake_behaviour = FakeBehaviour::computes;

namespace {
struct FakeDescriptor {
  cudnnBackendDescriptorType_t type;
};
void* fake_pointers[3];  // of images, filters and outputs
}  // namespace

}  // namespace mt::vendor

using mt::vendor::fake_behaviour;
using mt::vendor::FakeBehaviour;

extern "C" {

__attribute__((visibility("default"))) void set_fake_behaviour(FakeBehaviour behaviour) {
  fake_behaviour = behaviour;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = nullptr;
  return fake_behaviour == FakeBehaviour::does_not_start ? CUDNN_STATUS_NOT_INITIALIZED
                                                         : CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t) {
  return CUDNN_STATUS_SUCCESS;
}
const char* cudnnGetErrorString(cudnnStatus_t) {
  return "a fault of the fake";
}
void cudnnGetLastErrorString(char* text, size_t size) {
  if (size > 0) text[0] = 0;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  *descriptor = reinterpret_cast<cudnnBackendDescriptor_t>(new mt::vendor::FakeDescriptor{type});
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete reinterpret_cast<mt::vendor::FakeDescriptor*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t) {
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t, int64_t count, const void* values) {
  if (name == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)
    std::memcpy(mt::vendor::fake_pointers, values, static_cast<std::size_t>(count) * sizeof(void*));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t, int64_t, int64_t* count, void* values) {
  *count = 1;
  switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
      *count = fake_behaviour == FakeBehaviour::has_nothing ? 0 : 1;
      break;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE: {
      *count = fake_behaviour == FakeBehaviour::tensor_cores ? 1 : 0;
      const cudnnBackendNumericalNote_t note = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
      std::memcpy(values, &note, sizeof(note));
      break;
    }
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
      std::memset(values, 0, sizeof(int64_t));
      break;
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE: {
      const cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_TILE_SIZE;
      std::memcpy(values, &type, sizeof(type));
      break;
    }
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE: {
      const int64_t value = 7;
      std::memcpy(values, &value, sizeof(value));
      break;
    }
    default:
      break;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t, cudnnBackendDescriptor_t, cudnnBackendDescriptor_t) {
  if (fake_behaviour == FakeBehaviour::fails) return CUDNN_STATUS_EXECUTION_FAILED;
  *static_cast<float*>(mt::vendor::fake_pointers[2]) = mt::vendor::kFakeAnswer;
  return CUDNN_STATUS_SUCCESS;
}
}
