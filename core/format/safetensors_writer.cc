#include "core/format/safetensors_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/format/safetensors_reader.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

using nlohmann::json;

constexpr std::size_t kDataAlignment = 64;
constexpr std::size_t kLengthBytes = 8;

bool InDataOrder(const TensorInfo& a, const TensorInfo& b) {
  const std::size_t a_bytes = DTypeBytes(a.dtype);
  const std::size_t b_bytes = DTypeBytes(b.dtype);
  return a_bytes != b_bytes ? a_bytes > b_bytes : a.name < b.name;
}

absl::Status CheckLimits(const std::vector<TensorInfo>& tensors, const std::map<std::string, std::string>& metadata) {
  if (tensors.size() > kMaxTensorsPerFile) {
    return absl::InvalidArgumentError(absl::StrCat(tensors.size(), " tensors, more than ", kMaxTensorsPerFile));
  }
  for (const TensorInfo& tensor : tensors) {
    if (tensor.name.size() > kMaxTensorNameBytes || tensor.name == "__metadata__") {
      return absl::InvalidArgumentError(absl::StrCat("'", tensor.name.substr(0, 80), "' can not name a tensor"));
    }
  }
  std::size_t metadata_bytes = 0;
  for (const auto& [key, value] : metadata) metadata_bytes += key.size() + value.size();
  if (metadata_bytes > kMaxMetadataBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("metadata of ", metadata_bytes, " bytes, more than ", kMaxMetadataBytes));
  }
  return absl::OkStatus();
}

// Length, JSON and padding. `order` is the order of the data.
absl::StatusOr<std::string> MakeHeader(const std::vector<TensorInfo>& order,
                                       const std::map<std::string, std::string>& metadata) {
  json root = json::object();
  if (!metadata.empty()) root["__metadata__"] = metadata;
  std::uint64_t begin = 0;
  for (const TensorInfo& tensor : order) {
    const std::uint64_t end = begin + tensor.byte_count();
    json entry = {
        {"dtype", std::string(DTypeName(tensor.dtype))}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
    if (!root.emplace(tensor.name, std::move(entry)).second) {
      return absl::InvalidArgumentError(absl::StrCat("two tensors are called '", tensor.name, "'"));
    }
    begin = end;
  }
  std::string text;
  try {
    text = root.dump();
  } catch (const json::exception&) {
    return absl::InvalidArgumentError("a tensor name or the metadata is not UTF-8");
  }
  text.append((kDataAlignment - (kLengthBytes + text.size()) % kDataAlignment) % kDataAlignment, ' ');
  if (text.size() > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("header of ", text.size(), " bytes, more than ", kMaxSafetensorsHeaderBytes));
  }
  std::string header;
  for (std::size_t i = 0; i < kLengthBytes; ++i) header.push_back(static_cast<char>(text.size() >> (8 * i)));
  return header + text;
}

}  // namespace

absl::StatusOr<SafetensorsWriter> SafetensorsWriter::Begin(std::vector<TensorInfo> tensors,
                                                           const std::map<std::string, std::string>& metadata,
                                                           WritableFile& file) {
  GPTVQ_RETURN_IF_ERROR(CheckLimits(tensors, metadata));
  std::sort(tensors.begin(), tensors.end(), InDataOrder);
  GPTVQ_ASSIGN_OR_RETURN(const std::string header, MakeHeader(tensors, metadata));
  GPTVQ_RETURN_IF_ERROR(file.Append(AsBytes(header)));
  std::uint64_t data_bytes = 0;
  for (const TensorInfo& tensor : tensors) data_bytes += tensor.byte_count();
  return SafetensorsWriter(std::move(tensors), data_bytes, file);
}

absl::Status SafetensorsWriter::Append(absl::Span<const std::byte> bytes) {
  if (bytes.size() > bytes_left_) {
    return absl::OutOfRangeError(absl::StrCat(bytes.size(), " bytes appended where ", bytes_left_, " are left"));
  }
  bytes_left_ -= bytes.size();
  return file_->Append(bytes);
}

absl::Status SafetensorsWriter::Finish() const {
  if (bytes_left_ == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(bytes_left_, " declared bytes were not appended"));
}

}  // namespace gptvq
