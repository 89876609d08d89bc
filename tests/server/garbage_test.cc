// What is doomed, spared and refused: the ledger's decisions.
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "platform/job/error_reason.h"
#include "platform/job_store/memory_job_store.h"
#include "server/ledger.h"
#include "tests/server/parallel_job.h"

namespace gptvq {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Digests = std::set<Digest>;

const WorkerKey kWorker = {"a", "1"};
const Digest kBoundary = DigestOf("boundary");

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

}  // namespace
}  // namespace gptvq
