#include "core/text/text_normalizer.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/text/unicode.h"

namespace gptvq {
namespace {

// Every step works within a budget, so that a hostile chain of replacements cannot multiply its way through memory.
struct StepRunner {
  const std::string& text;
  std::size_t budget_bytes;

  std::string operator()(const NfcStep&) const { return unicode::NormalizeNfc(text); }

  std::string operator()(const PrependStep& step) const { return text.empty() ? text : step.prefix + text; }

  std::string operator()(const ReplaceStep& step) const {
    GPTVQ_CHECK(!step.pattern.empty());
    std::string result;
    result.reserve(text.size());
    std::size_t copied = 0;
    while (result.size() <= budget_bytes) {
      const std::size_t match = text.find(step.pattern, copied);
      result.append(text, copied, match == std::string::npos ? match : match - copied);
      if (match == std::string::npos) break;
      result += step.content;
      copied = match + step.pattern.size();
    }
    return result;
  }

  std::string operator()(const CollapseSpacesStep&) const {
    std::string result;
    result.reserve(text.size());
    for (const char c : text) {
      if (c != ' ' || (!result.empty() && result.back() != ' ')) result += c;
    }
    return result;
  }

  std::string operator()(const TrimEndStep& step) const {
    GPTVQ_CHECK(!step.suffix.empty());
    std::string_view result = text;
    while (result.ends_with(step.suffix)) result.remove_suffix(step.suffix.size());
    return std::string(result);
  }
};

}  // namespace

absl::StatusOr<std::string> TextNormalizer::Normalize(std::string_view text) const {
  constexpr std::size_t kPrefixBytes = 64;  // for prefixes of short texts
  const std::size_t budget_bytes = kMaxGrowth * text.size() + kPrefixBytes;
  std::string normalized(text);
  for (const NormalizerStep& step : steps_) {
    normalized = std::visit(StepRunner{normalized, budget_bytes}, step);
    if (normalized.size() > budget_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("normalization makes a text of ", text.size(), " bytes longer than ", budget_bytes, " bytes"));
    }
  }
  return normalized;
}

}  // namespace gptvq
