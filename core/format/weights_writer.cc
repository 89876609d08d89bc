#include "core/format/weights_writer.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/format/file_digest.h"
#include "core/format/side_files.h"
#include "core/format/weights_index.h"

namespace gptvq {
namespace {

constexpr std::uint64_t kPieceBytes = 1 << 20;

using Shard = std::vector<const WriteUnit*>;

std::vector<Shard> CutIntoShards(const std::vector<WriteUnit>& units, std::uint64_t max_shard_bytes) {
  std::vector<Shard> shards;
  std::uint64_t shard_bytes = 0;
  for (const WriteUnit& unit : units) {
    const std::uint64_t unit_bytes = unit.byte_count();
    if (shards.empty() || shard_bytes + unit_bytes > max_shard_bytes) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    shards.back().push_back(&unit);
    shard_bytes += unit_bytes;
  }
  return shards;
}

absl::StatusOr<Digest> WriteShard(const Shard& shard, std::unique_ptr<WritableFile> file) {
  DigestingFile digesting(std::move(file));
  std::map<std::string_view, const TensorToWrite*> by_name;
  std::vector<TensorInfo> infos;
  for (const WriteUnit* unit : shard) {
    for (const TensorToWrite& tensor : unit->tensors) {
      by_name[tensor.info.name] = &tensor;
      infos.push_back(tensor.info);
    }
  }
  GPTVQ_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                         SafetensorsWriter::Begin(std::move(infos), {{"format", "pt"}}, digesting));
  const std::vector<TensorInfo> order = writer.order();
  for (const TensorInfo& info : order) {
    GPTVQ_RETURN_IF_ERROR(WithContext(by_name[info.name]->append(writer), info.name));
  }
  GPTVQ_RETURN_IF_ERROR(writer.Finish());
  GPTVQ_RETURN_IF_ERROR(digesting.Close());
  return digesting.digest();
}

}  // namespace

std::uint64_t WriteUnit::byte_count() const {
  std::uint64_t bytes = 0;
  for (const TensorToWrite& tensor : tensors) bytes += tensor.info.byte_count();
  return bytes;
}

TensorToWrite CopiedTensor(const Checkpoint& checkpoint, const TensorInfo& info) {
  const auto append = [&checkpoint, name = info.name,
                       bytes = info.byte_count()](SafetensorsWriter& writer) -> absl::Status {
    std::vector<std::byte> buffer(std::min(kPieceBytes, bytes));
    for (std::uint64_t offset = 0; offset < bytes; offset += kPieceBytes) {
      const absl::Span<std::byte> piece(buffer.data(), std::min(kPieceBytes, bytes - offset));
      GPTVQ_RETURN_IF_ERROR(checkpoint.ReadBytes(name, offset, piece));
      GPTVQ_RETURN_IF_ERROR(writer.Append(piece));
    }
    return absl::OkStatus();
  };
  return {info, append};
}

absl::StatusOr<std::map<std::string, Digest>> WriteWeights(std::vector<WriteUnit> units, std::uint64_t max_shard_bytes,
                                                           WritableDirectory& directory) {
  std::sort(units.begin(), units.end(), [](const WriteUnit& a, const WriteUnit& b) { return a.name < b.name; });
  const std::vector<Shard> shards = CutIntoShards(units, max_shard_bytes);
  std::map<std::string, Digest> files;
  WeightsIndex index{.weight_map = {}, .total_size = 0};
  for (std::size_t s = 0; s < shards.size(); ++s) {
    const std::string file_name = shards.size() == 1
                                      ? std::string(kSingleWeightsFile)
                                      : absl::StrFormat("model-%05d-of-%05d.safetensors", s + 1, shards.size());
    GPTVQ_ASSIGN_OR_RETURN(auto file, directory.Create(file_name));
    auto digest = WriteShard(shards[s], std::move(file));
    if (!digest.ok()) return WithContext(digest.status(), file_name);
    files[file_name] = *digest;
    for (const WriteUnit* unit : shards[s]) {
      *index.total_size += unit->byte_count();
      for (const TensorToWrite& tensor : unit->tensors) index.weight_map[tensor.info.name] = file_name;
    }
  }
  if (shards.size() < 2) return files;
  GPTVQ_ASSIGN_OR_RETURN(files[std::string(kWeightsIndexFile)],
                         WriteSmallFile(kWeightsIndexFile, WeightsIndexText(index), directory));
  return files;
}

}  // namespace gptvq
