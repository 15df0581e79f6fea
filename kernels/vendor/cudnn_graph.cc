#include "kernels/vendor/cudnn_graph.h"

#include <algorithm>

#include "tensor/check.h"

namespace mt::vendor {
namespace {

constexpr int64_t kMostProposals = 32;

/// Reads descriptors into those of `targets`; returns how many there were.
int64_t read(cudnnBackendDescriptor_t from, cudnnBackendAttributeName_t name,
             std::vector<Descriptor>& targets) {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const Descriptor& target : targets) raw.push_back(target.raw());
  int64_t count = 0;
  check_cudnn(cudnnBackendGetAttribute(from, name, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                       static_cast<int64_t>(raw.size()), &count, raw.data()),
              "read an attribute");
  return std::min<int64_t>(count, static_cast<int64_t>(raw.size()));
}

Descriptor engine_of(const Descriptor& configuration) {
  std::vector<Descriptor> engine;
  engine.emplace_back(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  read(configuration.raw(), CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  return std::move(engine[0]);
}

}  // namespace

void check_cudnn(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 512> detail{};
  cudnnGetLastErrorString(detail.data(), detail.size());
  fail("cuDNN: {}: {} {}", what, cudnnGetErrorString(status), detail.data());
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check_cudnn(cudnnBackendCreateDescriptor(type, &raw_), "create a descriptor");
}

Descriptor::~Descriptor() {
  if (raw_ != nullptr) cudnnBackendDestroyDescriptor(raw_);
}

void Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                     const void* values) {
  check_cudnn(cudnnBackendSetAttribute(raw_, name, type, count, values), "set an attribute");
}

void Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& value) {
  const cudnnBackendDescriptor_t raw = value.raw();
  set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw);
}

int64_t Descriptor::integer(cudnnBackendAttributeName_t name) const {
  int64_t value = 0;
  int64_t count = 0;
  check_cudnn(cudnnBackendGetAttribute(raw_, name, CUDNN_TYPE_INT64, 1, &count, &value), "read an attribute");
  return value;
}

std::vector<Descriptor> proposed_engines(const Descriptor& graph, cudnnBackendHeurMode_t mode) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  std::vector<Descriptor> proposals;
  if (!heuristics.try_finalize()) return proposals;
  for (int64_t i = 0; i < kMostProposals; ++i) proposals.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  const int64_t count = read(heuristics.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS, proposals);
  proposals.erase(proposals.begin() + count, proposals.end());
  return proposals;
}

bool has_note(const Descriptor& configuration, const std::vector<cudnnBackendNumericalNote_t>& notes) {
  const Descriptor engine = engine_of(configuration);
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> said{};
  int64_t count = 0;
  check_cudnn(
      cudnnBackendGetAttribute(engine.raw(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                               static_cast<int64_t>(said.size()), &count, said.data()),
      "read the notes of an engine");
  return std::any_of(said.begin(), said.begin() + std::min<int64_t>(count, said.size()),
                     [&](auto note) { return std::find(notes.begin(), notes.end(), note) != notes.end(); });
}

std::string name_of_engine(const Descriptor& configuration) {
  std::string name = "eng" + std::to_string(engine_of(configuration).integer(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  std::vector<Descriptor> knobs;
  for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; ++i) knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
  const int64_t count = read(configuration.raw(), CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, knobs);
  for (int64_t i = 0; i < count; ++i) {
    const Descriptor& knob = knobs[static_cast<std::size_t>(i)];
    cudnnBackendKnobType_t type{};
    int64_t read_count = 0;
    check_cudnn(cudnnBackendGetAttribute(knob.raw(), CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE,
                                         1, &read_count, &type),
                "read a knob of an engine");
    name += " k" + std::to_string(static_cast<int>(type)) + "=" +
            std::to_string(knob.integer(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  }
  return name;
}

}  // namespace mt::vendor
