#include "core/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/text/unicode.h"

namespace gptvq {
namespace {

// The code point that ends before text[end]. Precondition: end > 0.
unicode::Character CharacterBefore(std::string_view text, std::size_t end, std::size_t* begin_out) {
  std::size_t begin = end - 1;
  while ((static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  *begin_out = begin;
  return unicode::DecodeAt(text, begin);
}

bool IsWholeWord(std::string_view text, std::size_t begin, std::size_t end) {
  std::size_t before = 0;
  if (begin > 0 && unicode::IsWordCharacter(CharacterBefore(text, begin, &before).code_point)) return false;
  return end == text.size() || !unicode::IsWordCharacter(unicode::DecodeAt(text, end).code_point);
}

// The start of the white space that ends before `end`, not before `limit`; the end of the white space from `begin` on.
std::size_t SpaceBegin(std::string_view text, std::size_t limit, std::size_t end) {
  while (end > limit) {
    std::size_t before = 0;
    if ((unicode::ClassesOf(CharacterBefore(text, end, &before).code_point) & unicode::kSpace) == 0) break;
    end = before;
  }
  return end;
}

std::size_t SpaceEnd(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    const unicode::Character c = unicode::DecodeAt(text, begin);
    if ((unicode::ClassesOf(c.code_point) & unicode::kSpace) == 0) break;
    begin = c.end;
  }
  return begin;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), nodes_(1) {
  root_children_.fill(-1);
  for (std::size_t index = 0; index < tokens_.size(); ++index) {
    GPTVQ_CHECK(!tokens_[index].pattern.empty());
    std::int32_t node = 0;
    for (const char c : tokens_[index].pattern) {
      const auto byte = static_cast<unsigned char>(c);
      std::int32_t child = FindChild(node, byte);
      if (child < 0) {
        child = static_cast<std::int32_t>(nodes_.size());
        nodes_.push_back({.byte = byte, .next_sibling = nodes_[node].first_child});
        if (node == 0) root_children_[byte] = child;
        nodes_[node].first_child = child;
      }
      node = child;
    }
    GPTVQ_CHECK(nodes_[node].token < 0);
    nodes_[node].token = static_cast<std::int32_t>(index);
  }
}

void AddedTokens::Cut(std::string_view text, absl::FunctionRef<void(std::string_view)> on_text,
                      absl::FunctionRef<void(TokenId)> on_token) const {
  std::size_t text_begin = 0;
  std::size_t position = 0;
  while (position < text.size()) {
    const AddedToken* token = FindAt(text, position);
    if (token == nullptr) {
      ++position;
      continue;
    }
    std::size_t begin = position;
    std::size_t end = position + token->pattern.size();
    position = end;  // the search goes on behind the pattern even when the match is discarded
    if (token->match == AddedToken::Match::kWholeWord && !IsWholeWord(text, begin, end)) continue;
    if (token->before == AddedToken::Whitespace::kSwallow) {
      begin = std::max(SpaceBegin(text, text_begin, begin), text_begin);
    }
    if (token->after == AddedToken::Whitespace::kSwallow) end = SpaceEnd(text, end);
    if (begin >= end) continue;  // all of it is white space that the token before has swallowed
    if (text_begin < begin) on_text(text.substr(text_begin, begin - text_begin));
    on_token(token->id);
    text_begin = end;
  }
  if (text_begin < text.size()) on_text(text.substr(text_begin));
}

std::int32_t AddedTokens::FindChild(std::int32_t node, unsigned char byte) const {
  if (node == 0) return root_children_[byte];
  std::int32_t child = nodes_[node].first_child;
  while (child >= 0 && nodes_[child].byte != byte) child = nodes_[child].next_sibling;
  return child;
}

const AddedToken* AddedTokens::FindAt(std::string_view text, std::size_t begin) const {
  const AddedToken* longest = nullptr;
  std::int32_t node = 0;
  for (std::size_t position = begin; position < text.size(); ++position) {
    node = FindChild(node, static_cast<unsigned char>(text[position]));
    if (node < 0) break;
    if (nodes_[node].token >= 0) longest = &tokens_[nodes_[node].token];
  }
  return longest;
}

}  // namespace gptvq
