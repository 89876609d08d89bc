#include "client/client_options.h"

#include <functional>
#include <optional>
#include <utility>

#include "core/base/status_macros.h"
#include "platform/object_store/object_uri.h"

namespace gptvq {
namespace {

constexpr int kMaxThreads = 1024;

template <typename T>
void AddOptionalInteger(Command& command, Flag flag, std::optional<T>* target, Range<T> range) {
  command.AddParsed(std::move(flag), "", [target, range](std::string_view text) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(*target, ParseInteger<T>(text, range));
    return absl::OkStatus();
  });
}

void AddOptionalNumber(Command& command, Flag flag, std::optional<double>* target, Range<double> range) {
  command.AddParsed(std::move(flag), "", [target, range](std::string_view text) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(*target, ParseNumber(text, range));
    return absl::OkStatus();
  });
}

void AddOptionalText(Command& command, Flag flag, std::optional<std::string>* target) {
  command.AddParsed(std::move(flag), "", [target](std::string_view text) -> absl::Status {
    *target = std::string(text);
    return absl::OkStatus();
  });
}

// What no storage could ever open is a mistake in the command line, whichever command meets it.
absl::Status CheckLocation(std::string_view text) { return ObjectUri::ParseArgument(text).status(); }

void AddLocation(Command& command, Flag flag, std::string* target) {
  command.AddParsed(std::move(flag), "", [target](std::string_view text) {
    *target = std::string(text);
    return CheckLocation(text);
  });
}

void AddLocations(Command& command, Flag flag, std::vector<std::string>* targets) {
  command.AddEachParsed(std::move(flag), [targets](std::string_view text) {
    targets->emplace_back(text);
    return CheckLocation(text);
  });
}

void AddCoordinator(Command& command, ClientOptions& options) {
  command.AddParsed(
      {.name = "--coordinator",
       .help = "Where the coordinator listens: host:port, unix:/path, or IPv4:port,IPv4:port,... of several.",
       .value = "ADDRESS"},
      options.coordinator, [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(options.coordinator, ParseRpcTarget(text));
        return absl::OkStatus();
      });
  AddConnectionFlags(command, &options.security);
}

// The flags of a command that can not do without the coordinator.
void AddCallFlags(Command& command, ClientOptions& options) {
  AddCoordinator(command, options);
  command.AddDuration({.name = "--retry-for",
                       .help = "How long calls are repeated while the coordinator does not answer; 0: not at all.",
                       .value = "DURATION"},
                      &options.retry_for);
}

void AddOutput(Command& command, ClientOptions& options, std::vector<std::pair<std::string, OutputFormat>> formats) {
  command.AddChoice<OutputFormat>({.name = "-o,--format", .help = "How the result is printed."}, &options.output,
                                  std::move(formats));
}

void AddStorageProfiles(Command& command, ClientOptions& options) {
  command.AddString({.name = "--storage-profiles",
                     .help = "JSON file that says how s3:// URIs are reached; without it AWS in AWS_REGION.",
                     .value = "PROFILES"},
                    &options.storage_profiles);
}

void AddDevice(Command& command, ClientOptions& options) {
  command.AddParsed({.name = "--device", .help = kDeviceFlagHelp, .value = "DEVICE"}, "cpu",
                    [&options](std::string_view text) -> absl::Status {
                      GPTVQ_ASSIGN_OR_RETURN(options.device, ParseDeviceChoice(text));
                      return absl::OkStatus();
                    });
  command.AddInteger<int>(
      {.name = "--threads",
       .help = "Threads to compute with on the CPU; 0: one per core. The result does not depend on it.",
       .value = "N"},
      &options.threads, {.min = 0, .max = kMaxThreads});
}

