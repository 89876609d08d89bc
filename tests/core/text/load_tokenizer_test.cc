#include <string>

#include "core/base/memory_file.h"
#include "core/text/tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kTokenizerJson = R"({"added_tokens": [{"id": 1, "content": "<s>", "special": true}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "model": {"vocab": {"a": 0}, "merges": []}})";
// Three pieces: <unk> (unknown), <s> (control), a; model_type BPE.
const std::string kTokenizerModel = std::string("\x0a\x09\x0a\x05<unk>\x18\x02") + "\x0a\x07\x0a\x03<s>\x18\x03" +
                                    "\x0a\x03\x0a\x01"
                                    "a" +
                                    "\x12\x02\x18\x02";

TEST(LoadTokenizer, PrefersTokenizerJson) {
  MemoryDirectory directory;
  directory.Put("tokenizer.model", kTokenizerModel);
  const auto from_model = LoadTokenizer(directory);
  directory.Put("tokenizer.json", kTokenizerJson);
  const auto from_json = LoadTokenizer(directory);

  ASSERT_TRUE(from_model.ok()) << from_model.status();
  ASSERT_TRUE(from_json.ok()) << from_json.status();
  EXPECT_EQ((*from_model)->vocabulary_size(), 3);
  EXPECT_THAT((*from_model)->special_tokens().document_prefix, ElementsAre(1));
  EXPECT_EQ((*from_json)->vocabulary_size(), 2);
  EXPECT_THAT((*from_json)->special_tokens().document_prefix, IsEmpty());
}

TEST(LoadTokenizer, ReadsTheNamesOfBosAndEosWhereverTheyStand) {
  MemoryDirectory directory;
  directory.Put("tokenizer.json", kTokenizerJson);
  directory.Put("special_tokens_map.json", R"({"bos_token": "a", "eos_token": {"content": "a", "lstrip": false}})");
  directory.Put("tokenizer_config.json", R"({"bos_token": "<s>", "add_bos_token": true, "eos_token": null,
                                             "model_max_length": 1000000000000000019884624838656})");

  const auto tokenizer = LoadTokenizer(directory);

  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->special_tokens().bos, 1);
  EXPECT_EQ((*tokenizer)->special_tokens().eos, 0);
  EXPECT_THAT((*tokenizer)->special_tokens().document_prefix, ElementsAre(1));
}

TEST(LoadTokenizer, NamesTheFileOfAnError) {
  MemoryDirectory directory("model-x");
  EXPECT_EQ(LoadTokenizer(directory).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(LoadTokenizer(directory).status().message()), HasSubstr("model-x"));

  directory.Put("tokenizer.model", "junk");
  EXPECT_THAT(std::string(LoadTokenizer(directory).status().message()), HasSubstr("tokenizer.model: "));
  directory.Put("tokenizer.json", "{");
  EXPECT_THAT(std::string(LoadTokenizer(directory).status().message()), HasSubstr("tokenizer.json: "));
  directory.Put("tokenizer_config.json", R"({"add_bos_token": 1})");
  EXPECT_THAT(std::string(LoadTokenizer(directory).status().message()),
              HasSubstr("tokenizer_config.json: add_bos_token: not true or false"));
  directory.Put("tokenizer_config.json", R"({"bos_token": 1})");
  EXPECT_THAT(std::string(LoadTokenizer(directory).status().message()), HasSubstr("bos_token: neither a string"));
}

}  // namespace
}  // namespace gptvq
