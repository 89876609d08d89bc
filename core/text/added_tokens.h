#ifndef GPTVQ_CORE_TEXT_ADDED_TOKENS_H_
#define GPTVQ_CORE_TEXT_ADDED_TOKENS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/text/tokenizer.h"

namespace gptvq {

// A token that is found in the text as it stands, before the model sees the text between such tokens.
struct AddedToken {
  enum class Whitespace { kKeep, kSwallow };
  enum class Match { kAnywhere, kWholeWord };  // kWholeWord: no word character on either side

  std::string pattern;  // not empty
  TokenId id = 0;
  Whitespace before = Whitespace::kKeep;  // kSwallow: white space there belongs to the token
  Whitespace after = Whitespace::kKeep;
  Match match = Match::kAnywhere;
};

// Cuts text at added tokens: from left to right, at each place the longest pattern. Immutable.
class AddedTokens {
 public:
  // Preconditions: patterns are well-formed UTF-8, not empty and all different.
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Calls on_text for every non-empty stretch between tokens and on_token for every token, in the order of the text.
  // Time: O(bytes x longest pattern) at worst; patterns are rare in text, so O(bytes) in practice.
  void Cut(std::string_view text, absl::FunctionRef<void(std::string_view)> on_text,
           absl::FunctionRef<void(TokenId)> on_token) const;

 private:
  // A node of the trie of patterns; its children are nodes_[first_child] and the next_sibling chain from there.
  struct Node {
    unsigned char byte = 0;
    std::int32_t token = -1;  // index of the pattern that ends here
    std::int32_t first_child = -1;
    std::int32_t next_sibling = -1;
  };

  std::int32_t FindChild(std::int32_t node, unsigned char byte) const;
  // The longest pattern at text[begin]; null when there is none.
  const AddedToken* FindAt(std::string_view text, std::size_t begin) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;                        // nodes_[0] is the root
  std::array<std::int32_t, 256> root_children_{};  // the root has many: a table
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_ADDED_TOKENS_H_
