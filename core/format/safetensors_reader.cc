#include "core/format/safetensors_reader.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

using nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;
constexpr int kMaxHeaderDepth = 4;
constexpr std::uint64_t kMaxTensorBytes = std::numeric_limits<std::int64_t>::max();
constexpr std::string_view kMetadataKey = "__metadata__";

// Other formats that are met under this name, by their first bytes.
constexpr std::pair<std::string_view, std::string_view> kForeignMagics[] = {
    {"PK\x03\x04", "a zip archive (a PyTorch checkpoint?)"},
    {"GGUF", "a GGUF file"},
    {"\x80\x02", "a Python pickle"},
    {"\x80\x03", "a Python pickle"},
    {"\x80\x04", "a Python pickle"},
    {"\x80\x05", "a Python pickle"},
    {"version https://git-lfs", "a Git LFS pointer; fetch the real file"},
};

// A name as messages show it: without control characters, shortened.
std::string Shown(std::string_view name) {
  std::string shown(name.substr(0, 80));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  }
  return shown;
}

absl::Status Refuse(const std::string& what) { return absl::InvalidArgumentError(what); }

// Multiplies the sides that are not zero, so that no order of sides hides an overflow.
bool ShapeFits(const std::vector<std::int64_t>& shape, DType dtype) {
  std::uint64_t bytes = DTypeBytes(dtype);
  for (std::int64_t side : shape) {
    if (side != 0 && __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(side), &bytes)) return false;
    if (bytes > kMaxTensorBytes) return false;
  }
  return true;
}

absl::StatusOr<std::vector<std::int64_t>> ParseShape(const json& value) {
  if (!value.is_array()) return Refuse("shape is not an array");
  if (value.size() > kMaxTensorRank) {
    return Refuse(absl::StrCat("shape has ", value.size(), " dimensions, more than ", kMaxTensorRank));
  }
  std::vector<std::int64_t> shape;
  for (const json& side : value) {
    if (!side.is_number_unsigned() || side.get<std::uint64_t>() > kMaxTensorBytes) {
      return Refuse(absl::StrCat("shape holds ", Shown(side.dump()), ", which is not an integer from 0 to 2^63 - 1"));
    }
    shape.push_back(side.get<std::int64_t>());
  }
  return shape;
}

// One entry of the header. `file_offset` is left relative to the data.
absl::StatusOr<StoredTensor> ParseTensor(const std::string& name, const json& entry, std::uint64_t data_bytes) {
  if (name.size() > kMaxTensorNameBytes) {
    return Refuse(absl::StrCat("name of ", name.size(), " bytes, more than ", kMaxTensorNameBytes));
  }
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    return Refuse("entry is not an object of dtype, shape and data_offsets");
  }
  StoredTensor tensor;
  tensor.info.name = name;
  const json& dtype_value = entry["dtype"];
  const std::optional<DType> dtype =
      dtype_value.is_string() ? ParseDType(dtype_value.get_ref<const std::string&>()) : std::nullopt;
  if (!dtype.has_value()) return Refuse(absl::StrCat("dtype ", Shown(dtype_value.dump()), " is not supported"));
  tensor.info.dtype = *dtype;
  GPTVQ_ASSIGN_OR_RETURN(tensor.info.shape, ParseShape(entry["shape"]));
  if (!ShapeFits(tensor.info.shape, *dtype)) return Refuse("shape times element size passes 2^63 bytes");

  const json& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    return Refuse("data_offsets is not an array of two integers from 0 on");
  }
  const std::uint64_t begin = offsets[0].get<std::uint64_t>();
  const std::uint64_t end = offsets[1].get<std::uint64_t>();
  if (begin > end) return Refuse(absl::StrCat("data_offsets begin at ", begin, " after their end at ", end));
  if (end > data_bytes) {
    return Refuse(absl::StrCat("data_offsets end at ", end, ", beyond the ", data_bytes, " bytes of data"));
  }
  if (end - begin != tensor.info.byte_count()) {
    return Refuse(absl::StrCat("data_offsets span ", end - begin, " bytes, but ", Describe(tensor.info), " takes ",
                               tensor.info.byte_count()));
  }
  tensor.file_offset = begin;
  return tensor;
}

absl::StatusOr<std::map<std::string, std::string>> ParseMetadata(const json& value) {
  if (!value.is_object()) return Refuse("__metadata__ is not an object");
  std::map<std::string, std::string> metadata;
  std::size_t bytes = 0;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return Refuse(absl::StrCat("__metadata__ key '", Shown(key), "' is not a string"));
    bytes += key.size() + text.get_ref<const std::string&>().size();
    if (bytes > kMaxMetadataBytes) {
      return absl::InvalidArgumentError(absl::StrCat("__metadata__ is longer than ", kMaxMetadataBytes, " bytes"));
    }
    metadata.emplace(key, text.get_ref<const std::string&>());
  }
  return metadata;
}

// Every byte of the data belongs to exactly one tensor.
absl::Status CheckTiling(const std::vector<StoredTensor>& tensors, std::uint64_t data_bytes) {
  std::vector<const StoredTensor*> by_offset;
  for (const StoredTensor& tensor : tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(), [](const StoredTensor* a, const StoredTensor* b) {
    return std::pair(a->file_offset, a->info.byte_count()) < std::pair(b->file_offset, b->info.byte_count());
  });
  std::uint64_t cursor = 0;
  for (const StoredTensor* tensor : by_offset) {
    if (tensor->file_offset != cursor) {
      const char* fault =
          tensor->file_offset < cursor ? "overlaps the tensor before it, which ends at " : "leaves a gap after ";
      return Refuse(absl::StrCat("tensor '", Shown(tensor->info.name), "': begins at data offset ", tensor->file_offset,
                                 " and ", fault, cursor));
    }
    cursor += tensor->info.byte_count();
  }
  if (cursor != data_bytes) {
    return Refuse(absl::StrCat("the tensors end at data offset ", cursor, ", but there are ", data_bytes,
                               " bytes of data: truncated file or bytes after the end"));
  }
  return absl::OkStatus();
}

