#ifndef GPTVQ_TESTS_FUZZ_TOKENIZER_EXERCISE_H_
#define GPTVQ_TESTS_FUZZ_TOKENIZER_EXERCISE_H_

#include <string_view>

#include "core/base/check.h"
#include "core/text/tokenizer.h"

namespace gptvq {

// Uses a tokenizer that was made from hostile bytes, and checks what Tokenizer promises for any of them.
inline void ExerciseTokenizer(const Tokenizer& tokenizer) {
  constexpr std::string_view kText =
      " The quick  brown fox's 12345 jumps!?\r\n\n\t(over) HTTPServer e\u0301\u00e9 \u4e2d\u6587 \u0645\u0631\u062d "
      "\U0001f468\u200d\U0001f469 \u2581a\u2581\u2581b <s>x</s> aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \u00a0\u3000 ";
  for (std::string_view text : {kText, kText.substr(0, 1), std::string_view("\xff", 1), std::string_view()}) {
    const auto ids = tokenizer.Encode(text);
    if (!ids.ok()) continue;
    for (const TokenId id : *ids) {
      GPTVQ_CHECK(id >= 0 && id < tokenizer.vocabulary_size());
      (void)tokenizer.Kind(id);
    }
    (void)tokenizer.Decode(*ids);
  }
  const SpecialTokens& special = tokenizer.special_tokens();
  for (const auto& ids : {special.document_prefix, special.document_suffix}) {
    for (const TokenId id : ids) GPTVQ_CHECK(id >= 0 && id < tokenizer.vocabulary_size());
  }
  for (const auto& id : {special.bos, special.eos, special.unknown}) {
    GPTVQ_CHECK(!id.has_value() || (*id >= 0 && *id < tokenizer.vocabulary_size()));
  }
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_FUZZ_TOKENIZER_EXERCISE_H_
