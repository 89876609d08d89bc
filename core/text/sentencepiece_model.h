#ifndef GPTVQ_CORE_TEXT_SENTENCEPIECE_MODEL_H_
#define GPTVQ_CORE_TEXT_SENTENCEPIECE_MODEL_H_

#include <cstddef>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/text/tokenizer.h"
#include "core/text/tokenizer_config.h"

namespace gptvq {

inline constexpr std::size_t kMaxSentencePieceModelBytes = std::size_t{64} << 20;

// The tokenizer a SentencePiece tokenizer.model describes, for the models that Llama 1, Llama 2, Mistral and their
// descendants are published with: BPE, identity normalization, with or without byte fallback. Control symbols written
// in a text are text; user-defined symbols are found first. A character that occurs only inside longer pieces is
// unknown. BOS, by the convention of those models, is put before every document unless `config` says otherwise.
//
// The file is read here, and not by libsentencepiece, because Debian's libsentencepiece exports the protobuf 3.14 it
// was built with; in one process with gRPC's libprotobuf either library aborts at start-up. The format is the protobuf
// message ModelProto of sentencepiece_model.proto.
// Errors: InvalidArgument for bytes that are no such message or contradict themselves, with the piece or the offset, or
// pass a limit of tokenizer_json.h or of this header; Unimplemented for a unigram, word or character model, a
// normalization map, unused pieces and other rare options, named.
absl::StatusOr<std::unique_ptr<Tokenizer>> ParseSentencePieceModel(std::string_view bytes,
                                                                   const TokenizerConfig& config = {});

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_SENTENCEPIECE_MODEL_H_