// The length in the first eight bytes, checked against the size before anything is allocated.
absl::StatusOr<std::uint64_t> ReadHeaderLength(const RandomAccessFile& file) {
  std::array<std::byte, 24> start{};
  const std::size_t available = std::min<std::uint64_t>(file.size(), start.size());
  GPTVQ_RETURN_IF_ERROR(file.ReadAt(0, absl::MakeSpan(start.data(), available)));
  const std::string_view text(reinterpret_cast<const char*>(start.data()), available);
  for (const auto& [magic, format] : kForeignMagics) {
    if (text.substr(0, magic.size()) == magic) {
      return Refuse(absl::StrCat("offset 0: not a safetensors file but ", std::string(format)));
    }
  }
  if (file.size() < kLengthBytes) {
    return Refuse(absl::StrCat("offset 0: ", file.size(), " bytes are too few for a safetensors file"));
  }
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | std::to_integer<std::uint64_t>(start[i]);
  if (length > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset 0: header length ", length, ", more than the limit of ", kMaxSafetensorsHeaderBytes));
  }
  if (length > file.size() - kLengthBytes) {
    return Refuse(
        absl::StrCat("offset 0: header length ", length, " passes the end of the file of ", file.size(), " bytes"));
  }
  if (length < 2) return Refuse(absl::StrCat("offset 0: header length ", length, " holds no JSON object"));
  return length;
}

absl::StatusOr<json> ReadHeader(const RandomAccessFile& file, std::uint64_t length) {
  std::string text(length, '\0');
  GPTVQ_RETURN_IF_ERROR(
      file.ReadAt(kLengthBytes, {reinterpret_cast<std::byte*>(text.data()), static_cast<std::size_t>(length)}));
  if (text.front() != '{') return Refuse("offset 8: the header does not start with '{'");
  const std::size_t last = text.find_last_not_of(' ');
  if (text[last] != '}')
    return Refuse(absl::StrCat("offset ", kLengthBytes + last, ": the header does not end in '}'"));
  auto header = ParseStrictJson(text, {.max_bytes = kMaxSafetensorsHeaderBytes, .max_depth = kMaxHeaderDepth});
  if (!header.ok()) return WithContext(header.status(), "header at offset 8");
  return header;
}

struct Header {
  std::map<std::string, std::string> metadata;
  std::vector<StoredTensor> tensors;
};

absl::StatusOr<Header> ParseFile(const RandomAccessFile& file) {
  GPTVQ_ASSIGN_OR_RETURN(const std::uint64_t length, ReadHeaderLength(file));
  GPTVQ_ASSIGN_OR_RETURN(const json entries, ReadHeader(file, length));
  const std::uint64_t data_begin = kLengthBytes + length;
  const std::uint64_t data_bytes = file.size() - data_begin;
  if (entries.size() > kMaxTensorsPerFile + entries.count(kMetadataKey)) {
    return absl::InvalidArgumentError(
        absl::StrCat("header lists ", entries.size(), " tensors, more than ", kMaxTensorsPerFile));
  }
  Header header;
  for (const auto& [name, entry] : entries.items()) {
    if (name == kMetadataKey) {
      GPTVQ_ASSIGN_OR_RETURN(header.metadata, ParseMetadata(entry));
      continue;
    }
    auto tensor = ParseTensor(name, entry, data_bytes);
    if (!tensor.ok()) return WithContext(tensor.status(), absl::StrCat("tensor '", Shown(name), "'"));
    header.tensors.push_back(*std::move(tensor));
  }
  GPTVQ_RETURN_IF_ERROR(CheckTiling(header.tensors, data_bytes));
  for (StoredTensor& tensor : header.tensors) tensor.file_offset += data_begin;
  return header;
}

}  // namespace

absl::StatusOr<SafetensorsReader> SafetensorsReader::Open(std::unique_ptr<RandomAccessFile> file) {
  GPTVQ_ASSIGN_OR_RETURN(SafetensorsReader reader, Open(*file));
  reader.owned_ = std::move(file);
  return reader;
}

absl::StatusOr<SafetensorsReader> SafetensorsReader::Open(const RandomAccessFile& file) {
  auto header = ParseFile(file);
  if (!header.ok()) return WithContext(header.status(), file.name());
  SafetensorsReader reader(file);
  reader.metadata_ = std::move(header->metadata);
  reader.tensors_ = std::move(header->tensors);  // json objects iterate in byte order of their keys
  return reader;
}

const StoredTensor* SafetensorsReader::Find(std::string_view name) const {
  const auto it = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                   [](const StoredTensor& t, std::string_view n) { return t.info.name < n; });
  return it != tensors_.end() && it->info.name == name ? &*it : nullptr;
}

absl::Status SafetensorsReader::Read(const StoredTensor& tensor, std::uint64_t offset,
                                     absl::Span<std::byte> bytes_out) const {
  const std::uint64_t size = tensor.info.byte_count();
  if (offset > size || bytes_out.size() > size - offset) {
    return absl::OutOfRangeError(absl::StrCat(std::string(file_name()), ": tensor '", tensor.info.name, "': read of ",
                                              bytes_out.size(), " bytes at ", offset, " passes its ", size, " bytes"));
  }
  if (bytes_out.empty()) return absl::OkStatus();
  return WithContext(file_->ReadAt(tensor.file_offset + offset, bytes_out),
                     absl::StrCat("tensor '", tensor.info.name, "'"));
}

}  // namespace gptvq
