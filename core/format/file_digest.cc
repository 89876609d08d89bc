#include "core/format/file_digest.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr std::uint64_t kPieceBytes = 1 << 20;

absl::Status ForEachPiece(const RandomAccessFile& file,
                          absl::FunctionRef<absl::Status(absl::Span<const std::byte>)> take) {
  std::vector<std::byte> buffer(std::min(kPieceBytes, file.size()));
  for (std::uint64_t offset = 0; offset < file.size(); offset += kPieceBytes) {
    const absl::Span<std::byte> piece(buffer.data(), std::min(kPieceBytes, file.size() - offset));
    GPTVQ_RETURN_IF_ERROR(file.ReadAt(offset, piece));
    GPTVQ_RETURN_IF_ERROR(take(piece));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Digest> DigestFile(const RandomAccessFile& file) {
  Sha256 sha256;
  GPTVQ_RETURN_IF_ERROR(ForEachPiece(file, [&sha256](absl::Span<const std::byte> piece) {
    sha256.Update(piece);
    return absl::OkStatus();
  }));
  return sha256.Finish();
}

absl::Status CopyFile(const RandomAccessFile& source, WritableFile& target_out) {
  return ForEachPiece(source, [&target_out](absl::Span<const std::byte> piece) { return target_out.Append(piece); });
}

}  // namespace gptvq
