#include "platform/job_store/postgres.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "platform/job_store/postgres_error.h"

namespace gptvq {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// Types of result columns that are integers (pg_type.dat); everything else is read as bytes.
constexpr Oid kBoolType = 16;
constexpr Oid kInt8Type = 20;
constexpr Oid kInt2Type = 21;
constexpr Oid kInt4Type = 23;

constexpr int kTextFormat = 0;
constexpr int kBinaryFormat = 1;

constexpr std::size_t kShownStatementBytes = 60;

constexpr char kPasswordRemedy[] =
    "holds a password, which every user of the machine could read; leave it out and put it into ~/.pgpass, or into the "
    "file "
    "that PGPASSFILE names";

// A user with a password, wherever libpq would find its end; also in what is no URI at all, because it would be shown.
bool HoldsPassword(std::string_view uri) {
  const std::size_t scheme_end = uri.find("://");
  const std::string_view rest = scheme_end == std::string_view::npos ? uri : uri.substr(scheme_end + 3);
  const std::size_t query = rest.find('?');
  const std::string_view place = rest.substr(0, query);
  const std::size_t at = place.rfind('@');
  if (at != std::string_view::npos && place.substr(0, at).find(':') != std::string_view::npos) return true;
  return query != std::string_view::npos && absl::StrContains(std::string(rest.substr(query)), "password=");
}

std::string Milliseconds(std::chrono::milliseconds value) { return absl::StrCat(value.count()); }

// The values of a statement as libpq takes them: integers as text, whose type the server infers, and bytes as they are.
struct Parameters {
  explicit Parameters(const SqlStatement& statement) {
    const std::vector<SqlValue>& values = statement.values();
    integers.reserve(values.size());
    for (const SqlValue& value : values) {
      int format = kTextFormat;
      if (const auto* integer = std::get_if<std::int64_t>(&value)) {
        Add(integers.emplace_back(absl::StrCat(*integer)));
      } else if (const auto* text = std::get_if<std::string>(&value)) {
        Add(*text);
      } else if (const auto* blob = std::get_if<SqlBlob>(&value)) {
        Add(blob->bytes);
        format = kBinaryFormat;
      } else {
        pointers.push_back(nullptr);
        lengths.push_back(0);
      }
      formats.push_back(format);
    }
  }

  void Add(const std::string& bytes) {
    pointers.push_back(bytes.data());
    lengths.push_back(static_cast<int>(bytes.size()));
  }

  std::vector<std::string> integers;  // reserved, so that pointers into it stay
  std::vector<const char*> pointers;
  std::vector<int> lengths;
  std::vector<int> formats;
};

SqlValue ValueOf(const PGresult* result, int row, int column) {
  if (PQgetisnull(result, row, column) != 0) return std::monostate();
  const char* data = PQgetvalue(result, row, column);
  const int size = PQgetlength(result, row, column);
  switch (PQftype(result, column)) {
    case kBoolType:
    case kInt2Type:
    case kInt4Type:
    case kInt8Type: break;
    default: return SqlBlob{std::string(data, static_cast<std::size_t>(size))};
  }
  // Big-endian two's complement; the first byte carries the sign.
  std::int64_t value = static_cast<signed char>(data[0]);
  for (int i = 1; i < size; ++i) value = value * 256 + static_cast<unsigned char>(data[i]);
  return value;
}

SqlRows RowsOf(const PGresult* result) {
  SqlRows rows;
  for (int row = 0; row < PQntuples(result); ++row) {
    std::vector<SqlValue> values;
    for (int column = 0; column < PQnfields(result); ++column) values.push_back(ValueOf(result, row, column));
    rows.emplace_back(std::move(values));
  }
  return rows;
}

// Notices of the server (e.g. "schema exists, skipping") would go to standard error.
void IgnoreNotice(void*, const PGresult*) {}

}  // namespace

// What a batch put on the wire: a statement, or its preparation under a name.
struct PostgresConnection::Command {
  const SqlStatement* statement;
  std::string prepared_as;  // empty: the statement itself
};

bool IsPostgresUri(std::string_view text) { return text.starts_with("postgresql:") || text.starts_with("postgres:"); }

absl::Status CheckPostgresUri(std::string_view uri) {
  if (HoldsPassword(uri)) return absl::InvalidArgumentError(kPasswordRemedy);
  if (!uri.starts_with("postgresql://") && !uri.starts_with("postgres://")) {
    return absl::InvalidArgumentError("must be postgresql://[user@]host[:port]/database[?parameter=value...]");
  }
  char* message = nullptr;
  PQconninfoOption* options = PQconninfoParse(std::string(uri).c_str(), &message);
  if (options != nullptr) {
    absl::Status status;
    for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
      const bool is_secret = absl::EndsWith(option->keyword, "password");
      if (is_secret && option->val != nullptr) status = absl::InvalidArgumentError(kPasswordRemedy);
    }
    PQconninfoFree(options);
    return status;
  }
  absl::Status status = absl::InvalidArgumentError(message == nullptr ? "not a PostgreSQL URI" : message);
  PQfreemem(message);
  return status;
}

