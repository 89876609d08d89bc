#include "client/doctor/doctor.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/local_files.h"
#include "platform/option_values.h"
#include "platform/tls/tls_files.h"
#include "platform/tls/tls_probe.h"

namespace gptvq {
namespace {

constexpr std::chrono::milliseconds kProbeTimeout(5'000);
// A clock that is off by more makes times of logs hard to compare; by more than the second, new certificates not valid yet.
constexpr double kNoticeableSkewSeconds = 5;
constexpr double kHarmfulSkewSeconds = 300;

CheckLine Good(std::string check, std::string message) {
  return {std::move(check), CheckResult::kOk, std::move(message), "", ExitCode::kOk};
}

CheckLine Doubtful(std::string check, std::string message, std::string remedy) {
  return {std::move(check), CheckResult::kWarning, std::move(message), std::move(remedy), ExitCode::kOk};
}

CheckLine Bad(std::string check, const absl::Status& status, std::string remedy) {
  return {std::move(check), CheckResult::kFailure, std::string(status.message()), std::move(remedy),
          ExitCodeFor(status)};
}

bool EndsSoon(const Certificate& certificate, WallTime now) {
  return certificate.not_after - now < (certificate.not_after - certificate.not_before) / 5;
}

// One line about a certificate that is in order otherwise.
CheckLine TimeLine(std::string check, std::string what, const Certificate& certificate, WallTime now) {
  std::string message = absl::StrCat(what, ", ends ", UtcText(certificate.not_after));
  if (!EndsSoon(certificate, now)) return Good(std::move(check), std::move(message));
  return Doubtful(std::move(check), absl::StrCat(message, ", which is soon"), "renew it; no restart is needed");
}

class Diagnosis {
 public:
  Diagnosis(const DoctorOptions& options, JobClient& client, const Storage& storage, Clock& clock)
      : options_(options), client_(client), storage_(storage), clock_(clock) {}

  std::vector<CheckLine> Run() {
    const bool certificate_is_good = options_.security.tls.empty() || CheckCertificate();
    const bool is_reachable = CheckAddress();
    if (certificate_is_good && is_reachable && CheckWire() && CheckCall()) CheckWorkers();
    for (const std::string& file : options_.files) CheckFile(file);
    return std::move(lines_);
  }

 private:
  bool Add(CheckLine line) {
    lines_.push_back(std::move(line));
    return lines_.back().result != CheckResult::kFailure;
  }

  bool CheckCertificate() {
    const WallTime now = clock_.WallNow();
    const absl::StatusOr<TlsIdentity> own = CheckTlsFiles(options_.security.tls, now);
    if (!own.ok()) return Add(Bad("certificate", own.status(), "see docs/security.md for how certificates are issued"));
    const Identity& identity = own->identity;
    if (identity.role == Role::kWorker || identity.role == Role::kCoordinator) {
      return Add(Bad("certificate",
                     absl::InvalidArgumentError(
                         absl::StrCat("it is that of ", identity.ToString(), ", which may not look at jobs")),
                     "use a certificate with the role client, admin or observer"));
    }
    return Add(TimeLine("certificate", identity.ToString(), own->certificate, now));
  }

  // Of several coordinators one is enough.
  bool CheckAddress() {
    const std::vector<std::string> addresses = absl::StrSplit(options_.coordinator, ',');
    std::vector<CheckLine> silent;
    for (const std::string& address : addresses) {
      const absl::Status status = ProbeAddress(address, kProbeTimeout);
      if (status.ok()) {
        answering_.push_back(address);
        Add(Good("address", absl::StrCat(address, " answers")));
      } else {
        silent.push_back({"address", CheckResult::kFailure, std::string(status.message()),
                          "start gptvq-coordinator, or correct --coordinator; look for a firewall between the two",
                          ExitCode::kUnreachable});
      }
    }
    for (CheckLine& line : silent) {
      if (!answering_.empty()) line.result = CheckResult::kWarning;
      Add(std::move(line));
    }
    return !answering_.empty();
  }

  bool CheckWire() {
    return std::all_of(answering_.begin(), answering_.end(), [this](const std::string& address) {
      return options_.security.tls.empty() ? CheckPlainText(address) : CheckTls(address);
    });
  }

  bool CheckTls(const std::string& address) {
    const HostCheck host_check =
        options_.coordinator == address ? HostCheck::kNamesTheHost : HostCheck::kNone;  // as MakeChannel does
    const absl::StatusOr<TlsHandshake> handshake = ProbeTls(address, options_.security.tls, host_check, kProbeTimeout);
    if (!handshake.ok()) {
      return Add(
          Bad("tls", handshake.status(),
              "both sides need certificates of the authority in the other's --tls-ca, and the coordinator's must "
              "have that role and name the host of --coordinator"));
    }
    return Add(TimeLine("tls", absl::StrCat(handshake->version, ", coordinator's certificate"), handshake->server,
                        clock_.WallNow()));
  }

  bool CheckPlainText(const std::string& address) {
    const absl::StatusOr<Wire> wire = ProbeWire(address, kProbeTimeout);
    if (!wire.ok()) return Add(Bad("tls", wire.status(), "try again"));
    if (*wire == Wire::kTls) {
      return Add(Bad("tls", absl::FailedPreconditionError("the coordinator speaks TLS, this program plain text"),
                     "give --tls-cert, --tls-key and --tls-ca"));
    }
    if (IsLocalRpcAddress(address)) return Add(Good("tls", "plain text, on this machine only"));
    return Add(Doubtful("tls", "plain text over a network: whoever is on the way can read and change it",
                        "serve with TLS (docs/security.md)"));
  }

  bool CheckCall() {
    const WallTime before = clock_.WallNow();
    const absl::StatusOr<CoordinatorView> coordinator = client_.Coordinator();
    const WallTime after = clock_.WallNow();
    if (!coordinator.ok()) {
      return Add(Bad("call", coordinator.status(),
                     absl::IsUnauthenticated(coordinator.status()) ? "get a token, and name its file with --token-file"
                                                                   : "look into the coordinator's log"));
    }
    Add(Good("call", absl::StrCat("gptvq-coordinator ", coordinator->version)));
    const bool speaks_ours = CheckProtocol(*coordinator);
    if (coordinator->time) CheckClock(*coordinator->time - (before + (after - before) / 2));
    return speaks_ours;
  }

  bool CheckProtocol(const CoordinatorView& coordinator) {
    if (coordinator.speaks_our_protocol) return Add(Good("protocol", coordinator.protocol_version));
    return Add(Bad("protocol",
                   absl::FailedPreconditionError(
                       absl::StrCat("the coordinator speaks ", coordinator.protocol_version, ", this program another")),
                   "upgrade the older of the two"));
  }

  void CheckClock(WallTime::duration coordinator_ahead) {
    const double seconds = std::chrono::duration<double>(coordinator_ahead).count();
    const std::string message =
        absl::StrFormat("the coordinator's is %.1f s %s", std::abs(seconds), seconds < 0 ? "behind" : "ahead");
    const std::string remedy = "let both machines follow a time server";
    if (std::abs(seconds) < kNoticeableSkewSeconds) {
      Add(Good("clock", message));
    } else if (std::abs(seconds) < kHarmfulSkewSeconds) {
      Add(Doubtful("clock", message, remedy));
    } else {
      Add(Bad("clock", absl::FailedPreconditionError(message), remedy));
    }
  }

  void CheckWorkers() {
    const absl::StatusOr<std::vector<WorkerView>> workers = client_.Workers();
    if (!workers.ok()) {
      Add(Bad("workers", workers.status(), "look into the coordinator's log"));
      return;
    }
    std::set<std::string> classes;
    for (const WorkerView& worker : *workers) classes.insert(worker.numerics_class);
    const std::string message = absl::StrCat(workers->size(), workers->size() == 1 ? " worker" : " workers", " of ",
                                             absl::StrJoin(classes, ", "));
    if (workers->empty()) {
      Add(Doubtful("workers", "none: jobs wait", "start gptvq-worker with --coordinator"));
    } else if (classes.size() > 1) {
      Add(Doubtful("workers", message, "a job runs on one numerics class; the others do not help it"));
    } else {
      Add(Good("workers", message));
    }
  }

  void CheckFile(const std::string& location) {
    absl::Status status = OpenLocalFile(storage_, location).status();
    if (!status.ok()) {
      const absl::Status as_directory = OpenLocalDirectory(storage_, location).status();
      if (as_directory.ok()) status = as_directory;
    }
    if (status.ok()) {
      Add(Good("file", absl::StrCat(location, " can be read from here")));
    } else {
      Add(Bad("file", status, "correct the path; coordinator and workers must see it under the same one"));
    }
  }

  const DoctorOptions& options_;
  JobClient& client_;
  const Storage& storage_;
  Clock& clock_;
  std::vector<std::string> answering_;  // of the addresses
  std::vector<CheckLine> lines_;
};

}  // namespace

std::string_view Name(CheckResult result) {
  switch (result) {
    case CheckResult::kOk: return "ok";
    case CheckResult::kWarning: return "warn";
    case CheckResult::kFailure: return "fail";
  }
  return "";
}

std::vector<CheckLine> Diagnose(const DoctorOptions& options, JobClient& client, const Storage& storage, Clock& clock) {
  return Diagnosis(options, client, storage, clock).Run();
}

ExitCode WorstOf(const std::vector<CheckLine>& lines) {
  const auto failure = std::find_if(lines.begin(), lines.end(),
                                    [](const CheckLine& line) { return line.result == CheckResult::kFailure; });
  return failure == lines.end() ? ExitCode::kOk : failure->exit_code;
}

}  // namespace gptvq
