// The collector, which carries out what the ledger decides.
#include "server/garbage_collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "platform/job_store/memory_job_store.h"
#include "tests/server/parallel_job.h"
#include "tests/support/fake_clock.h"
#include "tests/support/forwarding_object_store.h"
#include "tests/support/memory_object_store.h"
#include "tests/support/shared_job_store.h"

namespace gptvq {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

const WorkerKey kWorker = {"a", "1"};

// Refuses to delete as long as it is told to.
class StubbornObjectStore final : public ForwardingObjectStore {
 public:
  using ForwardingObjectStore::ForwardingObjectStore;

  absl::Status Delete(std::string_view key) override {
    return refuses ? absl::UnavailableError("no answer") : ForwardingObjectStore::Delete(key);
  }

  bool refuses = false;
};

// A coordinator whose job has been cancelled with one layer published.
class GarbageCollectorTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(coordinator_.Start([](const absl::Status&) {}).ok());
    Do(AParallelJob("job-1"));
    Do(RegisterWorker{kWorker, "cpu", "1", {}});
    (void)coordinator_.Poll({kWorker, "p1"}, milliseconds(0), [] { return false; });
    (void)coordinator_.Poll({kWorker, "p2"}, milliseconds(0), [] { return false; });
    const Lease capture = {"job-1/capture-0", 1, kWorker.name, kWorker.incarnation, ""};
    const Lease quantize = {"job-1/quantize-0", 1, kWorker.name, kWorker.incarnation, ""};
    ASSERT_TRUE(artifacts_.PutArtifact(AsBytes("layer 0")).ok());
    Do(PublishLayer{quantize, {0, Layer(0), {}}});
    Do(CancelJob{"job-1"});
    Do(ReleaseTask{quantize});
    Do(ReleaseTask{capture});
  }

  void Do(const Event& event) {
    const auto decision = coordinator_.Record(event);
    ASSERT_TRUE(decision.ok()) << decision.status();
  }

  GarbageCollector ACollector(const std::string& owner = "me") {
    return GarbageCollector(coordinator_, objects_, clock_, metrics_, log_, {.owner = owner});
  }

  bool IsStored() const { return *artifacts_.Contains(Layer(0)); }

  MemoryJobStore journal_;
  SharedJobStore store_{journal_};
  FakeClock clock_;
  MetricsRegistry registry_{"coordinator"};
  CoordinatorMetrics coordinator_metrics_{registry_};
  GarbageMetrics metrics_{registry_};
  std::ostringstream log_text_;
  Logger log_{LogLevel::kDebug, log_text_};
  MemoryObjectStore memory_;
  StubbornObjectStore objects_{memory_};
  ArtifactStore artifacts_{objects_};
  Coordinator coordinator_{store_, clock_, coordinator_metrics_, {}};
};

TEST_F(GarbageCollectorTest, DeletesWhatNobodyNeedsWhenItsGraceIsOverAndCountsIt) {
  GarbageCollector collector = ACollector();
  collector.RunRound();
  EXPECT_TRUE(IsStored());
  EXPECT_EQ(metrics_.doomed_artifacts.at(ArtifactKind::kLayer)->Value(), 1);
  EXPECT_EQ(metrics_.doomed_bytes.at(ArtifactKind::kLayer)->Value(), 7);
  clock_.Advance(hours(24));

  collector.RunRound();

  EXPECT_FALSE(IsStored());
  EXPECT_EQ(metrics_.deleted_artifacts.Value(), 1);
  EXPECT_EQ(metrics_.deleted_bytes.Value(), 7);
  EXPECT_EQ(metrics_.doomed_artifacts.at(ArtifactKind::kLayer)->Value(), 0);
  EXPECT_EQ(metrics_.collecting.Value(), 1);
  EXPECT_TRUE(journal_.LoadActive()->doomed_artifacts.empty());
}

TEST_F(GarbageCollectorTest, DeletesNothingInTheStoreOfAnotherJournal) {
  ACollector("another").RunRound();
  clock_.Advance(hours(24));

  ACollector().RunRound();

  EXPECT_TRUE(IsStored());
  EXPECT_EQ(metrics_.collecting.Value(), 0);
  EXPECT_NE(log_text_.str().find("another journal"), std::string::npos) << log_text_.str();
}

// What a process left that received an artifact under a lease and ended.
void LeaveAnUpload(ObjectStore& store, const std::string& record_key) {
  const std::string contents(kSavedPartBytes + 1, 'u');
  auto upload = ArtifactUpload::Begin(store, {DigestOf(contents), record_key});
  ASSERT_TRUE(upload.ok()) << upload.status();
  ASSERT_TRUE(upload->Append(AsBytes(contents)).ok());
}

