#ifndef GPTVQ_PLATFORM_OBJECT_STORE_S3_WRITABLE_FILE_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_S3_WRITABLE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/object_store/object_store.h"
#include "platform/object_store/s3_client.h"

namespace gptvq {

// How long the part of that number is, from 1: 8 MiB, and twice as much after every 1000 parts, so that the 10 000
// parts that S3 allows hold 8 TiB while objects under 8 GiB need no more than 8 MiB of memory.
std::size_t S3PartBytes(std::size_t part_number);

enum class S3Parts {
  kGrowing,  // S3PartBytes
  kEqual,    // kSavedPartBytes: what may be gone on with elsewhere, up to 78 GiB
};

// The ETag that S3 gives to an object of these parts: the MD5 of their MD5s, and their number. nullopt when the
// parts' ETags are no MD5s (encrypted buckets).
std::optional<std::string> S3MultipartEtag(const std::vector<std::string>& part_etags);

// A new object being written to S3. What fits into one part is sent by one PUT when it is closed; more goes out as a multipart
// upload, part by part, which makes the object appear when it is completed. Holds one part in memory. Dropped
// without Close, it aborts its upload once, unless that was saved; what that misses is left to RemoveAbandonedWrites.
// Thread-compatible.
//
// After Close() has returned Unavailable the object may have appeared all the same, whole: nobody can tell whether an answer
// that was lost said yes.
class S3WritableFile final : public ResumableFile {
 public:
  // The client may be used by files that outlive the store.
  S3WritableFile(std::shared_ptr<const S3Client> client, S3Place place, S3Parts parts);
  // Behind the parts of a ticket, which the server must still have. Errors: those of ObjectStore::Resume.
  static absl::StatusOr<std::unique_ptr<S3WritableFile>> Resume(std::shared_ptr<const S3Client> client, S3Place place,
                                                                std::string_view ticket);
  ~S3WritableFile() override;

  absl::Status Append(absl::Span<const std::byte> bytes) override;
  absl::Status Close() override;
  absl::StatusOr<std::string> Save() override;  // of files with equal parts
  void Discard() override;

 private:
  std::size_t NextPartBytes() const;
  absl::Status CheckParts() const;
  absl::Status SendPart();
  absl::Status Begin();
  absl::Status Complete();
  absl::Status PutWhole();
  absl::Status CheckCompleted(const std::string& etag);
  // A file that failed once never appears: nobody knows which of its bytes arrived.
  absl::Status Record(absl::Status status);

  const std::shared_ptr<const S3Client> client_;
  const S3Place place_;
  const S3Parts parts_;
  std::vector<std::byte> pending_;
  std::uint64_t sent_bytes_ = 0;
  std::string upload_id_;  // empty: nothing has been sent
  std::vector<std::string> part_etags_;
  bool is_saved_ = false;  // the upload has to outlive this writer
  absl::Status status_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_S3_WRITABLE_FILE_H_
