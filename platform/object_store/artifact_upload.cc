#include "platform/object_store/artifact_upload.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"
#include "platform/object_store/artifact_store.h"

namespace gptvq {
namespace {

constexpr std::string_view kFirstLine = "gptvq-upload 1";
constexpr std::uint64_t kMaxRecordBytes = 1 << 20;  // 10 000 parts, whose ETags have 32 digits as a rule

// What a record says, in four lines: its format; SHA-256 and size of the artifact; state of SHA-256 and bytes so far; the ticket.
struct UploadRecord {
  Digest artifact;
  Sha256::Midstate midstate;
  std::string ticket;
};

std::string RecordText(const UploadRecord& record) {
  const auto& words = record.midstate.words;
  return absl::StrCat(
      std::string(kFirstLine), "\n", record.artifact.hex(), " ", record.artifact.size_bytes(), "\n",
      absl::StrJoin(words.begin(), words.end(), ",",
                    [](std::string* out, std::uint32_t word) { absl::StrAppend(out, absl::Hex(word)); }),
      " ", record.midstate.size_bytes, "\n", record.ticket, "\n");
}

// "TEXT NUMBER"
std::optional<std::pair<std::string, std::uint64_t>> ParsePair(const std::string& line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  std::uint64_t number = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[1], &number)) return std::nullopt;
  return std::pair(words[0], number);
}

std::optional<UploadRecord> ParseRecord(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (lines.size() != 5 || lines[0] != kFirstLine) return std::nullopt;
  const auto artifact = ParsePair(lines[1]);
  const auto state = ParsePair(lines[2]);
  if (!artifact || !state) return std::nullopt;
  const absl::StatusOr<Digest> digest = Digest::FromHex(artifact->first, artifact->second);
  const std::vector<std::string> words = absl::StrSplit(state->first, ',');
  UploadRecord record;
  if (!digest.ok() || words.size() != record.midstate.words.size()) return std::nullopt;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!absl::SimpleHexAtoi(words[i], &record.midstate.words[i])) return std::nullopt;
  }
  record.artifact = *digest;
  record.midstate.size_bytes = state->second;
  record.ticket = lines[3];
  const std::uint64_t saved_bytes = record.midstate.size_bytes;
  if (saved_bytes == 0 || saved_bytes % kSavedPartBytes != 0 || saved_bytes >= digest->size_bytes())
    return std::nullopt;
  return record;
}

// nullopt for a record that nobody can use.
absl::StatusOr<std::optional<UploadRecord>> ReadRecord(const ObjectStore& store, const std::string& record_key) {
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file, store.Open(record_key));
  const absl::StatusOr<std::string> text = ReadWholeFile(*file, kMaxRecordBytes);
  if (absl::IsInvalidArgument(text.status())) return std::nullopt;  // too long
  GPTVQ_RETURN_IF_ERROR(text.status());
  return ParseRecord(*text);
}

}  // namespace

ArtifactUpload::ArtifactUpload(ObjectStore& store, UploadName name, std::unique_ptr<ResumableFile> file)
    : store_(&store), name_(std::move(name)), file_(std::move(file)) {}

absl::StatusOr<ArtifactUpload> ArtifactUpload::Begin(ObjectStore& store, UploadName name) {
  // What fits into a part is never saved.
  if (name.artifact.size_bytes() > kSavedPartBytes) GPTVQ_RETURN_IF_ERROR(DiscardSaved(store, name.record_key));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ResumableFile> file,
                         store.CreateResumable(ArtifactStore::KeyOf(name.artifact)));
  return ArtifactUpload(store, std::move(name), std::move(file));
}

absl::StatusOr<ArtifactUpload> ArtifactUpload::Resume(ObjectStore& store, UploadName name) {
  GPTVQ_ASSIGN_OR_RETURN(const std::optional<UploadRecord> record, ReadRecord(store, name.record_key));
  absl::StatusOr<std::unique_ptr<ResumableFile>> file = absl::NotFoundError("the record is of no use");
  if (record && record->artifact == name.artifact) {
    file = store.Resume(ArtifactStore::KeyOf(name.artifact), record->ticket);
  }
  if (absl::IsNotFound(file.status()) || absl::IsInvalidArgument(file.status())) {
    GPTVQ_RETURN_IF_ERROR(store.Delete(name.record_key));
    return absl::NotFoundError(absl::StrCat(name.record_key, ": ", file.status().message()));
  }
  GPTVQ_RETURN_IF_ERROR(file.status());
  ArtifactUpload upload(store, std::move(name), *std::move(file));
  upload.sha256_ = Sha256(record->midstate);
  upload.received_bytes_ = record->midstate.size_bytes;
  upload.has_record_ = true;
  return upload;
}

absl::Status ArtifactUpload::DiscardSaved(ObjectStore& store, const std::string& record_key) {
  const absl::StatusOr<std::optional<UploadRecord>> record = ReadRecord(store, record_key);
  if (absl::IsNotFound(record.status())) return absl::OkStatus();
  if (absl::IsUnavailable(record.status())) return record.status();
  if (record.ok() && *record) {
    const auto file = store.Resume(ArtifactStore::KeyOf((*record)->artifact), (*record)->ticket);
    if (absl::IsUnavailable(file.status())) return file.status();
    if (file.ok()) (*file)->Discard();
  }
  return store.Delete(record_key);
}

absl::Status ArtifactUpload::Append(absl::Span<const std::byte> bytes) {
  if (bytes.size() > name_.artifact.size_bytes() - received_bytes_) {
    return absl::DataLossError(absl::StrCat("artifact ", name_.artifact.hex(), ": received more bytes than announced"));
  }
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kSavedPartBytes - received_bytes_ % kSavedPartBytes));
    GPTVQ_RETURN_IF_ERROR(file_->Append(piece));
    sha256_.Update(piece);
    received_bytes_ += piece.size();
    bytes.remove_prefix(piece.size());
    const bool is_part = received_bytes_ % kSavedPartBytes == 0;
    if (is_part && received_bytes_ < name_.artifact.size_bytes()) GPTVQ_RETURN_IF_ERROR(Save());
  }
  return absl::OkStatus();
}

absl::Status ArtifactUpload::Save() {
  GPTVQ_ASSIGN_OR_RETURN(const std::string ticket, file_->Save());
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> record, store_->Create(name_.record_key));
  has_record_ = true;
  GPTVQ_RETURN_IF_ERROR(record->Append(AsBytes(RecordText({name_.artifact, sha256_.midstate(), ticket}))));
  return record->Close();
}

absl::Status ArtifactUpload::Finish() {
  absl::Status completed = Complete();
  if (absl::IsUnavailable(completed)) return completed;
  if (!completed.ok()) {
    Discard();
    return completed;
  }
  // A record that stays is of no use to anybody, and says so when it is read.
  if (has_record_) store_->Delete(name_.record_key).IgnoreError();
  return absl::OkStatus();
}

absl::Status ArtifactUpload::Complete() {
  if (received_bytes_ != name_.artifact.size_bytes()) {
    return absl::DataLossError(
        absl::StrCat("artifact ", name_.artifact.hex(), ": received another number of bytes than announced"));
  }
  if (sha256_.Finish() != name_.artifact) {
    return absl::DataLossError(absl::StrCat("artifact ", name_.artifact.hex(), ": received bytes with another digest"));
  }
  return file_->Close();
}

void ArtifactUpload::Discard() {
  file_->Discard();
  if (has_record_) store_->Delete(name_.record_key).IgnoreError();
  has_record_ = false;
}

}  // namespace gptvq
