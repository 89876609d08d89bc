#ifndef GPTVQ_CORE_TEXT_JSON_NODE_H_
#define GPTVQ_CORE_TEXT_JSON_NODE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/json/strict_json.h"

namespace gptvq {

// A value of a parsed tokenizer.json together with its path, so that every message says where: "model.merges[17]: ...".
// Borrows the value. For the .cc files that read tokenizer.json; headers declare the class only.
class JsonNode {
 public:
  JsonNode(const nlohmann::json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  bool is_null() const { return value_->is_null(); }

  // The entry of an object; a null node when the entry is missing or this is not an object.
  JsonNode Child(const char* key) const {
    static const nlohmann::json kNull;
    const bool has_child = value_->is_object() && value_->contains(key);
    return JsonNode(has_child ? (*value_)[key] : kNull, path_.empty() ? key : absl::StrCat(path_, ".", key));
  }

  // The elements of an array; none for null.
  absl::StatusOr<std::vector<JsonNode>> Elements() const {
    std::vector<JsonNode> elements;
    if (is_null()) return elements;
    if (!value_->is_array()) return Wrong("an array");
    for (const nlohmann::json& element : *value_) {
      elements.emplace_back(element, absl::StrCat(path_, "[", elements.size(), "]"));
    }
    return elements;
  }

  // Borrows the value.
  absl::StatusOr<std::string_view> String() const {
    if (!value_->is_string()) return Wrong("a string");
    return std::string_view(value_->get_ref<const std::string&>());
  }

  // As String, with "" for null.
  absl::StatusOr<std::string_view> StringOrEmpty() const { return is_null() ? std::string_view() : String(); }

  absl::StatusOr<bool> BoolOr(bool value_if_null) const {
    if (is_null()) return value_if_null;
    if (!value_->is_boolean()) return Wrong("true or false");
    return value_->get<bool>();
  }

  // A whole number in [0, limit).
  absl::StatusOr<std::int32_t> Id(std::size_t limit) const {
    if (!value_->is_number_unsigned()) return Wrong("an id, a whole number from 0 on");
    const auto id = value_->get<std::uint64_t>();
    if (id >= limit) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": id ", id, " is far above the number of tokens; ids must be below ", limit));
    }
    return static_cast<std::int32_t>(id);
  }

  absl::Status Invalid(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": ", std::string(what)));
  }
  absl::Status Unsupported(std::string_view what) const {
    return absl::UnimplementedError(absl::StrCat(path_, ": ", std::string(what), " is not supported"));
  }
  absl::Status TooMany(std::size_t count, std::size_t limit) const {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": ", count, ", more than the limit of ", limit));
  }

 private:
  absl::Status Wrong(const char* expected) const { return Invalid(absl::StrCat("not ", expected)); }

  const nlohmann::json* value_;
  std::string path_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_JSON_NODE_H_
