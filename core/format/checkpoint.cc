#include "core/format/checkpoint.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/format/weights_index.h"

namespace gptvq {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;

bool IsFloatingPoint(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16;
}

absl::StatusOr<SafetensorsReader> OpenShard(const ReadableDirectory& directory, const std::string& file_name) {
  auto file = directory.Open(file_name);
  if (absl::IsNotFound(file.status())) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(kWeightsIndexFile), " names the shard ", file_name,
                                                   ", which is not in ", std::string(directory.name())));
  }
  if (!file.ok()) return WithContext(file.status(), file_name);
  return SafetensorsReader::Open(*std::move(file));
}

absl::Status NoWeights(const ReadableDirectory& directory, const std::vector<std::string>& files) {
  const bool holds_pickles = std::any_of(files.begin(), files.end(), [](const std::string& file) {
    return absl::EndsWith(file, ".bin") || absl::EndsWith(file, ".pt") || absl::EndsWith(file, ".pth");
  });
  return absl::NotFoundError(
      absl::StrCat(std::string(directory.name()), ": neither ", std::string(kSingleWeightsFile), " nor ",
                   std::string(kWeightsIndexFile), " is there",
                   holds_pickles ? "; pickled weights are not read: save the model with safe_serialization=True" : ""));
}

// Elements [begin, begin + values_out.size()) of a tensor, through a buffer of bounded size.
absl::Status ReadElements(const SafetensorsReader& shard, const StoredTensor& tensor, std::int64_t begin,
                          absl::Span<float> values_out) {
  const std::size_t element_bytes = DTypeBytes(tensor.info.dtype);
  const std::size_t step = kReadBytes / element_bytes;
  std::vector<std::byte> buffer(std::min(step, values_out.size()) * element_bytes);
  for (std::size_t done = 0; done < values_out.size(); done += step) {
    const absl::Span<float> values = values_out.subspan(done, step);
    const absl::Span<std::byte> bytes(buffer.data(), values.size() * element_bytes);
    GPTVQ_RETURN_IF_ERROR(shard.Read(tensor, (begin + done) * element_bytes, bytes));
    DecodeToFloat(tensor.info.dtype, bytes, values);
  }
  return absl::OkStatus();
}

absl::Status CheckFloatingPoint(const SafetensorsReader& shard, const TensorInfo& tensor) {
  if (IsFloatingPoint(tensor.dtype)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(std::string(shard.file_name()), ": tensor '", tensor.name, "' is ",
                                                 Describe(tensor), ", not floating point"));
}

// Compares the index with what the shards hold; adds to `warnings`.
absl::Status CheckIndex(const WeightsIndex& index, const std::map<std::string, const SafetensorsReader*>& shards,
                        std::vector<std::string>& warnings) {
  std::uint64_t total_bytes = 0;
  std::size_t tensor_count = 0;
  for (const auto& [file, shard] : shards) {
    tensor_count += shard->tensors().size();
    for (const StoredTensor& tensor : shard->tensors()) total_bytes += tensor.info.byte_count();
  }
  for (const auto& [tensor, file] : index.weight_map) {
    if (shards.at(file)->Find(tensor) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(std::string(kWeightsIndexFile), ": tensor '", tensor,
                                                     "' is not in the shard it is mapped to, ", file));
    }
  }
  if (tensor_count > index.weight_map.size()) {
    warnings.push_back(absl::StrCat(tensor_count - index.weight_map.size(), " tensors of the shards are not listed in ",
                                    std::string(kWeightsIndexFile)));
  }
  if (!index.total_size.has_value()) {
    warnings.push_back(absl::StrCat(std::string(kWeightsIndexFile), " states no total_size"));
  } else if (*index.total_size != total_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(kWeightsIndexFile), ": total_size is ",
                                                   *index.total_size, ", but the shards hold ", total_bytes,
                                                   " bytes of tensors"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Checkpoint> Checkpoint::Open(const ReadableDirectory& directory) {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<std::string> files, directory.List());
  const auto holds = [&files](std::string_view file) {
    return std::find(files.begin(), files.end(), file) != files.end();
  };
  if (holds(kSingleWeightsFile)) {
    GPTVQ_ASSIGN_OR_RETURN(auto file, directory.Open(kSingleWeightsFile));
    GPTVQ_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenFile(std::move(file)));
    if (holds(kWeightsIndexFile)) {
      checkpoint.warnings_.push_back(absl::StrCat("both ", std::string(kSingleWeightsFile), " and ",
                                                  std::string(kWeightsIndexFile), " are there; the former is used"));
    }
    return checkpoint;
  }
  if (!holds(kWeightsIndexFile)) return NoWeights(directory, files);
  Checkpoint checkpoint{std::string(directory.name())};
  GPTVQ_ASSIGN_OR_RETURN(const auto index_file, directory.Open(kWeightsIndexFile));
  GPTVQ_ASSIGN_OR_RETURN(const WeightsIndex index, ReadWeightsIndex(*index_file));
  std::map<std::string, const SafetensorsReader*> by_file;
  for (const auto& [tensor, file] : index.weight_map) by_file[file] = nullptr;
  checkpoint.shards_.reserve(by_file.size());
  for (auto& [file, shard] : by_file) {
    GPTVQ_ASSIGN_OR_RETURN(SafetensorsReader reader, OpenShard(directory, file));
    shard = &checkpoint.shards_.emplace_back(std::move(reader));
  }
  GPTVQ_RETURN_IF_ERROR(checkpoint.Collect());
  GPTVQ_RETURN_IF_ERROR(CheckIndex(index, by_file, checkpoint.warnings_));
  return checkpoint;
}

