#include "platform/object_store/artifact_store.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr std::size_t kPieceBytes = 1 << 20;

// Keeps nothing but the digest.
class DigestSink final : public WritableFile {
 public:
  absl::Status Append(absl::Span<const std::byte> bytes) override {
    sha256_.Update(bytes);
    return absl::OkStatus();
  }
  absl::Status Close() override { return absl::OkStatus(); }

  Digest digest() const { return sha256_.Finish(); }

 private:
  Sha256 sha256_;
};

// Becomes visible only if the bytes are those that were announced.
class CheckedFile final : public WritableFile {
 public:
  CheckedFile(const Digest& expected, std::unique_ptr<WritableFile> file)
      : expected_(expected), file_(std::move(file)) {}

  absl::Status Append(absl::Span<const std::byte> bytes) override {
    received_bytes_ += bytes.size();
    if (received_bytes_ > expected_.size_bytes()) return Mismatch("more bytes than announced");
    sha256_.Update(bytes);
    return file_->Append(bytes);
  }

  absl::Status Close() override {
    if (received_bytes_ != expected_.size_bytes()) return Mismatch("another number of bytes than announced");
    if (sha256_.Finish() != expected_) return Mismatch("bytes with another digest");
    return file_->Close();
  }

 private:
  absl::Status Mismatch(std::string_view what) const {
    return absl::DataLossError(absl::StrCat("artifact ", expected_.hex(), ": received ", std::string(what)));
  }

  const Digest expected_;
  const std::unique_ptr<WritableFile> file_;
  std::uint64_t received_bytes_ = 0;
  Sha256 sha256_;
};

absl::StatusOr<Digest> DigestOf(const RandomAccessFile& file) {
  Sha256 sha256;
  std::vector<std::byte> piece(std::min<std::uint64_t>(kPieceBytes, file.size()));
  for (std::uint64_t offset = 0; offset < file.size(); offset += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece.size(), file.size() - offset));
    GPTVQ_RETURN_IF_ERROR(file.ReadAt(offset, absl::MakeSpan(piece)));
    sha256.Update(piece);
  }
  return sha256.Finish();
}

}  // namespace

std::string ArtifactStore::KeyOf(const Digest& digest) {
  const std::string hex = digest.hex();
  return absl::StrCat("artifacts/sha256/", hex.substr(0, 2), "/", hex);
}

absl::StatusOr<bool> ArtifactStore::Contains(const Digest& digest) const {
  const absl::StatusOr<ObjectInfo> info = store_.Stat(KeyOf(digest));
  if (absl::IsNotFound(info.status())) return false;
  GPTVQ_RETURN_IF_ERROR(info.status());
  return info->size_bytes == digest.size_bytes();
}

absl::StatusOr<std::unique_ptr<WritableFile>> ArtifactStore::CreateArtifact(const Digest& digest) {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, store_.Create(KeyOf(digest)));
  return std::make_unique<CheckedFile>(digest, std::move(file));
}

absl::StatusOr<ArtifactUpload> ArtifactStore::BeginUpload(UploadName name) {
  return ArtifactUpload::Begin(store_, std::move(name));
}

absl::StatusOr<ArtifactUpload> ArtifactStore::ResumeUpload(UploadName name) {
  return ArtifactUpload::Resume(store_, std::move(name));
}

absl::StatusOr<Digest> ArtifactStore::PutArtifact(absl::Span<const std::byte> bytes) {
  return PutArtifact([bytes](WritableFile& file) { return file.Append(bytes); });
}

absl::StatusOr<Digest> ArtifactStore::PutArtifact(absl::FunctionRef<absl::Status(WritableFile&)> write) {
  DigestSink sink;
  GPTVQ_RETURN_IF_ERROR(write(sink));
  const Digest digest = sink.digest();
  // By its bytes, not by its size: damage that is taken for the artifact would fail every job that ever needs it.
  const absl::Status present = OpenArtifact(digest).status();
  if (present.ok()) return digest;
  if (!absl::IsNotFound(present) && !absl::IsDataLoss(present)) return present;
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, CreateArtifact(digest));
  GPTVQ_RETURN_IF_ERROR(write(*file));
  GPTVQ_RETURN_IF_ERROR(file->Close());
  return digest;
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> ArtifactStore::OpenArtifact(const Digest& digest) const {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, store_.Open(KeyOf(digest)));
  if (file->size() != digest.size_bytes()) {
    return absl::DataLossError(
        absl::StrCat(std::string(file->name()), ": has ", file->size(), " bytes, not ", digest.size_bytes()));
  }
  GPTVQ_ASSIGN_OR_RETURN(const Digest found, DigestOf(*file));
  if (found != digest) return absl::DataLossError(absl::StrCat(std::string(file->name()), ": its bytes have changed"));
  return file;
}

}  // namespace gptvq
