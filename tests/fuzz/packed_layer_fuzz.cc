// Any bytes as a layer artifact: refused, or every linear that unpacks packs again to the same tensors and dequantizes.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/base/memory_file.h"
#include "core/format/layer_artifact.h"
#include "core/format/packed_linear.h"

namespace gptvq {
namespace {

constexpr std::int64_t kMaxWeights = 1 << 22;  // one byte of indices can stand for eight vectors

void CheckModule(const LayerArtifact& artifact, const PackedModule& module) {
  const auto stored = ReadPackedTensors(module, artifact.tensors());
  if (!stored.ok()) std::abort();  // shapes were checked when the artifact was opened
  const auto linear = UnpackLinear(module, *stored);
  if (!linear.ok()) return;
  const auto packed = PackLinear(module, *linear);
  if (!packed.ok() || packed->size() != stored->size()) std::abort();
  for (std::size_t i = 0; i < packed->size(); ++i) {
    if ((*packed)[i].info != (*stored)[i].info || (*packed)[i].bytes != (*stored)[i].bytes) std::abort();
  }
  std::vector<float> weights(module.rows * module.cols);
  Dequantize(*linear, MatrixView<float>(weights.data(), module.rows, module.cols));
}

void Run(std::string bytes) {
  const auto artifact = LayerArtifact::Open(std::make_unique<MemoryFile>("input", std::move(bytes)));
  if (!artifact.ok()) return;
  for (const PackedModule& module : artifact->modules()) {
    if (module.rows * module.cols <= kMaxWeights) CheckModule(*artifact, module);
  }
}

}  // namespace
}  // namespace gptvq

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  gptvq::Run(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
