#include "platform/object_store/local_object_store.h"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Both ways of resolving paths must refuse the same.
class LocalObjectStoreTest : public testing::TestWithParam<ConfinedDirectory::Resolver> {
 protected:
  absl::Status Put(std::string_view key, std::string_view contents) {
    auto file = store_.Create(key);
    if (!file.ok()) return file.status();
    if (absl::Status status = (*file)->Append(AsBytes(contents)); !status.ok()) return status;
    return (*file)->Close();
  }

  // Names in the root, temporaries included.
  std::vector<std::string> NamesOnDisk() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_.path()))
      names.push_back(entry.path().filename());
    return names;
  }

  TemporaryDirectory outside_;
  TemporaryDirectory root_;
  LocalObjectStore store_{ConfinedDirectory::Open(root_.path(), GetParam()).value()};
};

TEST_P(LocalObjectStoreTest, DoesNotFollowALinkToAFileOutside) {
  outside_.WriteFile("secret", "secret");
  std::filesystem::create_symlink(outside_.Join("secret"), root_.Join("link"));

  EXPECT_EQ(store_.Open("link").status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(store_.Stat("link").status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(store_.List("", ListScope::kRecursive).value(), IsEmpty());
  EXPECT_THAT(std::string(store_.Open("link").status().message()), HasSubstr("symbolic link"));
}

TEST_P(LocalObjectStoreTest, DoesNotFollowALinkToADirectoryOutside) {
  outside_.WriteFile("secret", "secret");
  std::filesystem::create_directory_symlink(outside_.path(), root_.Join("dir"));

  EXPECT_EQ(store_.Open("dir/secret").status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(store_.Create("dir/new").status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(store_.Delete("dir/secret").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(store_.List("", ListScope::kRecursive).value(), IsEmpty());
  EXPECT_TRUE(std::filesystem::exists(outside_.Join("secret")));
}

TEST_P(LocalObjectStoreTest, ADirectorySwappedForALinkNeverLeadsOutside) {
  outside_.WriteFile("x", "outside");
  root_.WriteFile("dir/x", "inside");
  std::jthread swapper([&](std::stop_token stop) {
    while (!stop.stop_requested()) {
      std::filesystem::rename(root_.Join("dir"), root_.Join("aside"));
      std::filesystem::create_directory_symlink(outside_.path(), root_.Join("dir"));
      std::filesystem::remove(root_.Join("dir"));
      std::filesystem::rename(root_.Join("aside"), root_.Join("dir"));
    }
  });

  int inside_count = 0;
  for (int i = 0; i < 3000; ++i) {
    auto file = store_.Open("dir/x");
    if (!file.ok()) continue;
    ASSERT_EQ(ReadWholeFile(**file, 100).value(), "inside");
    ++inside_count;
  }
  RecordProperty("inside_count", inside_count);
}

TEST_P(LocalObjectStoreTest, RefusesPipesDevicesAndDirectoriesAtOnce) {
  ASSERT_EQ(mkfifo(root_.Join("pipe").c_str(), 0600), 0);
  ASSERT_TRUE(std::filesystem::create_directory(root_.Join("dir")));

  const absl::Status pipe = store_.Open("pipe").status();
  const absl::Status dir = store_.Open("dir").status();

  EXPECT_EQ(pipe.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(pipe.message()), HasSubstr("is a pipe, not a file"));
  EXPECT_EQ(dir.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_.Stat("dir").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_.Delete("dir").code(), absl::StatusCode::kFailedPrecondition);
  const auto dev = ConfinedDirectory::Open("/dev", GetParam());
  ASSERT_TRUE(dev.ok());
  EXPECT_EQ(OpenLocalFile(*dev, "zero", "zero").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(LocalObjectStoreTest, WritesNothingInThePlaceOfPipesAndDirectories) {
  ASSERT_EQ(mkfifo(root_.Join("pipe").c_str(), 0600), 0);
  ASSERT_TRUE(std::filesystem::create_directory(root_.Join("dir")));

  const absl::Status pipe = Put("pipe", "x");

  EXPECT_EQ(pipe.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(pipe.message()), HasSubstr("/pipe: is a pipe, not a file"));
  EXPECT_EQ(Put("dir", "x").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(std::filesystem::is_fifo(root_.Join("pipe")));
  EXPECT_THAT(NamesOnDisk(), SizeIs(2));
}

TEST_P(LocalObjectStoreTest, FileThatShrinksWhileItIsReadIsDataLoss) {
  root_.WriteFile("x", std::string(10000, 'x'));
  auto file = store_.Open("x");
  ASSERT_TRUE(file.ok());
  std::filesystem::resize_file(root_.Join("x"), 10);

  std::string bytes(10000, '?');
  const absl::Status status = (*file)->ReadAt(0, {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()});

  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
}

TEST_P(LocalObjectStoreTest, KilledWriterLeavesNothingVisibleAndItsSpaceIsReclaimed) {
  const pid_t child = fork();
  if (child == 0) {
    auto file = store_.Create("d/x");
    if (file.ok()) (*file)->Append(AsBytes("half of it")).IgnoreError();
    kill(getpid(), SIGKILL);
  }
  int wait_status = 0;
  ASSERT_EQ(waitpid(child, &wait_status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(wait_status));

  EXPECT_THAT(store_.List("", ListScope::kRecursive).value(), IsEmpty());
  EXPECT_FALSE(std::filesystem::is_empty(root_.Join("d")));
  ASSERT_TRUE(store_.RemoveAbandonedWrites(ListScope::kDirect).ok());
  EXPECT_FALSE(std::filesystem::is_empty(root_.Join("d")));
  ASSERT_TRUE(store_.RemoveAbandonedWrites(ListScope::kRecursive).ok());
  EXPECT_TRUE(std::filesystem::is_empty(root_.Join("d")));
}

TEST_P(LocalObjectStoreTest, KilledWriterLeavesWhatItSavedForADay) {
  std::array<int, 2> pipe_ends;
  ASSERT_EQ(pipe(pipe_ends.data()), 0);
  const std::string part(kSavedPartBytes, 'p');
  const pid_t child = fork();
  if (child == 0) {
    auto file = store_.CreateResumable("d/x");
    if (file.ok() && (*file)->Append(AsBytes(part)).ok()) {
      const std::string ticket = (*file)->Save().value_or("");
      (void)!write(pipe_ends[1], ticket.data(), ticket.size());
      (*file)->Append(AsBytes("not saved")).IgnoreError();
    }
    kill(getpid(), SIGKILL);
  }
  int wait_status = 0;
  ASSERT_EQ(waitpid(child, &wait_status, 0), child);
  std::string ticket(100, '\0');
  ticket.resize(static_cast<std::size_t>(std::max<ssize_t>(0, read(pipe_ends[0], ticket.data(), ticket.size()))));
  for (int end : pipe_ends) close(end);

  ASSERT_TRUE(store_.RemoveAbandonedWrites(ListScope::kRecursive).ok());
  {
    auto file = store_.Resume("d/x", ticket);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(store_.Resume("d/x", ticket).status().code(), absl::StatusCode::kNotFound);  // one at a time
    LocalObjectStore tomorrow(ConfinedDirectory::Open(root_.path(), GetParam()).value(), {std::chrono::hours(-1)});
    ASSERT_TRUE(tomorrow.RemoveAbandonedWrites(ListScope::kRecursive).ok());  // its writer lives
    EXPECT_EQ(std::filesystem::file_size(*std::filesystem::directory_iterator(root_.Join("d"))), kSavedPartBytes);
  }
  LocalObjectStore tomorrow(ConfinedDirectory::Open(root_.path(), GetParam()).value(), {std::chrono::hours(-1)});
  ASSERT_TRUE(tomorrow.RemoveAbandonedWrites(ListScope::kRecursive).ok());

  EXPECT_TRUE(std::filesystem::is_empty(root_.Join("d")));
  EXPECT_EQ(store_.Resume("d/x", ticket).status().code(), absl::StatusCode::kNotFound);
}

TEST_P(LocalObjectStoreTest, WhatLostItsSavedBytesIsNotGoneOnWith) {
  std::string ticket;
  {
    auto file = store_.CreateResumable("d/x");
    ASSERT_TRUE((*file)->Append(AsBytes(std::string(kSavedPartBytes, 'p'))).ok());
    ticket = (*file)->Save().value();
  }
  std::filesystem::resize_file(*std::filesystem::directory_iterator(root_.Join("d")), kSavedPartBytes - 1);

  EXPECT_EQ(store_.Resume("d/x", ticket).status().code(), absl::StatusCode::kNotFound);
}

TEST_P(LocalObjectStoreTest, FullQuotaIsResourceExhaustedAndLeavesNothing) {
  const auto previous_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit previous;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &previous), 0);
  const rlimit small = {.rlim_cur = 4096, .rlim_max = previous.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);

  const absl::Status status = Put("x", std::string(10000, 'x'));

  setrlimit(RLIMIT_FSIZE, &previous);
  std::signal(SIGXFSZ, previous_handler);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(NamesOnDisk(), IsEmpty());
}

TEST_P(LocalObjectStoreTest, FileThatFailedOnceCannotBeClosed) {
  const auto previous_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit previous;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &previous), 0);
  const rlimit small = {.rlim_cur = 4096, .rlim_max = previous.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  auto file = store_.Create("x");
  ASSERT_TRUE(file.ok());
  const absl::Status too_long = (*file)->Append(AsBytes(std::string(10000, 'x')));
  setrlimit(RLIMIT_FSIZE, &previous);
  std::signal(SIGXFSZ, previous_handler);

  EXPECT_FALSE(too_long.ok());
  EXPECT_EQ((*file)->Append(AsBytes("y")), too_long);
  EXPECT_EQ((*file)->Close(), too_long);
  EXPECT_THAT(store_.List("", ListScope::kDirect).value(), IsEmpty());
}

TEST_P(LocalObjectStoreTest, FullDiskIsResourceExhaustedAndRecovers) {
  if (mount("tmpfs", root_.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "needs the right to mount a tmpfs";
  }
  LocalObjectStore small(ConfinedDirectory::Open(root_.path(), GetParam()).value());
  const auto put = [&](std::string_view key, std::size_t size_bytes) {
    auto file = small.Create(key);
    if (!file.ok()) return file.status();
    if (absl::Status status = (*file)->Append(AsBytes(std::string(size_bytes, 'x'))); !status.ok()) return status;
    return (*file)->Close();
  };

  const absl::Status too_large = put("large", 200000);
  const absl::Status after = put("small", 30000);
  const auto listed = small.List("", ListScope::kDirect);
  umount2(root_.path().c_str(), MNT_DETACH);

  EXPECT_EQ(too_large.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(after.ok()) << after;
  EXPECT_THAT(*listed, SizeIs(1));
}

TEST_P(LocalObjectStoreTest, FileInThePlaceOfADirectoryIsAnError) {
  ASSERT_TRUE(Put("x", "file").ok());

  EXPECT_FALSE(Put("x/y", "below a file").ok());
  EXPECT_EQ(store_.Open("x/y").status().code(), absl::StatusCode::kNotFound);
}

TEST_P(LocalObjectStoreTest, FilesThatAreNotObjectsAreNotListed) {
  root_.WriteFile("has space", "1");
  root_.WriteFile(".gptvq-tmp-0123", "1");
  root_.WriteFile("object", "1");

  EXPECT_THAT(store_.List("", ListScope::kDirect).value(), testing::ElementsAre(ObjectInfo{"object", 1}));
}

INSTANTIATE_TEST_SUITE_P(BothResolvers, LocalObjectStoreTest,
                         testing::Values(ConfinedDirectory::Resolver::kBest, ConfinedDirectory::Resolver::kWalk),
                         [](const auto& info) {
                           return info.param == ConfinedDirectory::Resolver::kBest ? "Best" : "Walk";
                         });

}  // namespace
}  // namespace gptvq
