// Which tensors of a file are the encoder's, and what are they called there?

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>

#include "models/weights.h"
#include "tensor/check.h"
#include "tensor/io/torch_checkpoint.h"
#include "tensor/text.h"

namespace mt {
namespace {

/// A network in the file: what stands before its names, and whether children are numbered.
struct Found {
  std::string prefix;
  bool is_numbered = false;
};

constexpr std::string_view kStem = "conv1.weight";

/// Children of a ResNet in their order; 2 and 3 are ReLU and pooling and have no weights.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kChildren{{{"0.", "conv1."},
                                                                                  {"1.", "bn1."},
                                                                                  {"4.", "layer1."},
                                                                                  {"5.", "layer2."},
                                                                                  {"6.", "layer3."},
                                                                                  {"7.", "layer4."}}};

bool ends_a_component(std::string_view prefix) {
  return prefix.empty() || prefix.ends_with('.');
}

/// Wherever a stem and a first block stand below one prefix.
std::vector<Found> networks_in(const StateDict& weights) {
  std::unordered_set<std::string> names;
  for (const auto& [name, tensor] : weights) names.insert(name);
  std::vector<Found> found;
  for (const auto& [name, tensor] : weights) {
    if (tensor.rank() != 4) continue;
    for (const bool is_numbered : {false, true}) {
      const std::string_view stem = is_numbered ? std::string_view("0.weight") : kStem;
      if (!name.ends_with(stem)) continue;
      const std::string prefix = name.substr(0, name.size() - stem.size());
      const std::string block = is_numbered ? "4.0.conv1.weight" : "layer1.0.conv1.weight";
      if (ends_a_component(prefix) && names.contains(prefix + block)) found.push_back({prefix, is_numbered});
    }
  }
  return found;
}

bool has_component(const std::string& prefix, std::string_view wanted) {
  std::size_t begin = 0;
  for (std::size_t end = prefix.find('.'); end != std::string::npos;
       begin = end + 1, end = prefix.find('.', begin)) {
    if (std::string_view(prefix).substr(begin, end - begin) == wanted) return true;
  }
  return false;
}

/// Networks that a method keeps beside the one it evaluates.
bool is_second(const Found& network) {
  constexpr std::array kSeconds = {
      "encoder_k",  "momentum_encoder", "target",         "target_encoder", "target_network",
      "target_net", "student",          "state_dict_ema", "model_ema",      "ema",
      "ema_model",  "key_encoder",      "encoder_m"};
  return std::any_of(kSeconds.begin(), kSeconds.end(),
                     [&](const char* name) { return has_component(network.prefix, name); });
}

/// Leaves those that `unwanted` does not name, if any are left.
template <typename Unwanted>
void prefer(std::vector<Found>& networks, const Unwanted& unwanted) {
  std::vector<Found> rest;
  std::copy_if(networks.begin(), networks.end(), std::back_inserter(rest),
               [&](const Found& network) { return !unwanted(network); });
  if (!rest.empty()) networks = std::move(rest);
}

/// The name without its prefix, and a numbered child by its name; empty for a tensor that is none of the
/// network's.
std::string name_in(const Found& network, const std::string& name) {
  if (!name.starts_with(network.prefix)) return {};
  std::string rest = name.substr(network.prefix.size());
  if (!network.is_numbered) return rest;
  for (const auto& [number, child] : kChildren) {
    if (rest.starts_with(number)) return std::string(child) + rest.substr(number.size());
  }
  return {};
}

}  // namespace

StateDict find_resnet(const StateDict& weights, const std::string& source) {
  std::vector<Found> networks = networks_in(weights);
  if (networks.empty()) return weights;
  prefer(networks, is_second);
  for (const char* root : {"state_dict", "model_state_dict", "net", "model"}) {
    if (networks.size() > 1)
      prefer(networks,
             [&](const Found& network) { return !network.prefix.starts_with(std::string(root) + "."); });
  }
  std::string list;
  for (const Found& network : networks)
    list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", printable(network.prefix, 80));
  check(networks.size() == 1,
        "{}: holds {} networks, below {}; save the one that is meant in a file of its own", source,
        networks.size(), list);
  StateDict resnet;
  for (const auto& [name, tensor] : weights) {
    if (std::string own = name_in(networks.front(), name); !own.empty())
      resnet.emplace_back(std::move(own), tensor);
  }
  return resnet;
}

StateDict read_resnet_weights(const std::string& path) {
  return dense_tensors(find_resnet(read_all_tensors(path), path), path);
}

}  // namespace mt
