// Submission, cancellation, restart, and what a job writes down about itself.
#include <gtest/gtest.h>

#include "tests/server/scheduler/scheduler_harness.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;

SubmitJob ASubmission(const std::string& job_id, const JobSpec& spec = AJobSpec()) {
  SubmitJob event;
  const JobPlan plan = *PlanJob(spec, 2, job_id);
  event.job.job_id = job_id;
  event.job.request_id = "r-" + job_id;
  event.job.spec = spec;
  event.job.layer_count = 2;
  event.job.shard_layers = plan.shard_layers;
  event.tasks = plan.tasks;
  return event;
}

TEST(SubmitJob, AgainWithAnEqualSpecAnswersTheSameJob) {
  SchedulerHarness h;
  ASSERT_TRUE(h.Do(ASubmission("job-1")).ok());

  const auto again = h.Do(ASubmission("job-1"));
  JobSpec other = AJobSpec();
  other.seed += 1;
  const auto changed = h.Do(ASubmission("job-1", other));

  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->outcome, Outcome::kRepeated);
  EXPECT_EQ(h.scheduler.jobs().size(), 1u);
  EXPECT_EQ(ReasonOfError(changed.status()), ErrorReason::kIdempotencyMismatch);
}

TEST(SubmitJob, JobsAndTasksAreBounded) {
  SchedulerOptions options;
  options.max_active_jobs = 2;
  SchedulerHarness few_jobs(options);
  ASSERT_TRUE(few_jobs.Do(ASubmission("job-1")).ok());
  ASSERT_TRUE(few_jobs.Do(ASubmission("job-2")).ok());
  EXPECT_EQ(ReasonOfError(few_jobs.Do(ASubmission("job-3")).status()), ErrorReason::kTooManyJobs);
  ASSERT_TRUE(few_jobs.Do(CancelJob{"job-1"}).ok());
  EXPECT_TRUE(few_jobs.Do(ASubmission("job-3")).ok());

  options.max_active_tasks = 7;  // a submission has four
  SchedulerHarness few_tasks(options);
  ASSERT_TRUE(few_tasks.Do(ASubmission("job-1")).ok());
  EXPECT_EQ(ReasonOfError(few_tasks.Do(ASubmission("job-2")).status()), ErrorReason::kTooManyJobs);
}

TEST(CancelJob, WinsOverTheWorkAndEndsWhenTheWorkerLetsGo) {
  SchedulerHarness h;
  h.Submit(AJobSpec(), 1);
  const Lease lease = h.Poll(h.Register("a"));
  ASSERT_TRUE(h.Publish(lease, 0).ok());

  ASSERT_TRUE(h.Do(CancelJob{"job-1"}).ok());

  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kCancelling);
  EXPECT_EQ(ReasonOfError(h.Do(CompleteTask{lease, {{}, QuantizeResult{}}}).status()), ErrorReason::kJobCancelled);
  EXPECT_EQ(h.Poll(h.Register("b")).task_id, "");
  ASSERT_TRUE(h.Do(ReleaseTask{lease}).ok());
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kCancelled);
  EXPECT_EQ(h.Do(ReleaseTask{lease})->outcome, Outcome::kRepeated);
}

TEST(CancelJob, EndsByItselfWhenTheWorkerIsGone) {
  SchedulerHarness h;
  h.Submit(AJobSpec(), 1);
  h.Poll(h.Register("a"));
  ASSERT_TRUE(h.Do(CancelJob{"job-1"}).ok());

  h.Advance(h.scheduler.options().lease_ttl);

  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kCancelled);
  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.failure, std::nullopt);
}

TEST(CancelJob, OfAJobThatNobodyHoldsEndsItAtOnceAndAgainIsHarmless) {
  SchedulerHarness h;
  h.Submit(AJobSpec(), 1);

  ASSERT_TRUE(h.Do(CancelJob{"job-1"}).ok());

  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kCancelled);
  EXPECT_EQ(h.Do(CancelJob{"job-1"})->outcome, Outcome::kRepeated);
  EXPECT_EQ(ReasonOfError(h.Do(CancelJob{"job-2"}).status()), ErrorReason::kJobUnknown);
}

