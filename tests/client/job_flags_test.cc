#include "client/job_flags.h"

#include <filesystem>
#include <string>

#include "core/spec/presets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

JobFlags TypedFlags() {
  JobFlags flags;
  flags.model = "file:///models/tiny";
  flags.calibration = {"file:///text/a.txt", "file:///text/b.txt"};
  flags.output = "file:///results/tiny";
  return flags;
}

std::string UriOfPath(const std::string& path) { return "file://" + std::filesystem::weakly_canonical(path).string(); }

TEST(JobFlags, EveryFlagReachesItsField) {
  JobFlags flags = TypedFlags();
  flags.evaluation = "file:///text/held-out.txt";
  flags.spec.preset = "1d-3.125bpv";
  flags.spec.em_iterations = 7;
  flags.propagation = PropagationMode::kParallel;
  flags.shard_layers = 3;
  flags.samples = 16;
  flags.sequence_length = 512;
  flags.evaluation_tokens = 4096;
  flags.seed = ~std::uint64_t{0};

  const absl::StatusOr<JobSpec> spec = MakeJobSpec(flags);

  ASSERT_TRUE(spec.ok()) << spec.status();
  JobSpec expected;
  expected.model_uri = "file:///models/tiny";
  expected.calibration_uris = {"file:///text/a.txt", "file:///text/b.txt"};
  expected.evaluation_uri = "file:///text/held-out.txt";
  expected.output_uri = "file:///results/tiny";
  expected.preset = "1d-3.125bpv";
  expected.quant = FindPreset("1d-3.125bpv").value();
  expected.quant.em_iterations = 7;
  expected.propagation = PropagationMode::kParallel;
  expected.shard_layers = 3;
  expected.samples = 16;
  expected.sequence_length = 512;
  expected.seed = ~std::uint64_t{0};
  expected.evaluation_tokens = 4096;
  EXPECT_EQ(*spec, expected);
}

TEST(JobFlags, LocalPathsBecomeAbsoluteUris) {
  JobFlags flags = TypedFlags();
  flags.model = "models/../models/tiny/";
  flags.calibration = {"/text/a b.txt"};
  flags.evaluation = "./held-out.txt";
  flags.output = "result";

  const absl::StatusOr<JobSpec> spec = MakeJobSpec(flags);

  ASSERT_TRUE(spec.ok()) << spec.status();
  const std::string here = std::filesystem::current_path();
  EXPECT_EQ(spec->model_uri, UriOfPath(here + "/models/tiny"));
  EXPECT_THAT(spec->calibration_uris, ElementsAre("file:///text/a b.txt"));
  EXPECT_EQ(spec->evaluation_uri, UriOfPath(here + "/held-out.txt"));
  EXPECT_EQ(spec->output_uri, UriOfPath(here + "/result"));
}

TEST(JobFlags, NoEvaluationTextMeansNoEvaluation) {
  const absl::StatusOr<JobSpec> spec = MakeJobSpec(TypedFlags());

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->evaluation_uri, "");
}

void ExpectRefused(const JobFlags& flags, const std::string& words) {
  const absl::Status status = MakeJobSpec(flags).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << words;
  EXPECT_THAT(std::string(status.message()), HasSubstr(words));
}

TEST(JobFlags, LocationsThatAreNoneAreRefusedByFlag) {
  for (const char* location : {"", "http://host/model", "file://host/model", "file:///a/../b"}) {
    JobFlags flags = TypedFlags();
    flags.model = location;
    ExpectRefused(flags, "--model");
    flags = TypedFlags();
    flags.calibration.push_back(location);
    ExpectRefused(flags, "--calibration");
    flags = TypedFlags();
    flags.output = location;
    ExpectRefused(flags, "--output");
    flags = TypedFlags();
    flags.evaluation = location;
    if (flags.evaluation != "") ExpectRefused(flags, "--evaluation");
  }
}

TEST(JobFlags, ResultNeverOverwritesItsModel) {
  JobFlags flags = TypedFlags();
  flags.model = flags.output = "models/tiny";

  ExpectRefused(flags, "output_uri");
}

TEST(JobFlags, MoreCalibrationThanFitsIsRefused) {
  JobFlags flags = TypedFlags();
  flags.samples = kMaxSamples;
  flags.sequence_length = kMaxSequenceLength;

  ExpectRefused(flags, "samples x sequence_length");
}

TEST(JobFlags, WrongSpecFlagIsRefused) {
  JobFlags flags = TypedFlags();
  flags.spec.codebook_dtype = "int4";

  ExpectRefused(flags, "--codebook-dtype is 'int4'");
}

}  // namespace
}  // namespace gptvq
