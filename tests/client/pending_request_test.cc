#include "client/pending_request.h"

#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

constexpr char kChosenId[] = "0f8fad5b-d9cb-469f-a165-70867728950e";

// What is left after the program ended without an answer: only the state directory.
std::string IdOfSubmit(const std::string& state_dir, const std::string& job, const std::string& request_id = "") {
  const absl::StatusOr<PendingRequest> pending = PendingRequest::Keep(state_dir, job, request_id);
  EXPECT_TRUE(pending.ok()) << pending.status();
  return pending.ok() ? pending->request_id() : "";
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.push_back(entry.path().filename());
  return names;
}

TEST(PendingRequest, SameJobFindsItsIdAgainAfterACrash) {
  const TemporaryDirectory state;

  const std::string first = IdOfSubmit(state.path(), "job");

  EXPECT_EQ(IdOfSubmit(state.path(), "job"), first);
  EXPECT_EQ(IdOfSubmit(state.path(), "job"), first);
}

TEST(PendingRequest, AnotherJobGetsAnotherId) {
  const TemporaryDirectory state;

  const std::string first = IdOfSubmit(state.path(), "job");

  EXPECT_NE(IdOfSubmit(state.path(), "job "), first);
  EXPECT_EQ(IdOfSubmit(state.path(), "job"), first) << "and does not lose the first";
}

TEST(PendingRequest, AnswerRemovesTheFileAndTheNextSubmitIsANewJob) {
  const TemporaryDirectory state;
  absl::StatusOr<PendingRequest> pending = PendingRequest::Keep(state.path(), "job", "");
  ASSERT_TRUE(pending.ok());
  ASSERT_EQ(FilesIn(state.path()).size(), 1u);

  pending->Forget();

  EXPECT_TRUE(FilesIn(state.path()).empty());
  EXPECT_NE(IdOfSubmit(state.path(), "job"), pending->request_id());
}

TEST(PendingRequest, ChosenIdIsTakenAndTheKeptOneStays) {
  const TemporaryDirectory state;
  const std::string kept = IdOfSubmit(state.path(), "job");

  absl::StatusOr<PendingRequest> chosen = PendingRequest::Keep(state.path(), "job", kChosenId);
  ASSERT_TRUE(chosen.ok());
  chosen->Forget();

  EXPECT_EQ(chosen->request_id(), kChosenId);
  EXPECT_EQ(IdOfSubmit(state.path(), "job"), kept);
}

TEST(PendingRequest, FilesAreNamedByTheJobAlone) {
  const TemporaryDirectory state;

  IdOfSubmit(state.path(), "../../etc/passwd\n");

  EXPECT_THAT(FilesIn(state.path()), testing::ElementsAre(testing::MatchesRegex("submit-[0-9a-f]+")));
}

TEST(PendingRequest, FileThatHoldsNoIdIsReplaced) {
  const TemporaryDirectory state;
  IdOfSubmit(state.path(), "job");
  const std::string name = FilesIn(state.path()).front();
  for (const char* contents : {"", "half-writ", "\xFF\xFF\n"}) {
    state.WriteFile(name, contents);

    const std::string id = IdOfSubmit(state.path(), "job");

    EXPECT_EQ(id.size(), 36u);
    EXPECT_EQ(IdOfSubmit(state.path(), "job"), id);
  }
}

TEST(PendingRequest, WithoutAStateDirectoryNothingIsKept) { EXPECT_NE(IdOfSubmit("", "job"), IdOfSubmit("", "job")); }

TEST(PendingRequest, StateDirectoryIsMade) {
  const TemporaryDirectory state;

  IdOfSubmit(state.Join("a/b"), "job");

  EXPECT_EQ(FilesIn(state.Join("a/b")).size(), 1u);
}

TEST(PendingRequest, StateDirectoryThatIsAFileIsRefusedWithTheRemedy) {
  const TemporaryDirectory state;
  state.WriteFile("file", "");

  const absl::Status status = PendingRequest::Keep(state.Join("file"), "job", "").status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--state-dir"));
}

TEST(NewRequestId, IsARandomUuidOfVersionFour) {
  const std::regex uuid("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) ids.insert(NewRequestId());

  EXPECT_EQ(ids.size(), 100u);
  for (const std::string& id : ids) EXPECT_TRUE(std::regex_match(id, uuid)) << id;
}

}  // namespace
}  // namespace gptvq
