#include "client/commands/linear_command.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/local_backend.h"
#include "client/local_files.h"
#include "core/base/dtype.h"
#include "core/base/status_macros.h"
#include "core/format/packed_linear.h"
#include "core/format/safetensors_reader.h"
#include "core/format/safetensors_writer.h"
#include "core/quant/hessian.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/quantize_linear.h"
#include "nlohmann/json.hpp"
#include "platform/object_store/object_uri.h"

namespace gptvq {
namespace {

constexpr std::string_view kDequantizedTensor = "dequantized";

// "FILE:TENSOR", as typed.
struct TensorLocation {
  std::string location;
  ObjectUri file;
  std::string tensor;
};

// What the command line asks for, checked as far as it can be without opening a file.
struct LinearRequest {
  QuantSpec spec;
  TensorLocation weight;
  TensorLocation hessian;
};

absl::StatusOr<TensorLocation> ParseLocation(const char* flag, const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, " '", Printable(text, 80), "' is not of the form FILE:TENSOR"));
  }
  const std::string location = text.substr(0, colon);
  const absl::StatusOr<ObjectUri> file = ObjectUri::ParseArgument(location);
  if (!file.ok()) return WithContext(file.status(), flag);
  return TensorLocation{location, *file, text.substr(colon + 1)};
}

absl::StatusOr<LinearRequest> ParseRequest(const LinearOptions& options) {
  GPTVQ_ASSIGN_OR_RETURN(const QuantSpec spec, ResolveSpec(options.spec));
  GPTVQ_ASSIGN_OR_RETURN(const TensorLocation weight, ParseLocation("--weight", options.weight));
  GPTVQ_ASSIGN_OR_RETURN(const TensorLocation hessian, ParseLocation("--hessian", options.hessian));
  const absl::StatusOr<ObjectUri> output = ObjectUri::ParseArgument(options.output);
  if (!output.ok()) return WithContext(output.status(), "--output");
  if (*output == weight.file || *output == hessian.file) {
    return absl::InvalidArgumentError("--output is the file of an input, which is never overwritten");
  }
  return LinearRequest{spec, weight, hessian};
}

struct Matrix {
  std::string tensor;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> values = {};

  MatrixView<const float> view() const { return {values.data(), rows, cols}; }
};

bool IsFloat(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16;
}

absl::StatusOr<Matrix> ReadMatrix(const Storage& storage, const TensorLocation& location) {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, OpenLocalFile(storage, location.location));
  GPTVQ_ASSIGN_OR_RETURN(const SafetensorsReader reader, SafetensorsReader::Open(std::move(file)));
  const StoredTensor* stored = reader.Find(location.tensor);
  if (stored == nullptr) {
    return absl::NotFoundError(
        absl::StrCat(std::string(reader.file_name()), ": no tensor '", Printable(location.tensor, 80), "'"));
  }
  if (stored->info.shape.size() != 2 || stored->info.element_count() == 0 || !IsFloat(stored->info.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(reader.file_name()), ": ", location.tensor, " is ",
                                                   Describe(stored->info),
                                                   "; a matrix of F64, F32, F16 or BF16 is needed"));
  }
  Matrix matrix{.tensor = location.tensor, .rows = stored->info.shape[0], .cols = stored->info.shape[1]};
  std::vector<std::byte> bytes(stored->info.byte_count());
  GPTVQ_RETURN_IF_ERROR(reader.Read(*stored, 0, absl::MakeSpan(bytes)));
  matrix.values.resize(static_cast<std::size_t>(stored->info.element_count()));
  DecodeToFloat(stored->info.dtype, bytes, absl::MakeSpan(matrix.values));
  return matrix;
}

absl::Status WriteResult(const Storage& storage, const std::string& path, const PackedModule& module,
                         const LinearResult& result) {
  GPTVQ_ASSIGN_OR_RETURN(std::vector<PackedTensor> tensors, PackLinear(module, result.linear));
  PackedTensor dequantized{{std::string(kDequantizedTensor), DType::kF32, {module.rows, module.cols}}, {}};
  dequantized.bytes.resize(dequantized.info.byte_count());
  EncodeFromFloat(DType::kF32, result.Dequantized(), absl::MakeSpan(dequantized.bytes));
  tensors.push_back(std::move(dequantized));

  std::vector<TensorInfo> infos;
  for (const PackedTensor& tensor : tensors) infos.push_back(tensor.info);
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, CreateLocalFile(storage, path));
  const PackedModules modules{module.layout, {module}};
  GPTVQ_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                         SafetensorsWriter::Begin(infos, {{"gptvq_modules", PackedModulesText(modules)}}, *file));
  for (const TensorInfo& info : writer.order()) {
    for (const PackedTensor& tensor : tensors) {
      if (tensor.info.name == info.name) GPTVQ_RETURN_IF_ERROR(writer.Append(tensor.bytes));
    }
  }
  GPTVQ_RETURN_IF_ERROR(writer.Finish());
  return file->Close();
}

