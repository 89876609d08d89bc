#ifndef GPTVQ_CLIENT_EMBEDDED_RUNNER_H_
#define GPTVQ_CLIENT_EMBEDDED_RUNNER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/job_client.h"
#include "platform/device_choice.h"

namespace gptvq {

class S3Connector;

struct EmbeddedRunnerOptions {
  DeviceChoice device;
  int workers = 1;        // on the CPU; every GPU is one worker
  int threads = 0;        // all workers on the CPU together; 0: one per core
  std::string state_dir;  // for the journal and artifacts while the runner lives; made, and emptied at the end
  const S3Connector* s3 = nullptr;  // for s3:// URIs; borrowed; null: there are none
};

// A coordinator and workers inside this process: the shipping code over channels without a socket. Together with the
// main.cc files and tests the only place where the rooms server/, worker/ and client/ meet. Thread-compatible.
class EmbeddedRunner {
 public:
  // Errors: those of CoordinatorDaemon::Start and MakeDeviceSlots.
  static absl::StatusOr<std::unique_ptr<EmbeddedRunner>> Start(const EmbeddedRunnerOptions& options);
  // Releases what workers hold, stops everything and removes the state.
  ~EmbeddedRunner();

  // Speaks to the embedded coordinator. Valid as long as the runner.
  JobClient& client();

 private:
  struct Parts;
  explicit EmbeddedRunner(std::unique_ptr<Parts> parts);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_EMBEDDED_RUNNER_H_