absl::StatusOr<Checkpoint> Checkpoint::OpenFile(std::unique_ptr<RandomAccessFile> file) {
  GPTVQ_ASSIGN_OR_RETURN(SafetensorsReader reader, SafetensorsReader::Open(std::move(file)));
  return OfOneFile(std::move(reader));
}

absl::StatusOr<Checkpoint> Checkpoint::OpenFile(const RandomAccessFile& file) {
  GPTVQ_ASSIGN_OR_RETURN(SafetensorsReader reader, SafetensorsReader::Open(file));
  return OfOneFile(std::move(reader));
}

absl::StatusOr<Checkpoint> Checkpoint::OfOneFile(SafetensorsReader reader) {
  Checkpoint checkpoint{std::string(reader.file_name())};
  checkpoint.shards_.push_back(std::move(reader));
  GPTVQ_RETURN_IF_ERROR(checkpoint.Collect());
  return checkpoint;
}

absl::Status Checkpoint::Collect() {
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const StoredTensor& tensor : shards_[shard].tensors()) places_.push_back({shard, &tensor});
  }
  const auto name = [](const Place& place) -> const std::string& { return place.tensor->info.name; };
  std::stable_sort(places_.begin(), places_.end(), [&](const Place& a, const Place& b) { return name(a) < name(b); });
  const auto twice = std::adjacent_find(places_.begin(), places_.end(),
                                        [&](const Place& a, const Place& b) { return name(a) == name(b); });
  if (twice == places_.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tensor '", name(*twice), "' is in two shards, ",
                                                 std::string(shards_[twice[0].shard].file_name()), " and ",
                                                 std::string(shards_[twice[1].shard].file_name())));
}

std::vector<std::string> Checkpoint::TensorNames() const {
  std::vector<std::string> names;
  names.reserve(places_.size());
  for (const Place& place : places_) names.push_back(place.tensor->info.name);
  return names;
}

const Checkpoint::Place* Checkpoint::FindPlace(std::string_view name) const {
  const auto it = std::lower_bound(places_.begin(), places_.end(), name,
                                   [](const Place& place, std::string_view n) { return place.tensor->info.name < n; });
  return it != places_.end() && it->tensor->info.name == name ? &*it : nullptr;
}

const TensorInfo* Checkpoint::Find(std::string_view name) const {
  const Place* place = FindPlace(name);
  return place == nullptr ? nullptr : &place->tensor->info;
}

absl::StatusOr<Checkpoint::Place> Checkpoint::Locate(std::string_view name) const {
  if (const Place* place = FindPlace(name); place != nullptr) return *place;
  return absl::NotFoundError(
      absl::StrCat(name_, ": no tensor '", std::string(name.substr(0, kMaxTensorNameBytes)), "'"));
}

absl::StatusOr<TensorInfo> Checkpoint::Get(std::string_view name) const {
  GPTVQ_ASSIGN_OR_RETURN(const Place place, Locate(name));
  return place.tensor->info;
}

absl::Status Checkpoint::ReadRows(std::string_view name, std::int64_t row_begin, MatrixView<float> rows_out) const {
  GPTVQ_ASSIGN_OR_RETURN(const Place place, Locate(name));
  const SafetensorsReader& shard = shards_[place.shard];
  const TensorInfo& info = place.tensor->info;
  GPTVQ_RETURN_IF_ERROR(CheckFloatingPoint(shard, info));
  if (info.shape.size() != 2 || info.shape[1] != rows_out.cols) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(shard.file_name()), ": tensor '", info.name, "' is ",
                                                   Describe(info), ", not a matrix of ", rows_out.cols, " columns"));
  }
  if (row_begin < 0 || row_begin > info.shape[0] || rows_out.rows > info.shape[0] - row_begin) {
    return absl::OutOfRangeError(absl::StrCat(std::string(shard.file_name()), ": tensor '", info.name, "' has ",
                                              info.shape[0], " rows; asked for ", rows_out.rows, " from ", row_begin));
  }
  if (rows_out.stride == rows_out.cols) {
    return ReadElements(shard, *place.tensor, row_begin * rows_out.cols,
                        absl::MakeSpan(rows_out.data, rows_out.rows * rows_out.cols));
  }
  for (std::int64_t r = 0; r < rows_out.rows; ++r) {
    GPTVQ_RETURN_IF_ERROR(ReadElements(shard, *place.tensor, (row_begin + r) * rows_out.cols,
                                       absl::MakeSpan(rows_out.row(r), rows_out.cols)));
  }
  return absl::OkStatus();
}

absl::Status Checkpoint::ReadAll(std::string_view name, absl::Span<float> values_out) const {
  GPTVQ_ASSIGN_OR_RETURN(const Place place, Locate(name));
  const SafetensorsReader& shard = shards_[place.shard];
  const TensorInfo& info = place.tensor->info;
  GPTVQ_RETURN_IF_ERROR(CheckFloatingPoint(shard, info));
  if (static_cast<std::int64_t>(values_out.size()) != info.element_count()) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(shard.file_name()), ": tensor '", info.name, "' is ",
                                                   Describe(info), ", not ", values_out.size(), " values"));
  }
  return ReadElements(shard, *place.tensor, 0, values_out);
}

absl::Status Checkpoint::ReadBytes(std::string_view name, std::uint64_t offset, absl::Span<std::byte> bytes_out) const {
  GPTVQ_ASSIGN_OR_RETURN(const Place place, Locate(name));
  return shards_[place.shard].Read(*place.tensor, offset, bytes_out);
}

}  // namespace gptvq
