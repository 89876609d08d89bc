#ifndef GPTVQ_CLIENT_JOB_CLIENT_H_
#define GPTVQ_CLIENT_JOB_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/job_view.h"
#include "platform/job/job_spec.h"
#include "platform/job/report.h"

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

// The coordinator as the commands see it; the only file of the client that knows the wire. Thread-safe.
// Every call has a deadline and is repeated a few times while the coordinator is unavailable.
// Errors: Unavailable (nobody answers at the address), NotFound (no such job), InvalidArgument and FailedPrecondition (the
// message says what to change), AlreadyExists (the request id was used for another job).
class JobClient {
 public:
  // `address`: host:port, unix:/path, or IPv4:port,IPv4:port,... of coordinators that take over from each other, for which
  // calls are repeated longer. Does not connect yet.
  explicit JobClient(const std::string& address);
  // Over a channel made elsewhere: the embedded runner, tests.
  JobClient(std::string address, std::shared_ptr<grpc::Channel> channel);
  ~JobClient();

  absl::StatusOr<JobView> Submit(const JobSpec& spec, const std::string& request_id, SubmitMode mode);
  absl::StatusOr<JobView> Get(const std::string& job_id);
  // All jobs, newest first, at most `limit`.
  absl::StatusOr<std::vector<JobView>> List(int limit);
  absl::StatusOr<JobView> Cancel(const std::string& job_id);
  absl::StatusOr<Report> GetReport(const std::string& job_id);
  absl::StatusOr<std::vector<WorkerView>> Workers();
  absl::StatusOr<std::string> Version();

  // Calls `on_change` with the job as it stands, then after every change, until the job is terminal (the last call shows
  // that) or on_change says stop. A cut stream is taken up again where it was cut. Returns the last state seen.
  absl::StatusOr<JobView> Watch(const std::string& job_id, absl::FunctionRef<WatchDecision(const JobView&)> on_change);

 private:
  struct Stubs;
  const std::string address_;
  const std::unique_ptr<Stubs> stubs_;
};

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_JOB_CLIENT_H_
