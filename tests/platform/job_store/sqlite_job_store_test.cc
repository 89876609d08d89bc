#include "platform/job_store/sqlite_job_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "platform/job_store/sqlite_backup.h"
#include "platform/job_store/sqlite_schema.h"
#include "server/planner.h"
#include "server/scheduler/scheduler.h"
#include "tests/support/job_builders.h"

namespace {

bool syncing_fails = false;

int SyncOrFail(long call, int file) {
  if (!syncing_fails) return static_cast<int>(syscall(call, file));
  errno = EIO;
  return -1;
}

}  // namespace

// In place of the C library's, for SQLite too: a disk that loses what it was given.
extern "C" int fsync(int file) { return SyncOrFail(SYS_fsync, file); }
extern "C" int fdatasync(int file) { return SyncOrFail(SYS_fdatasync, file); }

namespace gptvq {
namespace {

class SqliteJobStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/sqlite_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
  }
  void TearDown() override {
    syncing_fails = false;
    std::filesystem::remove_all(directory_);
  }

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

TEST_F(SqliteJobStoreTest, ACopyOfTheFileIsANewGenerationAndARestartIsNot) {
  for (int start = 0; start < 2; ++start) {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->LoadActive()->generation, 0);
  }
  std::filesystem::copy_file(database(), database() + ".kept");
  std::filesystem::rename(database() + ".kept", database());

  std::vector<std::int64_t> generations;
  for (int start = 0; start < 2; ++start) {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE(store.ok()) << store.status();
    generations.push_back((*store)->LoadActive()->generation);
  }
  EXPECT_GT(generations[0], 0);
  EXPECT_EQ(generations[1], generations[0]);
}

// A journal with a submission, closed as a kill would leave it: with everything since the first start in its log.
void Kill(std::unique_ptr<SqliteJobStore> store, const std::string& directory) {
  const std::string kept = directory + ".killed";
  std::filesystem::remove_all(kept);
  std::filesystem::copy(directory, kept);
  store.reset();
  for (const auto& file : std::filesystem::directory_iterator(kept)) {
    std::filesystem::copy_file(file, std::filesystem::path(directory) / file.path().filename(),
                               std::filesystem::copy_options::overwrite_existing);
  }
  std::filesystem::remove_all(kept);
}

TEST_F(SqliteJobStoreTest, ADamagedFrameOfTheLogThatHidesAcknowledgedChangesIsFoundAndTheFilesStayAsTheyAre) {
  {
    auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->Append(ASubmission()).ok());
    Kill(*std::move(store), directory_);
  }
  const std::string log = database() + "-wal";
  std::string bytes = BytesOf(log);
  ASSERT_GT(bytes.size(), 5000u);
  bytes[bytes.size() - 2000] ^= 1;  // in its last frame
  std::ofstream(log, std::ios::binary) << bytes;

  for (int start = 0; start < 2; ++start) {
    const auto refused = SqliteJobStore::Open(directory_);
    ASSERT_FALSE(refused.ok());
    EXPECT_TRUE(absl::IsDataLoss(refused.status())) << refused.status();
    EXPECT_NE(refused.status().message().find("ACKNOWLEDGED_CHANGES_MISSING"), std::string::npos) << refused.status();
    EXPECT_EQ(BytesOf(log), bytes);
  }
}

TEST_F(SqliteJobStoreTest, AKillLosesNothingAndRaisesNoAlarm) {
  for (int round = 0; round < 3; ++round) {
    auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE(store.ok()) << store.status();
    if (round == 0) {
      ASSERT_TRUE((*store)->Append(ASubmission()).ok());
    }
    EXPECT_EQ((*store)->LoadActive()->active_jobs.size(), 1u);
    Kill(*std::move(store), directory_);
  }
}

TEST_F(SqliteJobStoreTest, AMarkThatIsBehindMissingOrDamagedSaysNothing) {
  const std::string mark = directory_ + "/coordinator.mark";
  {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE((*store)->BeginGeneration(0).ok());
  }
  const std::string behind = BytesOf(mark);
  {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE((*store)->Append(ASubmission()).ok());
  }

  for (const std::string& text : {behind, std::string(), std::string("nonsense"), std::string(64, '\0')}) {
    std::ofstream(mark, std::ios::binary) << text;
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->LoadActive()->active_jobs.size(), 1u);
  }
  std::filesystem::remove(mark);
  EXPECT_TRUE(SqliteJobStore::Open(directory_).ok());
}

TEST_F(SqliteJobStoreTest, AnOlderFileInThePlaceOfTheJournalIsRefusedUntilTheLossIsAccepted) {
  { ASSERT_TRUE(SqliteJobStore::Open(directory_).ok()); }
  std::filesystem::copy_file(database(), database() + ".kept");
  {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE((*store)->BeginGeneration(1'000'000).ok());
    ASSERT_TRUE((*store)->Append(ASubmission()).ok());
  }
  const std::int64_t lost_generation = 1'000'000;
  std::filesystem::rename(database() + ".kept", database());

  const auto refused = SqliteJobStore::Open(directory_);
  const auto accepted = AcceptLoss(directory_);
  const auto store = SqliteJobStore::Open(directory_);

  EXPECT_TRUE(absl::IsDataLoss(refused.status())) << refused.status();
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  EXPECT_EQ(accepted->lost_changes, 2);
  EXPECT_EQ(accepted->jobs, 0);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_GT((*store)->LoadActive()->generation, lost_generation);
  EXPECT_TRUE((*store)->Append(ASubmission()).ok());
}

