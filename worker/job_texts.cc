#include "worker/job_texts.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/model/model_config.h"
#include "core/text/tokenizer.h"

namespace gptvq {
namespace {

absl::StatusOr<CalibrationSet> LoadTexts(const Storage& storage, const ReadableDirectory& model,
                                         const std::vector<std::string>& uris, CalibrationOptions options) {
  GPTVQ_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(model));
  options.documents.vocabulary_size = config.vocab_size;
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = LoadTokenizer(model);
  if (!tokenizer.ok() && !absl::IsNotFound(tokenizer.status())) return tokenizer.status();

  std::vector<std::unique_ptr<RandomAccessFile>> files;
  std::vector<const RandomAccessFile*> borrowed;
  for (const std::string& text : uris) {
    GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::Parse(text));
    GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, storage.OpenFile(uri));
    borrowed.push_back(file.get());
    files.push_back(std::move(file));
  }
  return BuildCalibrationSet(borrowed, tokenizer.ok() ? tokenizer->get() : nullptr, options);
}

}  // namespace

absl::StatusOr<CalibrationSet> LoadCalibrationSet(const Storage& storage, const ReadableDirectory& model,
                                                  const JobSpec& spec) {
  CalibrationOptions options;
  options.samples = spec.samples;
  options.sequence_length = spec.sequence_length;
  options.seed = spec.seed;
  return LoadTexts(storage, model, spec.calibration_uris, options);
}

absl::StatusOr<CalibrationSet> LoadEvaluationWindows(const Storage& storage, const ReadableDirectory& model,
                                                     const JobSpec& spec) {
  CalibrationOptions options;
  options.window_mode = WindowMode::kConsecutive;
  options.sequence_length = spec.sequence_length;
  const std::int64_t allowed = std::max<std::int64_t>(spec.evaluation_tokens / spec.sequence_length, 1);
  options.samples = spec.evaluation_tokens == 0 ? 0 : allowed;  // 0: as many as there are
  return LoadTexts(storage, model, {spec.evaluation_uri}, options);
}

}  // namespace gptvq
