#include "core/text/tokenizer_json_pipeline.h"

#include <string>
#include <utility>

#include "core/base/status_macros.h"
#include "core/text/json_node.h"
#include "core/text/tokenizer_json.h"
#include "core/text/unicode.h"

namespace gptvq {
namespace {

absl::Status TooDeep(const JsonNode& section) {
  return section.Invalid(absl::StrCat("a Sequence inside a Sequence, deeper than ", kMaxPipelineDepth, " levels"));
}

// A literal of the pipeline: a prefix, a replacement.
absl::StatusOr<std::string> ParseLiteral(const JsonNode& node) {
  constexpr std::size_t kMaxLiteralBytes = 16;
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view literal, node.String());
  if (literal.size() > kMaxLiteralBytes) return node.TooMany(literal.size(), kMaxLiteralBytes);
  return std::string(literal);
}

absl::Status AppendNormalizer(const JsonNode& section, int depth, std::vector<NormalizerStep>& steps_out) {
  if (section.is_null()) return absl::OkStatus();
  if (depth > kMaxPipelineDepth) return TooDeep(section);
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view type, section.Child("type").String());
  if (type == "Sequence") {
    GPTVQ_ASSIGN_OR_RETURN(const auto children, section.Child("normalizers").Elements());
    for (const JsonNode& child : children) GPTVQ_RETURN_IF_ERROR(AppendNormalizer(child, depth + 1, steps_out));
    return absl::OkStatus();
  }
  if (type == "NFC") {
    steps_out.push_back(NfcStep{});
  } else if (type == "Prepend") {
    GPTVQ_ASSIGN_OR_RETURN(std::string prefix, ParseLiteral(section.Child("prepend")));
    steps_out.push_back(PrependStep{std::move(prefix)});
  } else if (type == "Replace") {
    const JsonNode pattern = section.Child("pattern").Child("String");
    if (pattern.is_null()) return section.Unsupported("Replace of anything but a string");
    GPTVQ_ASSIGN_OR_RETURN(std::string text, ParseLiteral(pattern));
    if (text.empty()) return pattern.Invalid("empty");
    GPTVQ_ASSIGN_OR_RETURN(std::string content, ParseLiteral(section.Child("content")));
    steps_out.push_back(ReplaceStep{std::move(text), std::move(content)});
  } else {
    return section.Unsupported(absl::StrCat("normalizer '", std::string(type), "'"));
  }
  if (steps_out.size() > kMaxPipelineSteps) return section.TooMany(steps_out.size(), kMaxPipelineSteps);
  return absl::OkStatus();
}

absl::StatusOr<SplitStep> ParseSplit(const JsonNode& section) {
  const JsonNode regex = section.Child("pattern").Child("Regex");
  if (regex.is_null()) return section.Unsupported("Split by anything but a regular expression");
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view expression, regex.String());
  const auto splitter = WordSplitter::ForRegex(expression);
  if (!splitter.ok()) return WithContext(splitter.status(), "pre_tokenizer: Split");
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view behavior, section.Child("behavior").String());
  GPTVQ_ASSIGN_OR_RETURN(const bool is_inverted, section.Child("invert").BoolOr(false));
  // The known expressions match all of a text, so that these two are the same.
  const bool is_isolated = behavior == "Isolated" && !is_inverted;
  const bool is_kept = behavior == "Removed" && is_inverted;
  if (!is_isolated && !is_kept) {
    return section.Unsupported(absl::StrCat("Split '", std::string(behavior), "'", is_inverted ? " inverted" : ""));
  }
  return SplitStep{*splitter};
}

absl::StatusOr<MetaspaceStep> ParseMetaspace(const JsonNode& section) {
  MetaspaceStep step;
  GPTVQ_ASSIGN_OR_RETURN(step.replacement, ParseLiteral(section.Child("replacement")));
  if (step.replacement.empty() || unicode::DecodeAt(step.replacement, 0).end != step.replacement.size()) {
    return section.Child("replacement").Invalid("not one character");
  }
  GPTVQ_ASSIGN_OR_RETURN(const bool is_cut, section.Child("split").BoolOr(true));
  if (!is_cut) step.cut = MetaspaceStep::Cut::kWhole;
  GPTVQ_ASSIGN_OR_RETURN(const bool adds_prefix, section.Child("add_prefix_space").BoolOr(true));
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view scheme, section.Child("prepend_scheme").StringOrEmpty());
  if (scheme == "never" || !adds_prefix) {
    step.prepend = MetaspaceStep::Prepend::kNever;
  } else if (scheme == "first") {
    step.prepend = MetaspaceStep::Prepend::kFirst;
  } else if (scheme != "always" && !scheme.empty()) {
    return section.Child("prepend_scheme").Unsupported(absl::StrCat("'", std::string(scheme), "'"));
  }
  return step;
}

absl::Status AppendPreTokenizer(const JsonNode& section, int depth, PreTokenizerSection& result) {
  if (section.is_null()) return absl::OkStatus();
  if (depth > kMaxPipelineDepth) return TooDeep(section);
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view type, section.Child("type").String());
  if (type == "Sequence") {
    GPTVQ_ASSIGN_OR_RETURN(const auto children, section.Child("pretokenizers").Elements());
    for (const JsonNode& child : children) GPTVQ_RETURN_IF_ERROR(AppendPreTokenizer(child, depth + 1, result));
    return absl::OkStatus();
  }
  if (result.alphabet == BpeDefinition::Alphabet::kBytes) {
    return section.Unsupported(absl::StrCat(std::string(type), " after ByteLevel"));
  }
  if (type == "ByteLevel") {
    result.alphabet = BpeDefinition::Alphabet::kBytes;
    GPTVQ_ASSIGN_OR_RETURN(const bool adds_space, section.Child("add_prefix_space").BoolOr(true));
    if (adds_space) result.steps.push_back(PrefixSpaceStep{});
    GPTVQ_ASSIGN_OR_RETURN(const bool splits, section.Child("use_regex").BoolOr(true));
    if (splits) result.steps.push_back(SplitStep{&WordSplitter::Gpt2()});
  } else if (type == "Split") {
    GPTVQ_ASSIGN_OR_RETURN(SplitStep step, ParseSplit(section));
    result.steps.push_back(step);
  } else if (type == "Digits") {
    GPTVQ_ASSIGN_OR_RETURN(const bool is_individual, section.Child("individual_digits").BoolOr(false));
    result.steps.push_back(DigitsStep{is_individual ? DigitsStep::Grouping::kIndividual : DigitsStep::Grouping::kRuns});
  } else if (type == "Metaspace") {
    GPTVQ_ASSIGN_OR_RETURN(MetaspaceStep step, ParseMetaspace(section));
    result.steps.push_back(std::move(step));
  } else {
    return section.Unsupported(absl::StrCat("pre-tokenizer '", std::string(type), "'"));
  }
  if (result.steps.size() > kMaxPipelineSteps) return section.TooMany(result.steps.size(), kMaxPipelineSteps);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<NormalizerStep>> ParseNormalizer(const JsonNode& section) {
  std::vector<NormalizerStep> steps;
  GPTVQ_RETURN_IF_ERROR(AppendNormalizer(section, 1, steps));
  return steps;
}

absl::StatusOr<PreTokenizerSection> ParsePreTokenizer(const JsonNode& section) {
  PreTokenizerSection result;
  GPTVQ_RETURN_IF_ERROR(AppendPreTokenizer(section, 1, result));
  return result;
}

}  // namespace gptvq
