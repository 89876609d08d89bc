#include "core/text/sentencepiece_model.h"

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The wire format of protobuf, written by hand from its specification.
std::string Varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes += static_cast<char>(value);
}
std::string Number(int field, std::uint64_t value) {
  return Varint(static_cast<std::uint64_t>(field) << 3) + Varint(value);
}
std::string Bytes(int field, const std::string& bytes) {
  return Varint(static_cast<std::uint64_t>(field) << 3 | 2) + Varint(bytes.size()) + bytes;
}
std::string Float(int field, float value) {
  std::string bytes = Varint(static_cast<std::uint64_t>(field) << 3 | 5);
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(std::bit_cast<std::uint32_t>(value) >> shift);
  return bytes;
}

constexpr int kNormal = 1;
constexpr int kUnknown = 2;
constexpr int kControl = 3;
constexpr int kUserDefined = 4;
constexpr int kUnused = 5;
constexpr int kByte = 6;

std::string Piece(const std::string& spelling, float score = 0, int type = kNormal) {
  return Bytes(1, Bytes(1, spelling) + Float(2, score) + Number(3, type));
}

const std::string kBpe = Bytes(2, Number(3, 2));
const std::string kIdentity = Bytes(3, Bytes(1, "identity") + Number(4, 0));  // keeps white space
const std::string kRoles = Piece("<unk>", 0, kUnknown) + Piece("<s>", 0, kControl) + Piece("</s>", 0, kControl);

std::unique_ptr<Tokenizer> Parse(const std::string& bytes, const TokenizerConfig& config = {}) {
  auto tokenizer = ParseSentencePieceModel(bytes, config);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

TEST(SentencePieceModel, MergesTheHighestScoreFirst) {
  const std::string letters = Piece("\u2581") + Piece("a", -9) + Piece("b", -9) + Piece("c", -9);
  const auto ab_first = Parse(kRoles + letters + Piece("ab", -1) + Piece("bc", -2) + kBpe + kIdentity);
  const auto bc_first = Parse(kRoles + letters + Piece("ab", -2) + Piece("bc", -1) + kBpe + kIdentity);

  EXPECT_THAT(*ab_first->Encode("abc"), ElementsAre(3, 7, 6));
  EXPECT_THAT(*bc_first->Encode("abc"), ElementsAre(3, 4, 8));
}

TEST(SentencePieceModel, PutsBosBeforeADocumentUnlessToldOtherwise) {
  const std::string model = kRoles + Piece("\u2581") + Piece("a") + kBpe + kIdentity;
  const TokenizerConfig without{.add_bos_token = false};

  const SpecialTokens usual = Parse(model)->special_tokens();
  EXPECT_EQ(usual.bos, 1);
  EXPECT_EQ(usual.eos, 2);
  EXPECT_EQ(usual.unknown, 0);
  EXPECT_THAT(usual.document_prefix, ElementsAre(1));
  EXPECT_THAT(usual.document_suffix, IsEmpty());
  EXPECT_THAT(Parse(model, without)->special_tokens().document_prefix, IsEmpty());
}

TEST(SentencePieceModel, KeepsOrCollapsesSpacesAsTheModelSays) {
  const std::string pieces = kRoles + Piece("\u2581") + Piece("a");
  const std::string collapsing = Bytes(3, Bytes(1, "identity"));  // remove_extra_whitespaces is the default

  EXPECT_THAT(*Parse(pieces + kBpe + kIdentity)->Encode(" a  a "), ElementsAre(3, 3, 4, 3, 3, 4, 3));
  EXPECT_THAT(*Parse(pieces + kBpe + collapsing)->Encode(" a  a "), ElementsAre(3, 4, 3, 4));
  EXPECT_THAT(*Parse(pieces + kBpe + collapsing)->Encode("   "), IsEmpty());
  EXPECT_EQ(Parse(pieces + kBpe + kIdentity)->Decode({3, 4, 3, 4}), "a a");
}

TEST(SentencePieceModel, FindsUserDefinedSymbolsBeforeMerging) {
  const std::string model = kRoles + Piece("\u2581") + Piece("a") + Piece("b") + Piece("ab", -1) +
                            Piece("ba", 0, kUserDefined) + kBpe + kIdentity;

  EXPECT_THAT(*Parse(model)->Encode("aba<s>"), ElementsAre(3, 4, 7, 0));  // control symbols in text are text
}

TEST(SentencePieceModel, FallsBackToBytesOrToOneUnknownPerRun) {
  std::string bytes;
  for (int b = 0; b < 256; ++b) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    bytes += Piece(std::string("<0x") + kDigits[b / 16] + kDigits[b % 16] + ">", 0, kByte);
  }
  const std::string with_fallback = Bytes(2, Number(3, 2) + Number(35, 1));
  const auto falling_back = Parse(kRoles + bytes + Piece("\u2581") + Piece("a") + with_fallback + kIdentity);
  const auto unknown = Parse(kRoles + Piece("\u2581") + Piece("a") + kBpe + kIdentity);

  EXPECT_THAT(*falling_back->Encode("a\u00e9\n"), ElementsAre(259, 260, 3 + 0xc3, 3 + 0xa9, 3 + 0x0a));
  EXPECT_EQ(falling_back->Decode({259, 260, 3 + 0xc3, 3 + 0xa9}), "a\u00e9");
  EXPECT_EQ(falling_back->Kind(3), TokenKind::kByte);
  EXPECT_THAT(*unknown->Encode("a\u00e9\u00ea\u00eba"), ElementsAre(3, 4, 0, 4));
}

