#ifndef GPTVQ_CLIENT_JOB_CLIENT_H_
#define GPTVQ_CLIENT_JOB_CLIENT_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/job_view.h"
#include "client/repetition.h"
#include "platform/clock.h"
#include "platform/job/job_spec.h"
#include "platform/job/report.h"
#include "platform/tls/connection_security.h"

namespace grpc {
class Channel;
}

namespace gptvq {

enum class SubmitMode {
  kAccept,  // plan, journal and run the job
  kDryRun,  // check everything and show the plan; accept nothing
};

// The job in bytes, equal exactly for equal specs.
std::string JobBytes(const JobSpec& spec);

enum class WatchDecision { kContinue, kStop };

// Told once in each silence, before the first repetition: what the trouble is and for how long it will be tried.
using SilenceObserver = std::function<void(std::string_view)>;

struct JobClientOptions {
  // host:port, unix:/path, or IPv4:port,IPv4:port,... of coordinators that take over from each other.
  std::string address;
  ConnectionSecurity security = {};  // must be valid
  RepetitionOptions repetition = {};
  SilenceObserver on_silence = [](std::string_view) {};  // of all calls but Watch
};

// The coordinator as the commands see it; the only file of the client that knows the wire. Borrows the clock. Thread-safe.
// Every call has a deadline, may be made twice without harm, and is repeated while nobody answers, so that it outlives a
// restart of the coordinator, and another one that takes over.
// Errors: Unavailable (nobody answered in all that time), NotFound (no such job), InvalidArgument and FailedPrecondition (the
// message says what to change), AlreadyExists (the request id was used for another job), PermissionDenied and
// Unauthenticated (certificate or token do not allow it).
class JobClient {
 public:
  // Does not connect yet.
  JobClient(JobClientOptions options, Clock& clock);
  // Over a channel made elsewhere: the embedded runner, tests.
  JobClient(JobClientOptions options, std::shared_ptr<grpc::Channel> channel, Clock& clock);
  ~JobClient();

  absl::StatusOr<JobView> Submit(const JobSpec& spec, const std::string& request_id, SubmitMode mode);
  // Repeated no longer than `at_most`, if that is less than the options say.
  absl::StatusOr<JobView> Get(const std::string& job_id,
                              std::chrono::milliseconds at_most = std::chrono::milliseconds::max());
  // All jobs, newest first, at most `limit`.
  absl::StatusOr<std::vector<JobView>> List(int limit);
  absl::StatusOr<JobView> Cancel(const std::string& job_id);
  absl::StatusOr<Report> GetReport(const std::string& job_id);
  absl::StatusOr<std::vector<WorkerView>> Workers();
  // Ends the quarantine of a worker. Errors: NotFound when there is none to end.
  absl::Status ReleaseWorker(const std::string& name);
  absl::StatusOr<CoordinatorView> Coordinator();

  // Calls `on_change` with the job as it stands, then after every change, until the job is terminal (the last call shows
  // that) or on_change says stop. A cut stream is taken up again where it was cut. Returns the last state seen.
  absl::StatusOr<JobView> Watch(const std::string& job_id, absl::FunctionRef<WatchDecision(const JobView&)> on_change,
                                const SilenceObserver& on_silence);

 private:
  struct Connection;
  const std::unique_ptr<Connection> connection_;
};

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_JOB_CLIENT_H_
