#include "core/pipeline/layer_read_ahead.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/check.h"
#include "core/base/memory_file.h"
#include "core/base/status_macros.h"
#include "core/format/safetensors_writer.h"
#include "core/model/model_tensors.h"

namespace gptvq {
namespace {

constexpr std::uint64_t kPieceBytes = 1 << 20;  // read at a time: a stop waits for one of these

// A file in memory that never holds its bytes twice, as a growing string does.
class ReservedFile final : public WritableFile {
 public:
  explicit ReservedFile(std::uint64_t bytes) { contents_.reserve(bytes); }

  absl::Status Append(absl::Span<const std::byte> bytes) override {
    contents_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return absl::OkStatus();
  }
  absl::Status Close() override { return absl::OkStatus(); }

  std::string Take() { return std::move(contents_); }

 private:
  std::string contents_;
};

absl::Status CopyTensor(const Checkpoint& source, const TensorInfo& tensor, const std::stop_token& stop,
                        std::vector<std::byte>& piece, SafetensorsWriter& writer) {
  const std::uint64_t bytes = tensor.byte_count();
  for (std::uint64_t offset = 0; offset < bytes; offset += kPieceBytes) {
    if (stop.stop_requested()) return absl::CancelledError("nobody waits for the layer any more");
    piece.resize(std::min(kPieceBytes, bytes - offset));
    GPTVQ_RETURN_IF_ERROR(source.ReadBytes(tensor.name, offset, absl::MakeSpan(piece)));
    GPTVQ_RETURN_IF_ERROR(writer.Append(piece));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Checkpoint> HoldLayer(const ModelConfig& config, const Checkpoint& source, int layer,
                                     std::stop_token stop) {
  constexpr std::uint64_t kHeaderBytesPerTensor = 256;  // a guess: a longer header costs one more copy
  std::vector<TensorInfo> tensors;
  std::uint64_t bytes = 0;
  for (const ExpectedTensor& expected : LayerTensors(config, layer)) {
    GPTVQ_ASSIGN_OR_RETURN(TensorInfo tensor, source.Get(expected.name));
    bytes += tensor.byte_count() + kHeaderBytesPerTensor;
    tensors.push_back(std::move(tensor));
  }
  ReservedFile file(bytes);
  GPTVQ_ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::Begin(std::move(tensors), {}, file));
  std::vector<std::byte> piece;
  for (const TensorInfo& tensor : writer.order()) {
    GPTVQ_RETURN_IF_ERROR(CopyTensor(source, tensor, stop, piece, writer));
  }
  GPTVQ_RETURN_IF_ERROR(writer.Finish());
  return Checkpoint::OpenFile(std::make_unique<MemoryFile>(absl::StrCat("layer ", layer), file.Take()));
}

LayerReadAhead::LayerReadAhead(const ModelConfig& config, const Checkpoint& source, std::vector<int> layers,
                               const UploadLanes& lanes)
    : config_(config), source_(source), layers_(std::move(layers)), lanes_(lanes) {
  Begin();
}

absl::StatusOr<HeldLayer> LayerReadAhead::Next() {
  GPTVQ_CHECK(reading_.is_begun());
  absl::StatusOr<HeldLayer> layer = reading_.Take();
  Begin();
  return layer;
}

void LayerReadAhead::Begin() {
  if (next_ == layers_.size()) return;
  const auto read = [this, layer = layers_[next_++]](const std::stop_token& stop) -> absl::StatusOr<HeldLayer> {
    GPTVQ_ASSIGN_OR_RETURN(Checkpoint tensors, HoldLayer(config_, source_, layer, stop));
    GPTVQ_ASSIGN_OR_RETURN(std::vector<StoredLinears> uploaded, UploadLinears(tensors, layer, lanes_, stop));
    return HeldLayer{std::move(tensors), std::move(uploaded)};
  };
  reading_ = BackgroundCall<absl::StatusOr<HeldLayer>>(read);
}

}  // namespace gptvq