TEST(SentencePieceModel, RefusesWhatItWouldGetWrong) {
  const std::string pieces = kRoles + Piece("a");
  const std::pair<std::string, const char*> unsupported[] = {
      {pieces + kIdentity, "model type 1"},  // unigram is the default
      {pieces + kBpe + Bytes(3, Bytes(1, "nmt_nfkc") + Bytes(2, "map")), "normalization 'nmt_nfkc'"},
      {pieces + Bytes(2, Number(3, 2) + Number(24, 1)) + kIdentity, "treat_whitespace_as_suffix"},
      {pieces + kBpe + Bytes(3, Number(5, 0)), "escape_whitespaces"},
      {pieces + Piece("x", 0, kUnused) + kBpe, "unused pieces"}};
  for (const auto& [bytes, words] : unsupported) {
    const auto status = ParseSentencePieceModel(bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }
}

TEST(SentencePieceModel, RefusesAModelThatContradictsItself) {
  const std::string pieces = kRoles + Piece("a");
  const std::pair<std::string, const char*> malformed[] = {
      {"", "no pieces"},
      {pieces + Piece("a") + kBpe, "piece 4: 'a' is there twice"},
      {Piece("a") + kBpe, "no piece of type unknown"},
      {pieces + Piece("<x>", 0, kUnknown) + kBpe, "piece 4: a second unknown"},
      {pieces + Piece("") + kBpe, "piece 4: empty"},
      {pieces + Piece("\xff") + kBpe, "piece 4: not UTF-8"},
      {pieces + Piece(std::string(5000, 'x')) + kBpe, "piece 4: longer"},
      {pieces + Piece("x", std::bit_cast<float>(0x7fc00000u)) + kBpe, "piece 4: its score"},
      {pieces + Piece("x", 0, 9) + kBpe, "piece 4: unknown type"},
      {pieces + Bytes(2, Number(3, 2) + Number(35, 1)) + kIdentity, "byte_fallback without"}};
  for (const auto& [bytes, words] : malformed) {
    const auto status = ParseSentencePieceModel(bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }
}

TEST(SentencePieceModel, RefusesEveryTruncation) {
  const std::string model = kRoles + Piece("a") + kBpe + kIdentity;
  for (std::size_t size = 0; size < model.size(); ++size) {
    const auto tokenizer = ParseSentencePieceModel(std::string_view(model).substr(0, size));
    // What ends between two fields is a shorter message: without the kind of model, or with a normalizer's defaults.
    if (size == kRoles.size() + Piece("a").size() + kBpe.size()) {
      EXPECT_TRUE(tokenizer.ok());
    } else {
      EXPECT_FALSE(tokenizer.ok()) << size;
    }
  }
  EXPECT_FALSE(ParseSentencePieceModel("\x08").ok());
  EXPECT_FALSE(ParseSentencePieceModel(std::string(12, '\xff')).ok());
  EXPECT_FALSE(ParseSentencePieceModel("IQ== 0\nIg== 1\n").ok());  // Llama 3's own tokenizer.model is such a list
}

}  // namespace
}  // namespace gptvq
