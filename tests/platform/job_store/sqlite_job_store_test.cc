#include "platform/job_store/sqlite_job_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "platform/job_store/sqlite_schema.h"
#include "server/planner.h"
#include "server/scheduler/scheduler.h"
#include "tests/support/job_builders.h"

namespace gptvq {
namespace {

class SqliteJobStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/sqlite_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string database() const { return directory_ + "/coordinator.db"; }

  void Execute(const std::string& sql) {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(database().c_str(), &handle), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(handle);
    sqlite3_close(handle);
  }

  static Transition ASubmission() {
    SubmitJob event;
    event.job.job_id = "job-1";
    event.job.request_id = "r";
    event.job.spec = AJobSpec();
    event.job.layer_count = 4;
    event.tasks = PlanJob(event.job.spec, 4, "job-1")->tasks;
    return Scheduler({}).Decide(event, {})->transition;
  }

  std::string directory_;
};

std::string BytesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST_F(SqliteJobStoreTest, IsForItsOwnerAlone) {
  const auto store = SqliteJobStore::Open(directory_);
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE((*store)->Append(ASubmission()).ok());

  for (const auto& file : std::filesystem::directory_iterator(directory_)) {
    EXPECT_EQ(file.status().permissions(), std::filesystem::perms(0600)) << file;
  }
}

TEST_F(SqliteJobStoreTest, KeepsEverythingAcrossARestartAndTheSecretToo) {
  std::string secret;
  {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->Append(ASubmission()).ok());
    secret = *(*store)->Secret();
  }

  const auto again = SqliteJobStore::Open(directory_);

  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->LoadActive()->active_jobs.size(), 1u);
  EXPECT_EQ(*(*again)->Secret(), secret);
}

TEST_F(SqliteJobStoreTest, TwoStoresHaveDifferentSecrets) {
  const auto one = SqliteJobStore::Open(directory_);
  const auto other = SqliteJobStore::Open(directory_ + "/other");

  EXPECT_NE(*(*one)->Secret(), *(*other)->Secret());
}

TEST_F(SqliteJobStoreTest, ASecondCoordinatorOnTheDirectoryIsRefused) {
  const auto first = SqliteJobStore::Open(directory_);
  ASSERT_TRUE(first.ok());

  const auto second = SqliteJobStore::Open(directory_);

  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(second.status().message().find("in use by another coordinator"), std::string::npos);
}

TEST_F(SqliteJobStoreTest, AnUnwritablePlaceIsRefusedByName) {
  const auto store = SqliteJobStore::Open("/proc/no-such-place");

  EXPECT_EQ(store.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_NE(store.status().message().find("/proc/no-such-place"), std::string::npos);
}

TEST_F(SqliteJobStoreTest, AFileThatIsNoDatabaseIsDataLoss) {
  std::filesystem::create_directories(directory_);
  std::ofstream(database()) << std::string(8192, 'x');

  EXPECT_EQ(SqliteJobStore::Open(directory_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SqliteJobStoreTest, ADatabaseOfAnotherProgramIsLeftAlone) {
  std::filesystem::create_directories(directory_);
  Execute("CREATE TABLE recipes (name TEXT)");
  const std::string before = BytesOf(database());

  EXPECT_EQ(SqliteJobStore::Open(directory_).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(BytesOf(database()), before);
}

TEST_F(SqliteJobStoreTest, ANewerSchemaIsRefusedNamingBothNumbers) {
  { ASSERT_TRUE(SqliteJobStore::Open(directory_).ok()); }
  Execute("PRAGMA user_version = 99");

  const auto store = SqliteJobStore::Open(directory_);

  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(store.status().message().find("99"), std::string::npos);
  EXPECT_NE(store.status().message().find(std::to_string(NewestSqliteSchema())), std::string::npos);
}

TEST_F(SqliteJobStoreTest, RowsThatNoVersionWroteAreDataLossNamingTheJob) {
  {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE((*store)->Append(ASubmission()).ok());
  }
  Execute("UPDATE tasks SET state = 'dancing' WHERE task_index = 1");

  const auto store = SqliteJobStore::Open(directory_);

  ASSERT_TRUE(store.ok()) << store.status();
  const absl::Status status = (*store)->LoadActive().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("job-1"), std::string::npos);
  EXPECT_NE(status.message().find("dancing"), std::string::npos);
}

TEST_F(SqliteJobStoreTest, AMissingTaskIsDataLoss) {
  {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE((*store)->Append(ASubmission()).ok());
  }
  Execute("DELETE FROM tasks WHERE task_index = 0");

  EXPECT_EQ((*SqliteJobStore::Open(directory_))->ReadJob("job-1").status().code(), absl::StatusCode::kDataLoss);
}

// A writer that died left its log behind; nothing that was acknowledged may be lost, and the file is checked.
TEST_F(SqliteJobStoreTest, RecoversTheLogOfAProcessThatDied) {
  const std::string copy = directory_ + "-copy";
  {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE((*store)->Append(ASubmission()).ok());
    std::filesystem::remove_all(copy);
    std::filesystem::copy(directory_, copy);  // as the disk would look after a crash now
  }
  ASSERT_GT(std::filesystem::file_size(copy + "/coordinator.db-wal"), 0u);

  const auto recovered = SqliteJobStore::Open(copy);

  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ((*recovered)->LoadActive()->active_jobs.size(), 1u);
  std::filesystem::remove_all(copy);
}

TEST(SqliteSchema, MigratingTwiceChangesNothing) {
  auto database = SqliteDatabase::Open(":memory:");
  ASSERT_TRUE(database.ok());

  ASSERT_TRUE(MigrateSqliteSchema(*database).ok());
  ASSERT_TRUE(MigrateSqliteSchema(*database).ok());

  EXPECT_EQ(*database->QueryInteger("PRAGMA user_version"), NewestSqliteSchema());
  EXPECT_EQ(*database->QueryInteger("SELECT count(*) FROM sqlite_schema WHERE type = 'table'"), 8);
}

TEST(SqliteDatabase, ErrorsNameTheStatement) {
  auto database = SqliteDatabase::Open(":memory:");

  EXPECT_NE(database->Execute("SELEKT 1").message().find("SELEKT"), std::string::npos);
  EXPECT_NE(database->Run(SqlStatement("SELECT * FROM nowhere")).status().message().find("nowhere"), std::string::npos);
  EXPECT_EQ(SqliteDatabase::Open("/no/such/directory/file.db").status().code(), absl::StatusCode::kUnavailable);
}

TEST(SqliteDatabase, AFailedTransactionLeavesNothing) {
  auto database = SqliteDatabase::Open(":memory:");
  ASSERT_TRUE(database->Execute("CREATE TABLE t (x INTEGER PRIMARY KEY)").ok());

  const absl::Status status = database->InTransaction([&]() -> absl::Status {
    EXPECT_TRUE(database->Execute("INSERT INTO t VALUES (1)").ok());
    return database->Execute("INSERT INTO t VALUES (1)");
  });

  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*database->QueryInteger("SELECT count(*) FROM t"), 0);
}

}  // namespace
}  // namespace gptvq
