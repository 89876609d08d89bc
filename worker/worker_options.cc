#include "worker/worker_options.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/object_store/storage.h"

namespace gptvq {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kMaxSlots = 64;
constexpr int kMaxTeamSize = 16;                      // more GPUs than any node has
constexpr int kLongestOrphanTimeoutSeconds = 86'400;  // a day
constexpr int kLongestCheckpointSeconds = 86'400;
constexpr std::size_t kMaxNameBytes = 128;

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

// [A-Za-z0-9][A-Za-z0-9._-]{0,127}, as the protocol wants it.
bool IsWorkerName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && std::all_of(name.begin(), name.end(), IsNameCharacter) &&
         std::isalnum(static_cast<unsigned char>(name.front())) != 0;
}

}  // namespace

void DeclareFlags(Command& command, WorkerOptions* options) {
  command.AddParsed(
      {.name = "--coordinator",
       .help = "Where the coordinator listens: host:port, unix:/path, or IPv4:port,IPv4:port,... of several.",
       .value = "ADDRESS"},
      "", [options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(options->coordinator, ParseRpcTarget(text));
        return absl::OkStatus();
      });
  AddTlsFlags(command, &options->tls);
  command.AddString({.name = "--name",
                     .help = "Name of this worker. Default: the one in its certificate, or else host and process id.",
                     .value = "NAME"},
                    &options->name);
  command.AddParsed({.name = "--device", .help = kDeviceFlagHelp, .value = "DEVICE"}, "cpu",
                    [options](std::string_view text) -> absl::Status {
                      GPTVQ_ASSIGN_OR_RETURN(options->device, ParseDeviceChoice(text));
                      return absl::OkStatus();
                    });
  command.AddInteger({.name = "--threads",
                      .help = "Threads that compute on the CPU, all slots together; 0 is one per core.",
                      .value = "N"},
                     &options->threads, {.min = 0, .max = kMaxThreads});
  command.AddInteger({.name = "--device-slots",
                      .help = "Tasks that run at once on the CPU; they share the threads. A GPU runs one.",
                      .value = "N"},
                     &options->device_slots, {.min = 1, .max = kMaxSlots});
  command.AddInteger(
      {.name = "--team-size",
       .help = "GPUs that work on one task together, by NCCL. Their results are a numerics class of their "
               "own, the same for teams of any size, 1 too; 0: every GPU works by itself.",
       .value = "N"},
      &options->team_size, {.min = 0, .max = kMaxTeamSize});
  command.AddInteger(
      {.name = "--linears-at-once",
       .help = "Linears of one input that a GPU by itself quantizes at once where its memory has room, each on a "
               "stream of its own; 1: one after the other. The result is the same.",
       .value = "N"},
      &options->linears_at_once, {.min = 1, .max = kMostLinearsAtOnce});
  command.AddStrings({.name = "--file-root",
                      .help = "Directory that file:// URIs must lie in; may be repeated. Without "
                              "it every directory is allowed.",
                      .value = "DIR"},
                     &options->file_roots);
  command.AddString({.name = "--storage-profiles",
                     .help = "JSON file that says how s3:// URIs are reached; without it AWS in AWS_REGION.",
                     .value = "FILE"},
                    &options->storage_profiles);
  command.AddHostPort({.name = "--metrics-listen",
                       .help = "Serve Prometheus metrics there; port 0 picks a free one.",
                       .value = "HOST:PORT"},
                      &options->metrics_listen);
  command.AddString({.name = "--ready-file",
                     .help = "Keep this file while the coordinator answers and the worker does not drain.",
                     .value = "FILE"},
                    &options->ready_file);
  command.AddInteger({.name = "--orphan-timeout-seconds",
                      .help = "How long to work on a task while no coordinator answers; then it is dropped.",
                      .value = "S"},
                     &options->orphan_timeout_seconds, {.min = 1, .max = kLongestOrphanTimeoutSeconds});
  command.AddInteger({.name = "--checkpoint-every-seconds",
                      .help = "Keep what is finished of a layer when a linear is finished so long after the last "
                              "layer or checkpoint was kept; 0: after each linear.",
                      .value = "S"},
                     &options->checkpoint_every_seconds, {.min = 0, .max = kLongestCheckpointSeconds});
  command.AddChoice<LogLevel>({.name = "--log-level", .help = "Least important line that is logged."},
                              &options->log_level,
                              {{"debug", LogLevel::kDebug},
                               {"info", LogLevel::kInfo},
                               {"warning", LogLevel::kWarning},
                               {"error", LogLevel::kError}});
  command.AddSwitch({.name = "--selftest", .help = "Check the arithmetic of this machine and exit."},
                    &options->selftest);
}

void WorkerOptions::FillDefaults(std::string_view host_name, int process_id, int core_count) {
  if (threads == 0) threads = std::max(core_count, device_slots);
  if (!name.empty()) return;
  std::string host(host_name.substr(0, 64));
  std::replace_if(
      host.begin(), host.end(), [](char c) { return !IsNameCharacter(c); }, '-');
  name = absl::StrCat(IsWorkerName(host) ? host : "worker", "-", process_id);
}

absl::Status WorkerOptions::AdoptCertificate(WallTime now) {
  GPTVQ_RETURN_IF_ERROR(tls.Validate());
  if (tls.empty()) return absl::OkStatus();
  GPTVQ_ASSIGN_OR_RETURN(const TlsIdentity own, CheckTlsFiles(tls, now));
  if (own.identity.role != Role::kWorker) {
    return absl::InvalidArgumentError(absl::StrCat("--tls-cert: ", tls.certificate, " is a certificate of ",
                                                   own.identity.ToString(),
                                                   "; a worker needs one of "
                                                   "spiffe://DOMAIN/gptvq/worker/NAME"));
  }
  if (!name.empty() && name != own.identity.name) {
    return absl::InvalidArgumentError(absl::StrCat("--name ", name, ": the certificate ", tls.certificate, " names ",
                                                   own.identity.name, "; leave --name out"));
  }
  name = own.identity.name;
  return absl::OkStatus();
}

absl::Status WorkerOptions::Validate() const {
  if (!IsWorkerName(name)) {
    return absl::InvalidArgumentError(
        "--name must be 1 to 128 letters, digits, dots, dashes or underscores and begin with a letter or digit");
  }
  if (threads < device_slots) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threads ", threads, " is fewer than one per slot of --device-slots ", device_slots));
  }
  if (device.kind == DeviceChoice::Kind::kCuda && device_slots > 1) {
    return absl::InvalidArgumentError("--device-slots is for the CPU; with --device cuda every GPU is one slot");
  }
  if (device.kind == DeviceChoice::Kind::kCpu && team_size > 0) {
    return absl::InvalidArgumentError("--team-size is for GPUs; the CPU's threads work together anyway (--threads)");
  }
  if (coordinator.empty() && !selftest) {
    return absl::InvalidArgumentError(
        "--coordinator is missing: where the coordinator listens, host:port or unix:/path");
  }
  return StorageOptions{.file_roots = file_roots}.Validate();
}

}  // namespace gptvq
