#include "tests/sim/sim_client.h"

#include "server/planner.h"
#include "tests/support/job_builders.h"

namespace gptvq {

using std::chrono::milliseconds;

SimClient::SimClient(int number, double audit_fraction, SimWorld& world, SimCoordinator& coordinator)
    : world_(world), coordinator_(coordinator) {
  JobSpec spec = AJobSpec();
  spec.propagation = world.Chance(0.5) ? PropagationMode::kParallel : PropagationMode::kSequential;
  spec.shard_layers = static_cast<int>(world.Below(4));
  if (world.Chance(0.5)) spec.evaluation_uri.clear();
  spec.seed = static_cast<std::uint64_t>(2 * world.Below(2));  // odd ones are those of SubmitOther
  const int layers = 1 + static_cast<int>(world.Below(6));
  const std::string job_id = "job-" + std::to_string(number);
  const JobPlan plan = *PlanJob(spec, layers, job_id, audit_fraction);
  submission_.job = {.job_id = job_id,
                     .sequence = 0,
                     .request_id = "request-" + std::to_string(number),
                     .spec = spec,
                     .layer_count = layers,
                     .shard_layers = plan.shard_layers,
                     .task_count = 0,
                     .create_time = {}};
  submission_.tasks = plan.tasks;
  cancels_ = world.Chance(0.2);
  world.After(world.Between(0, 60'000), [this] { Submit(); });
  world.After(world.Between(60'000, 800'000), [this] { ComeBack(); });
}

void SimClient::Submit() {
  coordinator_.Call({submission_, ""}, link_, [this](const SimAnswer& answer) {
    if (!answer.decision.ok()) return;
    if (!submitted_ && cancels_) world_.After(world_.Between(0, 300'000), [this] { Cancel(); });
    submitted_ = true;
  });
  if (submitted_ && world_.Strikes(SimFault::kBlunder)) SubmitOther();
  world_.After(milliseconds(5'000), [this] {
    // Also after the acknowledgement, for a while: clients repeat themselves.
    if (!submitted_ || world_.Chance(0.5)) Submit();
  });
}

void SimClient::SubmitOther() {
  SubmitJob other = submission_;
  ++other.job.spec.seed;
  coordinator_.Call({other, ""}, link_, [](const SimAnswer&) {});
}

void SimClient::ComeBack() {
  if (!submitted_) return;
  coordinator_.Call({submission_, ""}, link_, [](const SimAnswer&) {});
  SubmitOther();
}

void SimClient::Cancel() {
  coordinator_.Call({CancelJob{submission_.job.job_id}, ""}, link_, [this](const SimAnswer& answer) {
    if (answer.decision.ok()) cancelled_ = true;
  });
  world_.After(milliseconds(5'000), [this] {
    if (!cancelled_) Cancel();
  });
}

}  // namespace gptvq
