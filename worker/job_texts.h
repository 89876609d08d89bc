#ifndef GPTVQ_WORKER_JOB_TEXTS_H_
#define GPTVQ_WORKER_JOB_TEXTS_H_

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/text/calibration_set.h"
#include "platform/job/job_spec.h"
#include "platform/object_store/storage.h"

namespace gptvq {

// The texts of a job as token ids, made with the tokenizer of `model` (its directory; without a tokenizer the files must
// hold ids). A pure function of files and spec, so that every worker of the job sees the same rows.
// Errors: those of Storage, ReadModelConfig, LoadTokenizer and BuildCalibrationSet.

// `samples` windows of `sequence_length` tokens, drawn at random by the seed.
absl::StatusOr<CalibrationSet> LoadCalibrationSet(const Storage& storage, const ReadableDirectory& model,
                                                  const JobSpec& spec);

// Consecutive windows of `sequence_length` tokens, as many as `evaluation_tokens` allows, one at least.
absl::StatusOr<CalibrationSet> LoadEvaluationWindows(const Storage& storage, const ReadableDirectory& model,
                                                     const JobSpec& spec);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_JOB_TEXTS_H_
