#include "core/text/tokenizer_json.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A tokenizer.json in parts, each of which a test may replace.
struct Json {
  std::string added_tokens = R"([{"id": 6, "content": "<s>", "special": true, "normalized": false}])";
  std::string normalizer = "null";
  std::string pre_tokenizer = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true})";
  std::string post_processor = "null";
  std::string options = R"("type": "BPE", "unk_token": null)";
  std::string vocab = R"({"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "Ã©": 5})";
  std::string merges = R"(["a b", "Ġ ab"])";

  std::string Text() const {
    return absl::StrCat(R"({"version": "1.0", "truncation": {"max_length": 1}, "added_tokens": )", added_tokens,
                        R"(, "normalizer": )", normalizer, R"(, "pre_tokenizer": )", pre_tokenizer,
                        R"(, "post_processor": )", post_processor, R"(, "model": {)", options, R"(, "vocab": )", vocab,
                        R"(, "merges": )", merges, "}}");
  }
};

std::unique_ptr<Tokenizer> Parse(const Json& json, const TokenizerConfig& config = {}) {
  auto tokenizer = ParseTokenizerJson(json.Text(), config);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

void ExpectRefused(const Json& json, absl::StatusCode code, const std::string& words) {
  const auto status = ParseTokenizerJson(json.Text()).status();
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(words));
}

TEST(TokenizerJson, EncodesByteLevelTextAndDecodesItAgain) {
  const auto tokenizer = Parse(Json());

  EXPECT_THAT(*tokenizer->Encode("ab ab<s>ba"), ElementsAre(3, 4, 6, 1, 0));
  EXPECT_EQ(tokenizer->Decode({3, 4, 6, 1, 0}), "ab ab<s>ba");
  EXPECT_THAT(*tokenizer->Encode(""), IsEmpty());
  EXPECT_EQ(tokenizer->vocabulary_size(), 7);
  EXPECT_EQ(tokenizer->Kind(6), TokenKind::kSpecial);
  EXPECT_EQ(tokenizer->Kind(5), TokenKind::kNormal);
}

TEST(TokenizerJson, TakesMergesAsPairsAndAsStrings) {
  Json json;
  json.merges = R"([["a", "b"], ["Ġ", "ab"]])";

  EXPECT_THAT(*Parse(json)->Encode("ab ab"), ElementsAre(3, 4));
}

TEST(TokenizerJson, DecodesIdsThatCutACharacterOrDoNotExist) {
  Json json;
  json.vocab = R"({"a": 0, "Ã": 1, "©": 2})";
  json.merges = "[]";
  const auto tokenizer = Parse(json);

  EXPECT_THAT(*tokenizer->Encode("\u00e9"), ElementsAre(1, 2));
  EXPECT_EQ(tokenizer->Decode({1, 2, 0}), "\u00e9a");
  EXPECT_EQ(tokenizer->Decode({1, 0, 99, -1}), "\uFFFDa\uFFFD\uFFFD");
}

TEST(TokenizerJson, RefusesTextThatIsNotUtf8WithItsOffset) {
  const auto status = Parse(Json())->Encode("ab\xff").status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("byte 2"));
}

TEST(TokenizerJson, NormalizesBeforeItSplits) {
  Json json;
  json.normalizer = R"({"type": "Sequence", "normalizers": [{"type": "NFC"}]})";
  json.vocab = R"({"a": 0, "Ã": 1, "©": 2, "Ã©": 3})";
  json.merges = R"(["Ã ©"])";
  json.added_tokens = "[]";

  EXPECT_THAT(*Parse(json)->Encode("ae\u0301"), ElementsAre(0, 3));  // "e" + U+0301 alone has no tokens
}

TEST(TokenizerJson, ReadsLlama2FilesWithByteFallback) {
  Json json;
  json.normalizer = R"({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})";
  json.pre_tokenizer = "null";
  json.options = R"("type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true)";
  json.vocab = R"({"<unk>": 0, "<s>": 1, "<0xC3>": 2, "<0xA9>": 3, "a": 4, "▁": 5, "▁a": 6})";
  json.merges = R"(["▁ a"])";
  json.added_tokens = R"([{"id": 1, "content": "<s>", "special": true, "normalized": false}])";
  json.post_processor = R"({"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}})";
  const auto tokenizer = Parse(json);

  EXPECT_THAT(*tokenizer->Encode("a a\u00e9\u00ea<s>a"), ElementsAre(6, 6, 2, 3, 0, 1, 6));
  EXPECT_EQ(tokenizer->Decode({6, 6, 2, 3}), "a a\u00e9");
  EXPECT_THAT(tokenizer->special_tokens().document_prefix, ElementsAre(1));
  EXPECT_EQ(tokenizer->special_tokens().bos, 1);
  EXPECT_EQ(tokenizer->Kind(2), TokenKind::kByte);
  EXPECT_EQ(tokenizer->Kind(0), TokenKind::kUnknown);
}

