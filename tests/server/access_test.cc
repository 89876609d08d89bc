#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "gptvq/v1/job_service.pb.h"
#include "gptvq/v1/worker_service.pb.h"
#include "platform/job/error_reason.h"
#include "server/access_control.h"
#include "server/audit_chain.h"
#include "server/audit_log.h"
#include "server/call_guard.h"
#include "server/client_tokens.h"
#include "server/method_table.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

// Every method of every service in the proto files, by its path.
std::set<std::string> PathsOfTheProtocol() {
  std::set<std::string> paths;
  for (const auto* file :
       {v1::SubmitJobRequest::descriptor()->file(), v1::RegisterWorkerRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        paths.insert("/" + file->service(s)->full_name() + "/" + file->service(s)->method(m)->name());
      }
    }
  }
  return paths;
}

TEST(MethodTable, HoldsEveryMethodOfTheProtocolAndNoOther) {
  std::set<std::string> listed;
  std::set<std::string> names;
  for (const MethodRule& rule : MethodTable()) {
    if (!rule.path.starts_with("/gptvq.")) continue;
    EXPECT_TRUE(listed.insert(std::string(rule.path)).second) << rule.path;
    EXPECT_TRUE(names.insert(std::string(rule.method())).second) << rule.path;
  }

  EXPECT_EQ(listed, PathsOfTheProtocol());
}

constexpr WallTime kNow = WallTime(std::chrono::hours(24 * 365 * 50));

// A certificate that began a day ago and ends in a day.
Certificate ACertificate(std::vector<std::string> uris) {
  Certificate certificate;
  certificate.subject = "CN = someone";
  certificate.uris = std::move(uris);
  certificate.not_before = kNow - std::chrono::hours(24);
  certificate.not_after = kNow + std::chrono::hours(24);
  return certificate;
}

Caller CallerWith(Role role) { return {Identity{"example.org", role, "a"}}; }

TEST(MethodTable, LetsEachRoleDoItsOwnWorkOnly) {
  const AccessControl access("example.org", nullptr, nullptr);
  for (const MethodRule& rule : MethodTable()) {
    const bool of_operators = rule.method() == "ReleaseWorker";
    const bool of_jobs = rule.path.find("JobService") != std::string_view::npos && !of_operators;
    const bool reads =
        rule.method().starts_with("Get") || rule.method().starts_with("List") || rule.method() == "WatchJob";
    const bool of_workers = rule.path.find("WorkerService") != std::string_view::npos;
    const bool for_all = rule.path.find("Health") != std::string_view::npos || rule.method() == "GetCapabilities";
    EXPECT_EQ(access.CheckMethod(CallerWith(Role::kClient), rule.path).ok(), of_jobs || for_all) << rule.path;
    EXPECT_EQ(access.CheckMethod(CallerWith(Role::kWorker), rule.path).ok(), of_workers || for_all) << rule.path;
    EXPECT_EQ(access.CheckMethod(CallerWith(Role::kAdmin), rule.path).ok(), !of_workers) << rule.path;
    EXPECT_EQ(access.CheckMethod(CallerWith(Role::kObserver), rule.path).ok(), (of_jobs && reads) || for_all)
        << rule.path;
    EXPECT_FALSE(access.CheckMethod(CallerWith(Role::kCoordinator), rule.path).ok()) << rule.path;
    EXPECT_FALSE(access.CheckMethod(Caller{}, rule.path).ok()) << rule.path;
  }
}

TEST(AccessControl, DeniesWhatTheTableDoesNotHold) {
  const AccessControl access("example.org", nullptr, nullptr);
  for (const char* path : {"/gptvq.v1.JobService/DropJobs", "/gptvq.v2.JobService/GetJob", "", "/", "JobService",
                           "/grpc.channelz.v1.Channelz/GetServers"}) {
    const absl::Status status = access.CheckMethod(CallerWith(Role::kAdmin), path);
    EXPECT_EQ(ReasonOf(status), ErrorReason::kAccessDenied) << path;
  }
}

