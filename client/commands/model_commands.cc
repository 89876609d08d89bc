#include "client/commands/model_commands.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "client/local_backend.h"
#include "client/local_files.h"
#include "core/base/status_macros.h"
#include "core/model/model_config.h"
#include "core/pipeline/evaluate_directory.h"
#include "core/text/calibration_inspection.h"
#include "core/text/calibration_set.h"
#include "core/text/tokenizer.h"

namespace gptvq {
namespace {

// The rows that `options` cut from the files at `locations`, with the tokenizer and vocabulary of a model directory.
struct TokenizedRows {
  std::unique_ptr<Tokenizer> tokenizer;
  CalibrationSet rows;
};

absl::StatusOr<TokenizedRows> TokenizeRows(const Storage& storage, const ReadableDirectory& model,
                                           const std::vector<std::string>& locations, CalibrationOptions options) {
  GPTVQ_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(model));
  // Files of token ids need none; text without one is refused below.
  absl::StatusOr<std::unique_ptr<Tokenizer>> loaded = LoadTokenizer(model);
  if (!loaded.ok() && !absl::IsNotFound(loaded.status())) return loaded.status();
  std::unique_ptr<Tokenizer> tokenizer = loaded.ok() ? *std::move(loaded) : nullptr;
  options.documents.vocabulary_size = config.vocab_size;
  std::vector<std::unique_ptr<RandomAccessFile>> files;
  std::vector<const RandomAccessFile*> borrowed;
  for (const std::string& location : locations) {
    GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, OpenLocalFile(storage, location));
    borrowed.push_back(file.get());
    files.push_back(std::move(file));
  }
  GPTVQ_ASSIGN_OR_RETURN(CalibrationSet rows, BuildCalibrationSet(borrowed, tokenizer.get(), options));
  return TokenizedRows{std::move(tokenizer), std::move(rows)};
}

absl::StatusOr<Perplexity> Evaluate(const Storage& storage, const EvalFlags& flags) {
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableDirectory> directory,
                         OpenLocalDirectory(storage, flags.directory));
  CalibrationOptions options;
  options.window_mode = WindowMode::kConsecutive;
  options.samples = flags.max_tokens / flags.sequence_length;
  options.sequence_length = flags.sequence_length;
  GPTVQ_ASSIGN_OR_RETURN(const TokenizedRows rows, TokenizeRows(storage, *directory, {flags.text}, options));
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, MakeLocalBackend(flags.device, flags.threads));
  return EvaluateDirectory(*backend, *directory, rows.rows.tokens(), [](double) { return absl::OkStatus(); });
}

absl::StatusOr<CalibrationInspection> Inspect(const Storage& storage, const CalibrationFlags& flags) {
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableDirectory> directory, OpenLocalDirectory(storage, flags.model));
  CalibrationOptions options;
  options.samples = flags.samples;
  options.sequence_length = flags.sequence_length;
  options.seed = flags.seed;
  GPTVQ_ASSIGN_OR_RETURN(const TokenizedRows rows, TokenizeRows(storage, *directory, flags.calibration, options));
  return InspectCalibration(rows.rows, rows.tokenizer.get());
}

void Print(const CalibrationInspection& inspection, Terminal& terminal) {
  terminal.out << absl::StrFormat(
      "rows             %d of %d tokens, %d available end to end\n"
      "stream           %d tokens in %d documents\n"
      "distinct tokens  %d\n"
      "BOS, EOS         %d, %d in the rows\n"
      "unknown, bytes   %.4f %%, %.4f %% of all tokens\n"
      "sha256 of ids    %s\n\nMOST FREQUENT TOKENS\n",
      inspection.rows_used, inspection.sequence_length, inspection.rows_available, inspection.stream_tokens,
      inspection.documents, inspection.distinct_tokens, inspection.bos_tokens, inspection.eos_tokens,
      100 * inspection.unknown_share, 100 * inspection.byte_share, inspection.digest.hex());
  for (const TokenFrequency& token : inspection.frequent_tokens) {
    terminal.out << absl::StrFormat("%9d  %7d  '%s'\n", token.count, token.id, Printable(token.text, 64));
  }
  for (const RowExcerpt& excerpt : inspection.excerpts) {
    terminal.out << absl::StrFormat("\nROW %d, from token %d of the stream\n  %s\n  ...\n  %s\n", excerpt.row,
                                    excerpt.stream_begin, Printable(excerpt.head), Printable(excerpt.tail));
  }
  terminal.out << std::flush;
}

}  // namespace

ExitCode EvaluateModel(const Storage& storage, const EvalFlags& flags, OutputFormat output, Terminal& terminal) {
  if (flags.max_tokens > 0 && flags.max_tokens < flags.sequence_length) {
    terminal.err << "error: --evaluation-tokens is " << flags.max_tokens << ", less than one window of "
                 << flags.sequence_length << " tokens" << std::endl;
    return ExitCode::kUsage;
  }
  const absl::StatusOr<Perplexity> perplexity = Evaluate(storage, flags);
  if (!perplexity.ok()) return Fail(terminal, perplexity.status());
  if (output == OutputFormat::kJson) {
    terminal.out << absl::StrFormat("{\"perplexity\": %.8f, \"tokens\": %d, \"windows\": %d}\n", perplexity->value(),
                                    perplexity->token_count, perplexity->window_count);
  } else {
    terminal.out << absl::StrFormat("perplexity %.4f over %d tokens in %d windows\n", perplexity->value(),
                                    perplexity->token_count, perplexity->window_count);
  }
  terminal.out << std::flush;
  return ExitCode::kOk;
}

ExitCode InspectCalibrationFiles(const Storage& storage, const CalibrationFlags& flags, Terminal& terminal) {
  const absl::StatusOr<CalibrationInspection> inspection = Inspect(storage, flags);
  if (!inspection.ok()) return Fail(terminal, inspection.status());
  Print(*inspection, terminal);
  return ExitCode::kOk;
}

}  // namespace gptvq
