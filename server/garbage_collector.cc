#include "server/garbage_collector.h"

#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "server/upload_records.h"

namespace gptvq {
namespace {

constexpr std::string_view kOwnerKey = "artifacts/owner";
constexpr std::string_view kArtifactDirectory = "artifacts/sha256";

// The artifact behind a key; nullopt for objects that are none.
std::optional<Digest> ArtifactOf(const ObjectInfo& object) {
  const std::size_t slash = object.key.rfind('/');
  if (slash == std::string::npos) return std::nullopt;
  const auto artifact = Digest::FromHex(std::string_view(object.key).substr(slash + 1), object.size_bytes);
  if (!artifact.ok() || ArtifactStore::KeyOf(*artifact) != object.key) return std::nullopt;
  return *artifact;
}

absl::StatusOr<std::string> ReadText(const ObjectStore& objects, std::string_view key) {
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file, objects.Open(key));
  std::string text(file->size(), '\0');
  GPTVQ_RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(reinterpret_cast<std::byte*>(text.data()), text.size())));
  return text;
}

}  // namespace

GarbageMetrics::GarbageMetrics(MetricsRegistry& registry)
    : deleted_artifacts(registry.AddCounter("artifacts_deleted_total", "Artifacts that were deleted as garbage.")),
      deleted_bytes(registry.AddCounter("artifact_bytes_deleted_total", "Bytes of artifacts deleted as garbage.")),
      failures(registry.AddCounter("garbage_failures_total", "Rounds of garbage collection that failed.")),
      collecting(registry.AddGauge("garbage_collecting",
                                   "1 while this coordinator deletes garbage, 0 where it stands by, failed in the last "
                                   "round, or found the artifact store to belong to another journal.")) {
  for (ArtifactKind kind : kAllArtifactKinds) {
    const MetricLabels labels = {{"artifact", std::string(Name(kind))}};
    doomed_artifacts[kind] =
        &registry.AddGauge("doomed_artifacts", "Artifacts that nobody needs and that are not deleted yet.", labels);
    doomed_bytes[kind] = &registry.AddGauge("doomed_artifact_bytes", "What they occupy.", labels);
  }
}

GarbageCollector::GarbageCollector(Coordinator& coordinator, ObjectStore& objects, Clock& clock,
                                   GarbageMetrics& metrics, Logger& log, GarbageCollectorOptions options)
    : coordinator_(coordinator),
      objects_(objects),
      artifacts_(objects),
      clock_(clock),
      metrics_(metrics),
      log_(log),
      options_(std::move(options)) {}

void GarbageCollector::Start() {
  thread_ = std::jthread([this](std::stop_token stop) {
    while (!stop.stop_requested()) {
      RunRound(stop);
      clock_.Sleep(options_.period, stop);
    }
  });
}

void GarbageCollector::RunRound(std::stop_token stop) {
  const absl::Status done = Delete(stop);
  metrics_.collecting.Set(done.ok() ? 1 : 0);
  ShowStanding();
  const bool stands_by = ReasonOf(done) == ErrorReason::kNotLeading;
  if (!done.ok() && !stands_by) metrics_.failures.Increment();
  if (!done.ok() && !stands_by && done != last_trouble_) {
    log_.Warning("garbage is not collected", {{"why", done.ToString()}});
  }
  last_trouble_ = done;
}

absl::Status GarbageCollector::Delete(std::stop_token stop) {
  GPTVQ_RETURN_IF_ERROR(coordinator_.store().CheckLeading());
  GPTVQ_RETURN_IF_ERROR(ClearUploads());
  GPTVQ_ASSIGN_OR_RETURN(const bool owner, OwnsStore());
  if (!owner) {
    return absl::FailedPreconditionError(
        absl::StrCat(std::string(objects_.name()),
                     " holds the artifacts of another journal, of which this coordinator does not know "
                     "what it needs; give each journal a store of its own, or delete ",
                     std::string(kOwnerKey), " there if that journal is gone for good"));
  }
  GPTVQ_RETURN_IF_ERROR(Survey());
  while (!stop.stop_requested()) {
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<Digest> artifacts, coordinator_.BeginDeletions());
    if (artifacts.empty()) break;
    GPTVQ_ASSIGN_OR_RETURN(const bool progressed, DeleteAll(artifacts, stop));
    if (!progressed) break;  // what is left has to settle; the next round deletes it once more
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> GarbageCollector::DeleteAll(const std::vector<Digest>& artifacts, std::stop_token stop) {
  std::vector<Digest> deleted;
  std::vector<Digest> in_doubt;
  absl::Status trouble;
  for (const Digest& artifact : artifacts) {
    if (stop.stop_requested()) break;
    // Right before each: who leads next finishes what this one began, and may let the artifact be stored again.
    GPTVQ_RETURN_IF_ERROR(coordinator_.store().CheckLeading());
    const absl::Status status = artifacts_.DeleteArtifact(artifact);
    (status.ok() ? deleted : in_doubt).push_back(artifact);
    if (!status.ok()) trouble = WithContext(status, absl::StrCat("artifact ", artifact.hex()));
  }
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<Digest> forgotten, coordinator_.EndDeletions(deleted, in_doubt));
  std::uint64_t bytes = 0;
  for (const Digest& artifact : forgotten) bytes += artifact.size_bytes();
  metrics_.deleted_artifacts.Increment(static_cast<double>(forgotten.size()));
  metrics_.deleted_bytes.Increment(static_cast<double>(bytes));
  if (!forgotten.empty()) log_.Info("garbage deleted", {{"artifacts", forgotten.size()}, {"bytes", bytes}});
  GPTVQ_RETURN_IF_ERROR(trouble);
  return !forgotten.empty();
}