void PostgresConnection::Closer::operator()(pg_conn* connection) const { PQfinish(connection); }
void PostgresConnection::Clearer::operator()(pg_result* result) const { PQclear(result); }

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Connect(const std::string& uri,
                                                                                const PostgresTimeouts& timeouts) {
  const std::string connect_seconds =
      absl::StrCat(std::max<std::int64_t>(2, std::chrono::ceil<std::chrono::seconds>(timeouts.connect).count()));
  const std::string answer_ms = Milliseconds(timeouts.answer);
  // What the URI says comes later and wins.
  const char* const keywords[] = {
      "connect_timeout",           "tcp_user_timeout", "keepalives_idle", "target_session_attrs",
      "fallback_application_name", "dbname",           "client_encoding", nullptr};
  const char* const values[] = {connect_seconds.c_str(), answer_ms.c_str(), "10",   "read-write",
                                "gptvq-coordinator",     uri.c_str(),       "UTF8", nullptr};
  PGconn* handle = PQconnectdbParams(keywords, values, /*expand_dbname=*/1);
  GPTVQ_CHECK(handle != nullptr);
  std::unique_ptr<PostgresConnection> connection(new PostgresConnection(handle, timeouts));
  if (PQstatus(handle) != CONNECTION_OK) return PostgresConnectError(PQerrorMessage(handle));
  PQsetNoticeReceiver(handle, IgnoreNotice, nullptr);
  PQsetnonblocking(handle, 1);
  GPTVQ_RETURN_IF_ERROR(connection->SetUp());
  return connection;
}

PostgresConnection::PostgresConnection(pg_conn* connection, const PostgresTimeouts& timeouts)
    : connection_(connection), timeouts_(timeouts) {}

PostgresConnection::~PostgresConnection() = default;

absl::Status PostgresConnection::SetUp() {
  SqlStatement settings(
      "SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false), "
      "set_config('idle_in_transaction_session_timeout', $3, false), "
      "set_config('default_transaction_isolation', 'read committed', false), set_config('search_path', 'gptvq', "
      "false), "
      // Never less than the operator asked for: remote_apply stays, only off is not obeyed.
      "set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE "
      "current_setting('synchronous_commit') END, false)");
  settings.Bind(Milliseconds(timeouts_.statement)).Bind(Milliseconds(timeouts_.lock));
  settings.Bind(Milliseconds(timeouts_.statement));
  GPTVQ_RETURN_IF_ERROR(Run(settings).status());
  GPTVQ_ASSIGN_OR_RETURN(SqlRows durability, Run(SqlStatement("SELECT current_setting('fsync')")));
  if (durability.front().Bytes() == "on") return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the PostgreSQL server runs with fsync off and would lose acknowledged work; set fsync = on in postgresql.conf");
}

absl::StatusOr<std::vector<SqlRows>> PostgresConnection::RunAll(const std::vector<SqlStatement>& statements) {
  GPTVQ_RETURN_IF_ERROR(CheckUsable());
  if (PQenterPipelineMode(connection_.get()) != 1) return Lose("cannot enter pipeline mode");
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<Command> commands, Send(statements));
  absl::StatusOr<std::vector<SqlRows>> answers = Collect(commands);
  if (!lost_ && PQexitPipelineMode(connection_.get()) != 1) return Lose("cannot leave pipeline mode");
  return answers;
}

absl::Status PostgresConnection::Execute(const char* sql) {
  GPTVQ_RETURN_IF_ERROR(CheckUsable());
  if (PQsendQuery(connection_.get(), sql) != 1) return Lose(PQerrorMessage(connection_.get()));
  absl::Status status;
  while (true) {
    GPTVQ_ASSIGN_OR_RETURN(const Result result, NextResult());
    if (result == nullptr) return status;
    if (status.ok()) status = CheckResult(result.get(), sql);
    if (lost_) return status;
  }
}

absl::Status PostgresConnection::InTransaction(const char* begin, absl::FunctionRef<absl::Status()> body) {
  GPTVQ_RETURN_IF_ERROR(Execute(begin));
  absl::Status status = body();
  if (status.ok()) return Execute("COMMIT");
  const Trouble trouble = trouble_;
  if (!lost_) Execute("ROLLBACK").IgnoreError();  // else the server does it by itself
  trouble_ = trouble;
  return status;
}

absl::Status PostgresConnection::CheckUsable() {
  trouble_ = Trouble::kNone;
  return lost_ ? Lose("the connection was lost") : absl::OkStatus();
}

