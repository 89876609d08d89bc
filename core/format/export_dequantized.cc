#include "core/format/export_dequantized.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/format/config_text.h"
#include "core/format/packed_checkpoint.h"
#include "core/format/packed_tensors.h"
#include "core/format/quantization_config.h"
#include "core/format/side_files.h"
#include "core/format/weights_writer.h"

namespace gptvq {
namespace {

constexpr float kLargestHalf = 65504.0f;
constexpr std::size_t kPieceValues = 1 << 18;

// How config.json names a dtype.
std::string ConfigDType(DType dtype) {
  return dtype == DType::kBf16 ? "\"bfloat16\"" : dtype == DType::kF16 ? "\"float16\"" : "\"float32\"";
}

absl::Status AppendDequantized(const PackedCheckpoint& checkpoint, const PackedModule& module, DType dtype,
                               SafetensorsWriter& writer) {
  std::vector<float> weights(module.rows * module.cols);
  {
    GPTVQ_ASSIGN_OR_RETURN(const QuantizedLinear linear, checkpoint.ReadLinear(module.name));
    Dequantize(linear, MatrixView<float>(weights.data(), module.rows, module.cols));
  }
  if (dtype == DType::kF16) {
    const auto bad = std::find_if(weights.begin(), weights.end(), [](float w) { return std::fabs(w) > kLargestHalf; });
    if (bad != weights.end()) {
      return absl::OutOfRangeError(absl::StrCat("a weight of ", *bad, " does not fit F16; export as bf16"));
    }
  }
  std::vector<std::byte> buffer(kPieceValues * DTypeBytes(dtype));
  for (std::size_t done = 0; done < weights.size(); done += kPieceValues) {
    const absl::Span<const float> values = absl::MakeConstSpan(weights).subspan(done, kPieceValues);
    const absl::Span<std::byte> bytes(buffer.data(), values.size() * DTypeBytes(dtype));
    EncodeFromFloat(dtype, values, bytes);
    GPTVQ_RETURN_IF_ERROR(writer.Append(bytes));
  }
  return absl::OkStatus();
}

std::vector<WriteUnit> ListUnits(const PackedCheckpoint& checkpoint, DType dtype) {
  std::vector<WriteUnit> units;
  for (const PackedModule& module : checkpoint.modules()) {
    const TensorInfo info{absl::StrCat(module.name, ".weight"), dtype, {module.rows, module.cols}};
    const auto append = [&checkpoint, &module, dtype](SafetensorsWriter& writer) {
      return AppendDequantized(checkpoint, module, dtype, writer);
    };
    units.push_back({info.name, {{info, append}}});
  }
  for (const std::string& name : checkpoint.tensors().TensorNames()) {
    if (IsPackedTensorName(name)) continue;
    units.push_back({name, {CopiedTensor(checkpoint.tensors(), *checkpoint.tensors().Find(name))}});
  }
  return units;
}

absl::StatusOr<std::string> PlainConfig(const std::string& config_text, DType dtype) {
  GPTVQ_ASSIGN_OR_RETURN(std::string text, RemoveTopLevelKey(config_text, kQuantizationConfigKey));
  for (const char* key : {"torch_dtype", "dtype"}) {
    auto replaced = ReplaceTopLevelValue(text, key, ConfigDType(dtype));
    if (absl::IsNotFound(replaced.status())) continue;
    GPTVQ_RETURN_IF_ERROR(replaced.status());
    text = *std::move(replaced);
  }
  return text;
}

}  // namespace

absl::Status ExportDequantized(const ReadableDirectory& directory, const ExportOptions& options,
                               WritableDirectory& output) {
  if (options.dtype != DType::kBf16 && options.dtype != DType::kF16 && options.dtype != DType::kF32) {
    return absl::InvalidArgumentError(absl::StrCat("weights can not be exported as ",
                                                   std::string(DTypeName(options.dtype)), "; allowed: BF16, F16, F32"));
  }
  GPTVQ_ASSIGN_OR_RETURN(const PackedCheckpoint checkpoint, PackedCheckpoint::Open(directory));
  GPTVQ_ASSIGN_OR_RETURN(const std::string config, PlainConfig(checkpoint.config_text(), options.dtype));
  GPTVQ_RETURN_IF_ERROR(WriteWeights(ListUnits(checkpoint, options.dtype), options.max_shard_bytes, output).status());
  GPTVQ_RETURN_IF_ERROR(CopySideFiles(directory, output).status());
  return WriteSmallFile(kConfigFile, config, output).status();
}

}  // namespace gptvq