// A lease that is over never comes back, so what was saved of an upload under it is of use to nobody.
absl::Status GarbageCollector::ClearUploads() {
  const MonotonicTime now = clock_.MonotonicNow();
  if (next_look_at_uploads_ && now < *next_look_at_uploads_) return absl::OkStatus();
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> records,
                         objects_.List(options_.upload_records, ListScope::kRecursive));
  int cleared = 0;
  for (const ObjectInfo& record : records) {
    const std::optional<UploadOwner> owner = OwnerOfUpload(options_.upload_records, record.key);
    if (!owner) continue;
    GPTVQ_ASSIGN_OR_RETURN(const bool is_live, coordinator_.MayBeHeld(owner->task_id, owner->epoch));
    if (is_live) continue;
    GPTVQ_RETURN_IF_ERROR(coordinator_.store().CheckLeading());
    GPTVQ_RETURN_IF_ERROR(WithContext(ArtifactUpload::DiscardSaved(objects_, record.key), record.key));
    ++cleared;
  }
  // What has no record, as its writer died between saving and saying so.
  GPTVQ_RETURN_IF_ERROR(objects_.RemoveAbandonedWrites(ListScope::kRecursive));
  if (cleared > 0) log_.Info("unfinished uploads deleted", {{"uploads", cleared}});
  next_look_at_uploads_ = now + options_.uploads_period;
  return absl::OkStatus();
}

// Looks for artifacts that nobody names, now and then: they are doomed as unknown, and the gauges show them.
absl::Status GarbageCollector::Survey() {
  const MonotonicTime now = clock_.MonotonicNow();
  if (next_survey_ && now < *next_survey_) return absl::OkStatus();
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects,
                         objects_.List(kArtifactDirectory, ListScope::kRecursive));
  std::vector<Digest> stored;
  for (const ObjectInfo& object : objects) {
    if (const auto artifact = ArtifactOf(object)) stored.push_back(*artifact);
  }
  GPTVQ_RETURN_IF_ERROR(coordinator_.DoomUnknown(stored));
  next_survey_ = now + options_.survey_period;
  std::size_t unknown = 0;
  std::uint64_t unknown_bytes = 0;
  for (const DoomedArtifact& row : coordinator_.ListDoomed()) {
    if (row.kind != ArtifactKind::kUnknown) continue;
    ++unknown;
    unknown_bytes += row.artifact.size_bytes();
  }
  if (unknown > 0) {
    log_.Warning("artifacts that no job names", {{"artifacts", unknown}, {"bytes", unknown_bytes}});
  }
  return absl::OkStatus();
}

// Whoever asks first writes its name.
absl::StatusOr<bool> GarbageCollector::OwnsStore() {
  absl::StatusOr<std::string> owner = ReadText(objects_, kOwnerKey);
  if (absl::IsNotFound(owner.status())) {
    GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, objects_.Create(kOwnerKey));
    GPTVQ_RETURN_IF_ERROR(file->Append(AsBytes(options_.owner)));
    GPTVQ_RETURN_IF_ERROR(file->Close());
    owner = ReadText(objects_, kOwnerKey);
  }
  GPTVQ_RETURN_IF_ERROR(owner.status());
  return *owner == options_.owner;
}

void GarbageCollector::ShowStanding() {
  std::map<ArtifactKind, std::pair<double, double>> standing;
  for (const DoomedArtifact& row : coordinator_.ListDoomed()) {
    standing[row.kind].first += 1;
    standing[row.kind].second += static_cast<double>(row.artifact.size_bytes());
  }
  for (ArtifactKind kind : kAllArtifactKinds) {
    metrics_.doomed_artifacts.at(kind)->Set(standing[kind].first);
    metrics_.doomed_bytes.at(kind)->Set(standing[kind].second);
  }
}

}  // namespace gptvq
