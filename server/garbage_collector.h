#ifndef GPTVQ_SERVER_GARBAGE_COLLECTOR_H_
#define GPTVQ_SERVER_GARBAGE_COLLECTOR_H_

#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metrics.h"
#include "platform/object_store/artifact_store.h"
#include "server/coordinator.h"

namespace gptvq {

// What the collection of garbage exports as gptvq_coordinator_*. Registers everything when built. Borrows the registry.
// Thread-safe.
struct GarbageMetrics {
  explicit GarbageMetrics(MetricsRegistry& registry);

  Counter& deleted_artifacts;
  Counter& deleted_bytes;
  Counter& failures;
  Gauge& collecting;
  std::map<ArtifactKind, Gauge*> doomed_artifacts;
  std::map<ArtifactKind, Gauge*> doomed_bytes;
};

struct GarbageCollectorOptions {
  // Who may delete in the store: derived from the journal's secret. The store names the first one that asked for it.
  std::string owner;
  std::string upload_records = "uploads/0000000000000000";  // of this journal: the directory of UploadsDirectory
  std::chrono::milliseconds period{60'000};
  std::chrono::milliseconds uploads_period{600'000};    // between looks for uploads that nobody goes on with
  std::chrono::milliseconds survey_period{21'600'000};  // between looks for what nobody names
};

// Deletes from the artifact store what the journal says nobody needs, while this coordinator leads: the ledger decides, this
// class does. A thread of its own runs a round every period. It never deletes what it merely finds: that is doomed first, as
// unknown. In a store that belongs to another journal nothing is deleted, but for what uploads to this one left whose lease is
// over. Owns the thread; borrows everything given to the
// constructor. Thread-safe.
class GarbageCollector {
 public:
  GarbageCollector(Coordinator& coordinator, ObjectStore& objects, Clock& clock, GarbageMetrics& metrics, Logger& log,
                   GarbageCollectorOptions options);

  // To be called once.
  void Start();

  // One round. For the thread, and for tests that do not start it.
  void RunRound(std::stop_token stop = {});

 private:
  absl::Status Delete(std::stop_token stop);
  // Whether anything is done with.
  absl::StatusOr<bool> DeleteAll(const std::vector<Digest>& artifacts, std::stop_token stop);
  absl::Status ClearUploads();
  absl::Status Survey();
  absl::StatusOr<bool> OwnsStore();
  void ShowStanding();

  Coordinator& coordinator_;
  ObjectStore& objects_;
  ArtifactStore artifacts_;
  Clock& clock_;
  GarbageMetrics& metrics_;
  Logger& log_;
  const GarbageCollectorOptions options_;

  // Of the thread:
  std::optional<MonotonicTime> next_survey_;
  std::optional<MonotonicTime> next_look_at_uploads_;
  absl::Status last_trouble_;  // as it was logged

  std::jthread thread_;  // last: it stops before the fields above go away
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_GARBAGE_COLLECTOR_H_
