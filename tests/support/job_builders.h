#ifndef GPTVQ_TESTS_SUPPORT_JOB_BUILDERS_H_
#define GPTVQ_TESTS_SUPPORT_JOB_BUILDERS_H_

#include <string>
#include <string_view>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "platform/job/job.h"

namespace gptvq {

// A spec that JobSpec::Validate() accepts; tests change what they are about.
inline JobSpec AJobSpec() {
  JobSpec spec;
  spec.model_uri = "file:///models/tiny";
  spec.calibration_uris = {"file:///text/a.txt", "file:///text/b.txt"};
  spec.evaluation_uri = "file:///text/held-out.txt";
  spec.output_uri = "file:///results/tiny-vq";
  spec.preset = "2d-3.125bpv";
  spec.samples = 16;
  spec.sequence_length = 1024;
  spec.seed = 7;
  return spec;
}

inline Digest DigestOf(std::string_view text) { return Digest::Of(AsBytes(text)); }

// A report whose every field differs from its default.
inline LinearReport ALinearReport(std::string name) {
  LinearReport report;
  report.name = std::move(name);
  report.rows = 64;
  report.cols = 256;
  report.bits = {.weights = 16384,
                 .index_bits = 49152,
                 .codebook_bits = 2048,
                 .codebook_scale_bits = 16,
                 .block_scale_bits = 1024,
                 .permutation_bits = 8};
  report.relative_error = 0.0125;
  report.sweep_relative_error = 0.02;
  report.damping = 0.03;
  report.hessian_policy = HessianPolicy::kDiagonalOnly;
  report.dead_columns = 3;
  report.em_iterations = 40;
  report.update_iterations = 50;
  report.refinement_passes = 2;
  report.seconds = {.factor = 0.1, .clustering = 0.2, .sweep = 0.3, .update = 0.4, .refinement = 0.5};
  return report;
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_JOB_BUILDERS_H_