TEST(AccessControl, TakesCertificatesOfItsOwnDomainOnly) {
  const AccessControl access("example.org", nullptr, nullptr);

  EXPECT_EQ(access.CallerOf(ACertificate({"spiffe://example.org/gptvq/client/alice"}), kNow)->owner(), "client/alice");
  for (const std::vector<std::string>& uris : std::vector<std::vector<std::string>>{
           {},
           {"spiffe://example.com/gptvq/client/alice"},
           {"spiffe://example.org/gptvq/client/alice", "spiffe://example.org/gptvq/admin/alice"}}) {
    EXPECT_EQ(ReasonOf(access.CallerOf(ACertificate(uris), kNow).status()), ErrorReason::kAccessDenied);
  }
}

// The connection may be older than the end of its certificate.
TEST(AccessControl, TakesACertificateInItsTimeOnlyAndSaysSo) {
  const AccessControl access("example.org", nullptr, nullptr);
  const Certificate alice = ACertificate({"spiffe://example.org/gptvq/client/alice"});

  const absl::Status late = access.CallerOf(alice, kNow + std::chrono::hours(25)).status();
  const absl::Status early = access.CallerOf(alice, kNow - std::chrono::hours(25)).status();

  EXPECT_EQ(ReasonOf(late), ErrorReason::kCertificateRefused);
  EXPECT_NE(late.message().find("expired at 2019-12-21"), std::string::npos) << late;
  EXPECT_EQ(ReasonOf(early), ErrorReason::kCertificateRefused);
  EXPECT_NE(early.message().find("not valid before"), std::string::npos) << early;
}

TEST(AccessControl, WithoutTlsLetsEverybodyDoEverything) {
  const AccessControl access;
  const absl::StatusOr<Caller> caller = access.CallerOf({}, kNow);

  ASSERT_TRUE(caller.ok());
  EXPECT_TRUE(caller->SeesAllJobs());
  EXPECT_TRUE(caller->IsWorker("anybody"));
  EXPECT_EQ(caller->owner(), "");
  EXPECT_TRUE(access.CheckMethod(*caller, "/gptvq.v1.JobService/CancelJob").ok());
  EXPECT_TRUE(access.CheckToken(*caller, "/gptvq.v1.JobService/GetJob", "").ok());
}

class ClientTokensTest : public testing::Test {
 protected:
  static std::string HashOf(std::string_view token) { return Digest::Of(AsBytes(token)).hex(); }
  void Write(const std::string& text) {
    directory_.WriteFile("tokens", text);
    chmod(path_.c_str(), 0600);
  }
  absl::StatusOr<std::unique_ptr<ClientTokens>> Load() { return ClientTokens::Load(path_, clock_, log_); }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_.Join("tokens");
  FakeClock clock_;
  std::ostringstream log_text_;
  Logger log_{LogLevel::kInfo, log_text_};
};

TEST_F(ClientTokensTest, AreGoodForTheirIdentityAndTime) {
  Write("# who  what\nclient/alice " + HashOf("t1") + "  # the first\n\nclient/alice " + HashOf("t2") +
        " 2001-01-01T00:00:00Z\r\nadmin/root " + HashOf("t3") + " 2999-01-01T00:00:00Z\n");
  const auto tokens = Load();
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  const absl::Time now = absl::FromChrono(clock_.WallNow());
  ASSERT_GT(now, absl::FromCivil(absl::CivilDay(2001, 1, 2), absl::UTCTimeZone()));

  EXPECT_TRUE((*tokens)->IsValid("client/alice", "t1"));
  EXPECT_FALSE((*tokens)->IsValid("client/alice", "t2"));  // ended
  EXPECT_TRUE((*tokens)->IsValid("admin/root", "t3"));
  EXPECT_FALSE((*tokens)->IsValid("client/alice", "t3"));  // somebody else's
  EXPECT_FALSE((*tokens)->IsValid("client/alice", ""));
  EXPECT_FALSE((*tokens)->IsValid("client/alice", HashOf("t1")));
}

