#ifndef GPTVQ_TESTS_CLIENT_REPORTS_H_
#define GPTVQ_TESTS_CLIENT_REPORTS_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "platform/job/report.h"
#include "tests/support/job_builders.h"

namespace gptvq {

// Marks, and nothing but marks: a name that a page must not take for its own.
inline constexpr char kHostileName[] = "<script>alert('x')</script> & \"quoted\" \033[2J";

// A report of a finished job with two linears in each of `layers` layers; every number differs from every other.
inline Report AReport(int layers) {
  Report report;
  report.job_id = "job-0123456789abcdef";
  report.state = JobState::kSucceeded;
  report.spec = AJobSpec();
  report.bits = {.weights = 1000,
                 .index_bits = 3000,
                 .codebook_bits = 100,
                 .codebook_scale_bits = 20,
                 .block_scale_bits = 60,
                 .permutation_bits = 4};
  report.output_bytes = 123'456'789;
  report.manifest = DigestOf("manifest");
  report.seconds = {{TaskPhase::kLoad, 1.5}, {TaskPhase::kQuantize, 60.25}, {TaskPhase::kEvaluate, 7.75}};
  report.wall_time = std::chrono::milliseconds(98'700);
  report.source_perplexity = 10;
  report.quantized_perplexity = 10.5;
  report.evaluated_tokens = 4096;
  report.numerics_class = "cpu-avx2";
  report.audits = {{AuditOutcome::kAgreed, 3}, {AuditOutcome::kGivenUp, 1}};
  for (int layer = 0; layer < layers; ++layer) {
    for (const char* role : {"self_attn.q_proj", "mlp.down_proj"}) {
      LinearReport linear = ALinearReport(absl::StrCat("model.layers.", layer, ".", role));
      linear.relative_error = 0.01 * static_cast<double>(report.linears.size() + 1);
      report.linears.push_back(std::move(linear));
    }
  }
  return report;
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CLIENT_REPORTS_H_