// The flags of a quantization spec: --preset and one per knob.
void AddSpecFlags(Command& command, SpecFlags& spec) {
  command.AddString({.name = "--preset", .help = "Named spec; see `gptvq-client presets`.", .value = "NAME"},
                    &spec.preset);
  AddOptionalInteger<int>(command, {.name = "--vector-dim", .help = "Weights per vector: 1, 2 or 4.", .value = "D"},
                          &spec.vector_dim, {.min = 1, .max = 4});
  AddOptionalInteger<int>(command,
                          {.name = "--index-bits", .help = "Bits of an assignment; 2^B centroids.", .value = "B"},
                          &spec.index_bits, {.min = 1, .max = 8});
  AddOptionalInteger<std::int64_t>(command,
                                   {.name = "--group-weights", .help = "Weights that share a codebook.", .value = "L"},
                                   &spec.group_weights, {.min = 1, .max = 1 << 24});
  AddOptionalInteger<int>(command, {.name = "--columns-per-group", .help = "Width of a stripe.", .value = "N"},
                          &spec.columns_per_group, {.min = 16, .max = 65536});
  AddOptionalText(command, {.name = "--codebook-dtype", .help = "int8 or fp16.", .value = "DTYPE"},
                  &spec.codebook_dtype);
  AddOptionalInteger<int>(
      command, {.name = "--block-scale-columns", .help = "Columns that share a 4-bit scale; 0: none.", .value = "N"},
      &spec.block_scale_columns, {.min = 0, .max = 65536});
  AddOptionalNumber(command,
                    {.name = "--svd-rank-fraction",
                     .help = "Rank of compressed 1-D codebooks, as a share of the centroids.",
                     .value = "F"},
                    &spec.svd_rank_fraction, {.min = 0, .max = 1});
  AddOptionalText(command, {.name = "--seeding", .help = "mahalanobis or kmeans++.", .value = "METHOD"}, &spec.seeding);
  AddOptionalInteger<int>(command, {.name = "--em-iterations", .help = "EM iterations, at most.", .value = "N"},
                          &spec.em_iterations, {.min = 0, .max = 10000});
  AddOptionalInteger<int>(command,
                          {.name = "--update-iterations",
                           .help = "Conjugate-gradient steps of a codebook update, at most; 0: no update.",
                           .value = "N"},
                          &spec.update_iterations, {.min = 0, .max = 10000});
  AddOptionalInteger<int>(
      command, {.name = "--refinement-passes", .help = "Rounds of re-assignment and codebook update.", .value = "N"},
      &spec.refinement_passes, {.min = 0, .max = 10000});
  AddOptionalInteger<int>(command,
                          {.name = "--uniform-bits", .help = "Bits of the gptq and rtn baselines.", .value = "B"},
                          &spec.uniform_bits, {.min = 2, .max = 8});
  AddOptionalInteger<int>(command,
                          {.name = "--uniform-group-columns",
                           .help = "Columns that share a scale in the baselines: 64 or 128.",
                           .value = "N"},
                          &spec.uniform_group_columns, {.min = 64, .max = 128});
  command.AddSwitch({.name = "--act-order", .help = "Baseline gptq: columns in the order of their importance."},
                    &spec.act_order);
  AddOptionalNumber(command,
                    {.name = "--damping", .help = "First damping, as a share of the mean diagonal.", .value = "F"},
                    &spec.damping, {.min = 0, .max = 1});
  AddOptionalText(command, {.name = "--layer-order", .help = "true-sequential or one-pass.", .value = "ORDER"},
                  &spec.layer_order);
  AddOptionalText(
      command,
      {.name = "--compat", .help = "`reference` reproduces the published code, defects included.", .value = "MODE"},
      &spec.compat);
}

