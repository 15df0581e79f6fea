#include "tensor/io/json_within.h"

#include <unordered_set>

#include "tensor/check.h"
#include "tensor/text.h"

namespace mt {
namespace {

using Json = nlohmann::json;

/// Follows the parser's events without keeping a document, and adds up what one would take.
class Meter final : public nlohmann::json_sax<Json> {
 public:
  explicit Meter(const JsonLimits& limits, const std::string& source) : limits_(limits), source_(source) {}

  bool null() override { return take(0); }
  bool boolean(bool) override { return take(0); }
  bool number_integer(number_integer_t) override { return take(0); }
  bool number_unsigned(number_unsigned_t) override { return take(0); }
  bool number_float(number_float_t, const string_t&) override { return take(0); }
  bool string(string_t& text) override { return take(kString + text.size()); }
  bool binary(binary_t& bytes) override { return take(bytes.size()); }
  bool start_object(std::size_t) override { return enter(); }
  bool start_array(std::size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool key(string_t& name) override {
    if (limits_.unique_names && depth_ == 1) {
      check(names_.insert(name).second, "{}: \"{}\" is there twice", source_, printable(name, 80));
    }
    return take(kMember + name.size());
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail("{}: not readable as JSON at byte {}; is it complete?", source_, position);
  }

 private:
  // Bytes of the library's own nodes, with what the allocator adds and what growing vectors hold in reserve.
  static constexpr uint64_t kValue = 32, kContainer = 64, kString = 48, kMember = 112;

  bool take(uint64_t bytes) {
    bytes_ += kValue + bytes;
    check(bytes_ <= limits_.bytes, "{}: would take more than {} MB of memory as JSON", source_,
          limits_.bytes >> 20);
    return true;
  }
  bool enter() {
    check(++depth_ <= limits_.depth, "{}: is nested more than {} levels deep", source_, limits_.depth);
    return take(kContainer);
  }
  bool leave() {
    --depth_;
    return true;
  }

  const JsonLimits& limits_;
  const std::string& source_;
  uint64_t bytes_ = 0;
  int depth_ = 0;
  std::unordered_set<std::string> names_;
};

}  // namespace

Json parse_json_within(std::string_view text, const JsonLimits& limits, const std::string& source) {
  Meter meter(limits, source);
  Json::sax_parse(text, &meter);
  return Json::parse(text);
}

}  // namespace mt