TEST_F(ClientTokensTest, AreReadAnewWhenTheFileChangesUnlessItIsDamaged) {
  Write("client/alice " + HashOf("old") + "\n");
  const auto tokens = Load();
  ASSERT_TRUE(tokens.ok());
  ASSERT_TRUE((*tokens)->IsValid("client/alice", "old"));

  Write("client/alice nonsense, and longer than before\n");
  EXPECT_TRUE((*tokens)->IsValid("client/alice", "old"));
  EXPECT_NE(log_text_.str().find("not read anew"), std::string::npos);
  Write("client/alice " + HashOf("new") + "\nclient/bob " + HashOf("b") + "\n");
  EXPECT_TRUE((*tokens)->IsValid("client/alice", "new"));
  EXPECT_FALSE((*tokens)->IsValid("client/alice", "old"));
}

TEST_F(ClientTokensTest, AFileThatIsWrongIsRefusedNamingTheLine) {
  for (const std::string& line :
       std::vector<std::string>{"client/alice", "client/alice t1", "client/alice " + HashOf("t1") + " tomorrow",
                                "client/alice " + HashOf("t1") + " 2999-01-01T00:00:00Z more"}) {
    Write("\n" + line + "\n");
    const absl::Status status = Load().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_NE(status.message().find("line 2"), std::string::npos) << status;
    EXPECT_EQ(status.message().find("t1"), std::string::npos) << "an error that shows what may be a token";
  }
  Write("client/alice " + HashOf("t1"));
  chmod(path_.c_str(), 0644);
  EXPECT_EQ(Load().status().code(), absl::StatusCode::kPermissionDenied);
}

std::vector<nlohmann::json> LinesOf(const std::string& path) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(AuditLog, IsOneLineOfJsonWhateverTheTextHolds) {
  const TemporaryDirectory directory;
  const std::string path = directory.Join("audit");
  const auto log = AuditLog::Open(path);
  ASSERT_TRUE(log.ok()) << log.status();
  AuditEntry entry;
  entry.identity = "client/alice";
  entry.method = "Cancel\n{\"x\": 1}\xff";
  entry.job_id = "job-1";
  entry.decision = AccessDecision::kDenied;
  entry.code = "NOT_FOUND";

  ASSERT_TRUE((*log)->Append(entry).ok());
  ASSERT_TRUE((*log)->Append({}).ok());

  const std::vector<nlohmann::json> lines = LinesOf(path);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["identity"], "client/alice");
  EXPECT_EQ(lines[0]["decision"], "denied");
  EXPECT_EQ(lines[0]["time"], "1970-01-01T00:00:00.000Z");
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