// The flags of a job: what submit and quantize share.
void AddJobFlags(Command& command, JobFlags& job) {
  AddLocation(command,
              {.name = "--model",
               .help = "Hugging Face model directory, path or URI.",
               .value = "URI",
               .presence = Presence::kRequired},
              &job.model);
  AddLocations(command,
               {.name = "--calibration",
                .help = "Calibration text (.txt), JSON lines (.jsonl) or token ids; may be repeated.",
                .value = "FILE",
                .presence = Presence::kRequired},
               &job.calibration);
  command.AddString(
      {.name = "--evaluation", .help = "Held-out text; measures the perplexity of source and result.", .value = "FILE"},
      &job.evaluation);
  AddLocation(command,
              {.name = "--output",
               .help = "Where the checkpoint is written, path or URI.",
               .value = "URI",
               .presence = Presence::kRequired},
              &job.output);
  AddSpecFlags(command, job.spec);
  command.AddChoice<PropagationMode>(
      {.name = "--propagation", .help = "Whether a layer is calibrated behind quantized layers or shards run at once."},
      &job.propagation, {{"sequential", PropagationMode::kSequential}, {"parallel", PropagationMode::kParallel}});
  command.AddInteger<int>(
      {.name = "--shard-layers", .help = "Layers per shard; 0: the coordinator decides.", .value = "N"},
      &job.shard_layers, {.min = 0, .max = 100000});
  command.AddInteger<int>({.name = "--samples", .help = "Calibration rows.", .value = "N"}, &job.samples,
                          {.min = 1, .max = 65536});
  command.AddInteger<int>({.name = "--sequence-length", .help = "Tokens per row.", .value = "L"}, &job.sequence_length,
                          {.min = 2, .max = 131072});
  command.AddInteger<std::int64_t>(
      {.name = "--evaluation-tokens", .help = "Tokens of the held-out text to measure, at most; 0: all.", .value = "N"},
      &job.evaluation_tokens, {.min = 0, .max = std::int64_t{1} << 40});
  command.AddInteger<std::uint64_t>({.name = "--seed", .help = "Root of every random choice.", .value = "S"}, &job.seed,
                                    {.min = 0, .max = ~std::uint64_t{0}});
}

void DeclareSubmit(CommandLine& line, ClientOptions& options) {
  Command& submit = line.AddCommand("submit", "Submits a job and prints its id.");
  AddCallFlags(submit, options);
  AddJobFlags(submit, options.job);
  submit.AddString({.name = "--request-id",
                    .help = "UUID that names this submission; repeating it names the same job.",
                    .value = "UUID"},
                   &options.request_id);
  submit.AddString({.name = "--state-dir", .help = "Where unanswered request ids are kept.", .value = "DIR"},
                   &options.state_dir);
  submit.AddSwitch({.name = "--dry-run", .help = "Checks everything and shows the plan; starts nothing."},
                   &options.dry_run);
  submit.AddSwitch({.name = "--wait", .help = "Returns when the job has ended."}, &options.wait);
  submit.AddSwitch({.name = "--watch", .help = "Shows progress until the job has ended."}, &options.watch);
  AddOutput(submit, options,
            {{"text", OutputFormat::kText}, {"json", OutputFormat::kJson}, {"name", OutputFormat::kName}});
}