TEST_F(GarbageCollectorTest, ClearsUploadsWhoseLeaseIsOverAndNoOthers) {
  Do(AParallelJob("job-2"));
  ASSERT_TRUE(coordinator_.Poll({kWorker, "p3"}, milliseconds(0), [] { return false; }).ok());
  const std::string directory = GarbageCollectorOptions().upload_records;
  const std::string key = "0-" + std::string(64, '0');
  const std::vector<std::string> kept = {
      directory + "/job-2/capture-0/1/" + key,  // is held
      directory + "/job-2/capture-0/2/" + key,  // of an epoch that this coordinator does not know
      "uploads/another-journal/job-9/capture-0/1/" + key,
  };
  for (const std::string& record : kept) LeaveAnUpload(objects_, record);
  LeaveAnUpload(objects_, directory + "/job-1/quantize-0/1/" + key);  // was given back
  LeaveAnUpload(objects_, directory + "/job-2/quantize-0/0/" + key);  // an earlier epoch
  LeaveAnUpload(objects_, directory + "/job-0/capture-0/1/" + key);   // of a job that nobody knows any more
  GarbageCollector collector = ACollector();

  collector.RunRound();

  std::vector<std::string> left;
  const std::vector<ObjectInfo> objects = objects_.List("uploads", ListScope::kRecursive).value();
  for (const ObjectInfo& object : objects) left.push_back(object.key);
  EXPECT_THAT(left, testing::UnorderedElementsAreArray(kept));
  EXPECT_EQ(memory_.saved_count(), kept.size());
  EXPECT_NE(log_text_.str().find("\"unfinished uploads deleted\" uploads=3"), std::string::npos) << log_text_.str();
}

TEST_F(GarbageCollectorTest, LooksForUploadsNowAndThen) {
  const std::string record = GarbageCollectorOptions().upload_records + "/job-1/quantize-0/1/0-x";
  GarbageCollector collector = ACollector();
  collector.RunRound();
  LeaveAnUpload(objects_, record);

  collector.RunRound();
  EXPECT_TRUE(objects_.Stat(record).ok());
  clock_.Advance(minutes(10));
  collector.RunRound();

  EXPECT_FALSE(objects_.Stat(record).ok());
}

TEST_F(GarbageCollectorTest, DeletesNothingWhileAnotherCoordinatorLeads) {
  const std::string record = GarbageCollectorOptions().upload_records + "/job-1/quantize-0/1/0-x";
  LeaveAnUpload(objects_, record);
  GarbageCollector collector = ACollector();
  clock_.Advance(hours(24));
  store_.SetMayLead(false);

  collector.RunRound();

  EXPECT_TRUE(IsStored());
  EXPECT_TRUE(objects_.Stat(record).ok());
  EXPECT_EQ(metrics_.collecting.Value(), 0);
  EXPECT_EQ(metrics_.failures.Value(), 0);
}

TEST_F(GarbageCollectorTest, TriesAgainWhatTheStoreDidNotDelete) {
  GarbageCollector collector = ACollector();
  clock_.Advance(hours(24));
  objects_.refuses = true;
  collector.RunRound();
  EXPECT_EQ(metrics_.failures.Value(), 1);
  objects_.refuses = false;

  collector.RunRound();

  EXPECT_FALSE(IsStored());
  EXPECT_EQ(metrics_.deleted_artifacts.Value(), 0);  // the first request may still be on its way
  clock_.Advance(minutes(1));
  collector.RunRound();
  EXPECT_EQ(metrics_.deleted_artifacts.Value(), 1);
}

TEST_F(GarbageCollectorTest, TellsOfArtifactsThatNoJobNamesAndKeepsThem) {
  ASSERT_TRUE(artifacts_.PutArtifact(AsBytes("left behind")).ok());
  memory_.Put("artifacts/sha256/readme", "no artifact");
  GarbageCollector collector = ACollector();

  collector.RunRound();
  clock_.Advance(hours(10'000));
  collector.RunRound();

  EXPECT_TRUE(*artifacts_.Contains(DigestOf("left behind")));
  EXPECT_EQ(metrics_.doomed_artifacts.at(ArtifactKind::kUnknown)->Value(), 1);
  EXPECT_NE(log_text_.str().find("artifacts that no job names"), std::string::npos);
}
}  // namespace
}  // namespace gptvq
