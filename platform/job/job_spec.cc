#include "platform/job/job_spec.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

// Control characters and the marks that reorder text on a screen (U+200E, U+200F, U+202A-202E, U+2066-2069): a name that
// holds one cannot be shown to a person as what it is.
bool IsPrintable(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return false;
    if (byte != 0xe2 || i + 2 >= text.size()) continue;
    const auto second = static_cast<unsigned char>(text[i + 1]);
    const auto third = static_cast<unsigned char>(text[i + 2]);
    if (second == 0x80 && (third == 0x8e || third == 0x8f || (third >= 0xaa && third <= 0xae))) return false;
    if (second == 0x81 && third >= 0xa6 && third <= 0xa9) return false;
  }
  return true;
}

absl::Status CheckUri(std::string_view field, std::string_view uri) {
  const auto refuse = [&](std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(field), ": ", std::string(why)));
  };
  if (uri.empty()) return refuse("is required");
  if (uri.size() > kMaxSpecUriBytes) return refuse(absl::StrCat("longer than ", kMaxSpecUriBytes, " bytes"));
  if (!IsPrintable(uri)) return refuse("holds a control character or a mark that reorders text");
  const absl::string_view text(uri.data(), uri.size());
  if (!absl::StartsWith(text, "file:///") && !absl::StartsWith(text, "s3://")) {
    return refuse(absl::StrCat("'", text, "' is neither file:///absolute/path nor s3://bucket/prefix"));
  }
  return absl::OkStatus();
}

absl::Status CheckRange(std::string_view field, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (low <= value && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(field), ": ", value, " is not between ", low, " and ", high));
}

}  // namespace

std::string_view Name(PropagationMode mode) {
  switch (mode) {
    case PropagationMode::kSequential: return "sequential";
    case PropagationMode::kParallel: return "parallel";
  }
  return "";
}

absl::Status JobSpec::Validate() const {
  GPTVQ_RETURN_IF_ERROR(CheckUri("model_uri", model_uri));
  GPTVQ_RETURN_IF_ERROR(CheckRange("number of calibration_uris", static_cast<std::int64_t>(calibration_uris.size()), 1,
                                   kMaxCalibrationUris));
  for (const std::string& uri : calibration_uris) GPTVQ_RETURN_IF_ERROR(CheckUri("calibration_uris", uri));
  if (!evaluation_uri.empty()) GPTVQ_RETURN_IF_ERROR(CheckUri("evaluation_uri", evaluation_uri));
  GPTVQ_RETURN_IF_ERROR(CheckUri("output_uri", output_uri));
  if (output_uri == model_uri) {
    return absl::InvalidArgumentError("output_uri: equals model_uri; the source model is never overwritten");
  }
  GPTVQ_RETURN_IF_ERROR(WithContext(quant.Validate(), "quant"));
  GPTVQ_RETURN_IF_ERROR(CheckRange("shard_layers", shard_layers, 0, 1'000'000));
  GPTVQ_RETURN_IF_ERROR(CheckRange("samples", samples, 1, kMaxSamples));
  GPTVQ_RETURN_IF_ERROR(CheckRange("sequence_length", sequence_length, 2, kMaxSequenceLength));
  GPTVQ_RETURN_IF_ERROR(CheckRange("samples x sequence_length", static_cast<std::int64_t>(samples) * sequence_length, 2,
                                   kMaxCalibrationTokens));
  return CheckRange("evaluation_tokens", evaluation_tokens, 0, std::int64_t{1} << 40);
}

}  // namespace gptvq
