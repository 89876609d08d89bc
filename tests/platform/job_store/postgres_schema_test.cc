#include "platform/job_store/postgres_schema.h"

#include <gmock/gmock.h>

#include <future>

#include "tests/platform/job_store/postgres_store_fixture.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

class PostgresSchemaTest : public PostgresStoreTest {
 protected:
  absl::Status Migrate() const {
    auto connection = PostgresConnection::Connect(uri_, {});
    return connection.ok() ? MigratePostgresSchema(**connection) : connection.status();
  }
  std::string Newest() const { return std::to_string(NewestPostgresSchema()); }
};

TEST_F(PostgresSchemaTest, MigratingTwiceChangesNothing) {
  ASSERT_TRUE(Migrate().ok());
  const std::string tables = Query("SELECT count(*) FROM pg_tables WHERE schemaname = 'gptvq'");

  EXPECT_TRUE(Migrate().ok());

  EXPECT_EQ(Query("SELECT version FROM gptvq.schema_version"), Newest());
  EXPECT_EQ(Query("SELECT count(*) FROM pg_tables WHERE schemaname = 'gptvq'"), tables);
}

TEST_F(PostgresSchemaTest, StartersThatComeTogetherMigrateOnce) {
  std::vector<std::future<absl::Status>> starters;
  for (int i = 0; i < 4; ++i) starters.push_back(std::async(std::launch::async, [&] { return Migrate(); }));

  for (auto& starter : starters) EXPECT_EQ(starter.get(), absl::OkStatus());
  EXPECT_EQ(Query("SELECT version FROM gptvq.schema_version"), Newest());
}

TEST_F(PostgresSchemaTest, AnOlderSchemaIsBroughtToTheNewest) {
  // Schema 0: what a start that made only the version row would leave.
  Query(
      "CREATE SCHEMA gptvq; CREATE TABLE gptvq.schema_version (only_row BOOLEAN PRIMARY KEY DEFAULT TRUE, version "
      "BIGINT); "
      "INSERT INTO gptvq.schema_version (version) VALUES (0)");

  const StorePtr store = OpenLeader();

  EXPECT_TRUE(store->Append(Submission()).ok());
  EXPECT_EQ(Query("SELECT version FROM gptvq.schema_version"), Newest());
}

TEST_F(PostgresSchemaTest, ANewerSchemaIsRefusedNamingBothNumbers) {
  ASSERT_TRUE(Migrate().ok());
  Query("UPDATE gptvq.schema_version SET version = 99");

  const absl::Status status = Migrate();

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("schema 99"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("up to " + Newest()));
}

TEST_F(PostgresSchemaTest, AStepThatFailsLeavesNothing) {
  // Another program's table where step 1 makes one of ours.
  Query(
      "CREATE SCHEMA gptvq; CREATE TABLE gptvq.schema_version (only_row BOOLEAN PRIMARY KEY DEFAULT TRUE, version "
      "BIGINT); "
      "INSERT INTO gptvq.schema_version (version) VALUES (0); CREATE TABLE gptvq.events (mine TEXT)");

  const absl::Status status = Migrate();

  EXPECT_THAT(std::string(status.message()), HasSubstr("schema step 1"));
  EXPECT_EQ(Query("SELECT version FROM gptvq.schema_version"), "0");
  EXPECT_EQ(Query("SELECT count(*) FROM pg_tables WHERE schemaname = 'gptvq'"), "2");
}

TEST_F(PostgresSchemaTest, TheSchemaOfAnotherProgramIsLeftAlone) {
  Query("CREATE SCHEMA gptvq; CREATE TABLE gptvq.recipes (name TEXT)");

  EXPECT_EQ(Migrate().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Query("SELECT count(*) FROM pg_tables WHERE schemaname = 'gptvq'"), "1");
}

}  // namespace
}  // namespace gptvq
