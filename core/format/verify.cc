#include "core/format/verify.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/format/file_digest.h"
#include "core/format/manifest.h"
#include "core/format/packed_checkpoint.h"
#include "core/format/packed_tensors.h"

namespace gptvq {
namespace {

bool IsStorageError(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsPermissionDenied(status) || absl::IsDeadlineExceeded(status);
}

// Notes a failed check; returns the status only when it is the storage that failed.
absl::Status Note(const absl::Status& status, Verification& verification) {
  if (status.ok() || IsStorageError(status)) return status;
  verification.failures.push_back(std::string(status.message()));
  return absl::OkStatus();
}

// Files that may stand in a result without being part of it (section 9.4).
bool MayBeExtra(const std::string& file) {
  return file == kManifestFile || file == "README.md" || absl::StartsWith(file, ".") ||
         absl::StartsWith(file, "gptvq_report");
}

absl::StatusOr<Manifest> ReadManifest(const ReadableDirectory& directory, Verification& verification) {
  auto file = directory.Open(kManifestFile);
  if (absl::IsNotFound(file.status())) {
    return absl::NotFoundError(
        absl::StrCat(std::string(kManifestFile), " is missing: not a result, or not a finished one"));
  }
  GPTVQ_RETURN_IF_ERROR(file.status());
  GPTVQ_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(**file, kMaxManifestBytes));
  verification.manifest = Digest::Of(AsBytes(text));
  auto manifest = ParseManifest(text);
  if (!manifest.ok()) return WithContext(manifest.status(), kManifestFile);
  return manifest;
}

absl::Status CheckFile(const ReadableDirectory& directory, const std::string& name, const Digest& expected,
                       Verification& verification) {
  auto file = directory.Open(name);
  if (absl::IsNotFound(file.status())) return absl::NotFoundError(absl::StrCat(name, ": missing"));
  if (!file.ok()) return WithContext(file.status(), name);
  if ((*file)->size() != expected.size_bytes()) {
    return absl::DataLossError(
        absl::StrCat(name, ": ", (*file)->size(), " bytes, the manifest says ", expected.size_bytes()));
  }
  auto digest = DigestFile(**file);
  if (!digest.ok()) return WithContext(digest.status(), name);
  ++verification.files_checked;
  verification.bytes_checked += digest->size_bytes();
  if (*digest == expected) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(name, ": SHA-256 is ", digest->hex(), ", the manifest says ", expected.hex()));
}

absl::Status CheckFiles(const ReadableDirectory& directory, const Manifest& manifest, Verification& verification) {
  for (const auto& [name, digest] : manifest.files) {
    GPTVQ_RETURN_IF_ERROR(Note(CheckFile(directory, name, digest, verification), verification));
  }
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<std::string> present, directory.List());
  for (const std::string& name : present) {
    if (!manifest.files.contains(name) && !MayBeExtra(name)) {
      verification.failures.push_back(absl::StrCat(name, ": is not in the manifest"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLinears(const PackedCheckpoint& checkpoint, const Manifest& manifest, Verification& verification) {
  BitCount bits;
  for (const PackedModule& module : checkpoint.modules()) {
    GPTVQ_RETURN_IF_ERROR(Note(checkpoint.ReadLinear(module.name).status(), verification));
    GPTVQ_ASSIGN_OR_RETURN(const BitCount module_bits, CountPackedBits(module));
    bits += module_bits;
    ++verification.linears_checked;
  }
  if (bits != manifest.bits) {
    verification.failures.push_back(absl::StrCat(std::string(kManifestFile), ": states ", manifest.bits.total_bits(),
                                                 " bits, the packed tensors have ", bits.total_bits()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Verification> VerifyCheckpoint(const ReadableDirectory& directory) {
  Verification verification;
  const auto manifest = ReadManifest(directory, verification);
  if (!manifest.ok()) {
    GPTVQ_RETURN_IF_ERROR(Note(manifest.status(), verification));
    return verification;
  }
  GPTVQ_RETURN_IF_ERROR(CheckFiles(directory, *manifest, verification));
  const auto checkpoint = PackedCheckpoint::Open(directory);
  if (!checkpoint.ok()) {
    GPTVQ_RETURN_IF_ERROR(Note(checkpoint.status(), verification));
    return verification;
  }
  GPTVQ_RETURN_IF_ERROR(CheckLinears(*checkpoint, *manifest, verification));
  return verification;
}

}  // namespace gptvq
