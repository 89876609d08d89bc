#include "core/json/strict_json.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace gptvq {
namespace {

using nlohmann::json;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::size_t kQuotedBytes = 80;

std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (char c : text.substr(0, kQuotedBytes)) quoted.push_back(static_cast<unsigned char>(c) < 0x20 ? '?' : c);
  return quoted + (text.size() > kQuotedBytes ? "...'" : "'");
}

// Builds the value from the events of the library's parser, with its own stack of open containers.
class StrictBuilder final : public nlohmann::json_sax<json> {
 public:
  StrictBuilder(std::string_view text, const JsonLimits& limits) : text_(text), limits_(limits) {}

  absl::Status status() const { return status_; }
  json TakeResult() { return std::move(root_); }

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool value) override { return Add(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return Add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Add(value) != nullptr; }
  bool number_float(number_float_t value, const string_t& spelling) override {
    if (!std::isfinite(value)) return Refuse(absl::StrCat("number out of range: ", Quoted(spelling)));
    return Add(value) != nullptr;
  }
  bool string(string_t& value) override { return Add(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return Refuse("binary value"); }
  bool start_object(std::size_t) override { return Open(json::object()); }
  bool start_array(std::size_t) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (!CountValue()) return false;
    json& object = *open_.back();
    if (object.contains(name)) return Refuse(absl::StrCat("duplicate key ", Quoted(name)));
    pending_key_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const json::exception& error) override {
    // The library's message repeats the input; ours gives the place, its text after "parse error" gives the cause.
    const std::string_view before = text_.substr(0, std::min(position, text_.size()));
    const std::size_t line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t column = position - (before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1);
    const bool is_range_error = error.id == 406;
    status_ = absl::InvalidArgumentError(absl::StrCat("line ", line, ", column ", column, ": ",
                                                      is_range_error ? "number out of range" : "not valid JSON"));
    return false;
  }

 private:
  bool Refuse(std::string message) {
    status_ = absl::InvalidArgumentError(std::move(message));
    return false;
  }

  bool CountValue() {
    if (++value_count_ <= limits_.max_values) return true;
    status_ = absl::InvalidArgumentError(absl::StrCat("more than ", limits_.max_values, " values"));
    return false;
  }

  // Places a value into the innermost open container; null when a limit was passed.
  json* Add(json value) {
    if (!CountValue()) return nullptr;
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) return &parent.get_ref<json::array_t&>().emplace_back(std::move(value));
    return &(parent.get_ref<json::object_t&>()[pending_key_] = std::move(value));
  }

  bool Open(json container) {
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      status_ = absl::InvalidArgumentError(absl::StrCat("nested deeper than ", limits_.max_depth, " levels"));
      return false;
    }
    // A container stays in place while it is open: only its own contents change.
    json* place = Add(std::move(container));
    if (place == nullptr) return false;
    open_.push_back(place);
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const std::string_view text_;
  const JsonLimits limits_;
  json root_;
  std::vector<json*> open_;
  std::string pending_key_;
  std::size_t value_count_ = 0;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<json> ParseStrictJson(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON of ", text.size(), " bytes, more than the limit of ", limits.max_bytes));
  }
  // The library takes a NUL byte for the end of the text and would accept anything behind it.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("byte ", nul, " is NUL"));
  }
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark) text.remove_prefix(kByteOrderMark.size());
  StrictBuilder builder(text, limits);
  if (!json::sax_parse(text.begin(), text.end(), &builder)) {
    return builder.status().ok() ? absl::InvalidArgumentError("not valid JSON") : builder.status();
  }
  return builder.TakeResult();
}

}  // namespace gptvq
