#include "models/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "autograd/arithmetic.h"
#include "kernels/reduce/reduce.h"
#include "tensor/check.h"

namespace mt {
namespace {

/// (K,R,S,C) seen as (K,C,R,S), or the tensor itself.
Tensor torch_view(const ModuleEntry& entry, const Tensor& tensor) {
  return entry.layout == WeightLayout::conv_krsc ? tensor.permute({0, 3, 1, 2}) : tensor;
}

Tensor own_view(const ModuleEntry& entry, const Tensor& tensor) {
  return entry.layout == WeightLayout::conv_krsc ? tensor.permute({0, 2, 3, 1}) : tensor;
}

bool is_counter(const std::string& name) {
  return name.ends_with("num_batches_tracked");
}

bool has_prefix(const std::string& name, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return name.starts_with(prefix); });
}

bool all_finite(const Tensor& tensor) {
  if (tensor.dtype() == DType::i64 || tensor.numel() == 0) return true;
  const Tensor widened = cast(tensor, DType::f64);
  uint8_t flag = 0;
  mt::reduce<double>(Device::cpu).all_finite(widened.data<double>(), &flag, widened.numel(), nullptr);
  return flag != 0;
}

std::string listed(const char* what, const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 8;
  if (names.empty()) return "";
  std::string text = fmt::format("; {} {}: ", names.size(), what);
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

/// What the tensors of `weights` are for in the module; fills the report and returns the pairs to copy.
std::vector<std::pair<const ModuleEntry*, Tensor>> match(const Module& module, const StateDict& weights,
                                                         LoadReport& report) {
  std::unordered_map<std::string, Tensor> by_name;
  for (const auto& [name, tensor] : weights) by_name[name] = tensor;
  std::vector<std::pair<const ModuleEntry*, Tensor>> pairs;
  std::unordered_set<std::string> known;
  for (const ModuleEntry& entry : module.entries()) {
    known.insert(entry.name);
    const auto found = by_name.find(entry.name);
    if (found == by_name.end()) {
      if (!is_counter(entry.name)) report.missing.push_back(entry.name);
      continue;
    }
    const Shape wanted = torch_view(entry, entry.tensor()).shape();
    if (found->second.shape() != wanted) {
      report.misshaped.push_back(fmt::format("{}: {} in the file, {} in the model", entry.name,
                                             found->second.shape().str(), wanted.str()));
      continue;
    }
    pairs.emplace_back(&entry, found->second);
  }
  for (const auto& [name, tensor] : weights) {
    if (!known.contains(name)) report.unexpected.push_back(name);
  }
  return pairs;
}

}  // namespace

StateDict state_dict(const Module& module) {
  StateDict weights;
  for (const ModuleEntry& entry : module.entries()) {
    weights.emplace_back(entry.name,
                         contiguous_copy(torch_view(entry, moved_to(entry.tensor(), Device::cpu))));
  }
  return weights;
}

std::string LoadReport::str() const {
  return fmt::format("{} tensors loaded", loaded) + listed("missing", missing) +
         listed("unexpected", unexpected) + listed("of another shape", misshaped);
}

LoadReport load_state_dict(Module& module, const StateDict& weights, const LoadOptions& options) {
  LoadReport report;
  const auto pairs = match(module, weights, report);
  const auto refused = [&](const std::vector<std::string>& names) {
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& name) { return !has_prefix(name, options.optional_prefixes); });
  };
  if (refused(report.missing) || refused(report.misshaped) ||
      (options.refuse_unexpected && !report.unexpected.empty())) {
    const std::string what = listed("missing", report.missing) + listed("unexpected", report.unexpected) +
                             listed("of another shape", report.misshaped);
    fail("{}: does not fit {}{}", options.source, module.describe(), what);
  }
  for (const auto& [entry, tensor] : pairs) {
    check(all_finite(tensor),
          "{}: {} has NaN or infinite values; the file is damaged or its training diverged", options.source,
          entry->name);
  }
  for (const auto& [entry, tensor] : pairs) {
    const Tensor& target = entry->tensor();
    copy_into(target, cast(own_view(*entry, tensor), target.dtype()));
    target.storage()->bump_version("load_state_dict");
    ++report.loaded;
  }
  return report;
}

}  // namespace mt
