#include "tensor/io/npz.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "tensor/io/dense.h"

namespace mt {
namespace {

struct NpyHeader {
  std::string descr;  // "<f4"
  bool fortran_order = false;
  std::vector<int64_t> shape;
  std::size_t data_begin = 0;
};

// The text between `key` and the comma or bracket that ends its value.
std::string_view value_of(std::string_view dict, std::string_view key, const std::string& source) {
  const std::size_t at = dict.find(key);
  check(at != std::string_view::npos, "{}: the .npy header has no {}", source, key);
  std::string_view rest = dict.substr(at + key.size());
  const std::size_t colon = rest.find(':');
  check(colon != std::string_view::npos, "{}: the .npy header has no value for {}", source, key);
  rest.remove_prefix(colon + 1);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  const bool tuple = !rest.empty() && rest.front() == '(';
  const std::size_t end = rest.find_first_of(tuple ? ")" : ",}");
  check(end != std::string_view::npos, "{}: the .npy header does not end after {}", source, key);
  return rest.substr(0, end + (tuple ? 1 : 0));
}

std::vector<int64_t> parse_shape(std::string_view tuple, const std::string& source) {
  check(tuple.size() >= 2 && tuple.front() == '(', "{}: the .npy shape {} is no tuple", source, tuple);
  tuple = tuple.substr(1, tuple.size() - 2);
  std::vector<int64_t> shape;
  while (true) {
    tuple.remove_prefix(std::min(tuple.find_first_not_of(" ,"), tuple.size()));
    if (tuple.empty()) return shape;
    int64_t size = -1;
    const auto [end, code] = std::from_chars(tuple.data(), tuple.data() + tuple.size(), size);
    check(code == std::errc() && size >= 0, "{}: the .npy shape has a bad size", source);
    shape.push_back(size);
    tuple.remove_prefix(static_cast<std::size_t>(end - tuple.data()));
    if (!tuple.empty() && tuple.front() == 'L') tuple.remove_prefix(1);  // Python 2's long
    check(tuple.empty() || tuple.front() == ',' || tuple.front() == ' ', "{}: the .npy shape has a bad size",
          source);
  }
}

// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
NpyHeader parse_header(std::string_view content, const std::string& source) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  check(content.size() >= 10 && content.starts_with(kMagic), "{}: is no .npy array", source);
  const int version = content[6];
  check(version >= 1 && version <= 3, "{}: .npy version {} is not known", source, version);
  const std::size_t width = version == 1 ? 2 : 4;
  check(content.size() >= 8 + width, "{}: the .npy header is cut off", source);
  std::size_t length = 0;
  for (std::size_t i = 0; i < width; ++i) {
    length |= static_cast<std::size_t>(static_cast<unsigned char>(content[8 + i])) << (8 * i);
  }
  NpyHeader header;
  header.data_begin = 8 + width + length;
  check(header.data_begin <= content.size(), "{}: the .npy header is cut off", source);
  const std::string_view dict = content.substr(8 + width, length);
  const std::string_view descr = value_of(dict, "'descr'", source);
  check(descr.size() >= 2 && descr.front() == '\'', "{}: arrays of records ({}) are not supported", source,
        descr);
  header.descr = descr.substr(1, descr.rfind('\'') - 1);
  header.fortran_order = value_of(dict, "'fortran_order'", source).starts_with("True");
  header.shape = parse_shape(value_of(dict, "'shape'", source), source);
  return header;
}

struct ElementType {
  std::string_view code;
  DType dtype;
  DType file_dtype;
};

// Kind and bytes as numpy writes them behind the byte order. Where the two differ, the values are widened.
constexpr ElementType kTypes[] = {
    {"f2", DType::f16, DType::f16}, {"f4", DType::f32, DType::f32}, {"f8", DType::f64, DType::f64},
    {"i1", DType::i8, DType::i8},   {"i2", DType::i16, DType::i16}, {"i4", DType::i32, DType::i32},
    {"i8", DType::i64, DType::i64}, {"u1", DType::u8, DType::u8},   {"b1", DType::boolean, DType::boolean},
    {"u2", DType::i32, DType::i16}, {"u4", DType::i64, DType::i32}, {"u8", DType::i64, DType::i64},
};

const ElementType& element_type(std::string_view descr, const std::string& source) {
  for (const ElementType& type : kTypes) {
    const bool one_byte = type.code[1] == '1';
    if (descr.size() == 3 && descr.substr(1) == type.code &&
        (descr[0] == '<' || (one_byte && descr[0] == '|'))) {
      return type;
    }
  }
  fail("{}: elements of type '{}' are not supported; save it as f4, f8, i8 or u1, little endian", source,
       descr);
}

template <typename From, typename To>
Tensor widened(const Tensor& bits) {
  Tensor result = Tensor::empty(bits.shape(), dtype_of<To>);
  const auto* from = static_cast<const From*>(bits.raw());
  auto* to = result.data<To>();
  for (int64_t i = 0; i < bits.numel(); ++i) to[i] = static_cast<To>(from[i]);
  return result;
}

}  // namespace

Tensor parse_npy(std::string_view content, const std::string& source) {
  const NpyHeader header = parse_header(content, source);
  const ElementType& type = element_type(header.descr, source);
  std::vector<int64_t> stored = header.shape;
  if (header.fortran_order) std::reverse(stored.begin(), stored.end());
  const Shape shape{std::span<const int64_t>(stored)};
  const std::size_t bytes = content.size() - header.data_begin;
  const std::size_t width = size_of(type.file_dtype);
  check(bytes % width == 0 && bytes / width == static_cast<std::size_t>(shape.numel()),
        "{}: {} bytes of data for an array of shape {}", source, bytes, shape.str());
  Tensor tensor = Tensor::empty(shape, type.file_dtype);
  if (bytes != 0) std::memcpy(tensor.raw(), content.data() + header.data_begin, bytes);
  if (type.file_dtype == DType::i16 && type.dtype == DType::i32) tensor = widened<uint16_t, int32_t>(tensor);
  if (type.file_dtype == DType::i32 && type.dtype == DType::i64) tensor = widened<uint32_t, int64_t>(tensor);
  normalise_booleans(tensor);
  if (!header.fortran_order || tensor.rank() < 2) return tensor;
  for (int dim = 0; dim < tensor.rank() / 2; ++dim) tensor = tensor.transpose(dim, tensor.rank() - 1 - dim);
  return dense_copy(tensor);
}

NpzFile::NpzFile(const std::string& path) : archive_(path) {
  for (const std::string& member : archive_.names()) {
    if (member.ends_with(".npy")) names_.push_back(member.substr(0, member.size() - 4));
  }
}

Tensor NpzFile::operator[](std::string_view name) const {
  check(has(name), "{}: has no array {}", archive_.path(), name);
  return parse_npy(archive_.read(std::string(name) + ".npy"), archive_.path() + ": " + std::string(name));
}

}  // namespace mt
