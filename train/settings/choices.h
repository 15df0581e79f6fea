#pragma once
// What a setting can be chosen among. Each choice is an enum, and the names of its values stand here, once:
// the command line, config.toml, --help, result.json and errors all take them from here.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/common/tables.h"
#include "models/kinds.h"
#include "tensor/device.h"

namespace mt::train {

enum class Preset : uint8_t { not_given, paper, fast, tiny };
enum class Method : uint8_t { mil, its2clr, hnm, random, unmined };
enum class Ranking : uint8_t { on, off };
enum class Pretraining : uint8_t { by_weights, none, simclr };
enum class PhantomTumour : uint8_t { ordinary, hard };
enum class Backbone : uint8_t { resnet18 = 18, resnet34 = 34, resnet50 = 50 };  // the value is its depth
enum class Channels : uint8_t { rgb, bgr };
enum class MilFeatures : uint8_t { raw, centred };
enum class MilSteps : uint8_t { pairs, single };
enum class FinetuneLoss : uint8_t { joint, two_step };
enum class Gate : uint8_t { auc_loss, f1 };
enum class Until : uint8_t { end, tile, pretrain, embed, mil };

template <typename E>
struct Choice {
  E value;
  const char* name;
};

/// The values of E with their names, in --help's order; specialised for each enum that is a choice.
template <typename E>
inline constexpr int choices_of = 0;

template <>
inline constexpr auto choices_of<Preset> = std::to_array<Choice<Preset>>(
    {{Preset::not_given, ""}, {Preset::paper, "paper"}, {Preset::fast, "fast"}, {Preset::tiny, "tiny"}});
template <>
inline constexpr auto choices_of<Method> = std::to_array<Choice<Method>>({{Method::mil, "mil"},
                                                                          {Method::its2clr, "its2clr"},
                                                                          {Method::hnm, "hnm"},
                                                                          {Method::random, "random"},
                                                                          {Method::unmined, "unmined"}});
template <>
inline constexpr auto choices_of<Ranking> = std::to_array<Choice<Ranking>>({{Ranking::on, "on"},
                                                                            {Ranking::off, "off"}});
template <>
inline constexpr auto choices_of<MilKind> = std::to_array<Choice<MilKind>>(
    {{MilKind::dsmil, "dsmil"}, {MilKind::abmil, "abmil"}, {MilKind::mean, "mean"}, {MilKind::max, "max"}});
template <>
inline constexpr auto choices_of<Pretraining> = std::to_array<Choice<Pretraining>>(
    {{Pretraining::by_weights, ""}, {Pretraining::none, "none"}, {Pretraining::simclr, "simclr"}});
template <>
inline constexpr auto choices_of<PhantomTumour> = std::to_array<Choice<PhantomTumour>>(
    {{PhantomTumour::ordinary, "default"}, {PhantomTumour::hard, "hard"}});
template <>
inline constexpr auto choices_of<Backbone> = std::to_array<Choice<Backbone>>(
    {{Backbone::resnet18, "resnet18"}, {Backbone::resnet34, "resnet34"}, {Backbone::resnet50, "resnet50"}});
template <>
inline constexpr auto choices_of<NormKind> =
    std::to_array<Choice<NormKind>>({{NormKind::instance, "instance"},
                                     {NormKind::instance_affine, "instance-affine"},
                                     {NormKind::batch, "batch"}});
template <>
inline constexpr auto choices_of<BatchStatistics> = std::to_array<Choice<BatchStatistics>>(
    {{BatchStatistics::frozen, "frozen"}, {BatchStatistics::batch, "batch"}});
template <>
inline constexpr auto choices_of<Channels> = std::to_array<Choice<Channels>>({{Channels::rgb, "rgb"},
                                                                              {Channels::bgr, "bgr"}});
template <>
inline constexpr auto choices_of<Device> =
    std::to_array<Choice<Device>>({{Device::cpu, "cpu"}, {Device::cuda, "cuda"}, {Device::simt, "simt"}});
template <>
inline constexpr auto choices_of<KernelChoice> = std::to_array<Choice<KernelChoice>>(
    {{KernelChoice::own, "own"}, {KernelChoice::vendor, "vendor"}, {KernelChoice::automatic, "auto"}});
template <>
inline constexpr auto choices_of<MilFeatures> =
    std::to_array<Choice<MilFeatures>>({{MilFeatures::raw, "raw"}, {MilFeatures::centred, "centred"}});
template <>
inline constexpr auto choices_of<MilSteps> = std::to_array<Choice<MilSteps>>({{MilSteps::pairs, "pairs"},
                                                                              {MilSteps::single, "single"}});
template <>
inline constexpr auto choices_of<FinetuneLoss> = std::to_array<Choice<FinetuneLoss>>(
    {{FinetuneLoss::joint, "joint"}, {FinetuneLoss::two_step, "two-step"}});
template <>
inline constexpr auto choices_of<Gate> = std::to_array<Choice<Gate>>({{Gate::auc_loss, "auc-loss"},
                                                                      {Gate::f1, "f1"}});

template <>
inline constexpr auto choices_of<Until> = std::to_array<Choice<Until>>({{Until::end, ""},
                                                                        {Until::tile, "tile"},
                                                                        {Until::pretrain, "pretrain"},
                                                                        {Until::embed, "embed"},
                                                                        {Until::mil, "mil"}});

/// An enum with named values.
template <typename E>
concept IsChoice = std::is_enum_v<E> && requires {
  choices_of<E>.size();
};

template <IsChoice E>
constexpr const char* choice_name(E value) {
  for (const Choice<E>& choice : choices_of<E>) {
    if (choice.value == value) return choice.name;
  }
  return "?";
}

/// Nothing when no value is called so.
template <IsChoice E>
constexpr std::optional<E> choice_of(std::string_view name) {
  for (const Choice<E>& choice : choices_of<E>) {
    if (name == choice.name) return choice.value;
  }
  return std::nullopt;
}

template <IsChoice E>
std::vector<std::string> choice_names() {
  std::vector<std::string> names;
  for (const Choice<E>& choice : choices_of<E>) names.emplace_back(choice.name);
  return names;
}

}  // namespace mt::train
