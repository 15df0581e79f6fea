#include "tensor/io/torch_host.h"

#include <algorithm>
#include <array>

namespace mt {
namespace {

using Kind = PickleValue::Kind;

struct StorageType {
  std::string_view name;
  DType dtype;
};
constexpr std::array<StorageType, 10> kStorageTypes{{{"torch.DoubleStorage", DType::f64},
                                                     {"torch.FloatStorage", DType::f32},
                                                     {"torch.HalfStorage", DType::f16},
                                                     {"torch.BFloat16Storage", DType::bf16},
                                                     {"torch.LongStorage", DType::i64},
                                                     {"torch.IntStorage", DType::i32},
                                                     {"torch.ShortStorage", DType::i16},
                                                     {"torch.CharStorage", DType::i8},
                                                     {"torch.ByteStorage", DType::u8},
                                                     {"torch.BoolStorage", DType::boolean}}};

// What may be called. Everything else that a pickle can name is opaque.
constexpr std::array<std::string_view, 7> kFunctions{"collections.OrderedDict",
                                                     "collections.defaultdict",
                                                     "torch._utils._rebuild_tensor",
                                                     "torch._utils._rebuild_tensor_v2",
                                                     "torch._utils._rebuild_parameter",
                                                     "torch._utils._rebuild_parameter_with_state",
                                                     "torch.Size"};

const StorageType* find_storage_type(std::string_view name) {
  const auto* found = std::find_if(kStorageTypes.begin(), kStorageTypes.end(),
                                   [&](const StorageType& type) { return type.name == name; });
  return found == kStorageTypes.end() ? nullptr : found;
}

PickleValue* ordered_dict(PickleArena& arena, const PickleValue& arguments) {
  PickleValue* dict = arena.make(Kind::dict);
  if (arguments.items.empty()) return dict;
  check(arguments.items[0]->kind == Kind::list, "pickle: an OrderedDict of something other than pairs");
  for (const PickleValue* pair : arguments.items[0]->items) {  // as Python 2 wrote it
    check(pair->items.size() == 2, "pickle: an OrderedDict of something other than pairs");
    arena.take(4 * sizeof(void*));
    dict->items.insert(dict->items.end(), pair->items.begin(), pair->items.end());
  }
  return dict;
}

std::vector<int64_t> integers(const PickleValue& tuple) {
  check(tuple.kind == Kind::tuple, "pickle: a tensor's sizes are no tuple");
  std::vector<int64_t> values;
  for (const PickleValue* item : tuple.items) {
    check(item->kind == Kind::integer, "pickle: a tensor's size is no integer");
    values.push_back(item->integer);
  }
  return values;
}

}  // namespace

bool TorchHost::knows(std::string_view name) const {
  return find_storage_type(name) != nullptr ||
         std::find(kFunctions.begin(), kFunctions.end(), name) != kFunctions.end();
}

PickleValue* TorchHost::call(PickleArena& arena, const std::string& name, const PickleValue& arguments) {
  if (name == "collections.OrderedDict") return ordered_dict(arena, arguments);
  if (name == "collections.defaultdict") return arena.make(Kind::dict);  // its argument makes missing values
  if (name.starts_with("torch._utils._rebuild_parameter")) {
    check(!arguments.items.empty() && arguments.items[0]->kind == Kind::tensor,
          "pickle: a Parameter without tensor");
    return arguments.items[0];
  }
  if (name == "torch.Size") {
    check(arguments.items.size() == 1 && arguments.items[0]->kind == Kind::tuple,
          "pickle: a Size without sizes");
    return arguments.items[0];
  }
  check(name.starts_with("torch._utils._rebuild_tensor"), "pickle: {} cannot be called", name);
  return rebuild_tensor(arena, arguments);
}

// ("storage", type, key, location, elements[, view: (key, offset, elements)])
PickleValue* TorchHost::load_persistent(PickleArena& arena, const PickleValue& id) {
  const auto is = [&](std::size_t i, Kind kind) { return i < id.items.size() && id.items[i]->kind == kind; };
  if (is(1, Kind::opaque)) fail("pickle: {} is no type of storage that is known", id.items[1]->text);
  check(id.kind == Kind::tuple && is(0, Kind::text) && id.items[0]->text == "storage" &&
            is(1, Kind::global) && is(2, Kind::text) && is(4, Kind::integer),
        "pickle: a reference to something other than a storage");
  const StorageType* type = find_storage_type(id.items[1]->text);
  check(type != nullptr, "pickle: {} is no type of storage", id.items[1]->text);
  TorchStorage storage = open_storage(id.items[2]->text, type->dtype, id.items[4]->integer);
  if (is(5, Kind::tuple)) {
    const std::vector<PickleValue*>& view = id.items[5]->items;
    check(view.size() == 3 && view[1]->kind == Kind::integer && view[2]->kind == Kind::integer,
          "pickle: a bad view of a storage");
    const int64_t offset = view[1]->integer;
    const int64_t size = view[2]->integer;
    check(offset >= 0 && size >= 0 && offset <= storage.size && size <= storage.size - offset,
          "pickle: a view outside of its storage");
    storage.begin = offset;
    storage.size = size;
  }
  PickleValue* value = arena.make(Kind::storage);
  value->integer = static_cast<int64_t>(storages_.size());
  storages_.push_back(std::move(storage));
  return value;
}

TorchStorage TorchHost::open_storage(const std::string& key, DType dtype, int64_t elements) {
  const auto found = memory_.find(key);
  const std::size_t width = size_of(dtype);
  if (found != memory_.end()) {
    const auto held = static_cast<int64_t>(found->second->bytes() / width);
    check(elements == held, "storage {}: has {} elements, and {} elsewhere in the file", key, elements, held);
    return {found->second, dtype, 0, elements};
  }
  const uint64_t available = bytes_available(key);
  check(elements >= 0 && static_cast<uint64_t>(elements) <= available / width,
        "storage {}: claims {} elements of {} bytes, the file has {} bytes of it", key, elements, width,
        available);
  const uint64_t bytes = static_cast<uint64_t>(elements) * width;
  check(bytes <= budget_, "storage {}: the storages claim more bytes than the file can hold", key);
  budget_ -= bytes;
  auto memory = std::make_shared<Storage>(bytes, Device::cpu);
  memory_.emplace(key, memory);
  fill(key, *memory);
  return {std::move(memory), dtype, 0, elements};
}

// (storage, offset, sizes, strides, …)
PickleValue* TorchHost::rebuild_tensor(PickleArena& arena, const PickleValue& arguments) const {
  const std::vector<PickleValue*>& items = arguments.items;
  check(items.size() >= 4 && items[0]->kind == Kind::storage && items[1]->kind == Kind::integer,
        "pickle: a tensor without storage");
  const TorchStorage& storage = storages_[static_cast<std::size_t>(items[0]->integer)];
  const std::vector<int64_t> sizes = integers(*items[2]);
  const std::vector<int64_t> strides = integers(*items[3]);
  const Shape shape{std::span<const int64_t>(sizes)};
  const int64_t offset = items[1]->integer;
  check(offset >= 0 && offset <= storage.size, "pickle: a tensor begins outside of its storage");
  PickleValue* value = arena.make(Kind::tensor);
  value->tensor = Tensor::view_of(storage.memory, storage.begin + offset, shape, strides, storage.dtype);
  return value;
}

}  // namespace mt
