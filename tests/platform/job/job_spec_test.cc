#include "platform/job/job_spec.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/job_builders.h"

namespace gptvq {
namespace {

TEST(JobSpec, AcceptsWhatItsLimitsAllow) {
  JobSpec spec = AJobSpec();
  EXPECT_TRUE(spec.Validate().ok()) << spec.Validate();

  spec.evaluation_uri.clear();
  spec.model_uri = "s3://bucket/models/caf\xc3\xa9 noir";
  spec.samples = kMaxSamples;
  spec.sequence_length = 4096;
  EXPECT_TRUE(spec.Validate().ok()) << spec.Validate();
}

TEST(JobSpec, RefusesEveryFieldOutOfItsLimitsByName) {
  struct Case {
    std::string field;
    std::function<void(JobSpec&)> spoil;
  };
  const std::vector<Case> cases = {
      {"model_uri", [](JobSpec& s) { s.model_uri = ""; }},
      {"model_uri", [](JobSpec& s) { s.model_uri = "http://host/model"; }},
      {"model_uri", [](JobSpec& s) { s.model_uri = "file://host/model"; }},
      {"model_uri", [](JobSpec& s) { s.model_uri = "S3://bucket/model"; }},
      {"model_uri", [](JobSpec& s) { s.model_uri = "file:///" + std::string(1100, 'x'); }},
      {"model_uri", [](JobSpec& s) { s.model_uri = std::string("file:///a\0b", 10); }},
      {"model_uri", [](JobSpec& s) { s.model_uri = "file:///a\nb"; }},
      {"model_uri", [](JobSpec& s) { s.model_uri = "file:///a\x7f"; }},
      {"model_uri",
       [](JobSpec& s) {
         s.model_uri =
             "file:///a\xe2\x80\xae"
             "b";
       }},  // right-to-left override
      {"model_uri",
       [](JobSpec& s) {
         s.model_uri =
             "file:///a\xe2\x81\xa6"
             "b";
       }},  // left-to-right isolate
      {"calibration_uris", [](JobSpec& s) { s.calibration_uris.clear(); }},
      {"calibration_uris", [](JobSpec& s) { s.calibration_uris.assign(17, "file:///t"); }},
      {"calibration_uris", [](JobSpec& s) { s.calibration_uris[1] = "text.txt"; }},
      {"evaluation_uri", [](JobSpec& s) { s.evaluation_uri = "relative/path"; }},
      {"output_uri", [](JobSpec& s) { s.output_uri = ""; }},
      {"output_uri", [](JobSpec& s) { s.output_uri = s.model_uri; }},
      {"quant", [](JobSpec& s) { s.quant.vector_dim = 3; }},
      {"shard_layers", [](JobSpec& s) { s.shard_layers = -1; }},
      {"samples", [](JobSpec& s) { s.samples = 0; }},
      {"samples", [](JobSpec& s) { s.samples = kMaxSamples + 1; }},
      {"sequence_length", [](JobSpec& s) { s.sequence_length = 1; }},
      {"samples x sequence_length",
       [](JobSpec& s) {
         s.samples = kMaxSamples;
         s.sequence_length = kMaxSequenceLength;
       }},
      {"evaluation_tokens", [](JobSpec& s) { s.evaluation_tokens = -1; }},
  };

  for (const Case& one : cases) {
    JobSpec spec = AJobSpec();
    one.spoil(spec);
    const absl::Status status = spec.Validate();

    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << one.field;
    EXPECT_NE(status.message().find(one.field), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace gptvq
