#include "tests/support/postgres_server.h"

#include <libpq-fe.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <iostream>

#include "core/base/check.h"

namespace gptvq {
namespace {

constexpr std::chrono::seconds kStartDeadline(120);
constexpr std::chrono::milliseconds kLookAgain(50);

}  // namespace

PostgresServer::PostgresServer() { Start(); }

void PostgresServer::Start() {
  const auto deadline = std::chrono::steady_clock::now() + kStartDeadline;
  const std::string log = directory_.Join("server.log");
  while (std::chrono::steady_clock::now() < deadline) {
    // A killed predecessor's processes may hold its shared memory for a moment; then the new one ends and is started again.
    if (process_ == nullptr || process_->Wait(kLookAgain)) {
      process_ = std::make_unique<ChildProcess>(
          std::vector<std::string>{GPTVQ_SOURCE_DIR "/tests/support/run_postgres.sh", directory_.path()}, log);
    }
    if (Answers()) return;
  }
  std::cerr << std::ifstream(log).rdbuf() << std::flush;
  GPTVQ_CHECK(false && "the PostgreSQL server of the test does not answer");
}

void PostgresServer::Kill() {
  process_->Signal(SIGKILL);
  process_.reset();
}

std::string PostgresServer::MakeDatabase(const std::string& name) {
  Query("postgres", "DROP DATABASE IF EXISTS " + name + " WITH (FORCE)");
  const std::string error = Query("postgres", "CREATE DATABASE " + name);
  if (!error.empty()) std::cerr << error << "\n";
  GPTVQ_CHECK(error.empty());
  return UriOf(name);
}

std::string PostgresServer::UriOf(const std::string& database) const {
  return "postgresql://postgres@/" + database + "?host=" + directory_.path();
}

std::string PostgresServer::Query(const std::string& database, const std::string& sql) const {
  PGconn* connection = PQconnectdb(UriOf(database).c_str());
  PGresult* result = PQexec(connection, sql.c_str());
  std::string answer;
  if (PQresultStatus(result) == PGRES_TUPLES_OK) {
    if (PQntuples(result) > 0) answer = PQgetvalue(result, 0, 0);
  } else if (PQresultStatus(result) != PGRES_COMMAND_OK) {
    answer = PQerrorMessage(connection);
  }
  PQclear(result);
  PQfinish(connection);
  return answer;
}

bool PostgresServer::Answers() const { return PQping(UriOf("postgres").c_str()) == PQPING_OK; }

ForeignTransaction::ForeignTransaction(const std::string& uri, const std::string& sql)
    : connection_(PQconnectdb(uri.c_str())) {
  PQclear(PQexec(connection_, "BEGIN"));
  PGresult* result = PQexec(connection_, sql.c_str());
  GPTVQ_CHECK(PQresultStatus(result) == PGRES_TUPLES_OK);
  PQclear(result);
}

ForeignTransaction::~ForeignTransaction() { PQfinish(connection_); }

}  // namespace gptvq
