// What is doomed, spared, deleted and refused: the ledger's decisions, and the collector that carries them out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <sstream>

#include "platform/job/error_reason.h"
#include "platform/job_store/memory_job_store.h"
#include "server/garbage_collector.h"
#include "server/ledger.h"
#include "server/planner.h"
#include "tests/support/fake_clock.h"
#include "tests/support/job_builders.h"
#include "tests/support/memory_object_store.h"
#include "tests/support/shared_job_store.h"

namespace gptvq {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Digests = std::set<Digest>;

const WorkerKey kWorker = {"a", "1"};
const Digest kBoundary = DigestOf("boundary");

Digest Layer(int layer) { return DigestOf("layer " + std::to_string(layer)); }

// Four layers in two shards: capture-0 leaves the boundary that quantize-1 reads.
SubmitJob AParallelJob(const std::string& job_id) {
  SubmitJob event;
  event.job.job_id = job_id;
  event.job.request_id = "r-" + job_id;
  event.job.spec = AJobSpec();
  event.job.spec.propagation = PropagationMode::kParallel;
  event.job.spec.shard_layers = 2;
  event.job.spec.evaluation_uri = "";
  event.job.layer_count = 4;
  event.tasks = PlanJob(event.job.spec, 4, job_id)->tasks;
  return event;
}

// A ledger and somebody who does the work.
class GarbageTest : public testing::Test {
 protected:
  void SetUp() override {
    Restart();
    Submit("job-1");
  }

  void Restart(const GarbageOptions& options = {}) {
    ledger_ = std::make_unique<Ledger>(store_, SchedulerOptions(), options);
    ASSERT_TRUE(ledger_->Load(now_).ok());
  }

  void Submit(const std::string& job_id) { Do(AParallelJob(job_id)); }

  void Do(const Event& event) {
    const auto decision = ledger_->Record(event, now_);
    ASSERT_TRUE(decision.ok()) << decision.status();
  }

  void Wait(milliseconds duration) {
    now_.monotonic += duration;
    now_.wall += duration;
  }

  // The next task that is ready.
  Lease Take() {
    Do(RegisterWorker{kWorker, "cpu", "1", {}});  // silent ones are forgotten as time passes
    const auto decision = ledger_->Record(PollTask{kWorker, "p" + std::to_string(++polls_)}, now_);
    EXPECT_TRUE(decision.ok()) << decision.status();
    const auto found = ledger_->scheduler().FindTask(decision->task_id);
    EXPECT_TRUE(found.ok()) << "nothing to do";
    return {decision->task_id, found->task->status.epoch, kWorker.name, kWorker.incarnation, ""};
  }

  void PublishLayers(const Lease& lease) {
    const LayerRange range = ledger_->scheduler().FindTask(lease.task_id)->task->description.layers;
    for (int layer = range.begin; layer < range.end; ++layer) Do(PublishLayer{lease, {layer, Layer(layer), {}}});
  }

  // Runs the tasks of a job that stands alone, up to its finalize task.
  void RunUpToFinalize() {
    Do(CompleteTask{Take(), {{}, CaptureResult{kBoundary}}});
    for (int shard = 0; shard < 2; ++shard) {
      const Lease lease = Take();
      PublishLayers(lease);
      Do(CompleteTask{lease, {{}, QuantizeResult{}}});
    }
  }

  void RunAll() {
    RunUpToFinalize();
    Do(CompleteTask{Take(), {{}, FinalizeResult{1, DigestOf("manifest")}}});
  }

  Digests Doomed() const {
    Digests doomed;
    for (const auto& [artifact, row] : ledger_->artifacts().rows()) doomed.insert(artifact);
    return doomed;
  }

  Digests BeginDeletions() {
    const auto deleting = ledger_->BeginDeletions(now_);
    EXPECT_TRUE(deleting.ok()) << deleting.status();
    return Digests(deleting->begin(), deleting->end());
  }

