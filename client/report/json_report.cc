#include <chrono>

#include "client/report/job_report.h"
#include "nlohmann/json.hpp"

namespace gptvq {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}

Json LinearsJson(const Report& report) {
  Json linears = Json::array();
  for (const LinearReport& linear : report.linears) {
    linears.push_back({{"name", linear.name},
                       {"rows", linear.rows},
                       {"cols", linear.cols},
                       {"relative_error", linear.relative_error},
                       {"sweep_relative_error", linear.sweep_relative_error},
                       {"bits_per_value", linear.bits.bits_per_value()},
                       {"damping", linear.damping},
                       {"hessian", linear.hessian_policy == HessianPolicy::kFull ? "full" : "diagonal"},
                       {"dead_columns", linear.dead_columns},
                       {"em_iterations", linear.em_iterations},
                       {"update_iterations", linear.update_iterations},
                       {"refinement_passes", linear.refinement_passes},
                       {"seconds", linear.seconds.total()}});
  }
  return linears;
}

}  // namespace

std::string JsonReport(const Report& report) {
  const BitCount& bits = report.bits;
  Json json = {{"job_id", report.job_id},
               {"state", Name(report.state)},
               {"model", report.spec.model_uri},
               {"output", report.spec.output_uri},
               {"preset", report.spec.preset},
               {"propagation", Name(report.spec.propagation)},
               {"shard_layers", report.spec.shard_layers},
               {"samples", report.spec.samples},
               {"sequence_length", report.spec.sequence_length},
               {"seed", report.spec.seed},
               {"numerics_class", report.numerics_class}};
  json["bits_per_value"] = {{"total", bits.bits_per_value()},
                            {"indices", BitsPerWeight(report, bits.index_bits)},
                            {"codebooks", BitsPerWeight(report, bits.codebook_bits)},
                            {"codebook_scales", BitsPerWeight(report, bits.codebook_scale_bits)},
                            {"block_scales", BitsPerWeight(report, bits.block_scale_bits)},
                            {"permutation", BitsPerWeight(report, bits.permutation_bits)}};
  json["quantized_weights"] = bits.weights;
  json["output_bytes"] = report.output_bytes > 0 ? Json(report.output_bytes) : Json(nullptr);
  json["manifest_sha256"] = report.manifest ? Json(report.manifest->hex()) : Json(nullptr);
  Json seconds = Json::object();
  for (const TaskPhaseSeconds& phase : report.seconds) seconds[std::string(Name(phase.phase))] = phase.seconds;
  json["seconds"] = std::move(seconds);
  json["wall_seconds"] = std::chrono::duration<double>(report.wall_time).count();
  const bool is_evaluated = report.source_perplexity.has_value() || report.quantized_perplexity.has_value();
  json["perplexity"] = {{"source", OrNull(report.source_perplexity)},
                        {"quantized", OrNull(report.quantized_perplexity)},
                        {"tokens", is_evaluated ? Json(report.evaluated_tokens) : Json(nullptr)}};
  json["mean_relative_error"] = OrNull(MeanRelativeError(report));
  Json audits = Json::object();
  for (const auto& [outcome, count] : report.audits) audits[std::string(Name(outcome))] = count;
  json["audits"] = std::move(audits);
  json["linears"] = LinearsJson(report);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace gptvq
