#include "core/model/model_tensors.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/model/linear_source.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/model/random_checkpoint.h"

namespace gptvq {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(LinearRoles, AreInCalibrationOrderAndShareInputs) {
  std::vector<LinearRole> visited;
  for (LayerInput input : kLayerInputs) {
    for (LinearRole role : LinearsAt(input)) visited.push_back(role);
  }

  EXPECT_THAT(visited, testing::ElementsAreArray(kLinearRoles));
  EXPECT_THAT(LinearsAt(LayerInput::kAttention), ElementsAre(LinearRole::kQ, LinearRole::kK, LinearRole::kV));
  EXPECT_THAT(LinearsAt(LayerInput::kMlp), ElementsAre(LinearRole::kGate, LinearRole::kUp));
}

TEST(LinearRoles, AreToldByTheEndOfANameAndHaveShortNames) {
  for (const LinearRole role : kLinearRoles) EXPECT_EQ(RoleOf(LinearPath(7, role)), role);
  EXPECT_EQ(RoleOf("mlp.down_proj"), LinearRole::kDown);
  EXPECT_EQ(RoleOf("model.layers.3.mlp.router"), std::nullopt);
  EXPECT_EQ(RoleOf("model.layers.3.xmlp.down_proj"), std::nullopt);
  EXPECT_EQ(Name(LinearRole::kQ), "q");
  EXPECT_EQ(Name(LinearRole::kGate), "gate");
}

TEST(LinearRoles, HaveTheNamesAndShapesOfTheCheckpoint) {
  const ModelConfig config = TinyConfig(ModelFamily::kLlama);

  EXPECT_EQ(LinearPath(12, LinearRole::kO), "model.layers.12.self_attn.o_proj");
  EXPECT_EQ(WeightTensor(0, LinearRole::kGate), "model.layers.0.mlp.gate_proj.weight");
  EXPECT_EQ(BiasTensor(0, LinearRole::kUp), "model.layers.0.mlp.up_proj.bias");
  EXPECT_EQ(ShapeOf(config, LinearRole::kQ), (LinearShape{48, 40}));
  EXPECT_EQ(ShapeOf(config, LinearRole::kV), (LinearShape{16, 40}));
  EXPECT_EQ(ShapeOf(config, LinearRole::kO), (LinearShape{40, 48}));
  EXPECT_EQ(ShapeOf(config, LinearRole::kDown), (LinearShape{40, 72}));
  EXPECT_EQ(InputWidth(config, LayerInput::kAttentionOutput), 48);
  EXPECT_EQ(InputWidth(config, LayerInput::kMlpProduct), 72);
}

TEST(ModelTensors, PassACompleteCheckpointOfEveryFamily) {
  for (ModelFamily family : {ModelFamily::kLlama, ModelFamily::kMistral, ModelFamily::kQwen2, ModelFamily::kQwen3}) {
    const ModelConfig config = TinyConfig(family);
    const MemoryCheckpoint checkpoint(config, RandomTensors(config, 1));

    const absl::Status status = CheckTensors(config, checkpoint.get(), TensorScope::kAll);

    EXPECT_TRUE(status.ok()) << status;
    EXPECT_THAT(UnusedTensors(config, checkpoint.get()), IsEmpty());
  }
}

TEST(ModelTensors, NameWhatIsMissing) {
  const ModelConfig config = TinyConfig(ModelFamily::kQwen2);
  Tensors tensors = RandomTensors(config, 1);
  tensors.erase("lm_head.weight");
  tensors.erase("model.layers.1.self_attn.k_proj.bias");
  const MemoryCheckpoint checkpoint(config, tensors);

  const absl::Status status = CheckTensors(config, checkpoint.get(), TensorScope::kAll);

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("lm_head.weight"), HasSubstr("model.layers.1.self_attn.k_proj.bias")));
}

