#ifndef GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_STORE_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/file.h"

namespace gptvq {

struct ObjectInfo {
  std::string key;
  std::uint64_t size_bytes = 0;

  friend bool operator==(const ObjectInfo&, const ObjectInfo&) = default;
};

enum class ListScope {
  kDirect,     // objects in the directory itself
  kRecursive,  // and those of the directories below it
};

// How much of a new object is saved at a time: what S3 takes as a part, and what is lost at most when its writer dies.
inline constexpr std::size_t kSavedPartBytes = 8 << 20;

// A new object whose writing can go on when its writer is gone. Dropped without Close() it keeps what was saved, and only that,
// for ObjectStore::Resume. Up to 10 000 saved parts (ResourceExhausted). Thread-compatible.
class ResumableFile : public WritableFile {
 public:
  // Makes what was appended durable, without showing it. The answer is the ticket for Resume: printable ASCII, longer with every
  // part. An earlier ticket stays good for what it was given for, until this object is closed or discarded; whoever goes on from
  // it gives up what was saved after it.
  // Precondition: the bytes that were appended so far are a positive multiple of kSavedPartBytes.
  virtual absl::StatusOr<std::string> Save() = 0;

  // Frees what was appended, saved or not; what that misses is left to RemoveAbandonedWrites. Nothing may be called after it.
  virtual void Discard() = 0;
};

// Objects behind keys: the one interface between the project and whatever stores its bytes. A store is rooted somewhere
// (a directory, a bucket and prefix) and nothing outside is reachable through it. Implementations: LocalObjectStore and
// S3ObjectStore; the conformance suite in tests/platform/object_store says what each must do.
//
// A key is a path of plain segments, "artifacts/sha256/0a/0a12...": see IsObjectKey. An object appears whole or not at
// all: readers never see one that is being written, and a writer that dies leaves nothing visible.
// Thread-safe. Files opened from a store may outlive it.
//
// Errors of every method: InvalidArgument for a malformed key; NotFound; PermissionDenied, also for symbolic links on
// the way, which are not followed; FailedPrecondition for what is not an object, such as a directory, a pipe or a
// device; ResourceExhausted when space or a quota ran out; Unavailable when the storage did not answer.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Where it is rooted, for messages: a URI.
  virtual std::string_view name() const = 0;

  // A new object, streamed. It appears, durably and replacing one of that key, when Close() returns OK.
  // Errors: FailedPrecondition when something that is no object (a directory, a pipe, a device) has that name.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view key) = 0;

  // As Create, for what takes long to arrive.
  virtual absl::StatusOr<std::unique_ptr<ResumableFile>> CreateResumable(std::string_view key) = 0;

  // Goes on behind what was saved of an object of that key when this ticket was given. If somebody still writes it, in whichever
  // process, it is NotFound here, or else Close() fails wherever the object would not hold just what was saved and appended.
  // Errors: as Create; NotFound when nothing of it is left; InvalidArgument for what is no ticket of this implementation.
  virtual absl::StatusOr<std::unique_ptr<ResumableFile>> Resume(std::string_view key, std::string_view ticket) = 0;

  // Puts a small object that must not replace another: OK when these bytes are durable under this key, also when they were there
  // before, as those of an attempt whose answer was lost. Of several that put different bytes at once, one succeeds, where
  // the implementation does not say otherwise.
  // Errors: as Create; AlreadyExists when an object of other bytes has the key; ResourceExhausted above kMaxNewObjectBytes.
  virtual absl::Status PutNew(std::string_view key, absl::Span<const std::byte> bytes) = 0;

  // The object as it is now: after it was replaced or deleted this file reads the same bytes or, where the storage does not keep
  // them (S3), fails with FailedPrecondition; it never reads others. Its name() is the key.
  virtual absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view key) const = 0;

  virtual absl::StatusOr<ObjectInfo> Stat(std::string_view key) const = 0;

  // Objects below `directory` ("" is the root), sorted by key; empty when there is no such directory. What is not an
  // object or has no valid key is left out. ResourceExhausted when there are more than kMaxListedObjects.
  virtual absl::StatusOr<std::vector<ObjectInfo>> List(std::string_view directory, ListScope scope) const = 0;

  // OK as well when there is no such object.
  virtual absl::Status Delete(std::string_view key) = 0;

  // Frees the space of writes at the root, or anywhere, whose writer died; of those that were saved, when nobody went on with
  // them for a day. Never touches one in progress, in whichever process: the implementation says how it knows.
  virtual absl::Status RemoveAbandonedWrites(ListScope scope) = 0;
};

inline constexpr std::size_t kMaxListedObjects = 1'000'000;
inline constexpr std::size_t kMaxKeyBytes = 1024;
inline constexpr int kMaxKeySegments = 16;
inline constexpr std::size_t kMaxNewObjectBytes = 256 << 20;  // one request and one buffer

// Names that begin so belong to writes in progress.
inline constexpr std::string_view kTemporaryPrefix = ".gptvq-tmp-";

// True for 1 to kMaxKeySegments plain file names (core/base/file.h) joined by '/', none with kTemporaryPrefix.
bool IsObjectKey(std::string_view key);

// OK, or InvalidArgument naming the key.
absl::Status CheckObjectKey(std::string_view key);

// For implementations of PutNew, when something has the key already: OK if it holds these very bytes, else AlreadyExists.
// Errors: those of Open.
absl::Status CheckSameObject(const ObjectStore& store, std::string_view key, absl::Span<const std::byte> bytes);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_STORE_H_
