#include "platform/object_store/windowed_file.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/memory_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::Pair;

// [offset, length] of every read.
using Reads = std::vector<std::pair<std::uint64_t, std::size_t>>;

class CountingFile final : public RandomAccessFile {
 public:
  CountingFile(std::string contents, Reads& reads, absl::Status first = absl::OkStatus())
      : file_("counted", std::move(contents)), reads_(reads), next_(std::move(first)) {}

  std::string_view name() const override { return file_.name(); }
  std::uint64_t size() const override { return file_.size(); }
  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override {
    reads_.emplace_back(offset, bytes_out.size());
    if (!next_.ok()) return std::exchange(next_, absl::OkStatus());
    return file_.ReadAt(offset, bytes_out);
  }

 private:
  const MemoryFile file_;
  Reads& reads_;
  mutable absl::Status next_;  // what the next read ends with
};

// No two places within a window look alike.
std::string Contents(std::size_t bytes) {
  std::string contents(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) contents[i] = static_cast<char>(i * 2654435761u >> 24);
  return contents;
}

absl::StatusOr<std::string> Read(const RandomAccessFile& file, std::uint64_t offset, std::size_t bytes) {
  std::string read(bytes, '\0');
  const absl::Status status = file.ReadAt(offset, {reinterpret_cast<std::byte*>(read.data()), read.size()});
  if (!status.ok()) return status;
  return read;
}

TEST(WindowedFile, FetchesNeighboursWithTheFirstOfThem) {
  const std::string contents = Contents(4 * kReadWindowBytes);
  Reads reads;
  const WindowedFile file(std::make_unique<CountingFile>(contents, reads));

  EXPECT_EQ(*Read(file, 0, 8), contents.substr(0, 8));
  EXPECT_EQ(*Read(file, 8, 2000), contents.substr(8, 2000));
  EXPECT_EQ(*Read(file, kReadWindowBytes - 5, 5), contents.substr(kReadWindowBytes - 5, 5));
  EXPECT_THAT(reads, ElementsAre(Pair(0, kReadWindowBytes)));
}

TEST(WindowedFile, ReadsEveryPlaceRightInWhateverOrder) {
  const std::string contents = Contents(3 * kReadWindowBytes + 17);
  Reads reads;
  const WindowedFile file(std::make_unique<CountingFile>(contents, reads));

  for (const std::size_t length : {std::size_t{1}, kReadWindowBytes / 2, kReadWindowBytes / 2 + 1, kReadWindowBytes}) {
    for (const std::size_t step : {0, 1, 2, 3, 4, 5, 6, 3, 1}) {
      const std::size_t offset = std::min(step * (kReadWindowBytes / 2) + step, contents.size() - length);
      EXPECT_EQ(*Read(file, offset, length), contents.substr(offset, length)) << offset << " " << length;
    }
  }
}

TEST(WindowedFile, ReadsAShortFileWholeAndNothingPastItsEnd) {
  const std::string contents = Contents(100);
  Reads reads;
  const WindowedFile file(std::make_unique<CountingFile>(contents, reads));

  EXPECT_EQ(*Read(file, 90, 10), contents.substr(90));
  EXPECT_EQ(*Read(file, 0, 100), contents);
  EXPECT_EQ(*Read(file, 100, 0), "");
  EXPECT_TRUE(absl::IsOutOfRange(Read(file, 91, 10).status()));
  EXPECT_TRUE(absl::IsOutOfRange(Read(file, ~0ull, 1).status()));
  EXPECT_EQ(reads.front(), std::make_pair(std::uint64_t{0}, std::size_t{100}));
}

TEST(WindowedFile, LongReadsFetchNoMoreThanTheyNeed) {
  Reads reads;
  const WindowedFile file(std::make_unique<CountingFile>(Contents(4 * kReadWindowBytes), reads));
  const std::size_t length = kReadWindowBytes / 2 + 1;

  ASSERT_TRUE(Read(file, 7, length).ok());

  EXPECT_THAT(reads, ElementsAre(Pair(7, length)));
}

TEST(WindowedFile, WindowThatCouldNotBeReadIsReadAgain) {
  Reads reads;
  const WindowedFile file(std::make_unique<CountingFile>("contents", reads, absl::UnavailableError("away")));

  EXPECT_TRUE(absl::IsUnavailable(Read(file, 0, 3).status()));
  EXPECT_EQ(*Read(file, 0, 3), "con");
  EXPECT_EQ(reads.size(), 2u);
}

TEST(WindowedFile, ThreadsThatReadAtOnceReadTheirOwnPlaces) {
  const std::string contents = Contents(8 * kReadWindowBytes);
  const WindowedFile file(std::make_unique<MemoryFile>("shared", contents));
  std::atomic<int> wrong = 0;

  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 200; ++i) {
        const std::size_t offset = (i * 7919 + t * 104729) % (contents.size() - 100);
        wrong += Read(file, offset, 100).value_or("") != contents.substr(offset, 100);
      }
    });
  }
  threads.clear();

  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace gptvq
