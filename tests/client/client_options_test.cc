#include "client/client_options.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/typed_command_line.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ClientOptions, EveryNamedCommandParses) {
  ASSERT_EQ(CommandNames().size(), LeastArguments().size());
  for (const std::string& name : CommandNames()) {
    TypedCommandLine client;

    const ParsedCommandLine parsed = client.Parse(Typed(name));

    EXPECT_EQ(parsed.exit_code, std::nullopt) << name << ": " << client.err.str();
    EXPECT_EQ(parsed.command, name);
  }
}

TEST(ClientOptions, HelpListsTheCommandsInTheOrderOfTheirNames) {
  TypedCommandLine client;

  EXPECT_EQ(client.Parse({"--help"}).exit_code, 0);

  std::size_t last = client.out.str().find("\nSubcommands:");
  ASSERT_NE(last, std::string::npos);
  for (const std::string& name : CommandNames()) {
    const std::size_t here = client.out.str().find("\n  " + name + " ", last);
    ASSERT_NE(here, std::string::npos) << name << " is missing, or comes before its predecessor";
    last = here;
  }
}

TEST(ClientOptions, EveryCommandShowsHelp) {
  for (const std::string& name : CommandNames()) {
    TypedCommandLine client;

    EXPECT_EQ(client.Parse({name, "--help"}).exit_code, 0) << name;
    EXPECT_THAT(client.out.str(), HasSubstr("--help")) << name;
    EXPECT_EQ(client.err.str(), "") << name;
  }
}

