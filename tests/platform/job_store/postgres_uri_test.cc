// What needs no server: URIs, and what errors mean.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "platform/job_store/postgres.h"
#include "platform/job_store/postgres_error.h"

namespace gptvq {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(PostgresUri, TakesWhatLibpqTakes) {
  for (const char* uri : {"postgresql://gptvq@db.example:5433/gptvq?sslmode=verify-full&sslrootcert=/etc/ca.pem",
                          "postgres:///gptvq?host=/run/postgresql", "postgresql://a:1,b:2/x?target_session_attrs=any",
                          "postgresql://[::1]:5432/x", "postgresql:///?service=journal"}) {
    EXPECT_TRUE(CheckPostgresUri(uri).ok()) << uri << ": " << CheckPostgresUri(uri);
  }
}

TEST(PostgresUri, RefusesWhatIsNone) {
  for (const char* uri : {"", "mysql://x/y", "host=localhost dbname=x", "postgresql:x",
                          "postgresql://h/d?no_such_key=1", "postgresql://%zz/"}) {
    EXPECT_EQ(CheckPostgresUri(uri).code(), absl::StatusCode::kInvalidArgument) << uri;
  }
}

TEST(PostgresUri, RefusesAPasswordWithTheRemedyAndWithoutRepeatingIt) {
  for (const char* uri : {"postgresql://user:hunter2@host/db", "postgresql://user:hunter2/x@host/db",
                          "postgres://host/db?password=hunter2", "postgresql://u@host/db?sslpassword=hunter2",
                          "postgresql://user:hunter2@host:notaport/db", "postgres://host/db?pass%77ord=hunter2",
                          "user:hunter2@host/db"}) {
    const absl::Status status = CheckPostgresUri(uri);

    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << uri;
    EXPECT_THAT(std::string(status.message()), HasSubstr("PGPASSFILE"));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
  }
}

// Appendix A of the manual.
TEST(PostgresError, CodesMeanWhatTheCallerShouldDo) {
  using Code = absl::StatusCode;
  const std::pair<const char*, Code> expected[] = {
      {"23505", Code::kAlreadyExists},     {"23503", Code::kInternal},          {"53100", Code::kResourceExhausted},
      {"53200", Code::kResourceExhausted}, {"53300", Code::kResourceExhausted}, {"57P01", Code::kUnavailable},
      {"57P03", Code::kUnavailable},       {"57014", Code::kUnavailable},       {"08006", Code::kUnavailable},
      {"08P01", Code::kUnavailable},       {"40001", Code::kUnavailable},       {"40P01", Code::kUnavailable},
      {"55P03", Code::kUnavailable},       {"25006", Code::kUnavailable},       {"58030", Code::kUnavailable},
      {"28P01", Code::kPermissionDenied},  {"28000", Code::kPermissionDenied},  {"42501", Code::kPermissionDenied},
      {"3D000", Code::kNotFound},          {"XX001", Code::kDataLoss},          {"XX002", Code::kDataLoss},
      {"22P03", Code::kDataLoss},          {"42P01", Code::kInternal},          {"XX000", Code::kInternal}};

  for (const auto& [sqlstate, code] : expected) EXPECT_EQ(PostgresError(sqlstate, "m").code(), code) << sqlstate;
  EXPECT_THAT(std::string(PostgresError("28P01", "no").message()), HasSubstr("PGPASSFILE"));
  EXPECT_TRUE(IsPostgresConflict("40001") && IsPostgresConflict("40P01"));
  EXPECT_FALSE(IsPostgresConflict("57014"));
}

TEST(PostgresConnection, AServerThatIsNotThereIsUnavailable) {
  const auto connection = PostgresConnection::Connect("postgresql://u@/d?host=/nonexistent", {});

  EXPECT_EQ(connection.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(connection.status().message()), HasSubstr("/nonexistent"));
}

}  // namespace
}  // namespace gptvq
