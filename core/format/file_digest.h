#ifndef GPTVQ_CORE_FORMAT_FILE_DIGEST_H_
#define GPTVQ_CORE_FORMAT_FILE_DIGEST_H_

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/sha256.h"

namespace gptvq {

// Names the bytes of a file, read in pieces of 1 MiB. Errors: those of RandomAccessFile::ReadAt.
absl::StatusOr<Digest> DigestFile(const RandomAccessFile& file);

// Appends all of `source` to `target_out`, in pieces of 1 MiB. Errors: those of ReadAt and Append.
absl::Status CopyFile(const RandomAccessFile& source, WritableFile& target_out);

// A file being written whose digest is known at the end. Owns the file it writes to. Thread-compatible.
class DigestingFile final : public WritableFile {
 public:
  explicit DigestingFile(std::unique_ptr<WritableFile> file) : file_(std::move(file)) {}

  absl::Status Append(absl::Span<const std::byte> bytes) override {
    sha256_.Update(bytes);
    return file_->Append(bytes);
  }
  absl::Status Close() override { return file_->Close(); }

  // Of everything appended so far.
  Digest digest() const { return sha256_.Finish(); }

 private:
  std::unique_ptr<WritableFile> file_;
  Sha256 sha256_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_FILE_DIGEST_H_
