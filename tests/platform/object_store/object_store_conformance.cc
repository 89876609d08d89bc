#include "tests/platform/object_store/object_store_conformance.h"

#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"

namespace gptvq {

using testing::ElementsAre;
using testing::IsEmpty;

absl::Status ObjectStoreConformance::Put(std::string_view key, std::string_view contents) {
  auto file = store_->Create(key);
  if (!file.ok()) return file.status();
  if (absl::Status status = (*file)->Append(AsBytes(contents)); !status.ok()) return status;
  return (*file)->Close();
}

std::string ObjectStoreConformance::Get(std::string_view key) {
  auto file = store_->Open(key);
  if (!file.ok()) return file.status().ToString();
  return ReadWholeFile(**file, 64 << 20).value();
}

TEST_P(ObjectStoreConformance, ReturnsWhatWasPut) {
  const std::string contents("bytes\0and more\xff", 15);

  ASSERT_TRUE(Put("a/b/c.bin", contents).ok());

  EXPECT_EQ(Get("a/b/c.bin"), contents);
  EXPECT_EQ(store_->Stat("a/b/c.bin")->size_bytes, contents.size());
  EXPECT_EQ((*store_->Open("a/b/c.bin"))->name(), "a/b/c.bin");
}

TEST_P(ObjectStoreConformance, KeepsAnEmptyObject) {
  ASSERT_TRUE(Put("empty", "").ok());

  EXPECT_EQ(Get("empty"), "");
  EXPECT_EQ(store_->Stat("empty")->size_bytes, 0u);
}

TEST_P(ObjectStoreConformance, JoinsPiecesInOrder) {
  auto file = store_->Create("pieces");
  ASSERT_TRUE(file.ok());
  for (const char* piece : {"one", "", "two", "three"}) ASSERT_TRUE((*file)->Append(AsBytes(piece)).ok());
  ASSERT_TRUE((*file)->Close().ok());

  EXPECT_EQ(Get("pieces"), "onetwothree");
}

TEST_P(ObjectStoreConformance, ShowsNothingBeforeClose) {
  auto file = store_->Create("d/x");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append(AsBytes("half")).ok());

