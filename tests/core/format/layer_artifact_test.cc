#include "core/format/layer_artifact.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/memory_file.h"
#include "core/spec/presets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/format/random_linear.h"
#include "tests/core/format/safetensors_bytes.h"

namespace gptvq {
namespace {

using ::testing::HasSubstr;

std::vector<NamedLinear> TwoLinears(const QuantSpec& spec) {
  return {{"model.layers.3.self_attn.q_proj", RandomLinear(1, 24, 576, spec)},
          {"model.layers.3.mlp.up_proj", RandomLinear(2, 40, 300, spec)}};
}

std::string Write(int layer, const QuantSpec& spec, const std::vector<NamedLinear>& linears) {
  MemoryDirectory directory;
  auto file = directory.Create("layer.safetensors");
  EXPECT_TRUE(WriteLayerArtifact(layer, spec, linears, **file).ok());
  EXPECT_TRUE((*file)->Close().ok());
  return *ReadWholeFile(**directory.Open("layer.safetensors"), 1 << 24);
}

TEST(LayerArtifact, GivesBackEveryLinear) {
  for (const char* preset : {"2d-3.125bpv", "1d-4.125bpv-s64", "2d-2.125bpv-fp16", "rtn-3bit-g64"}) {
    SCOPED_TRACE(preset);
    const QuantSpec spec = *FindPreset(preset);
    const std::vector<NamedLinear> linears = TwoLinears(spec);

    const auto artifact = LayerArtifact::Open(AFile(Write(3, spec, linears)));

    ASSERT_TRUE(artifact.ok()) << artifact.status();
    EXPECT_EQ(artifact->layer(), 3);
    EXPECT_EQ(artifact->spec(), spec);
    ASSERT_EQ(artifact->modules().size(), 2u);
    EXPECT_EQ(artifact->modules()[0].name, "model.layers.3.mlp.up_proj");
    for (const NamedLinear& named : linears) {
      const auto linear = artifact->ReadLinear(named.name);
      ASSERT_TRUE(linear.ok()) << linear.status();
      EXPECT_TRUE(SameLinear(*linear, named.linear));
    }
    EXPECT_EQ(artifact->ReadLinear("model.layers.3.mlp.gate_proj").status().code(), absl::StatusCode::kNotFound);
  }
}

// docs/format.md 8.3.
TEST(LayerArtifact, IsAFunctionOfItsContentsAlone) {
  const QuantSpec spec = *FindPreset("2d-2.125bpv");
  std::vector<NamedLinear> linears = TwoLinears(spec);
  const std::string bytes = Write(3, spec, linears);

  std::reverse(linears.begin(), linears.end());

  EXPECT_EQ(Write(3, spec, linears), bytes);
}

TEST(LayerArtifact, RefusesALinearOfAnotherSpec) {
  MemoryDirectory directory;
  auto file = directory.Create("layer.safetensors");

  const absl::Status status =
      WriteLayerArtifact(0, *FindPreset("2d-3.125bpv"), TwoLinears(*FindPreset("2d-2.125bpv")), **file);

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.layers.3.self_attn.q_proj"));
}

TEST(LayerArtifact, RefusesBrokenMetadataAndTensors) {
  const QuantSpec spec = *FindPreset("2d-2.125bpv");
  const std::string good = Write(3, spec, TwoLinears(spec));
  struct Row {
    std::string from;
    std::string to;  // of the same length, so that the rest stays in place
    absl::StatusCode code;
    std::string message;
  };
  const Row rows[] = {
      {"gptvq.layer", "gptvq.lager", absl::StatusCode::kInvalidArgument, "no metadata key gptvq.layer"},
      {"gptvq.layer\":\"3\"", "gptvq.layer\":\"x\"", absl::StatusCode::kInvalidArgument, "gptvq.layer 'x'"},
      {"\"1.0\"", "\"2.0\"", absl::StatusCode::kUnimplemented, "format_version 2.0"},
      {"q_proj.vq_indices", "q_proj.vq_undices", absl::StatusCode::kNotFound, "q_proj.vq_indices"},
      {"[24,576]", "[24,572]", absl::StatusCode::kInvalidArgument, "q_proj.vq_"},
      {"\\\"shape\\\":[40,300]", "\\\"shape\\\":[41,300]", absl::StatusCode::kInvalidArgument,
       "up_proj.vq_indices' is U8"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.to);
    std::string bytes = good;
    ASSERT_NE(bytes.find(row.from), std::string::npos);
    bytes.replace(bytes.find(row.from), row.from.size(), row.to);

    const auto artifact = LayerArtifact::Open(AFile(bytes, "layer-3"));

    EXPECT_EQ(artifact.status().code(), row.code) << artifact.status();
    EXPECT_THAT(std::string(artifact.status().message()), HasSubstr(row.message));
    EXPECT_THAT(std::string(artifact.status().message()), HasSubstr("layer-3"));
  }
}

TEST(LayerArtifact, RefusesAPlainModelFile) {
  const auto artifact = LayerArtifact::Open(AFile(OneMatrixFile("w", 1, 1, {1})));

  EXPECT_THAT(std::string(artifact.status().message()), HasSubstr("not a layer artifact"));
}

}  // namespace
}  // namespace gptvq