TEST(TokenizerJson, MatchesNormalizedAddedTokensInNormalizedText) {
  Json json;
  json.normalizer = R"({"type": "Replace", "pattern": {"String": " "}, "content": "b"})";
  json.added_tokens =
      R"([{"id": 6, "content": "a a", "normalized": true}, {"id": 7, "content": "a  a", "normalized": false}])";

  EXPECT_THAT(*Parse(json)->Encode("aba"), ElementsAre(6));
  EXPECT_THAT(*Parse(json)->Encode("a  a"), ElementsAre(7));
}

TEST(TokenizerJson, TheConfigDecidesOverTheTokensAroundADocument) {
  const TokenizerConfig adds{.bos_token = "<s>", .eos_token = "ab", .add_bos_token = true, .add_eos_token = true};
  const TokenizerConfig only_names{.bos_token = "<s>", .add_bos_token = false};

  const SpecialTokens with_both = Parse(Json(), adds)->special_tokens();
  EXPECT_THAT(with_both.document_prefix, ElementsAre(6));
  EXPECT_THAT(with_both.document_suffix, ElementsAre(3));
  EXPECT_EQ(with_both.eos, 3);
  const SpecialTokens with_name = Parse(Json(), only_names)->special_tokens();
  EXPECT_EQ(with_name.bos, 6);
  EXPECT_THAT(with_name.document_prefix, IsEmpty());
  EXPECT_FALSE(with_name.eos.has_value());

  const TokenizerConfig unknown{.bos_token = "<x>", .add_bos_token = true};
  EXPECT_THAT(std::string(ParseTokenizerJson(Json().Text(), unknown).status().message()), HasSubstr("'<x>'"));
}

TEST(TokenizerJson, RefusesIdsThatWouldMakeTablesHuge) {
  Json json;
  json.vocab = R"({"a": 0, "b": 2147483647})";
  json.merges = "[]";
  ExpectRefused(json, absl::StatusCode::kInvalidArgument, "model.vocab['b']: id 2147483647 is far above");

  json = Json();
  json.added_tokens = R"([{"id": 1000000, "content": "<s>"}])";
  ExpectRefused(json, absl::StatusCode::kInvalidArgument, "added_tokens[0].id");
}

TEST(TokenizerJson, RefusesAVocabularyThatContradictsItself) {
  const std::pair<const char*, const char*> vocabularies[] = {
      {R"({"a": 0, "b": 0})", "id 0 is already that of 'a'"},
      {R"({"a": 0, "b": -1})", "model.vocab['b']: not an id"},
      {R"({"a": 0, "b": 1.5})", "model.vocab['b']: not an id"},
      {R"({"a": 0, "b": "1"})", "model.vocab['b']: not an id"},
      {"{}", "model.vocab: not an object with at least one token"},
      {"[]", "model.vocab"},
      {R"({"a": 0, "a": 1})", "duplicate key"}};
  for (const auto& [vocab, words] : vocabularies) {
    Json json;
    json.vocab = vocab;
    json.merges = "[]";
    ExpectRefused(json, absl::StatusCode::kInvalidArgument, words);
  }
}

TEST(TokenizerJson, RefusesMergesOfUnknownTokens) {
  const std::pair<const char*, const char*> lists[] = {
      {R"(["a x"])", "model.merges[0]: 'x' is not in the vocabulary"},
      {R"(["a b", "b a"])", "model.merges[1]: 'ba' is not in the vocabulary"},
      {R"(["ab"])", "model.merges[0]: not two tokens"},
      {R"(["a b b"])", "not two tokens"},
      {R"([["a"]])", "not a pair"},
      {R"([1])", "not an array"},
      {"null", "model.merges: not an array"}};
  for (const auto& [merges, words] : lists) {
    Json json;
    json.merges = merges;
    ExpectRefused(json, absl::StatusCode::kInvalidArgument, words);
  }
}

TEST(TokenizerJson, RefusesAddedTokensThatCollide) {
  const std::pair<const char*, const char*> lists[] = {
      {R"([{"id": 6, "content": "<s>"}, {"id": 6, "content": "<t>"}])", "added_tokens[1]: id 6 is another token's"},
      {R"([{"id": 6, "content": "<s>"}, {"id": 7, "content": "<s>"}])", "added_tokens[1]: '<s>' is there twice"},
      {R"([{"id": 1, "content": "<s>"}])", "id 1 is another token's"},
      {R"([{"id": 6, "content": "ab"}])", "'ab' has id 6 here and 3 in model.vocab"},
      {R"([{"id": 6, "content": ""}])", "added_tokens[0].content: empty"},
      {R"([{"id": 6}])", "added_tokens[0].content: not a string"},
      {R"([{"id": 6, "content": "<s>", "lstrip": 1}])", "added_tokens[0].lstrip: not true or false"},
      {"{}", "added_tokens: not an array"}};
  for (const auto& [added_tokens, words] : lists) {
    Json json;
    json.added_tokens = added_tokens;
    ExpectRefused(json, absl::StatusCode::kInvalidArgument, words);
  }
}