  EXPECT_EQ(store_->Open("d/x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Stat("d/x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(store_->List("", ListScope::kRecursive).value(), IsEmpty());
}

TEST_P(ObjectStoreConformance, LeavesTheOldObjectWhenAWriteIsDropped) {
  ASSERT_TRUE(Put("x", "old").ok());

  { ASSERT_TRUE((*store_->Create("x"))->Append(AsBytes("new")).ok()); }

  EXPECT_EQ(Get("x"), "old");
}

TEST_P(ObjectStoreConformance, ReaderOfAReplacedOrDeletedObjectNeverSeesOtherBytes) {
  ASSERT_TRUE(Put("x", "old").ok());
  ASSERT_TRUE(Put("y", "gone").ok());
  auto reader_of_replaced = store_->Open("x");
  auto reader_of_deleted = store_->Open("y");
  ASSERT_TRUE(reader_of_replaced.ok() && reader_of_deleted.ok());

  ASSERT_TRUE(Put("x", "newer").ok());
  ASSERT_TRUE(store_->Delete("y").ok());

  EXPECT_EQ(Get("x"), "newer");
  const absl::StatusOr<std::string> replaced = ReadWholeFile(**reader_of_replaced, 10);
  const absl::StatusOr<std::string> deleted = ReadWholeFile(**reader_of_deleted, 10);
  if (GetParam().old_objects == OldObjects::kStayReadable) {
    EXPECT_EQ(*replaced, "old");
    EXPECT_EQ(*deleted, "gone");
  } else {
    EXPECT_EQ(replaced.status().code(), absl::StatusCode::kFailedPrecondition) << replaced.status();
    EXPECT_EQ(deleted.status().code(), absl::StatusCode::kFailedPrecondition) << deleted.status();
  }
}

TEST_P(ObjectStoreConformance, ReadsRangesAndRefusesThosePastTheEnd) {
  ASSERT_TRUE(Put("x", "0123456789").ok());
  auto file = store_->Open("x");
  ASSERT_TRUE(file.ok());
  std::string bytes(3, '?');
  const auto read = [&](std::uint64_t offset) {
    return (*file)->ReadAt(offset, {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()});
  };

  EXPECT_TRUE(read(7).ok());
  EXPECT_EQ(bytes, "789");
  EXPECT_EQ(read(8).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(read(~0ull).code(), absl::StatusCode::kOutOfRange);
}

TEST_P(ObjectStoreConformance, ListsSortedByScope) {
  for (const char* key : {"b/z", "a", "b/c/y", "c", "b/a"}) ASSERT_TRUE(Put(key, "12").ok());

  EXPECT_THAT(store_->List("", ListScope::kDirect).value(), ElementsAre(ObjectInfo{"a", 2}, ObjectInfo{"c", 2}));
  EXPECT_THAT(store_->List("b", ListScope::kDirect).value(), ElementsAre(ObjectInfo{"b/a", 2}, ObjectInfo{"b/z", 2}));
  EXPECT_THAT(store_->List("b", ListScope::kRecursive).value(),
              ElementsAre(ObjectInfo{"b/a", 2}, ObjectInfo{"b/c/y", 2}, ObjectInfo{"b/z", 2}));
  EXPECT_THAT(store_->List("nowhere", ListScope::kRecursive).value(), IsEmpty());
}

TEST_P(ObjectStoreConformance, DeletesAndForgivesASecondDelete) {
  ASSERT_TRUE(Put("d/x", "1").ok());

  EXPECT_TRUE(store_->Delete("d/x").ok());
  EXPECT_TRUE(store_->Delete("d/x").ok());
  EXPECT_TRUE(store_->Delete("never/was").ok());

  EXPECT_EQ(store_->Open("d/x").status().code(), absl::StatusCode::kNotFound);
}

TEST_P(ObjectStoreConformance, PutsANewObjectAndForgivesTheSameBytesAgain) {
  ASSERT_TRUE(store_->PutNew("d/new", AsBytes("bytes")).ok());

  EXPECT_TRUE(store_->PutNew("d/new", AsBytes("bytes")).ok());
  EXPECT_EQ(Get("d/new"), "bytes");
  ASSERT_TRUE(store_->PutNew("d/empty", AsBytes("")).ok());
  EXPECT_EQ(Get("d/empty"), "");
  ASSERT_TRUE(Put("d/new", "replaced").ok());
  EXPECT_EQ(Get("d/new"), "replaced");
}

TEST_P(ObjectStoreConformance, NewObjectsReplaceNothing) {
  ASSERT_TRUE(Put("x", "first").ok());

  for (const char* other : {"other", "longer than that", "", "firsT"}) {
    const absl::Status refused = store_->PutNew("x", AsBytes(other));
    EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists) << refused;
    EXPECT_THAT(refused.message(), testing::HasSubstr("/x"));
  }

  EXPECT_EQ(Get("x"), "first");
  EXPECT_THAT(store_->List("", ListScope::kRecursive).value(), ElementsAre(ObjectInfo{"x", 5}));
}

TEST_P(ObjectStoreConformance, OfManyThatPutDifferentBytesAtOnceOneSucceeds) {
  constexpr int kRounds = 8;
  constexpr int kWriters = 8;
  for (int round = 0; round < kRounds; ++round) {
    const std::string key = "race/" + std::to_string(round);
    std::atomic<int> winner = -1;
    std::atomic<int> winners = 0;
    std::vector<std::thread> writers;
    std::latch begin(kWriters);
    for (int writer = 0; writer < kWriters; ++writer) {
      writers.emplace_back([&, writer] {
        begin.arrive_and_wait();
        const absl::Status put = store_->PutNew(key, AsBytes("of writer " + std::to_string(writer)));
        if (put.ok()) {
          winner = writer;
          ++winners;
        } else {
          EXPECT_EQ(put.code(), absl::StatusCode::kAlreadyExists) << put;
        }
      });
    }
    for (std::thread& writer : writers) writer.join();

    EXPECT_EQ(winners, 1);
    EXPECT_EQ(Get(key), "of writer " + std::to_string(winner));
  }
}

// Bytes that no two parts have in common.
std::string Parts(double count) {
  std::string bytes(static_cast<std::size_t>(count * kSavedPartBytes), '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i ^ (i >> 8) ^ (i >> 16));
  return bytes;
}

TEST_P(ObjectStoreConformance, GoesOnBehindWhatWasSaved) {
  const std::string contents = Parts(3.25);
  const std::string_view text = contents;
  std::vector<std::string> tickets;
  {
    auto first = store_->CreateResumable("d/x");
    ASSERT_TRUE(first.ok()) << first.status();
    for (int part = 0; part < 2; ++part) {
      ASSERT_TRUE((*first)->Append(AsBytes(text.substr(part * kSavedPartBytes, kSavedPartBytes))).ok());
      const absl::StatusOr<std::string> ticket = (*first)->Save();
      ASSERT_TRUE(ticket.ok()) << ticket.status();
      tickets.push_back(*ticket);
    }
    ASSERT_TRUE((*first)->Append(AsBytes("lost with its writer")).ok());
  }
  EXPECT_EQ(store_->Stat("d/x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(store_->List("", ListScope::kRecursive).value(), IsEmpty());

  {
    auto second = store_->Resume("d/x", tickets[1]);
    ASSERT_TRUE(second.ok()) << second.status();
    ASSERT_TRUE((*second)->Append(AsBytes("lost as well")).ok());
  }
  {
    auto third = store_->Resume("d/x", tickets[0]);  // an earlier ticket
    ASSERT_TRUE(third.ok()) << third.status();
    ASSERT_TRUE((*third)->Append(AsBytes(text.substr(kSavedPartBytes, kSavedPartBytes))).ok());
    tickets[1] = (*third)->Save().value();
  }
  auto last = store_->Resume("d/x", tickets[1]);
  ASSERT_TRUE(last.ok()) << last.status();
  ASSERT_TRUE((*last)->Append(AsBytes(text.substr(2 * kSavedPartBytes))).ok());
  const absl::Status closed = (*last)->Close();

  ASSERT_TRUE(closed.ok()) << closed;
  EXPECT_TRUE(Get("d/x") == contents);
}

TEST_P(ObjectStoreConformance, WhatEndsWithItsLastSavedPartIsWhole) {
  const std::string contents = Parts(2);
  auto file = store_->CreateResumable("x");
  ASSERT_TRUE((*file)->Append(AsBytes(contents)).ok());
  ASSERT_TRUE((*file)->Save().ok());

  const absl::Status closed = (*file)->Close();

  ASSERT_TRUE(closed.ok()) << closed;
  EXPECT_TRUE(Get("x") == contents);
}

TEST_P(ObjectStoreConformance, ResumableObjectNeedNotBeSaved) {
  auto file = store_->CreateResumable("x");
  ASSERT_TRUE((*file)->Append(AsBytes("short")).ok());
  ASSERT_TRUE((*file)->Close().ok());
  { ASSERT_TRUE((*store_->CreateResumable("y"))->Append(AsBytes("dropped")).ok()); }

  EXPECT_EQ(Get("x"), "short");
  EXPECT_THAT(store_->List("", ListScope::kRecursive).value(), ElementsAre(ObjectInfo{"x", 5}));
}

TEST_P(ObjectStoreConformance, NothingIsLeftBehindATicketOfWhatWasClosedOrDiscarded) {
  std::vector<std::string> tickets;
  for (const bool is_closed : {true, false}) {
    auto file = store_->CreateResumable("x");
    ASSERT_TRUE((*file)->Append(AsBytes(Parts(1))).ok());
    tickets.push_back((*file)->Save().value());
    if (is_closed) {
      ASSERT_TRUE((*file)->Append(AsBytes("end")).ok());
      ASSERT_TRUE((*file)->Close().ok());
    } else {
      (*file)->Discard();
    }
  }

  for (const std::string& ticket : tickets) {
    EXPECT_EQ(store_->Resume("x", ticket).status().code(), absl::StatusCode::kNotFound);
  }
  EXPECT_TRUE(Get("x") == Parts(1) + "end");
}

TEST_P(ObjectStoreConformance, RefusesWhatIsNoTicket) {
  for (const char* text : {"", " ", "x", "x ", " 8388608", "../x 8388608 ", "x\ny z  "}) {
    EXPECT_EQ(store_->Resume("d/x", text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST_P(ObjectStoreConformance, KeepsWhatWasSavedWhenAbandonedWritesAreRemoved) {
  std::string ticket;
  {
    auto file = store_->CreateResumable("d/x");
    ASSERT_TRUE((*file)->Append(AsBytes(Parts(1))).ok());
    ticket = (*file)->Save().value();
  }

  ASSERT_TRUE(store_->RemoveAbandonedWrites(ListScope::kRecursive).ok());

  auto file = store_->Resume("d/x", ticket);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Append(AsBytes("end")).ok());
  ASSERT_TRUE((*file)->Close().ok());
  EXPECT_TRUE(Get("d/x") == Parts(1) + "end");
}

TEST_P(ObjectStoreConformance, RefusesKeysThatAreNotKeys) {
  const std::string long_key = std::string(255, 'a') + "/" + std::string(255, 'b') + "/" + std::string(255, 'c') + "/" +
                               std::string(255, 'd') + "/e";
  std::string deep_key = "a";
  for (int i = 0; i < kMaxKeySegments; ++i) deep_key += "/a";
  const std::string nul_key("a\0b", 3);
  for (const std::string& key :
       std::vector<std::string>{"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a\\b", nul_key, "%2e%2e/a",
                                "a b", "\xc3\xa9", ".gptvq-tmp-1", "a/.gptvq-tmp-1", long_key, deep_key}) {
    EXPECT_EQ(store_->Open(key).status().code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_EQ(store_->Create(key).status().code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_EQ(store_->CreateResumable(key).status().code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_EQ(store_->Resume(key, "x 8388608").status().code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_EQ(store_->Stat(key).status().code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_EQ(store_->Delete(key).code(), absl::StatusCode::kInvalidArgument) << key;
  }
}

TEST_P(ObjectStoreConformance, KeepsWritesInProgressWhenAbandonedOnesAreRemoved) {
  auto file = store_->Create("d/x");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append(AsBytes("alive")).ok());

  ASSERT_TRUE(store_->RemoveAbandonedWrites(ListScope::kRecursive).ok());

  ASSERT_TRUE((*file)->Close().ok());
  EXPECT_EQ(Get("d/x"), "alive");
}

}  // namespace gptvq