class AuditChainTest : public testing::Test {
 protected:
  // What a coordinator writes between its start and its end, one line a method.
  void Write(const std::vector<std::string>& methods) {
    const auto log = AuditLog::Open(path_);
    ASSERT_TRUE(log.ok()) << log.status();
    was_torn_ = (*log)->was_torn();
    AuditEntry entry;
    for (const std::string& method : methods) {
      entry.method = method;
      ASSERT_TRUE((*log)->Append(entry).ok());
    }
  }
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  void Replace(const std::vector<std::string>& lines) const {
    std::ofstream file(path_, std::ios::trunc);
    for (const std::string& line : lines) file << line << "\n";
  }
  absl::StatusOr<AuditLogCheck> Check(std::string_view known_value = "") const {
    return CheckAuditLog(path_, known_value);
  }
  // What is said of a log with these lines.
  std::string Complaint(const std::vector<std::string>& lines) const {
    Replace(lines);
    const absl::Status status = Check().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    return std::string(status.message());
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_.Join("audit");
  bool was_torn_ = false;
};

TEST_F(AuditChainTest, IsTheHashOverTheValueBeforeAndTheLine) {
  Write({"A", "B"});

  std::string before(64, '0');
  for (const std::string& line : Lines()) {
    const std::size_t key = line.find(",\"chain\":\"");
    ASSERT_NE(key, std::string::npos) << line;
    const std::string value = nlohmann::json::parse(line)["chain"];
    EXPECT_EQ(value, Digest::Of(AsBytes(before + line.substr(0, key) + "}")).hex());
    before = value;
  }
  EXPECT_EQ(Check()->last, before);
}

TEST_F(AuditChainTest, GoesOnFromTheLastLineAfterARestart) {
  Write({"A", "B"});
  Write({});
  Write({"C"});

  const auto check = Check();
  ASSERT_TRUE(check.ok()) << check.status();
  EXPECT_EQ(check->lines, 3u);
  EXPECT_EQ(check->torn_lines, 0u);
  EXPECT_FALSE(was_torn_);
}

TEST_F(AuditChainTest, NamesTheFirstLineThatDoesNotFit) {
  Write({"A", "B", "C", "D"});
  const std::vector<std::string> sound = Lines();
  std::vector<std::string> changed = sound;
  changed[1].replace(changed[1].find("\"B\""), 3, "\"X\"");
  std::vector<std::string> unchained = sound;
  unchained[2] = R"({"method":"C"})";

  EXPECT_NE(Complaint(changed).find("line 2 does not follow"), std::string::npos);
  EXPECT_NE(Complaint({sound[0], sound[2], sound[3]}).find("line 2 does not follow"), std::string::npos);
  EXPECT_NE(Complaint({sound[1], sound[2], sound[3]}).find("line 1 does not follow"), std::string::npos);
  EXPECT_NE(Complaint({sound[0], sound[1], sound[1], sound[2]}).find("line 3 does not follow"), std::string::npos);
  EXPECT_NE(Complaint({sound[0], sound[2], sound[1], sound[3]}).find("line 2 does not follow"), std::string::npos);
  EXPECT_NE(Complaint({sound[0], "", sound[1]}).find("line 2 has no chain value"), std::string::npos);
  EXPECT_NE(Complaint(unchained).find("line 3 has no chain value"), std::string::npos);
  EXPECT_NE(Complaint({sound[0], sound[1], R"({"method":"C"})"}).find("line 3 has no chain value"), std::string::npos);
}

TEST_F(AuditChainTest, MissesAnEndThatWasCutByAValueKeptElsewhere) {
  Write({"A", "B", "C"});
  const std::string kept = Check()->last;
  Write({"D"});
  EXPECT_TRUE(Check(kept).ok());
  std::vector<std::string> lines = Lines();

  Replace({lines[0], lines[1]});

  EXPECT_TRUE(Check().ok());
  EXPECT_EQ(Check(kept).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Check("abc").status().code(), absl::StatusCode::kInvalidArgument);
}

// As power loss leaves it: cut at any byte. The next coordinator tells of it, and its lines are tied to the torn one.
TEST_F(AuditChainTest, ALineThatWasTornIsNamedUntilTheNextOneTellsOfIt) {
  Write({"A", "B"});
  const std::uint64_t bytes = std::filesystem::file_size(path_);
  const std::uint64_t first_bytes = Lines()[0].size() + 1;
  std::string whole(bytes, ' ');
  std::ifstream(path_).read(whole.data(), static_cast<std::streamsize>(bytes));
  for (const std::uint64_t kept : {first_bytes + 1, first_bytes + 40, bytes - 2}) {
    std::ofstream(path_, std::ios::trunc) << whole.substr(0, kept);
    EXPECT_NE(Check().status().message().find("line 2 has no chain value"), std::string::npos) << Check().status();

    Write({"C", "D"});

    EXPECT_TRUE(was_torn_);
    ASSERT_TRUE(Check().ok()) << Check().status();
    EXPECT_EQ(Check()->lines, 4u);
    EXPECT_EQ(Check()->torn_lines, 1u);
    std::vector<std::string> lines = Lines();
    EXPECT_EQ(nlohmann::json::parse(lines[2])["torn_lines"], 1);
    lines[1] += "x";
    EXPECT_NE(Complaint(lines).find("line 3 does not follow"), std::string::npos);
  }
}

TEST_F(AuditChainTest, ALineThatLacksNothingButItsBreakIsWhole) {
  Write({"A"});
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);

  Write({"B"});

  ASSERT_TRUE(Check().ok()) << Check().status();
  EXPECT_EQ(Check()->lines, 2u);
  EXPECT_EQ(Check()->torn_lines, 0u);
}