TEST(ClientOptions, SubmitTakesEveryFlagOfAJob) {
  TypedCommandLine client;

  const ParsedCommandLine parsed = client.Parse({"submit",
                                                 "--coordinator",
                                                 "host:7071",
                                                 "--model",
                                                 "m",
                                                 "--calibration",
                                                 "a",
                                                 "--calibration",
                                                 "b",
                                                 "--evaluation",
                                                 "e",
                                                 "--output",
                                                 "o",
                                                 "--propagation",
                                                 "parallel",
                                                 "--shard-layers",
                                                 "4",
                                                 "--samples",
                                                 "16",
                                                 "--sequence-length",
                                                 "512",
                                                 "--evaluation-tokens",
                                                 "9999999999",
                                                 "--seed",
                                                 "18446744073709551615",
                                                 "--request-id",
                                                 "id",
                                                 "--state-dir",
                                                 "s",
                                                 "--dry-run",
                                                 "--wait",
                                                 "--watch",
                                                 "-o",
                                                 "name"});

  ASSERT_EQ(parsed.exit_code, std::nullopt) << client.err.str();
  const ClientOptions& options = client.options;
  EXPECT_EQ(options.coordinator, "host:7071");
  EXPECT_EQ(options.job.model, "m");
  EXPECT_THAT(options.job.calibration, ElementsAre("a", "b"));
  EXPECT_EQ(options.job.evaluation, "e");
  EXPECT_EQ(options.job.output, "o");
  EXPECT_EQ(options.job.propagation, PropagationMode::kParallel);
  EXPECT_EQ(options.job.shard_layers, 4);
  EXPECT_EQ(options.job.samples, 16);
  EXPECT_EQ(options.job.sequence_length, 512);
  EXPECT_EQ(options.job.evaluation_tokens, 9'999'999'999);
  EXPECT_EQ(options.job.seed, ~std::uint64_t{0});
  EXPECT_EQ(options.request_id, "id");
  EXPECT_EQ(options.state_dir, "s");
  EXPECT_TRUE(options.dry_run);
  EXPECT_TRUE(options.wait);
  EXPECT_TRUE(options.watch);
  EXPECT_EQ(options.output, OutputFormat::kName);
}

TEST(ClientOptions, SubmitQuantizeAndLinearTakeEveryFlagOfASpec) {
  const Words flags = {"--preset",
                       "p",
                       "--vector-dim",
                       "1",
                       "--index-bits",
                       "2",
                       "--group-weights",
                       "300",
                       "--columns-per-group",
                       "64",
                       "--codebook-dtype",
                       "fp16",
                       "--block-scale-columns",
                       "8",
                       "--svd-rank-fraction",
                       "0.5",
                       "--seeding",
                       "kmeans++",
                       "--em-iterations",
                       "3",
                       "--update-iterations",
                       "4",
                       "--refinement-passes",
                       "5",
                       "--uniform-bits",
                       "6",
                       "--uniform-group-columns",
                       "64",
                       "--act-order",
                       "--damping",
                       "0.125",
                       "--layer-order",
                       "one-pass",
                       "--compat",
                       "reference"};
  for (const char* command : {"submit", "quantize", "linear"}) {
    TypedCommandLine client;

    const ParsedCommandLine parsed = client.Parse(Typed(command, flags));

    ASSERT_EQ(parsed.exit_code, std::nullopt) << command << ": " << client.err.str();
    const SpecFlags& spec = client.options.job.spec;
    EXPECT_EQ(spec.preset, "p");
    EXPECT_EQ(spec.vector_dim, 1);
    EXPECT_EQ(spec.index_bits, 2);
    EXPECT_EQ(spec.group_weights, 300);
    EXPECT_EQ(spec.columns_per_group, 64);
    EXPECT_EQ(spec.codebook_dtype, "fp16");
    EXPECT_EQ(spec.block_scale_columns, 8);
    EXPECT_EQ(spec.svd_rank_fraction, 0.5);
    EXPECT_EQ(spec.seeding, "kmeans++");
    EXPECT_EQ(spec.em_iterations, 3);
    EXPECT_EQ(spec.update_iterations, 4);
    EXPECT_EQ(spec.refinement_passes, 5);
    EXPECT_EQ(spec.uniform_bits, 6);
    EXPECT_EQ(spec.uniform_group_columns, 64);
    EXPECT_TRUE(spec.act_order);
    EXPECT_EQ(spec.damping, 0.125);
    EXPECT_EQ(spec.layer_order, "one-pass");
    EXPECT_EQ(spec.compat, "reference");
  }
}

TEST(ClientOptions, FlagsOfTheOtherCommandsReachTheirFields) {
  TypedCommandLine list, wait, quantize, eval, export_client, linear, calibration, report;

  list.Parse({"list", "--limit", "7", "-o", "json"});
  wait.Parse({"wait", "job-2", "--timeout", "2h"});
  quantize.Parse(Typed("quantize", {"--threads", "3", "--workers", "2", "--device", "cuda:1,0", "--state-dir", "s",
                                    "--format", "html"}));
  eval.Parse({"eval", "dir", "--text", "t", "--sequence-length", "64", "--evaluation-tokens", "640", "--threads", "2",
              "--device", "cpu"});
  export_client.Parse({"export", "dir", "--format", "dequantized", "--dtype", "fp32", "--output", "o"});
  linear.Parse({"linear", "--weight", "a:w", "--hessian", "b:h", "--output", "o", "--seed", "5", "--threads", "1"});
  calibration.Parse({"calibration", "inspect", "--model", "m", "--calibration", "c", "--samples", "2", "--seed", "3"});
  report.Parse({"report", "job-3", "-o", "html"});

  EXPECT_EQ(list.options.limit, 7);
  EXPECT_EQ(list.options.output, OutputFormat::kJson);
  EXPECT_EQ(wait.options.job_id, "job-2");
  EXPECT_EQ(wait.options.timeout, std::chrono::hours(2));
  EXPECT_EQ(quantize.options.threads, 3);
  EXPECT_EQ(quantize.options.workers, 2);
  EXPECT_EQ(quantize.options.device, (DeviceChoice{DeviceChoice::Kind::kCuda, {1, 0}}));
  EXPECT_EQ(quantize.options.state_dir, "s");
  EXPECT_EQ(quantize.options.output, OutputFormat::kHtml);
  EXPECT_EQ(eval.options.directory, "dir");
  EXPECT_EQ(eval.options.text, "t");
  EXPECT_EQ(eval.options.job.sequence_length, 64);
  EXPECT_EQ(eval.options.job.evaluation_tokens, 640);
  EXPECT_EQ(eval.options.threads, 2);
  EXPECT_EQ(eval.options.device.kind, DeviceChoice::Kind::kCpu);
  EXPECT_EQ(export_client.options.export_format, "dequantized");
  EXPECT_EQ(export_client.options.export_dtype, "fp32");
  EXPECT_EQ(export_client.options.export_output, "o");
  EXPECT_EQ(linear.options.weight, "a:w");
  EXPECT_EQ(linear.options.hessian, "b:h");
  EXPECT_EQ(linear.options.linear_output, "o");
  EXPECT_EQ(linear.options.job.seed, 5u);
  EXPECT_EQ(calibration.options.calibration_action, "inspect");
  EXPECT_EQ(calibration.options.job.samples, 2);
  EXPECT_EQ(calibration.options.job.seed, 3u);
  EXPECT_EQ(report.options.job_id, "job-3");
  EXPECT_EQ(report.options.output, OutputFormat::kHtml);
}

TEST(ClientOptions, CoordinatorMayComeFromTheEnvironmentAndTheFlagWins) {
  TypedCommandLine from_variable, from_flag;
  from_variable.variables = from_flag.variables = {{"GPTVQ_COORDINATOR", "variable:1"}};

  from_variable.Parse(Typed("list"));
  from_flag.Parse(Typed("list", {"--coordinator", "flag:2"}));

  EXPECT_EQ(from_variable.options.coordinator, "variable:1");
  EXPECT_EQ(from_flag.options.coordinator, "flag:2");
}

}  // namespace
}  // namespace gptvq