void DeclareJobCommands(CommandLine& line, ClientOptions& options) {
  const Flag job_argument{.name = "JOB", .help = "Id of the job.", .value = "JOB", .presence = Presence::kRequired};
  const std::vector<std::pair<std::string, OutputFormat>> text_json = {{"text", OutputFormat::kText},
                                                                       {"json", OutputFormat::kJson}};

  Command& get = line.AddCommand("get", "Shows a job and its tasks.");
  AddCallFlags(get, options);
  get.AddArgument(job_argument, &options.job_id);
  AddOutput(get, options, text_json);

  Command& list = line.AddCommand("list", "Lists jobs, newest first.");
  AddCallFlags(list, options);
  list.AddInteger<int>({.name = "--limit", .help = "How many, at most.", .value = "N"}, &options.limit,
                       {.min = 1, .max = 100000});
  AddOutput(list, options,
            {{"text", OutputFormat::kText}, {"json", OutputFormat::kJson}, {"name", OutputFormat::kName}});

  Command& watch = line.AddCommand("watch", "Shows the progress of a job until it ends.");
  AddCallFlags(watch, options);
  watch.AddArgument(job_argument, &options.job_id);

  Command& wait = line.AddCommand("wait", "Waits until a job ends.");
  AddCallFlags(wait, options);
  wait.AddArgument(job_argument, &options.job_id);
  wait.AddDuration(
      {.name = "--timeout", .help = "Gives up (exit code 124) after this long; 0: never.", .value = "DURATION"},
      &options.timeout);

  Command& cancel = line.AddCommand("cancel", "Cancels a job.");
  AddCallFlags(cancel, options);
  cancel.AddArgument(job_argument, &options.job_id);

  Command& report = line.AddCommand("report", "Prints what came out of a job.");
  AddCallFlags(report, options);
  report.AddArgument(job_argument, &options.job_id);
  AddOutput(report, options,
            {{"text", OutputFormat::kText}, {"json", OutputFormat::kJson}, {"html", OutputFormat::kHtml}});

  Command& workers = line.AddCommand("workers", "Lists the workers of the coordinator.");
  AddCallFlags(workers, options);
  AddOutput(workers, options, text_json);

  Command& doctor =
      line.AddCommand("doctor", "Checks what lies between this program and a job that runs, and says what to do.");
  AddCoordinator(doctor, options);
  AddLocations(doctor,
               {.name = "--file",
                .help = "Model directory or text that a job will read, path or URI; may be repeated.",
                .value = "URI"},
               &options.files);
  AddOutput(doctor, options, text_json);

  Command& release = line.AddCommand("release", "Gives a worker work again that was put in quarantine.");
  AddCallFlags(release, options);
  release.AddArgument(
      {.name = "WORKER", .help = "Name of the worker.", .value = "WORKER", .presence = Presence::kRequired},
      &options.worker);
}