  Instant now_ = {MonotonicTime(hours(1)), WallTime(hours(1))};
  MemoryJobStore store_;
  std::unique_ptr<Ledger> ledger_;
  int polls_ = 0;
};

const Digests kAllLayers = {Layer(0), Layer(1), Layer(2), Layer(3)};

TEST_F(GarbageTest, ABoundaryIsDoomedByTheCommitOfItsLastReader) {
  Do(CompleteTask{Take(), {{}, CaptureResult{kBoundary}}});
  const Lease first = Take();
  const Lease second = Take();
  PublishLayers(first);
  PublishLayers(second);
  Do(CompleteTask{first, {{}, QuantizeResult{}}});
  EXPECT_EQ(Doomed(), Digests());

  Do(CompleteTask{second, {{}, QuantizeResult{}}});

  EXPECT_EQ(Doomed(), Digests{kBoundary});
  EXPECT_EQ(ledger_->artifacts().rows().at(kBoundary).kind, ArtifactKind::kBoundary);
}

TEST_F(GarbageTest, ACheckpointIsNeededUntilMoreIsKeptOrTheLayerIsPublished) {
  Do(CompleteTask{Take(), {{}, CaptureResult{kBoundary}}});
  const Lease lease = Take();
  const Digest one = DigestOf("one linear"), two = DigestOf("two linears");
  const auto keep = [&](std::int64_t sequence, const Digest& artifact) {
    Do(CheckpointTask{lease, {0, sequence, artifact, std::vector<LinearReport>(static_cast<std::size_t>(sequence))}});
  };
  keep(1, one);
  EXPECT_EQ(Doomed(), Digests());

  keep(2, two);
  EXPECT_EQ(Doomed(), Digests{one});
  EXPECT_EQ(ledger_->artifacts().rows().at(one).kind, ArtifactKind::kCheckpoint);
  keep(3, one);  // the same bytes again: they are needed again
  EXPECT_EQ(Doomed(), Digests{two});
  Wait(milliseconds(600'000));
  EXPECT_EQ(BeginDeletions(), Digests{two});
  Do(PublishLayer{lease, {0, Layer(0), {}}});
  EXPECT_EQ(Doomed(), (Digests{one, two}));
}

TEST_F(GarbageTest, LayersAreDoomedWhenTheirJobEnds) {
  RunUpToFinalize();
  EXPECT_FALSE(Doomed().contains(Layer(0)));

  Do(CompleteTask{Take(), {{}, FinalizeResult{1, DigestOf("manifest")}}});

  Digests all = kAllLayers;
  all.insert(kBoundary);
  EXPECT_EQ(Doomed(), all);
}

TEST_F(GarbageTest, ACancelledJobNeedsItsArtifactsUntilTheLastHolderLetsGo) {
  Do(CompleteTask{Take(), {{}, CaptureResult{kBoundary}}});
  Do(CancelJob{"job-1"});  // nobody holds quantize-1 yet
  EXPECT_EQ(Doomed(), Digests{kBoundary});

  Submit("job-2");
  const Lease capture = Take();
  Do(CompleteTask{capture, {{}, CaptureResult{kBoundary}}});
  (void)Take();
  const Lease reader = Take();
  Do(PublishLayer{reader, {2, Layer(2), {}}});
  Do(CancelJob{"job-2"});
  EXPECT_EQ(Doomed(), Digests());  // spared by the second job, whose reader still holds its task

  Do(ReleaseTask{reader});

  EXPECT_EQ(Doomed(), Digests{kBoundary});  // the other shard is still held, so the job has not ended
}

TEST_F(GarbageTest, NothingIsDeletedBeforeItsGraceIsOver) {
  RunAll();

  Wait(minutes(9));
  EXPECT_EQ(BeginDeletions(), Digests());
  Wait(minutes(1));
  EXPECT_EQ(BeginDeletions(), Digests{kBoundary});
  Wait(hours(23));
  EXPECT_EQ(BeginDeletions(), Digests{kBoundary});
  Wait(hours(1));
  EXPECT_EQ(BeginDeletions().size(), 5u);
}

TEST_F(GarbageTest, AClockThatWasSetBackDelaysNothing) {
  RunAll();
  now_.wall -= hours(1'000);

  Wait(hours(24));

  EXPECT_EQ(BeginDeletions().size(), 5u);
}

TEST_F(GarbageTest, WhatAnotherJobNeedsIsSparedWhenItsGraceIsOver) {
  Submit("job-2");
  // Both jobs name the same layer before the first one ends.
  Do(CompleteTask{Take(), {{}, CaptureResult{kBoundary}}});
  const Lease first = Take();
  Do(PublishLayer{first, {0, Layer(0), {}}});
  (void)Take();
  (void)Take();
  const Lease second = Take();
  ASSERT_EQ(second.task_id, "job-2/quantize-0");
  Do(PublishLayer{second, {0, Layer(0), {}}});
  Do(CancelJob{"job-1"});
  Do(ReleaseTask{first});
  Do(ReleaseTask{{"job-1/quantize-1", 1, kWorker.name, kWorker.incarnation, ""}});
  ASSERT_TRUE(Doomed().contains(Layer(0)));
  Wait(hours(25));

  EXPECT_FALSE(BeginDeletions().contains(Layer(0)));
  EXPECT_FALSE(Doomed().contains(Layer(0)));

  Do(CancelJob{"job-2"});
  for (const auto& [key, held] : std::map(ledger_->scheduler().held())) {
    const Task& task = ledger_->scheduler().jobs().at(key.sequence).tasks[key.index];
    Do(ReleaseTask{{task.description.task_id, task.status.epoch, kWorker.name, kWorker.incarnation, ""}});
  }
  EXPECT_TRUE(Doomed().contains(Layer(0)));
}

TEST_F(GarbageTest, ACommitThatNamesADoomedArtifactSparesIt) {
  RunAll();
  Submit("job-2");

  Do(CompleteTask{Take(), {{}, CaptureResult{kBoundary}}});
  const Lease lease = Take();
  Do(PublishLayer{lease, {0, Layer(0), {}}});

  EXPECT_EQ(Doomed(), (Digests{Layer(1), Layer(2), Layer(3)}));
  Restart();
  EXPECT_EQ(Doomed(), (Digests{Layer(1), Layer(2), Layer(3)}));
}

TEST_F(GarbageTest, WhatIsBeingDeletedCannotBeNamedUntilItIsGone) {
  RunAll();
  Wait(hours(24));
  ASSERT_EQ(BeginDeletions().size(), 5u);
  Submit("job-2");
  const Lease capture = Take();
  const CompleteTask commit = {capture, {{}, CaptureResult{kBoundary}}};

  EXPECT_EQ(ReasonOf(ledger_->Record(commit, now_).status()), ErrorReason::kArtifactDeleting);

  const auto forgotten = ledger_->EndDeletions({kBoundary}, {}, now_);
  ASSERT_TRUE(forgotten.ok()) << forgotten.status();
  EXPECT_EQ(*forgotten, std::vector<Digest>{kBoundary});
  EXPECT_TRUE(ledger_->Record(commit, now_, ledger_->artifacts().deletion_count()).ok());
}

TEST_F(GarbageTest, ACommitThatLookedForItsArtifactBeforeADeletionIsRefused) {
  RunAll();
  Wait(hours(24));
  Submit("job-2");
  const CompleteTask commit = {Take(), {{}, CaptureResult{kBoundary}}};
  const DeletionCount before = ledger_->artifacts().deletion_count();
  const Digests deleting = BeginDeletions();
  const DeletionCount during = ledger_->artifacts().deletion_count();
  ASSERT_TRUE(ledger_->EndDeletions({deleting.begin(), deleting.end()}, {}, now_).ok());

  EXPECT_EQ(ReasonOf(ledger_->Record(commit, now_, before).status()), ErrorReason::kArtifactDeleting);
  EXPECT_EQ(ReasonOf(ledger_->Record(commit, now_, during).status()), ErrorReason::kArtifactDeleting);
  EXPECT_TRUE(ledger_->Record(commit, now_, ledger_->artifacts().deletion_count()).ok());
}

TEST_F(GarbageTest, ACommitThatLookedBeforeTheJournalWasReadAnewIsRefused) {
  const CompleteTask commit = {Take(), {{}, CaptureResult{kBoundary}}};
  const DeletionCount before = ledger_->artifacts().deletion_count();
  ASSERT_TRUE(ledger_->Load(now_).ok());  // another coordinator may have led meanwhile

  EXPECT_EQ(ReasonOf(ledger_->Record(commit, now_, before).status()), ErrorReason::kArtifactDeleting);
}

TEST_F(GarbageTest, ADeletionThatMayStillHappenIsForgottenOnlyWhenItHasSettled) {
  RunAll();
  Wait(minutes(10));
  ASSERT_EQ(BeginDeletions(), Digests{kBoundary});
  Restart();  // its process died over it
  EXPECT_EQ(BeginDeletions(), Digests{kBoundary});

  EXPECT_TRUE(ledger_->EndDeletions({kBoundary}, {}, now_)->empty());
  Wait(seconds(50));
  ASSERT_TRUE(ledger_->EndDeletions({}, {kBoundary}, now_).ok());  // and now the store did not answer
  Wait(seconds(59));
  EXPECT_TRUE(ledger_->EndDeletions({kBoundary}, {}, now_)->empty());
  Wait(seconds(1));
  EXPECT_EQ(ledger_->EndDeletions({kBoundary}, {}, now_)->size(), 1u);
}

TEST_F(GarbageTest, NoMoreIsBeingDeletedAtATimeThanSaid) {
  Restart({.max_deleting = 2});
  RunAll();
  Wait(hours(24));

  EXPECT_EQ(BeginDeletions().size(), 2u);
  EXPECT_EQ(BeginDeletions().size(), 2u);
}

TEST_F(GarbageTest, WhatNobodyNamesIsKeptUnlessToldOtherwise) {
  const Digest unknown = DigestOf("left behind");
  Do(CompleteTask{Take(), {{}, CaptureResult{kBoundary}}});
  ASSERT_TRUE(ledger_->DoomUnknown({kBoundary, unknown}, now_).ok());
  EXPECT_EQ(Doomed(), Digests{unknown});

  Wait(hours(10'000));
  EXPECT_EQ(BeginDeletions(), Digests());
  Restart({.unknown_grace = hours(7 * 24)});
  EXPECT_EQ(BeginDeletions(), Digests{unknown});
}

TEST_F(GarbageTest, WhatNobodyNamesIsNotCountedWhenItIsGoneOrNamedAfterAll) {
  const Digest unknown = DigestOf("left behind");
  const Lease capture = Take();
  ASSERT_TRUE(ledger_->DoomUnknown({kBoundary, unknown}, now_).ok());
  EXPECT_EQ(Doomed(), (Digests{kBoundary, unknown}));

  Do(CompleteTask{capture, {{}, CaptureResult{kBoundary}}});
  EXPECT_EQ(Doomed(), Digests{unknown});
  ASSERT_TRUE(ledger_->DoomUnknown({kBoundary}, now_).ok());
  EXPECT_EQ(Doomed(), Digests());
}

// Refuses to delete as long as it is told to.
class StubbornObjectStore final : public ObjectStore {
 public:
  std::string_view name() const override { return store.name(); }
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view key) override { return store.Create(key); }
  absl::StatusOr<std::unique_ptr<ResumableFile>> CreateResumable(std::string_view key) override {
    return store.CreateResumable(key);
  }
  absl::StatusOr<std::unique_ptr<ResumableFile>> Resume(std::string_view key, std::string_view ticket) override {
    return store.Resume(key, ticket);
  }
  absl::Status PutNew(std::string_view key, absl::Span<const std::byte> bytes) override {
    return store.PutNew(key, bytes);
  }
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view key) const override {
    return store.Open(key);
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view key) const override { return store.Stat(key); }
  absl::StatusOr<std::vector<ObjectInfo>> List(std::string_view directory, ListScope scope) const override {
    return store.List(directory, scope);
  }
  absl::Status Delete(std::string_view key) override {
    return refuses ? absl::UnavailableError("no answer") : store.Delete(key);
  }
  absl::Status RemoveAbandonedWrites(ListScope scope) override { return store.RemoveAbandonedWrites(scope); }

  MemoryObjectStore store;
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
  StubbornObjectStore objects_;
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
  EXPECT_EQ(objects_.store.saved_count(), kept.size());
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
  objects_.store.Put("artifacts/sha256/readme", "no artifact");
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