TEST_F(SqliteJobStoreTest, AJournalOfWhichNothingIsLeftIsRefusedUntilTheLossIsAccepted) {
  {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE((*store)->Append(ASubmission()).ok());
  }
  std::filesystem::remove(database());

  EXPECT_TRUE(absl::IsDataLoss(SqliteJobStore::Open(directory_).status()));
  EXPECT_EQ(AcceptLoss(directory_)->lost_changes, 1);
  EXPECT_TRUE(SqliteJobStore::Open(directory_).ok());
}

TEST_F(SqliteJobStoreTest, TheSameBackupRestoredTwiceBeginsTwoGenerationsAndNeitherRaisesAnAlarm) {
  const std::string backup = directory_ + ".backup";
  std::filesystem::remove(backup);
  {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE((*store)->Append(ASubmission()).ok());
    ASSERT_TRUE(BackUpJournal(directory_, backup).ok());
    ASSERT_TRUE((*store)->BeginGeneration(7'000'000).ok());
  }
  std::vector<std::int64_t> generations;

  for (int time = 0; time < 2; ++time) {
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(database() + suffix);
    const auto restored = RestoreJournal(backup, directory_);
    ASSERT_TRUE(restored.ok()) << restored.status();
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->BeginGeneration(0).ok());
    generations.push_back((*store)->LoadActive()->generation);
  }
  std::filesystem::remove(backup);

  EXPECT_GT(generations[0], 7'000'000) << "above that of the journal that was there before";
  EXPECT_GT(generations[1], generations[0]);
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

TEST_F(SqliteJobStoreTest, TellsAFailedSyncOnceAndTrustsTheDiskNoMore) {
  std::vector<absl::Status> told;
  const auto store = SqliteJobStore::Open(directory_, [&](const absl::Status& failure) { told.push_back(failure); });
  ASSERT_TRUE(store.ok()) << store.status();

  syncing_fails = true;
  const absl::Status refused = (*store)->Append(ASubmission());
  syncing_fails = false;

  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0], refused);
  EXPECT_EQ((*store)->Append(ASubmission()), refused);
  EXPECT_EQ((*store)->LoadActive().status(), refused);
  EXPECT_EQ(told.size(), 1u);
}

TEST_F(SqliteJobStoreTest, GoesOnAfterAFailedSyncWhenItIsOpenedAnew) {
  {
    const auto store = SqliteJobStore::Open(directory_);
    syncing_fails = true;
    ASSERT_FALSE((*store)->Append(ASubmission()).ok());
  }
  syncing_fails = false;

  const auto again = SqliteJobStore::Open(directory_);

  ASSERT_TRUE(again.ok()) << again.status();
  // Nobody was told that the first one is stored, so both may be.
  const bool stored = !(*again)->LoadActive()->active_jobs.empty();
  EXPECT_TRUE(stored || (*again)->Append(ASubmission()).ok());
  EXPECT_EQ((*again)->LoadActive()->active_jobs.size(), 1u);
}

// Else the log that an owner left behind might be lost with everything that is written behind it.
TEST_F(SqliteJobStoreTest, WritesTheLogOfAProcessThatDiedOnceMore) {
  const std::string log = directory_ + "/coordinator.db-wal";
  const std::string left_behind = directory_ + "-wal";
  {
    const auto store = SqliteJobStore::Open(directory_);
    ASSERT_TRUE((*store)->Append(ASubmission()).ok());
    std::filesystem::copy_file(log, left_behind, std::filesystem::copy_options::overwrite_existing);
  }
  std::filesystem::rename(left_behind, log);  // beside the same file: a copy of it would be noted as another

  const auto recovered = SqliteJobStore::Open(directory_);

  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(std::filesystem::file_size(log), 0u);
}

// SQLite itself keeps to itself what happens when it copies its log.
TEST_F(SqliteJobStoreTest, NoticesAFailedSyncOfTheDatabaseBehindTheLog) {
  std::filesystem::create_directories(directory_);
  auto opened = SqliteDatabase::Open(database());
  ASSERT_TRUE(opened->Execute("PRAGMA synchronous = NORMAL; PRAGMA journal_mode = WAL; CREATE TABLE t (x)").ok());
  int told = 0;
  opened->OnSyncFailure([&](const absl::Status&) { ++told; });

  syncing_fails = true;  // NORMAL: nothing but the copying syncs
  const absl::Status status = opened->InTransaction([&] {
    return opened->Execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
        "INSERT INTO t SELECT randomblob(4000) FROM n");
  });

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(told, 1);
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