TEST(JobEvents, AreNumberedWithoutGapsAndTellTheWholeStory) {
  SchedulerHarness h;
  JobSpec spec = AJobSpec();
  spec.evaluation_uri.clear();
  h.Submit(spec, 1);
  const WorkerKey a = h.Register("a");
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());

  std::vector<std::string> story;
  for (const JobEvent& event : h.events) {
    EXPECT_EQ(event.seq, static_cast<std::int64_t>(story.size()) + 1);
    if (const auto* job = std::get_if<JobStateChange>(&event.what)) {
      story.push_back("job " + std::string(Name(job->to)));
    } else if (const auto* task = std::get_if<TaskStateChange>(&event.what)) {
      story.push_back(task->task_id + " " + std::string(Name(task->trigger)) + " " + task->worker_name);
    } else {
      story.push_back("layer " + std::to_string(std::get<LayerPublished>(event.what).layer));
    }
  }
  EXPECT_EQ(story,
            (std::vector<std::string>{"job-1/quantize-0 grant a", "job running", "layer 0", "job-1/quantize-0 commit a",
                                      "job-1/finalize-0 unblock ", "job finalizing", "job-1/finalize-0 grant a",
                                      "job-1/finalize-0 commit a", "job succeeded"}));
  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.last_event_seq, static_cast<std::int64_t>(story.size()));
}

TEST(JobRevisions, RiseByOneWithEveryChange) {
  SchedulerHarness h;
  h.Submit(AJobSpec(), 1);
  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.revision, 1);
  const Lease lease = h.Poll(h.Register("a"));
  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.revision, 2);
  EXPECT_EQ(h.TaskOf(lease.task_id).status.revision, 2);
  ASSERT_TRUE(h.Publish(lease, 0).ok());
  EXPECT_EQ(h.TaskOf(lease.task_id).status.revision, 3);
  EXPECT_EQ(h.TaskOf("job-1/finalize-0").status.revision, 1);
}

TEST(Restore, GoesOnWhereTheJournalStandsAndGivesEveryLeaseAFreshTtl) {
  SchedulerHarness before;
  before.Submit(AJobSpec(), 2);
  const Lease lease = before.Poll(before.Register("a"));
  ASSERT_TRUE(before.Publish(lease, 0).ok());

  SchedulerHarness after;
  after.scheduler.Restore({{*before.scheduler.FindJob("job-1")}, 1, {}}, after.now);
  after.Advance(after.scheduler.options().lease_ttl - milliseconds(1));

  EXPECT_TRUE(after.Do(RenewLease{lease, {}}).ok());
  EXPECT_EQ(after.Poll(after.Register("b")).task_id, "job-1/evaluate-0");
  EXPECT_TRUE(after.Publish(lease, 1).ok());
  EXPECT_TRUE(after.Do(CompleteTask{lease, {{}, QuantizeResult{}}}).ok());
  after.Submit(AJobSpec(), 1, "job-2");
  EXPECT_EQ(after.scheduler.FindJob("job-2")->description.sequence, 2);
}

TEST(Restore, ALeaseThatNobodyRenewsExpiresOneTtlLater) {
  SchedulerHarness before;
  before.Submit(AJobSpec(), 2);
  const Lease lease = before.Poll(before.Register("a"));

  SchedulerHarness after;
  after.scheduler.Restore({{*before.scheduler.FindJob("job-1")}, 1, {}}, after.now);
  after.Advance(after.scheduler.options().lease_ttl);

  EXPECT_EQ(after.StateOf(lease.task_id), TaskState::kReady);
  EXPECT_EQ(after.Poll(after.Register("b")).epoch, lease.epoch + 1);
}

TEST(EndedJobs, AreKeptForLateRepetitionsUpToABound) {
  SchedulerOptions options;
  options.retained_jobs = 2;
  SchedulerHarness h(options);
  for (const char* id : {"job-1", "job-2", "job-3"}) {
    h.Submit(AJobSpec(), 1, id);
    ASSERT_TRUE(h.Do(CancelJob{id}).ok());
  }

  EXPECT_EQ(h.scheduler.FindJob("job-1"), nullptr);
  EXPECT_NE(h.scheduler.FindJob("job-2"), nullptr);
  EXPECT_EQ(h.scheduler.jobs().size(), 2u);
}

}  // namespace
}  // namespace gptvq
