#include "core/text/documents.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"
#include "core/json/strict_json.h"
#include "core/text/line_reader.h"
#include "core/text/unicode.h"

namespace gptvq {
namespace {

using nlohmann::json;
using Line = LineReader::Line;
using OnPart = absl::FunctionRef<absl::Status(const DocumentPart&)>;

constexpr std::size_t kQuotedBytes = 40;

// What people pass by mistake, by the first bytes of the file.
struct Signature {
  std::string_view bytes;
  const char* kind;
};
constexpr Signature kSignatures[] = {{"\x1f\x8b", "gzip"},
                                     {"\x28\xb5\x2f\xfd", "zstd"},
                                     {std::string_view("\xfd"
                                                       "7zXZ\0",
                                                       6),
                                      "xz"},
                                     {"BZh", "bzip2"},
                                     {"PK\x03\x04", "zip"},
                                     {"\x04\x22\x4d\x18", "lz4"},
                                     {"7z\xbc\xaf\x27\x1c", "7z"},
                                     {"PAR1", "Parquet"},
                                     {"ARROW1", "Arrow"},
                                     {"GGUF", "GGUF"}};

absl::Status CheckIsPlain(const RandomAccessFile& file) {
  std::array<char, 8> start{};
  const std::size_t bytes = std::min<std::uint64_t>(start.size(), file.size());
  GPTVQ_RETURN_IF_ERROR(file.ReadAt(0, {reinterpret_cast<std::byte*>(start.data()), bytes}));
  for (const Signature& signature : kSignatures) {
    if (std::string_view(start.data(), bytes).starts_with(signature.bytes)) {
      return absl::InvalidArgumentError(
          absl::StrCat("a ", signature.kind, " file; give plain text, JSON lines or token ids, not compressed"));
    }
  }
  return absl::OkStatus();
}

absl::Status AtLine(const Line& line, const absl::Status& status) {
  return WithContext(status, absl::StrCat("line ", line.number));
}

absl::Status Invalid(const Line& line, const std::string& what) {
  return AtLine(line, absl::InvalidArgumentError(what));
}

absl::Status CheckIsUtf8(const Line& line) {
  const std::size_t invalid = unicode::FindInvalidUtf8(line.text);
  if (invalid == line.text.size()) return absl::OkStatus();
  return Invalid(line, absl::StrCat("not UTF-8 at byte ", line.offset + invalid, " of the file"));
}

bool IsBlank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

// Calls on_line for every line that is not blank.
absl::Status ForEachLine(const RandomAccessFile& file, const DocumentOptions& options,
                         absl::FunctionRef<absl::Status(const Line&)> on_line) {
  LineReader reader(file, options.max_line_bytes);
  for (;;) {
    GPTVQ_ASSIGN_OR_RETURN(const std::optional<Line> line, reader.Next());
    if (!line.has_value()) return absl::OkStatus();
    if (!IsBlank(line->text)) GPTVQ_RETURN_IF_ERROR(on_line(*line));
  }
}

absl::Status ReadText(const RandomAccessFile& file, const DocumentOptions& options, OnPart on_part) {
  LineReader reader(file, options.max_line_bytes);
  std::string part;
  bool begins_document = true;
  for (;;) {
    GPTVQ_ASSIGN_OR_RETURN(const std::optional<Line> line, reader.Next());
    if (line.has_value()) {
      GPTVQ_RETURN_IF_ERROR(CheckIsUtf8(*line));
      if (const std::size_t nul = line->text.find('\0'); nul != std::string_view::npos) {
        return Invalid(*line,
                       absl::StrCat("a NUL byte at byte ", line->offset + nul, " of the file: this is not text"));
      }
    }
    const bool is_full = line.has_value() && !part.empty() && part.size() + line->text.size() > options.part_bytes;
    if (is_full || (!line.has_value() && !part.empty())) {
      GPTVQ_RETURN_IF_ERROR(
          on_part({.text = part, .ids = {}, .begins_document = begins_document, .ends_document = !line.has_value()}));
      begins_document = false;
      part.clear();
    }
    if (!line.has_value()) return absl::OkStatus();
    part += line->text;
  }
}

absl::StatusOr<json> ParseObject(const Line& line, const DocumentOptions& options) {
  GPTVQ_RETURN_IF_ERROR(CheckIsUtf8(line));
  auto value = ParseStrictJson(line.text, {.max_bytes = options.max_line_bytes + 1});
  if (!value.ok()) {
    absl::string_view message = value.status().message();
    absl::ConsumePrefix(&message, "line 1, ");  // the line of the file is known better here
    return AtLine(line, absl::Status(value.status().code(), message));
  }
  if (!value->is_object()) return Invalid(line, "not a JSON object");
  return value;
}

absl::Status MissingKey(const Line& line, const json& object, const std::string& key) {
  std::string keys;
  for (const auto& [name, value] : object.items()) {
    if (keys.size() < 4 * kQuotedBytes) absl::StrAppend(&keys, keys.empty() ? "" : ", ", name.substr(0, kQuotedBytes));
  }
  return Invalid(line, absl::StrCat("no key '", key, "'; the keys are: ", keys));
}

absl::Status CheckId(const Line& line, std::uint64_t id, std::size_t index, const DocumentOptions& options) {
  if (id < static_cast<std::uint64_t>(options.vocabulary_size)) return absl::OkStatus();
  return Invalid(line, absl::StrCat("id ", id, " at index ", index, " is outside the vocabulary of ",
                                    options.vocabulary_size, " tokens"));
}

absl::Status ReadJsonlText(const RandomAccessFile& file, const DocumentOptions& options, OnPart on_part) {
  return ForEachLine(file, options, [&](const Line& line) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(const json object, ParseObject(line, options));
    const auto text = object.find(options.text_key);
    if (text == object.end()) return MissingKey(line, object, options.text_key);
    if (!text->is_string()) return Invalid(line, absl::StrCat(options.text_key, " is not a string"));
    const std::string& document = text->get_ref<const std::string&>();
    return document.empty() ? absl::OkStatus() : on_part({.text = document, .ids = {}});
  });
}

absl::Status ReadJsonlIds(const RandomAccessFile& file, const DocumentOptions& options, OnPart on_part) {
  std::vector<TokenId> ids;
  return ForEachLine(file, options, [&](const Line& line) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(const json object, ParseObject(line, options));
    const auto array = object.find(options.ids_key);
    if (array == object.end()) return MissingKey(line, object, options.ids_key);
    if (!array->is_array()) return Invalid(line, absl::StrCat(options.ids_key, " is not an array"));
    ids.clear();
    for (const json& element : *array) {
      if (!element.is_number_unsigned()) {
        return Invalid(line,
                       absl::StrCat(options.ids_key, "[", ids.size(), "] is not a token id, a whole number from 0 on"));
      }
      const auto id = element.get<std::uint64_t>();
      GPTVQ_RETURN_IF_ERROR(CheckId(line, id, ids.size(), options));
      ids.push_back(static_cast<TokenId>(id));
    }
    return ids.empty() ? absl::OkStatus() : on_part({.text = {}, .ids = ids});
  });
}