void DeclareLocalCommands(CommandLine& line, ClientOptions& options) {
  const std::vector<std::pair<std::string, OutputFormat>> text_json = {{"text", OutputFormat::kText},
                                                                       {"json", OutputFormat::kJson}};
  const Flag directory_argument{.name = "DIRECTORY",
                                .help = "Model directory, path or URI.",
                                .value = "DIRECTORY",
                                .presence = Presence::kRequired};

  Command& quantize = line.AddCommand("quantize", "Runs a whole job inside this process and prints its report.");
  AddJobFlags(quantize, options.job);
  AddDevice(quantize, options);
  AddStorageProfiles(quantize, options);
  quantize.AddString(
      {.name = "--state-dir", .help = "Where intermediate results are kept while it runs.", .value = "DIR"},
      &options.state_dir);
  quantize.AddInteger<int>(
      {.name = "--workers", .help = "Workers inside the process, on the CPU; every GPU is one.", .value = "N"},
      &options.workers, {.min = 1, .max = 64});
  AddOutput(quantize, options,
            {{"text", OutputFormat::kText}, {"json", OutputFormat::kJson}, {"html", OutputFormat::kHtml}});

  Command& verify = line.AddCommand("verify", "Checks every byte of a result against its manifest.");
  AddLocation(verify, directory_argument, &options.directory);
  AddStorageProfiles(verify, options);

  Command& inspect = line.AddCommand("inspect", "Shows what a result holds.");
  AddLocation(inspect, directory_argument, &options.directory);
  AddStorageProfiles(inspect, options);
  AddOutput(inspect, options, text_json);

  Command& eval = line.AddCommand("eval", "Measures the perplexity of a model or result on a text.");
  AddLocation(eval, directory_argument, &options.directory);
  AddLocation(eval, {.name = "--text", .help = "Text to measure on.", .value = "FILE", .presence = Presence::kRequired},
              &options.text);
  eval.AddInteger<int>({.name = "--sequence-length", .help = "Tokens per window.", .value = "L"},
                       &options.job.sequence_length, {.min = 2, .max = 131072});
  eval.AddInteger<std::int64_t>(
      {.name = "--evaluation-tokens", .help = "Tokens to measure, at most; 0: all.", .value = "N"},
      &options.job.evaluation_tokens, {.min = 0, .max = std::int64_t{1} << 40});
  AddDevice(eval, options);
  AddStorageProfiles(eval, options);
  AddOutput(eval, options, text_json);

  Command& export_command = line.AddCommand("export", "Writes a result in another format.");
  AddLocation(export_command, directory_argument, &options.directory);
  export_command.AddString(
      {.name = "--format", .help = "dequantized: a plain Hugging Face checkpoint.", .value = "FORMAT"},
      &options.export_format);
  export_command.AddString({.name = "--dtype", .help = "bf16, fp16 or fp32.", .value = "DTYPE"}, &options.export_dtype);
  AddLocation(export_command,
              {.name = "--output",
               .help = "Where it is written, path or URI.",
               .value = "URI",
               .presence = Presence::kRequired},
              &options.export_output);
  AddStorageProfiles(export_command, options);

  Command& linear =
      line.AddCommand("linear", "Quantizes one matrix offline; the report goes to standard output as JSON.");
  linear.AddString({.name = "--weight",
                    .help = "The matrix, rows = outputs.",
                    .value = "FILE:TENSOR",
                    .presence = Presence::kRequired},
                   &options.weight);
  linear.AddString({.name = "--hessian",
                    .help = "Its symmetric Hessian, F32 or F64.",
                    .value = "FILE:TENSOR",
                    .presence = Presence::kRequired},
                   &options.hessian);
  AddLocation(linear,
              {.name = "--output",
               .help = "Safetensors file for the packed tensors and `dequantized`.",
               .value = "FILE",
               .presence = Presence::kRequired},
              &options.linear_output);
  AddSpecFlags(linear, options.job.spec);
  linear.AddInteger<std::uint64_t>({.name = "--seed", .help = "Root of every random choice.", .value = "S"},
                                   &options.job.seed, {.min = 0, .max = ~std::uint64_t{0}});
  AddDevice(linear, options);
  AddStorageProfiles(linear, options);

  Command& calibration =
      line.AddCommand("calibration", "`calibration inspect` shows what calibration files turn into.");
  calibration.AddArgument({.name = "ACTION", .help = "inspect.", .value = "ACTION", .presence = Presence::kRequired},
                          &options.calibration_action);
  AddLocation(calibration,
              {.name = "--model",
               .help = "Model directory whose tokenizer is used.",
               .value = "URI",
               .presence = Presence::kRequired},
              &options.job.model);
  AddLocations(calibration,
               {.name = "--calibration",
                .help = "Calibration file; may be repeated.",
                .value = "FILE",
                .presence = Presence::kRequired},
               &options.job.calibration);
  AddStorageProfiles(calibration, options);
  calibration.AddInteger<int>({.name = "--samples", .help = "Calibration rows.", .value = "N"}, &options.job.samples,
                              {.min = 1, .max = 65536});
  calibration.AddInteger<int>({.name = "--sequence-length", .help = "Tokens per row.", .value = "L"},
                              &options.job.sequence_length, {.min = 2, .max = 131072});
  calibration.AddInteger<std::uint64_t>({.name = "--seed", .help = "Which rows are taken.", .value = "S"},
                                        &options.job.seed, {.min = 0, .max = ~std::uint64_t{0}});

  Command& presets = line.AddCommand("presets", "Lists the presets.");
  AddOutput(presets, options, text_json);

  Command& completion = line.AddCommand("completion", "Prints a completion script for a shell.");
  completion.AddArgument(
      {.name = "SHELL", .help = "bash, zsh or fish.", .value = "SHELL", .presence = Presence::kRequired},
      &options.shell);

  Command& version =
      line.AddCommand("version", "Prints the version of this program and, if it answers, of the coordinator.");
  AddCoordinator(version, options);
}

}  // namespace

void DeclareCommands(CommandLine& command_line, ClientOptions& options) {
  DeclareSubmit(command_line, options);
  DeclareJobCommands(command_line, options);
  DeclareLocalCommands(command_line, options);
}

const std::vector<std::string>& CommandNames() {
  static const std::vector<std::string>& names = *new std::vector<std::string>{
      "submit",   "get",    "list",    "watch", "wait",   "cancel", "report",      "workers", "doctor",     "release",
      "quantize", "verify", "inspect", "eval",  "export", "linear", "calibration", "presets", "completion", "version"};
  return names;
}

}  // namespace gptvq
