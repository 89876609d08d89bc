#ifndef GPTVQ_WORKER_WORKER_OPTIONS_H_
#define GPTVQ_WORKER_WORKER_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "platform/device_choice.h"
#include "platform/log.h"
#include "platform/option_values.h"
#include "platform/options.h"
#include "platform/tls/tls_files.h"
#include "worker/device_slots.h"

namespace gptvq {

// What `gptvq-worker` is told. The flags are declared by DeclareFlags, their help says what each means.
struct WorkerOptions {
  std::string coordinator;
  TlsFiles tls;      // empty: plain text
  std::string name;  // empty: that of the certificate, or else <host name>-<process id>
  DeviceChoice device;
  int threads = 0;       // of all slots of the CPU together; 0: one per core
  int device_slots = 1;  // of the CPU
  int team_size = 0;     // DeviceSlotsOptions
  int linears_at_once = kMostLinearsAtOnce;
  std::vector<std::string> file_roots;
  std::string storage_profiles;  // empty: AWS in AWS_REGION
  HostPort metrics_listen;       // empty host: no metrics are served
  std::string ready_file;        // empty: none
  int orphan_timeout_seconds = 900;
  int checkpoint_every_seconds = 10;  // 0: after each linear
  LogLevel log_level = LogLevel::kInfo;
  bool selftest = false;

  // Fills what was left open from the machine. `process_id` makes names of one machine differ.
  void FillDefaults(std::string_view host_name, int process_id, int core_count);

  // Takes the name from the certificate, if there is one. Errors: those of CheckTlsFiles; InvalidArgument for a certificate of
  // another role, or of another worker than --name says.
  absl::Status AdoptCertificate(WallTime now);

  // After FillDefaults. Errors: InvalidArgument naming the flag.
  absl::Status Validate() const;

  int threads_per_slot() const { return threads / device_slots; }
};

void DeclareFlags(Command& command, WorkerOptions* options);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_WORKER_OPTIONS_H_