TEST(ModelTensors, CutLongListsOfMissingTensors) {
  const ModelConfig config = TinyConfig(ModelFamily::kLlama);
  const MemoryCheckpoint checkpoint(config, {{"model.norm.weight", std::vector<float>(40, 1.0f)}});

  const absl::Status status = CheckTensors(config, checkpoint.get(), TensorScope::kAll);

  EXPECT_THAT(std::string(status.message()), HasSubstr("more"));
  EXPECT_LT(status.message().size(), 1000);
}

TEST(ModelTensors, NameBothShapesWhereTheyDiffer) {
  const ModelConfig config = TinyConfig(ModelFamily::kLlama);
  Tensors tensors = RandomTensors(config, 1);
  const MemoryCheckpoint checkpoint(config, tensors);
  ModelConfig other = config;
  other.head_count = 4;

  const absl::Status status = CheckTensors(other, checkpoint.get(), TensorScope::kAll);

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("model.layers.0.self_attn.q_proj.weight"), HasSubstr("[48, 40]"), HasSubstr("[32, 40]")));
}

TEST(ModelTensors, LeaveLinearWeightsOutWhereTheyArePacked) {
  const ModelConfig config = TinyConfig(ModelFamily::kMistral);
  Tensors tensors = RandomTensors(config, 1);
  std::erase_if(tensors, [](const auto& entry) { return entry.first.find("_proj.weight") != std::string::npos; });
  const MemoryCheckpoint checkpoint(config, tensors);

  EXPECT_TRUE(CheckTensors(config, checkpoint.get(), TensorScope::kAllButLinearWeights).ok());
  EXPECT_EQ(CheckTensors(config, checkpoint.get(), TensorScope::kAll).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ModelTensors, ReportTensorsThatNobodyReads) {
  const ModelConfig config = TinyConfig(ModelFamily::kQwen3);  // tied: an output head of its own is not read
  Tensors tensors = RandomTensors(config, 1);
  tensors["lm_head.weight"] = {1};
  tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {1};
  const MemoryCheckpoint checkpoint(config, tensors);

  EXPECT_TRUE(CheckTensors(config, checkpoint.get(), TensorScope::kAll).ok());
  EXPECT_THAT(UnusedTensors(config, checkpoint.get()),
              ElementsAre("lm_head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"));
}

TEST(CheckpointLinears, ReadsTheWeightOfALinear) {
  const ModelConfig config = TinyConfig(ModelFamily::kMistral);
  const Tensors tensors = RandomTensors(config, 1);
  const MemoryCheckpoint checkpoint(config, tensors);
  std::vector<float> read(16 * 40, std::nanf(""));

  const absl::Status status =
      CheckpointLinears(checkpoint.get()).ReadWeight(2, LinearRole::kV, MatrixView<float>(read.data(), 16, 40));

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(read, tensors.at("model.layers.2.self_attn.v_proj.weight"));
}

TEST(CheckpointLinears, RefusesValuesThatAreNotFinite) {
  const ModelConfig config = TinyConfig(ModelFamily::kMistral);
  Tensors tensors = RandomTensors(config, 1);
  tensors["model.layers.2.self_attn.v_proj.weight"][7] = std::nanf("");
  tensors["model.layers.2.self_attn.v_proj.weight"][9] = -std::numeric_limits<float>::infinity();
  const MemoryCheckpoint checkpoint(config, tensors);
  std::vector<float> read(16 * 40);

  const absl::Status status =
      CheckpointLinears(checkpoint.get()).ReadWeight(2, LinearRole::kV, MatrixView<float>(read.data(), 16, 40));

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("model.layers.2.self_attn.v_proj.weight has 2 values"),
                                                   HasSubstr("640"), Not(HasSubstr("\n"))));
}

TEST(CheckpointLinears, RefusesAnotherShape) {
  const ModelConfig config = TinyConfig(ModelFamily::kMistral);
  const MemoryCheckpoint checkpoint(config, RandomTensors(config, 1));
  std::vector<float> read(40 * 16);

  const absl::Status status =
      CheckpointLinears(checkpoint.get()).ReadWeight(2, LinearRole::kV, MatrixView<float>(read.data(), 40, 16));

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gptvq
