#include "client/commands/result_commands.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/local_files.h"
#include "core/base/status_macros.h"
#include "core/format/export_dequantized.h"
#include "core/format/inspect.h"
#include "core/format/manifest.h"
#include "core/format/verify.h"
#include "nlohmann/json.hpp"

namespace gptvq {
namespace {

double Share(std::int64_t bits, const BitCount& count) {
  return count.weights == 0 ? 0 : static_cast<double>(bits) / static_cast<double>(count.weights);
}

double MeanRelativeError(const std::vector<LinearReport>& linears) {
  double sum = 0;
  for (const LinearReport& linear : linears) sum += linear.relative_error;
  return linears.empty() ? 0 : sum / static_cast<double>(linears.size());
}

std::string SummaryText(const CheckpointSummary& summary) {
  const ManifestFacts& facts = summary.manifest.facts;
  const BitCount& bits = summary.manifest.bits;
  const QuantSpec& spec = facts.spec;
  std::string text = absl::StrFormat("%-18s %s\n", "method", std::string(Name(spec.method)));
  if (spec.method == QuantMethod::kGptvq) {
    absl::StrAppendFormat(&text, "%-18s d = %d, K = %d, %d weights per codebook, %s codebooks\n", "vectors",
                          spec.vector_dim, spec.centroid_count(), spec.group_weights,
                          std::string(Name(spec.codebook_dtype)));
  }
  absl::StrAppendFormat(&text, "%-18s %.4f = %.4f indices + %.4f codebooks + %.4f scales + %.4f permutation\n",
                        "bits per value", bits.bits_per_value(), Share(bits.index_bits, bits),
                        Share(bits.codebook_bits + bits.codebook_scale_bits, bits), Share(bits.block_scale_bits, bits),
                        Share(bits.permutation_bits, bits));
  absl::StrAppendFormat(&text, "%-18s %d, %.5f mean relative error\n", "packed linears", summary.modules.size(),
                        MeanRelativeError(facts.linears));
  absl::StrAppendFormat(&text, "%-18s %.1f MB: %.1f MB packed, %.1f MB as in the source\n", "size",
                        static_cast<double>(summary.output_bytes) / 1e6,
                        static_cast<double>(summary.packed_bytes) / 1e6,
                        static_cast<double>(summary.other_bytes) / 1e6);
  absl::StrAppendFormat(&text, "%-18s %s, shards of %d layers, seed %d, class %s, gptvq %s\n", "made",
                        Printable(facts.propagation), facts.shard_layers, facts.seed, Printable(facts.numerics_class),
                        Printable(facts.tool_version));
  absl::StrAppendFormat(&text, "%-18s %s\n", "manifest sha256", summary.manifest_digest.hex());
  return text;
}

std::string SummaryJson(const CheckpointSummary& summary) {
  const ManifestFacts& facts = summary.manifest.facts;
  const BitCount& bits = summary.manifest.bits;
  nlohmann::ordered_json linears = nlohmann::ordered_json::array();
  for (const LinearReport& linear : facts.linears) {
    linears.push_back({{"name", linear.name},
                       {"rows", linear.rows},
                       {"cols", linear.cols},
                       {"relative_error", linear.relative_error},
                       {"bits_per_value", linear.bits.bits_per_value()}});
  }
  const nlohmann::ordered_json json = {{"manifest_sha256", summary.manifest_digest.hex()},
                                       {"method", Name(facts.spec.method)},
                                       {"bits_per_value", bits.bits_per_value()},
                                       {"quantized_weights", bits.weights},
                                       {"packed_linears", summary.modules.size()},
                                       {"output_bytes", summary.output_bytes},
                                       {"packed_bytes", summary.packed_bytes},
                                       {"other_bytes", summary.other_bytes},
                                       {"propagation", facts.propagation},
                                       {"seed", facts.seed},
                                       {"numerics_class", facts.numerics_class},
                                       {"mean_relative_error", MeanRelativeError(facts.linears)},
                                       {"linears", std::move(linears)}};
  return json.dump(2) + "\n";
}

std::optional<DType> ExportDType(const std::string& name) {
  if (name == "bf16") return DType::kBf16;
  if (name == "fp16") return DType::kF16;
  if (name == "fp32") return DType::kF32;
  return std::nullopt;
}

absl::Status Export(const Storage& storage, const ExportFlags& flags, DType dtype) {
  GPTVQ_ASSIGN_OR_RETURN(const auto source, OpenLocalDirectory(storage, flags.directory));
  GPTVQ_ASSIGN_OR_RETURN(const auto output, CreateLocalDirectory(storage, flags.output));
  ExportOptions options;
  options.dtype = dtype;
  return ExportDequantized(*source, options, *output);
}

}  // namespace

ExitCode VerifyResult(const Storage& storage, const std::string& directory, Terminal& terminal) {
  const auto opened = OpenLocalDirectory(storage, directory);
  if (!opened.ok()) return Fail(terminal, opened.status());
  const absl::StatusOr<Verification> verification = VerifyCheckpoint(**opened);
  if (!verification.ok()) return Fail(terminal, verification.status());
  for (const std::string& failure : verification->failures) {
    terminal.err << "error: " << Printable(failure, 4096) << "\n";
  }
  if (!verification->ok()) {
    terminal.err << verification->failures.size() << " failures" << std::endl;
    return ExitCode::kJobFailed;
  }
  terminal.out << absl::StrFormat("ok: %d files, %d bytes, %d packed linears, manifest %s\n",
                                  verification->files_checked, verification->bytes_checked,
                                  verification->linears_checked, verification->manifest.hex())
               << std::flush;
  return ExitCode::kOk;
}

ExitCode InspectResult(const Storage& storage, const std::string& directory, OutputFormat output, Terminal& terminal) {
  const auto opened = OpenLocalDirectory(storage, directory);
  if (!opened.ok()) return Fail(terminal, opened.status());
  const absl::StatusOr<CheckpointSummary> summary = InspectCheckpoint(**opened);
  if (!summary.ok()) return Fail(terminal, summary.status());
  terminal.out << (output == OutputFormat::kJson ? SummaryJson(*summary) : SummaryText(*summary)) << std::flush;
  return ExitCode::kOk;
}

ExitCode ExportResult(const Storage& storage, const ExportFlags& flags, Terminal& terminal) {
  const std::optional<DType> dtype = ExportDType(flags.dtype);
  if (!dtype || flags.format != "dequantized") {
    terminal.err << "error: " << (dtype ? "--format" : "--dtype") << " is '"
                 << Printable(dtype ? flags.format : flags.dtype, 64)
                 << "'; allowed: " << (dtype ? "dequantized" : "bf16, fp16, fp32") << std::endl;
    return ExitCode::kUsage;
  }
  const absl::Status status = Export(storage, flags, *dtype);
  if (!status.ok()) return Fail(terminal, status);
  terminal.out << flags.output << std::endl;
  return ExitCode::kOk;
}

}  // namespace gptvq
