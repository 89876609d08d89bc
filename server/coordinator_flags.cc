#include "server/coordinator_flags.h"

#include "core/base/status_macros.h"
#include "platform/tls/tls_files.h"

namespace gptvq {
namespace {

void DeclareServing(Command& command, ServeOptions& options) {
  command.AddString(
      {.name = "--data-dir", .help = "Directory of the journal; required without --journal.", .value = "DIR"},
      &options.daemon.data_directory);
  command.AddString(
      {.name = "--journal",
       .help = "Journal that coordinators share, postgresql://[user@]host[:port]/database, without password.",
       .value = "URI"},
      &options.daemon.journal_uri);
  command.AddParsed(
      {.name = "--listen", .help = "Where to serve: HOST:PORT, port 0 picks one, or unix:PATH.", .value = "ADDRESS"},
      options.daemon.server.address, [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(options.daemon.server.address, ParseRpcAddress(text));
        return absl::OkStatus();
      });
  command.AddString(
      {.name = "--store", .help = "Artifact store, a URI or directory; default DATA_DIR/store.", .value = "URI"},
      &options.daemon.artifact_store_uri);
  command.AddString({.name = "--storage-profiles",
                     .help = "JSON file that says how s3:// URIs are reached; without it AWS in AWS_REGION.",
                     .value = "FILE"},
                    &options.storage_profiles);
  command.AddStrings({.name = "--file-root",
                      .help = "Directory that the file:// URIs of jobs must lie in; may be repeated. Without it every "
                              "directory is allowed.",
                      .value = "DIR"},
                     &options.file_roots);
  command.AddParsed(
      {.name = "--lease-ttl-ms", .help = "Silence after which a worker's task is offered to others.", .value = "MS"},
      "30000", [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(const std::int64_t ms, ParseInteger<std::int64_t>(text, {100, 3'600'000}));
        options.daemon.lease_ttl = std::chrono::milliseconds(ms);
        return absl::OkStatus();
      });
  command.AddParsed(
      {.name = "--stall-after-ms",
       .help = "Heartbeats without progress after which a task is offered to others; a linear is the "
               "longest step.",
       .value = "MS"},
      "600000", [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(const std::int64_t ms, ParseInteger<std::int64_t>(text, {1'000, 86'400'000}));
        options.daemon.stall_after = std::chrono::milliseconds(ms);
        return absl::OkStatus();
      });
  command.AddParsed(
      {.name = "--quarantine-ms",
       .help = "How long a worker that fails its tasks gets none, the first time; doubled each time, up to a day.",
       .value = "MS"},
      "600000", [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(const std::int64_t ms, ParseInteger<std::int64_t>(text, {1'000, 86'400'000}));
        options.daemon.quarantine = std::chrono::milliseconds(ms);
        return absl::OkStatus();
      });
  command.AddParsed(
      {.name = "--audit-fraction",
       .help = "Share of the shards that another worker computes a second time, to compare the bytes, 0 to 1.",
       .value = "FRACTION"},
      "0.01", [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(options.daemon.audit_fraction, ParseNumber(text, {0, 1}));
        return absl::OkStatus();
      });
  command.AddString(
      {.name = "--address-file", .help = "Write the address that was picked to this file.", .value = "FILE"},
      &options.address_file);
}

void DeclareGarbage(Command& command, CoordinatorDaemonOptions& options) {
  const auto parse_into = [](std::chrono::milliseconds& target) {
    return [&target](std::string_view text) -> absl::Status {
      GPTVQ_ASSIGN_OR_RETURN(const std::int64_t ms, ParseInteger<std::int64_t>(text, {0, 315'360'000'000}));
      target = std::chrono::milliseconds(ms);
      return absl::OkStatus();
    };
  };
  command.AddParsed({.name = "--artifact-grace-ms",
                     .help = "How long packed layers stay in the store after their job ended; longer than backups of "
                             "the journal are apart.",
                     .value = "MS"},
                    "86400000", parse_into(options.artifact_grace));
  command.AddParsed({.name = "--boundary-grace-ms",
                     .help = "How long boundaries stay in the store after the last task that reads them.",
                     .value = "MS"},
                    "600000", parse_into(options.boundary_grace));
  command.AddSwitch(
      {.name = "--prune-unknown", .help = "Delete artifacts that no job names, a week after they were found."},
      &options.prune_unknown);
}

void DeclareSecurity(Command& command, CoordinatorDaemonOptions& options) {
  AddTlsFlags(command, &options.server.tls);
  command.AddParsed({.name = "--insecure",
                     .help = "Whether to serve without TLS where other machines can connect; whoever can may do "
                             "everything.",
                     .value = "on|off"},
                    "off", [&options](std::string_view text) -> absl::Status {
                      if (text != "on" && text != "off") return absl::InvalidArgumentError("must be on or off");
                      options.server.plain_text = text == "on" ? PlainText::kAnywhere : PlainText::kLocalOnly;
                      return absl::OkStatus();
                    });
  command.AddString({.name = "--tls-crl",
                     .help = "Revocation lists of the authority in --tls-ca, PEM; read anew when the file changes.",
                     .value = "FILE"},
                    &options.revocations_file);
  command.AddString({.name = "--client-tokens",
                     .help = "File of the tokens that clients must show besides their certificates.",
                     .value = "FILE"},
                    &options.client_tokens_file);
  command.AddString({.name = "--audit-log",
                     .help = "Append a line of JSON for every call that changed something or was denied.",
                     .value = "FILE"},
                    &options.audit_log_file);
  command.AddParsed({.name = "--max-connections",
                     .help = "Connections that are served at a time; further ones are closed.",
                     .value = "N"},
                    "4096", [&options](std::string_view text) -> absl::Status {
                      GPTVQ_ASSIGN_OR_RETURN(options.server.max_connections, ParseInteger<int>(text, {1, 1'000'000}));
                      return absl::OkStatus();
                    });
  command.AddParsed({.name = "--reflection", .help = "Whether gRPC reflection is served.", .value = "on|off"}, "off",
                    [&options](std::string_view text) -> absl::Status {
                      if (text != "on" && text != "off") return absl::InvalidArgumentError("must be on or off");
                      options.server.reflection = text == "on" ? Reflection::kOn : Reflection::kOff;
                      return absl::OkStatus();
                    });
}

void DeclareObservation(Command& command, ServeOptions& options) {
  command.AddParsed({.name = "--metrics-listen",
                     .help = "Where to serve /metrics; without it they are not served.",
                     .value = "HOST:PORT"},
                    "", [&options](std::string_view text) -> absl::Status {
                      GPTVQ_ASSIGN_OR_RETURN(options.metrics_listen, ParseHostPort(text));
                      options.metrics_enabled = true;
                      return absl::OkStatus();
                    });
  command.AddParsed({.name = "--health-listen",
                     .help = "Serve health checks there, too, without TLS and nothing else, for probes.",
                     .value = "HOST:PORT"},
                    "", [&options](std::string_view text) -> absl::Status {
                      GPTVQ_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(text));
                      options.daemon.health_address = address.ToString();
                      return absl::OkStatus();
                    });
  command.AddParsed(
      {.name = "--log-level", .help = "Least severe level that is logged.", .value = "debug|info|warning|error"},
      "info", [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(options.log_level, ParseLogLevel(text));
        return absl::OkStatus();
      });
}

Flag DataDirectory() {
  return {.name = "--data-dir", .help = "Directory of the journal.", .value = "DIR", .presence = Presence::kRequired};
}

}  // namespace

void DeclareFlags(CommandLine& command_line, CoordinatorFlags& flags) {
  DeclareServing(command_line.main(), flags.serve);
  DeclareGarbage(command_line.main(), flags.serve.daemon);
  DeclareSecurity(command_line.main(), flags.serve.daemon);
  DeclareObservation(command_line.main(), flags.serve);

  Command& backup =
      command_line.AddCommand("backup", "Copies the journal to a file, also while a coordinator works with it.");
  backup.AddString(DataDirectory(), &flags.backup.data_directory);
  backup.AddString({.name = "--output",
                    .help = "The file, which must not exist yet.",
                    .value = "FILE",
                    .presence = Presence::kRequired},
                   &flags.backup.output);

  Command& restore = command_line.AddCommand("restore", "Puts a backup into a directory that has no journal.");
  restore.AddString(DataDirectory(), &flags.restore.data_directory);
  restore.AddString({.name = "--input", .help = "The backup.", .value = "FILE", .presence = Presence::kRequired},
                    &flags.restore.input);

  Command& accept_loss = command_line.AddCommand(
      "accept-loss", "Lets a coordinator start again whose journal lacks changes that it acknowledged.");
  accept_loss.AddString(DataDirectory(), &flags.accept_loss.data_directory);

  Command& verify = command_line.AddCommand(
      "verify-audit-log", "Checks that no line of an audit log was changed, removed or put in; names the first one.");
  verify.AddArgument({.name = "FILE", .help = "The audit log, or a copy of it.", .presence = Presence::kRequired},
                     &flags.verify_audit_log.file);
  verify.AddString({.name = "--contains",
                    .help = "Chain value that an earlier check printed; it must still be in the file.",
                    .value = "VALUE"},
                   &flags.verify_audit_log.known_value);
}

CoordinatorExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition: return kDirectoryInUse;
    case absl::StatusCode::kInvalidArgument: return kUsage;
    default: return kCannotServe;
  }
}

}  // namespace gptvq