absl::Status ReadIdLines(const RandomAccessFile& file, const DocumentOptions& options, OnPart on_part) {
  constexpr std::string_view kSeparators = " \t\r\n,";
  std::vector<TokenId> ids;
  return ForEachLine(file, options, [&](const Line& line) -> absl::Status {
    ids.clear();
    for (std::size_t begin = line.text.find_first_not_of(kSeparators); begin != std::string_view::npos;) {
      const std::size_t end = std::min(line.text.find_first_of(kSeparators, begin), line.text.size());
      const std::string_view word = line.text.substr(begin, end - begin);
      std::uint64_t id = 0;
      const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), id);
      if (error != std::errc() || stop != word.data() + word.size()) {
        return Invalid(line, absl::StrCat("'", unicode::ReplaceInvalidUtf8(word.substr(0, kQuotedBytes)), "' at index ",
                                          ids.size(), " is not a token id, a whole number from 0 on"));
      }
      GPTVQ_RETURN_IF_ERROR(CheckId(line, id, ids.size(), options));
      ids.push_back(static_cast<TokenId>(id));
      begin = line.text.find_first_not_of(kSeparators, end);
    }
    return ids.empty() ? absl::OkStatus() : on_part({.text = {}, .ids = ids});
  });
}

absl::Status Read(const RandomAccessFile& file, DocumentFormat format, const DocumentOptions& options, OnPart on_part) {
  GPTVQ_RETURN_IF_ERROR(CheckIsPlain(file));
  switch (format) {
    case DocumentFormat::kText: return ReadText(file, options, on_part);
    case DocumentFormat::kJsonlText: return ReadJsonlText(file, options, on_part);
    case DocumentFormat::kJsonlIds: return ReadJsonlIds(file, options, on_part);
    case DocumentFormat::kIdLines: return ReadIdLines(file, options, on_part);
  }
  return absl::InternalError("no such document format");
}

absl::StatusOr<DocumentFormat> DetectJsonlFormat(const RandomAccessFile& file, const DocumentOptions& options) {
  GPTVQ_RETURN_IF_ERROR(CheckIsPlain(file));
  LineReader reader(file, options.max_line_bytes);
  for (;;) {
    GPTVQ_ASSIGN_OR_RETURN(const std::optional<Line> line, reader.Next());
    if (!line.has_value()) return DocumentFormat::kJsonlText;  // empty: reading it says so
    if (IsBlank(line->text)) continue;
    GPTVQ_ASSIGN_OR_RETURN(const json object, ParseObject(*line, options));
    if (object.contains(options.text_key)) return DocumentFormat::kJsonlText;
    if (object.contains(options.ids_key)) return DocumentFormat::kJsonlIds;
    return MissingKey(*line, object, absl::StrCat(options.text_key, "' or '", options.ids_key));
  }
}

}  // namespace

std::string_view Name(DocumentFormat format) {
  switch (format) {
    case DocumentFormat::kText: return "text";
    case DocumentFormat::kJsonlText: return "jsonl";
    case DocumentFormat::kJsonlIds: return "jsonl-ids";
    case DocumentFormat::kIdLines: return "ids";
  }
  return "";
}

absl::StatusOr<DocumentFormat> DetectDocumentFormat(const RandomAccessFile& file, const DocumentOptions& options) {
  if (file.name().ends_with(".ids")) return DocumentFormat::kIdLines;
  if (!file.name().ends_with(".jsonl") && !file.name().ends_with(".ndjson")) return DocumentFormat::kText;
  auto format = DetectJsonlFormat(file, options);
  if (!format.ok()) return WithContext(format.status(), file.name());
  return format;
}

absl::Status ReadDocuments(const RandomAccessFile& file, DocumentFormat format, const DocumentOptions& options,
                           OnPart on_part) {
  return WithContext(Read(file, format, options, on_part), file.name());
}

}  // namespace gptvq