absl::StatusOr<std::vector<PostgresConnection::Command>> PostgresConnection::Send(
    const std::vector<SqlStatement>& statements) {
  PGconn* connection = connection_.get();
  std::map<std::string, std::string, std::less<>> fresh;  // text -> name, prepared by this batch
  std::vector<Command> commands;
  for (const SqlStatement& statement : statements) {
    const std::string& text = statement.text();
    std::string name;
    if (const auto known = prepared_.find(text); known != prepared_.end()) {
      name = known->second;
    } else if (const auto added = fresh.find(text); added != fresh.end()) {
      name = added->second;
    } else {
      name = absl::StrCat("s", ++names_given_);
      fresh[text] = name;
      if (PQsendPrepare(connection, name.c_str(), text.c_str(), 0, nullptr) != 1) return Lose("cannot send");
      commands.push_back({&statement, name});
    }
    const Parameters parameters(statement);
    if (PQsendQueryPrepared(connection, name.c_str(), static_cast<int>(parameters.pointers.size()),
                            parameters.pointers.data(), parameters.lengths.data(), parameters.formats.data(),
                            kBinaryFormat) != 1) {
      return Lose("cannot send");
    }
    commands.push_back({&statement, ""});
  }
  if (PQpipelineSync(connection) != 1) return Lose("cannot send");
  return commands;
}

absl::StatusOr<std::vector<SqlRows>> PostgresConnection::Collect(const std::vector<Command>& commands) {
  std::vector<SqlRows> answers;
  absl::Status status;
  for (const Command& command : commands) {
    GPTVQ_ASSIGN_OR_RETURN(const Result result, NextResult());
    // After an error the server skips the rest of the batch and says so of each command.
    if (status.ok()) status = CheckResult(result.get(), command.statement->text());
    if (lost_) return status;
    if (status.ok() && !command.prepared_as.empty()) prepared_[command.statement->text()] = command.prepared_as;
    if (status.ok() && command.prepared_as.empty()) {
      std::int64_t changed_rows = 0;
      (void)absl::SimpleAtoi(PQcmdTuples(result.get()), &changed_rows);  // empty for what changes nothing
      status = command.statement->CheckChangedRows(changed_rows);
      if (!status.ok()) trouble_ = Trouble::kStatement;
      answers.push_back(RowsOf(result.get()));
    }
    GPTVQ_ASSIGN_OR_RETURN(const Result end_of_command, NextResult());
    if (end_of_command != nullptr) return Lose("unexpected answer");
  }
  GPTVQ_ASSIGN_OR_RETURN(const Result sync, NextResult());
  if (PQresultStatus(sync.get()) != PGRES_PIPELINE_SYNC) return Lose("unexpected answer");
  if (!status.ok()) return status;
  return answers;
}

absl::StatusOr<PostgresConnection::Result> PostgresConnection::NextResult() {
  const SteadyTime deadline = std::chrono::steady_clock::now() + timeouts_.answer;
  while (true) {
    const int unsent = PQflush(connection_.get());
    if (unsent < 0) return Lose(PQerrorMessage(connection_.get()));
    if (unsent == 0 && PQisBusy(connection_.get()) == 0) return Result(PQgetResult(connection_.get()));
    GPTVQ_RETURN_IF_ERROR(WaitForServer(unsent != 0 ? POLLIN | POLLOUT : POLLIN, deadline));
    if (PQconsumeInput(connection_.get()) != 1) return Lose(PQerrorMessage(connection_.get()));
  }
}

absl::Status PostgresConnection::WaitForServer(short events, SteadyTime deadline) {
  pollfd socket = {.fd = PQsocket(connection_.get()), .events = events, .revents = 0};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return Lose("the server does not answer");
    const int ready = poll(&socket, 1, static_cast<int>(left));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return Lose(std::strerror(errno));
  }
}

absl::Status PostgresConnection::CheckResult(const pg_result* result, std::string_view statement) {
  switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY: return absl::OkStatus();
    default: break;
  }
  const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  // Without a code it is libpq that speaks; 57P is a server that ends its connections.
  if (sqlstate == nullptr || message == nullptr || absl::StartsWith(sqlstate, "57P") ||
      PQstatus(connection_.get()) != CONNECTION_OK) {
    return Lose(message != nullptr ? message : PQerrorMessage(connection_.get()));
  }
  trouble_ = IsPostgresConflict(sqlstate) ? Trouble::kConflict : Trouble::kStatement;
  const std::string shown(statement.substr(0, kShownStatementBytes));
  return WithContext(PostgresError(sqlstate, message), absl::StrCat("postgres: ", shown));
}

absl::Status PostgresConnection::Lose(std::string_view why) {
  lost_ = true;
  trouble_ = Trouble::kLost;
  const std::string text(why);
  return absl::UnavailableError(absl::StrCat("postgres: ", absl::StripAsciiWhitespace(text)));
}

}  // namespace gptvq