std::string ReportJson(const LinearReport& report, double seconds) {
  const nlohmann::ordered_json json = {{"name", report.name},
                                       {"rows", report.rows},
                                       {"cols", report.cols},
                                       {"relative_error", report.relative_error},
                                       {"sweep_relative_error", report.sweep_relative_error},
                                       {"bits_per_value", report.bits.bits_per_value()},
                                       {"damping", report.damping},
                                       {"hessian", report.hessian_policy == HessianPolicy::kFull ? "full" : "diagonal"},
                                       {"dead_columns", report.dead_columns},
                                       {"em_iterations", report.em_iterations},
                                       {"update_iterations", report.update_iterations},
                                       {"refinement_passes", report.refinement_passes},
                                       {"seconds", seconds},
                                       {"seconds_by_phase",
                                        {{"factor", report.seconds.factor},
                                         {"clustering", report.seconds.clustering},
                                         {"sweep", report.seconds.sweep},
                                         {"update", report.seconds.update},
                                         {"refinement", report.seconds.refinement}}}};
  return json.dump(2) + "\n";
}

absl::StatusOr<PreparedHessian> Prepare(Backend& backend, const Matrix& hessian, const QuantSpec& spec,
                                        const MonotonicClock& clock) {
  GPTVQ_ASSIGN_OR_RETURN(Hessian matrix, HessianFromHost(backend, hessian.view()));
  return PreparedHessian::Make(backend, std::move(matrix), spec, &clock);
}

absl::StatusOr<std::string> QuantizeAndWrite(const Storage& storage, const LinearOptions& options,
                                             const LinearRequest& request, const MonotonicClock& clock) {
  GPTVQ_ASSIGN_OR_RETURN(const Matrix weight, ReadMatrix(storage, request.weight));
  GPTVQ_ASSIGN_OR_RETURN(const Matrix hessian, ReadMatrix(storage, request.hessian));
  if (hessian.rows != weight.cols || hessian.cols != weight.cols) {
    return absl::InvalidArgumentError(absl::StrCat("the Hessian ", hessian.tensor, " is ", hessian.rows, " x ",
                                                   hessian.cols, "; the weight ", weight.tensor, " of ", weight.rows,
                                                   " x ", weight.cols, " needs ", weight.cols, " x ", weight.cols));
  }
  // A place that can not be written is better known before the work than after it. This file is gone at once.
  GPTVQ_RETURN_IF_ERROR(CreateLocalFile(storage, options.output).status());
  const double start_seconds = clock.NowSeconds();
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, MakeLocalBackend(options.device, options.threads));
  const absl::StatusOr<PreparedHessian> prepared = Prepare(*backend, hessian, request.spec, clock);
  if (!prepared.ok()) return WithContext(prepared.status(), hessian.tensor);
  std::string name = weight.tensor;
  if (absl::EndsWith(name, ".weight")) name.resize(name.size() - std::string_view(".weight").size());
  GPTVQ_ASSIGN_OR_RETURN(LinearResult result,
                         QuantizeLinear(*backend, name, weight.view(), *prepared, request.spec, options.seed, &clock));
  result.report.seconds.factor = prepared->factor_seconds();
  const double seconds = clock.NowSeconds() - start_seconds;
  GPTVQ_RETURN_IF_ERROR(
      WriteResult(storage, options.output, {name, weight.rows, weight.cols, LayoutOf(request.spec)}, result));
  return ReportJson(result.report, seconds);
}

}  // namespace

ExitCode QuantizeOneLinear(const Storage& storage, const LinearOptions& options, const MonotonicClock& clock,
                           Terminal& terminal) {
  const absl::StatusOr<LinearRequest> request = ParseRequest(options);
  if (!request.ok()) {
    Fail(terminal, request.status());
    return ExitCode::kUsage;
  }
  const absl::StatusOr<std::string> report = QuantizeAndWrite(storage, options, *request, clock);
  if (!report.ok()) return Fail(terminal, report.status());
  terminal.out << *report << std::flush;
  return ExitCode::kOk;
}

}  // namespace gptvq