TEST_F(AuditChainTest, GoesOnInAFileThatWasCopiedAndTruncated) {
  const auto log = AuditLog::Open(path_);
  ASSERT_TRUE((*log)->Append({}).ok());
  const std::string last_of_the_copy = Check()->last;
  std::filesystem::resize_file(path_, 0);

  ASSERT_TRUE((*log)->Append({}).ok());
  ASSERT_TRUE((*log)->Append({}).ok());

  ASSERT_TRUE(Check().ok()) << Check().status();
  EXPECT_EQ(Check()->previous, last_of_the_copy);
  EXPECT_TRUE(Check(last_of_the_copy).ok());
  const std::vector<std::string> lines = Lines();
  EXPECT_NE(Complaint({lines[1]}).find("line 1 does not follow"), std::string::npos);
}

TEST_F(AuditChainTest, HasOneWriterAndIsNothingElse) {
  const auto log = AuditLog::Open(path_);
  EXPECT_EQ(AuditLog::Open(path_).status().code(), absl::StatusCode::kFailedPrecondition);

  const std::string other = directory_.Join("other");
  std::ofstream(other) << std::string(kMaxAuditLineBytes + 1, 'x');
  EXPECT_EQ(AuditLog::Open(other).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CheckAuditLog(other, "").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CheckAuditLog(directory_.Join("none"), "").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(CheckAuditLog(directory_.Join("."), "").ok());
}

class CallGuardTest : public testing::Test {
 protected:
  const TemporaryDirectory directory_;
  FakeClock clock_;
  std::ostringstream log_text_;
  Logger log_{LogLevel::kInfo, log_text_};
  const AccessControl access_{"example.org", nullptr, nullptr};
  const std::unique_ptr<AuditLog> audit_log_ = *AuditLog::Open(directory_.Join("audit"));
  const CallGuard guard_{access_, audit_log_.get(), clock_, log_};
  Peer alice_{ACertificate({"spiffe://example.org/gptvq/client/alice"}), "ipv4:127.0.0.1:9"};
};

TEST_F(CallGuardTest, SaysWhenACallThatLastsOutlivesItsCertificate) {
  const Call call = *guard_.Begin(alice_, "WatchJob");
  EXPECT_TRUE(guard_.CheckStillAdmitted(call).ok());

  clock_.Advance(std::chrono::hours(25));

  EXPECT_EQ(ReasonOf(guard_.CheckStillAdmitted(call)), ErrorReason::kCertificateRefused);
}

TEST_F(CallGuardTest, WritesDownChangesAndDenialsAndNothingElse) {
  Call call = *guard_.Begin(alice_, "CancelJob");
  call.job_id = "job-1";
  guard_.End("CancelJob", call, absl::OkStatus());
  guard_.End("CancelJob", call, Refuse(ErrorReason::kStopping, "stopping"));
  guard_.End("GetJob", call, absl::OkStatus());
  call.was_denied = true;
  guard_.End("GetJob", call, Refuse(ErrorReason::kJobUnknown, "no job"));
  Call dry = *guard_.Begin(alice_, "SubmitJob");
  dry.changed_nothing = true;
  guard_.End("SubmitJob", dry, absl::OkStatus());
  EXPECT_FALSE(guard_.Admit(alice_, "/gptvq.v1.WorkerService/LeaseTask", "Bearer secret-token").ok());

  const std::vector<nlohmann::json> lines = LinesOf(directory_.Join("audit"));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0]["code"], "OK");
  EXPECT_EQ(lines[0]["job"], "job-1");
  EXPECT_EQ(lines[0]["peer"], "ipv4:127.0.0.1:9");
  EXPECT_EQ(lines[1]["decision"], "allowed");
  EXPECT_EQ(lines[1]["reason"], "STOPPING");
  EXPECT_EQ(lines[2]["decision"], "denied");
  EXPECT_EQ(lines[2]["code"], "NOT_FOUND");
  EXPECT_EQ(lines[3]["reason"], "ACCESS_DENIED");
  EXPECT_EQ(lines[3]["identity"], "client/alice");
  std::string everything = log_text_.str();
  for (const nlohmann::json& line : lines) everything += line.dump();
  EXPECT_EQ(everything.find("secret-token"), std::string::npos);
}

}  // namespace
}  // namespace gptvq
