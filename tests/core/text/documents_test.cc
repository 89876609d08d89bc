#include "core/text/documents.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/memory_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// What the reader hands over: "(text" or "(1,2", with "(" where a document begins and ")" where it ends.
absl::StatusOr<std::vector<std::string>> Read(const std::string& contents, DocumentFormat format,
                                              const DocumentOptions& options = {.vocabulary_size = 100}) {
  std::vector<std::string> parts;
  const absl::Status status =
      ReadDocuments(MemoryFile("calib", contents), format, options, [&](const DocumentPart& part) {
        std::string written = part.begins_document ? "(" : "";
        written += part.text;
        for (const TokenId id : part.ids) absl::StrAppend(&written, id, ",");
        parts.push_back(written + (part.ends_document ? ")" : ""));
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return parts;
}

void ExpectRefused(const std::string& contents, DocumentFormat format, const std::string& words) {
  const auto status = Read(contents, format).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("calib: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr(words));
}

TEST(ReadDocuments, APlainTextIsOneDocument) {
  EXPECT_THAT(*Read("one\r\ntwo\n\nthree", DocumentFormat::kText), ElementsAre("(one\r\ntwo\n\nthree)"));
  EXPECT_THAT(*Read("\xEF\xBB\xBFmarked\n", DocumentFormat::kText), ElementsAre("(marked\n)"));
  EXPECT_THAT(*Read("", DocumentFormat::kText), IsEmpty());
}

TEST(ReadDocuments, ALongTextComesInPartsOfWholeLines) {
  const DocumentOptions options{.part_bytes = 8};

  EXPECT_THAT(*Read("123\n567\n9\nlonger than that\nend", DocumentFormat::kText, options),
              ElementsAre("(123\n567\n", "9\n", "longer than that\n", "end)"));
}

// A line may lie across any number of the blocks that are read.
TEST(ReadDocuments, LinesMayBeLongerThanABlock) {
  std::string contents;
  std::vector<std::string> expected;
  for (const std::size_t size : {3u << 20, 10u, (1u << 20) - 1, 1u << 20, 5u}) {
    contents += std::string(size, 'x') + "\n";
    expected.push_back((expected.empty() ? "(" : "") + std::string(size, 'x') + "\n");
  }
  expected.back() += ")";

  EXPECT_EQ(*Read(contents, DocumentFormat::kText, {.part_bytes = 1}), expected);
}

TEST(ReadDocuments, TakesTheTextOfEveryJsonLine) {
  const std::string lines = "{\"text\": \"one\\n\", \"id\": 1}\r\n\n  \n{\"text\": \"\"}\n{\"text\": \"tw\\u00f6\"}";

  EXPECT_THAT(*Read(lines, DocumentFormat::kJsonlText), ElementsAre("(one\n)", "(tw\u00f6)"));
  EXPECT_THAT(*Read("{\"content\": \"x\"}", DocumentFormat::kJsonlText, {.text_key = "content"}), ElementsAre("(x)"));
}

TEST(ReadDocuments, TakesTheIdsOfEveryLine) {
  EXPECT_THAT(
      *Read("{\"input_ids\": [1, 99, 0]}\n{\"input_ids\": []}\n{\"input_ids\": [5]}", DocumentFormat::kJsonlIds),
      ElementsAre("(1,99,0,)", "(5,)"));
  EXPECT_THAT(*Read("1 2,3\n\n\t4,  5\r\n99", DocumentFormat::kIdLines), ElementsAre("(1,2,3,)", "(4,5,)", "(99,)"));
}

TEST(ReadDocuments, NamesLineAndByteOfWhatIsNotText) {
  ExpectRefused("ab\ncd\xff", DocumentFormat::kText, "line 2: not UTF-8 at byte 5 of the file");
  ExpectRefused("ab\nc\xe2\x82\nd", DocumentFormat::kText, "line 2: not UTF-8 at byte 4 of the file");
  ExpectRefused(std::string("ab\n\0", 4), DocumentFormat::kText, "line 2: a NUL byte at byte 3");
  ExpectRefused("{\"text\": \"\xff\"}", DocumentFormat::kJsonlText, "line 1: not UTF-8 at byte 10");
}

TEST(ReadDocuments, NamesTheLineOfBadJson) {
  const std::string good = "{\"text\": \"x\"}\n";
  const auto format = DocumentFormat::kJsonlText;
  ExpectRefused(good + "{\"text\": }", format, "line 2: column 10: not valid JSON");
  ExpectRefused(good + "{\"text\": 3}", format, "line 2: text is not a string");
  ExpectRefused(good + "\n[1]", format, "line 3: not a JSON object");
  ExpectRefused(good + "{\"body\": \"x\", \"url\": 1}", format, "line 2: no key 'text'; the keys are: body, url");
  ExpectRefused(good + "{\"text\": \"a\", \"text\": \"b\"}", format, "line 2: duplicate key");
  ExpectRefused(good + std::string(100000, '['), format, "line 2: nested deeper");
}

TEST(ReadDocuments, NamesTheIndexOfABadId) {
  ExpectRefused("{\"input_ids\": [1, 100]}", DocumentFormat::kJsonlIds, "line 1: id 100 at index 1 is outside");
  ExpectRefused("{\"input_ids\": [1, 2, -1]}", DocumentFormat::kJsonlIds, "input_ids[2] is not a token id");
  ExpectRefused("{\"input_ids\": [1.5]}", DocumentFormat::kJsonlIds, "input_ids[0] is not a token id");
  ExpectRefused("{\"input_ids\": [18446744073709551615]}", DocumentFormat::kJsonlIds, "at index 0 is outside");
  ExpectRefused("{\"input_ids\": 7}", DocumentFormat::kJsonlIds, "input_ids is not an array");
  ExpectRefused("1 2\n3 x4", DocumentFormat::kIdLines, "line 2: 'x4' at index 1 is not a token id");
  ExpectRefused("1 -2", DocumentFormat::kIdLines, "'-2' at index 1");
  ExpectRefused("1 2 100", DocumentFormat::kIdLines, "line 1: id 100 at index 2 is outside the vocabulary of 100");
  ExpectRefused("99999999999999999999", DocumentFormat::kIdLines, "at index 0 is not a token id");
}

TEST(ReadDocuments, RefusesALineThatIsTooLong) {
  const DocumentOptions options{.vocabulary_size = 10, .max_line_bytes = 10};
  for (const DocumentFormat format : {DocumentFormat::kText, DocumentFormat::kJsonlText, DocumentFormat::kIdLines}) {
    const auto status = Read("          \n           \n", format, options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("line 2, from byte 11 on, is longer than 10 bytes"));
  }
  // A line without an end is not read to its end.
  EXPECT_EQ(Read(std::string(40 << 20, 'x'), DocumentFormat::kText).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ReadDocuments, RefusesCompressedFilesByKind) {
  const std::pair<std::string, const char*> files[] = {{"\x1f\x8b\x08", "a gzip file"},
                                                       {"\x28\xb5\x2f\xfd", "a zstd file"},
                                                       {"PK\x03\x04", "a zip file"},
                                                       {"BZh91AY", "a bzip2 file"},
                                                       {"PAR1\x15", "a Parquet file"}};
  for (const auto& [contents, words] : files) ExpectRefused(contents, DocumentFormat::kText, words);
  ExpectRefused(std::string("\xfd"
                            "7zXZ\0\0",
                            7),
                DocumentFormat::kIdLines, "a xz file");
}

TEST(DetectDocumentFormat, GoesByNameAndFirstLine) {
  const auto detect = [](const std::string& name, const std::string& contents) {
    return DetectDocumentFormat(MemoryFile(name, contents), {});
  };
  EXPECT_EQ(*detect("a.txt", "{\"text\": 1}"), DocumentFormat::kText);
  EXPECT_EQ(*detect("a", ""), DocumentFormat::kText);
  EXPECT_EQ(*detect("a.ids", "1 2"), DocumentFormat::kIdLines);
  EXPECT_EQ(*detect("a.jsonl", "\n{\"text\": 1}"), DocumentFormat::kJsonlText);
  EXPECT_EQ(*detect("a.ndjson", "{\"input_ids\": []}"), DocumentFormat::kJsonlIds);
  EXPECT_EQ(*detect("a.jsonl", ""), DocumentFormat::kJsonlText);
  EXPECT_THAT(std::string(detect("a.jsonl", "{\"body\": 1}").status().message()),
              HasSubstr("a.jsonl: line 1: no key 'text' or 'input_ids'; the keys are: body"));
  EXPECT_FALSE(detect("a.jsonl", "\x1f\x8b").ok());
}

}  // namespace
}  // namespace gptvq