TEST(TokenizerJson, RefusesLongTokensAndLongLists) {
  Json json;
  json.vocab = absl::StrCat(R"({"a": 0, ")", std::string(1 << 20, 'b'), R"(": 1})");
  json.merges = "[]";
  ExpectRefused(json, absl::StatusCode::kInvalidArgument, "more than the limit of 4096");

  json = Json();
  json.added_tokens = absl::StrCat(R"([{"id": 6, "content": ")", std::string(2000, 'x'), R"("}])");
  ExpectRefused(json, absl::StatusCode::kInvalidArgument, "more than the limit of 1024");

  json = Json();
  std::string merges = "[";
  for (std::size_t i = 0; i <= kMaxMerges; ++i) absl::StrAppend(&merges, i == 0 ? "0" : ",0");
  json.merges = merges + "]";
  ExpectRefused(json, absl::StatusCode::kInvalidArgument, "model.merges: 2097153, more than the limit");
}

TEST(TokenizerJson, RefusesAnExpressionItDoesNotKnow) {
  Json json;
  json.pre_tokenizer = R"({"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": false})";

  ExpectRefused(json, absl::StatusCode::kUnimplemented, "unknown regular expression '(a+)+$'");
}

TEST(TokenizerJson, RefusesSequencesNestedDeep) {
  std::string normalizer = R"({"type": "NFC"})";
  std::string pre_tokenizer = R"({"type": "Digits"})";
  std::string post_processor = R"({"type": "ByteLevel"})";
  for (int i = 0; i < 6; ++i) {
    normalizer = absl::StrCat(R"({"type": "Sequence", "normalizers": [)", normalizer, "]}");
    pre_tokenizer = absl::StrCat(R"({"type": "Sequence", "pretokenizers": [)", pre_tokenizer, "]}");
    post_processor = absl::StrCat(R"({"type": "Sequence", "processors": [)", post_processor, "]}");
  }
  Json json;
  json.normalizer = normalizer;
  ExpectRefused(json, absl::StatusCode::kInvalidArgument, "normalizers[0]");
  json = Json();
  json.pre_tokenizer = pre_tokenizer;
  ExpectRefused(json, absl::StatusCode::kInvalidArgument, "pretokenizers[0]");
  json = Json();
  json.post_processor = post_processor;
  ExpectRefused(json, absl::StatusCode::kInvalidArgument, "processors[0]");
}

TEST(TokenizerJson, NamesWhatItDoesNotSupport) {
  struct Case {
    std::string Json::*part;
    const char* value;
    const char* words;
  };
  const Case cases[] = {
      {&Json::normalizer, R"({"type": "Lowercase"})", "normalizer: normalizer 'Lowercase'"},
      {&Json::normalizer, R"({"type": "Replace", "pattern": {"Regex": "x"}, "content": ""})", "Replace"},
      {&Json::pre_tokenizer, R"({"type": "Whitespace"})", "pre-tokenizer 'Whitespace'"},
      {&Json::pre_tokenizer, R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]})",
       "pre_tokenizer.pretokenizers[1]: Digits after ByteLevel"},
      {&Json::post_processor, R"({"type": "BertProcessing"})", "post-processor 'BertProcessing'"},
      {&Json::options, R"("type": "Unigram")", "model: model type 'Unigram'"},
      {&Json::options, R"("dropout": 0.1)", "model.dropout: random dropout"},
      {&Json::options, R"("end_of_word_suffix": "</w>")", "model.end_of_word_suffix: '</w>'"},
      {&Json::options, R"("byte_fallback": true)", "model.byte_fallback"}};
  for (const Case& c : cases) {
    Json json;
    json.*c.part = c.value;
    ExpectRefused(json, absl::StatusCode::kUnimplemented, c.words);
  }
}

TEST(TokenizerJson, RefusesTemplatesThatNameNoToken) {
  const std::pair<const char*, const char*> singles[] = {
      {R"([{"SpecialToken": {"id": "<x>"}}, {"Sequence": {"id": "A"}}])", "no ids for '<x>'"},
      {R"([{"SpecialToken": {"id": "<s>"}}])", "does not hold the text A"},
      {R"([{"Sequence": {"id": "A"}}, {"Sequence": {"id": "A"}}])", "exactly once"},
      {R"([{"SpecialToken": {"id": "<y>"}}, {"Sequence": {"id": "A"}}])", "ids[0]: id 7 is far above"}};
  for (const auto& [single, words] : singles) {
    Json json;
    json.post_processor = absl::StrCat(R"({"type": "TemplateProcessing", "single": )", single,
                                       R"(, "special_tokens": {"<s>": {"ids": [6]}, "<y>": {"ids": [7]}}})");
    ExpectRefused(json, absl::StatusCode::kInvalidArgument, words);
  }
}

TEST(TokenizerJson, RefusesWhatIsNoTokenizer) {
  for (const char* text :
       {"", "[]", "null", "{}", "{\"model\": 3}", "{\"version\": \"2.0\"}", "{\"added_tokens\": 1}"}) {
    EXPECT_FALSE(ParseTokenizerJson(text).ok()) << text;
  }
}

}  // namespace
}  // namespace gptvq
