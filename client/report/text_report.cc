#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/report/job_report.h"
#include "client/terminal.h"

namespace gptvq {
namespace {

constexpr std::size_t kWorstLinears = 5;

constexpr std::size_t kMaxValueBytes = 2048;  // two URIs

std::string Row(const char* label, const std::string& value) {
  return absl::StrFormat("%-18s %s\n", label, Printable(value, kMaxValueBytes));
}

std::string PerplexityRows(const Report& report) {
  if (!report.source_perplexity && !report.quantized_perplexity) return "";
  std::string text;
  if (report.source_perplexity) {
    text += Row("perplexity source", absl::StrFormat("%.4f", *report.source_perplexity));
  }
  if (report.quantized_perplexity) {
    std::string value = absl::StrFormat("%.4f", *report.quantized_perplexity);
    if (report.source_perplexity) {
      const double change = 100 * (*report.quantized_perplexity / *report.source_perplexity - 1);
      absl::StrAppendFormat(&value, "  (%+.2f %%)", change);
    }
    text += Row("perplexity now", value);
  }
  return text + Row("", absl::StrFormat("over %d held-out tokens", report.evaluated_tokens));
}

std::string ErrorRows(const Report& report) {
  const std::optional<double> mean = MeanRelativeError(report);
  if (!mean) return "";
  std::string text = Row("relative error", absl::StrFormat("%.5f mean of %d linears", *mean, report.linears.size()));
  std::vector<const LinearReport*> worst;
  for (const LinearReport& linear : report.linears) worst.push_back(&linear);
  std::stable_sort(worst.begin(), worst.end(),
                   [](const auto* a, const auto* b) { return a->relative_error > b->relative_error; });
  worst.resize(std::min(worst.size(), kWorstLinears));
  for (const LinearReport* linear : worst) {
    text += Row(linear == worst.front() ? "  largest" : "",
                absl::StrFormat("%.5f %s", linear->relative_error, linear->name));
  }
  return text;
}

}  // namespace

std::string TextReport(const Report& report) {
  std::string text = Row("job", absl::StrCat(report.job_id, "  ", std::string(Name(report.state))));
  text += Row("model", report.spec.model_uri);
  text += Row("output", report.spec.output_uri);
  text += Row("preset", absl::StrCat(report.spec.preset, ", ", std::string(Name(report.spec.propagation)), ", ",
                                     report.spec.samples, " x ", report.spec.sequence_length, " tokens, seed ",
                                     report.spec.seed));
  const BitCount& bits = report.bits;
  if (bits.weights > 0) {
    text += Row("bits per value", absl::StrFormat("%.4f = %.4f indices + %.4f codebooks + %.4f scales%s",
                                                  bits.bits_per_value(), BitsPerWeight(report, bits.index_bits),
                                                  BitsPerWeight(report, bits.codebook_bits + bits.codebook_scale_bits),
                                                  BitsPerWeight(report, bits.block_scale_bits),
                                                  bits.permutation_bits == 0
                                                      ? ""
                                                      : absl::StrFormat(" + %.4f permutation",
                                                                        BitsPerWeight(report, bits.permutation_bits))));
  }
  if (report.output_bytes > 0) {
    text += Row("output size", absl::StrFormat("%.1f MB", static_cast<double>(report.output_bytes) / 1e6));
  }
  text += PerplexityRows(report);
  text += ErrorRows(report);
  if (!report.audits.empty()) text += Row("audits", AuditSummary(report.audits));
  text += Row("wall time", absl::StrFormat("%.1f s", std::chrono::duration<double>(report.wall_time).count()));
  for (const TaskPhaseSeconds& phase : report.seconds) {
    text += Row(&phase == &report.seconds.front() ? "worker seconds" : "",
                absl::StrFormat("%8.1f %s", phase.seconds, std::string(Name(phase.phase))));
  }
  if (report.manifest) text += Row("manifest sha256", report.manifest->hex());
  return text;
}

}  // namespace gptvq
