#include "core/model/layer_forward.h"

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/cpu/cpu_backend.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/model/random_checkpoint.h"
#include "tests/core/model/reference_forward.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

// Sums of at most 72 products in f32, a softmax and a norm behind one another: a few dozen roundoffs of the largest
// value.
constexpr Bound kLayerBound = {64 * kFloatRoundoff, "a layer of f32 sums of up to 72 products"};

absl::Status Ignore(LayerInput, ConstTensorView) { return absl::OkStatus(); }

std::vector<float> Flat(ConstTensorView rows) {
  const MatrixView<const float> view = rows.As<const float>();
  std::vector<float> values;
  for (std::int64_t r = 0; r < view.rows; ++r) values.insert(values.end(), view.row(r), view.row(r) + view.cols);
  return values;
}

std::vector<double> Flat(const Rows& rows) {
  std::vector<double> values;
  for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
  return values;
}

// What an observer was told, by input: the rows of all chunks one after the other.
struct Recorder {
  auto Observer() {
    return [this](LayerInput input, ConstTensorView rows) {
      const std::vector<float> values = Flat(rows);
      std::vector<float>& all = inputs[static_cast<int>(input)];
      all.insert(all.end(), values.begin(), values.end());
      return absl::OkStatus();
    };
  }
  std::array<std::vector<float>, 4> inputs;
};

// A layer of a random model and activations to run it on.
struct LayerCase {
  explicit LayerCase(const ModelConfig& config, Activations::Shape shape, int threads = 1)
      : config(config),
        tensors(RandomTensors(config, 11)),
        checkpoint(config, tensors),
        shape(shape),
        backend(MakeCpuBackend({.thread_count = threads})) {
    TestRandom random(12);
    values = random.Normals(shape.sample_count * shape.sequence_length * shape.hidden_size);
  }

  Activations NewActivations() const {
    Activations x = *Activations::Allocate(*backend, shape);
    EXPECT_TRUE(x.CopyRowsFromHost(0, MatrixView<const float>(values.data(), x.token_count(), shape.hidden_size)).ok());
    return x;
  }

  DecoderLayer Load(int index) const {
    const CheckpointLinears linears(checkpoint.get());
    auto layer = DecoderLayer::Load(*backend, config, checkpoint.get(), linears, index);
    EXPECT_TRUE(layer.ok()) << layer.status();
    return *std::move(layer);
  }

  LayerForward NewForward() const {
    auto forward = LayerForward::Create(*backend, config, shape.sequence_length);
    EXPECT_TRUE(forward.ok()) << forward.status();
    return *std::move(forward);
  }

  Rows Sample(std::int64_t sample) const {
    Rows rows;
    for (std::int64_t t = 0; t < shape.sequence_length; ++t) {
      const auto begin = values.begin() + (sample * shape.sequence_length + t) * shape.hidden_size;
      rows.emplace_back(begin, begin + shape.hidden_size);
    }
    return rows;
  }

  const ModelConfig config;
  const Tensors tensors;
  const MemoryCheckpoint checkpoint;
  const Activations::Shape shape;
  const std::unique_ptr<Backend> backend;
  std::vector<float> values;
};

class LayerForwardOfFamily : public testing::TestWithParam<ModelFamily> {};

TEST_P(LayerForwardOfFamily, AgreesWithFloat64AtEveryInputAndOutput) {
  const LayerCase layer_case(TinyConfig(GetParam()), {3, 13, 40});
  const DecoderLayer layer = layer_case.Load(1);
  LayerForward forward = layer_case.NewForward();
  Activations x = layer_case.NewActivations();
  Recorder recorder;

  const absl::Status status = forward.Run(layer, x, recorder.Observer());

  ASSERT_TRUE(status.ok()) << status;
  std::array<std::vector<double>, 4> expected_inputs;
  std::vector<double> expected_output;
  for (std::int64_t sample = 0; sample < 3; ++sample) {
    const ReferenceLayerResult expected =
        ReferenceLayer(layer_case.config, layer_case.tensors, 1, layer_case.Sample(sample));
    for (int i = 0; i < 4; ++i) {
      const std::vector<double> flat = Flat(expected.inputs[i]);
      expected_inputs[i].insert(expected_inputs[i].end(), flat.begin(), flat.end());
    }
    const std::vector<double> flat = Flat(expected.output);
    expected_output.insert(expected_output.end(), flat.begin(), flat.end());
  }
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Close(recorder.inputs[i], expected_inputs[i], kLayerBound)) << "input " << i;
  EXPECT_TRUE(Close(Flat(x.view()), expected_output, kLayerBound));
}

INSTANTIATE_TEST_SUITE_P(Families, LayerForwardOfFamily,
                         testing::Values(ModelFamily::kLlama, ModelFamily::kMistral, ModelFamily::kQwen2,
                                         ModelFamily::kQwen3));

TEST(LayerForward, GivesTheSameBytesForAnyThreadCount) {
  std::vector<std::vector<float>> outputs;
  std::vector<std::array<std::vector<float>, 4>> inputs;
  for (int threads : {1, 2, 7}) {
    const LayerCase layer_case(TinyConfig(ModelFamily::kQwen3), {5, 700, 40}, threads);
    const DecoderLayer layer = layer_case.Load(0);
    LayerForward forward = layer_case.NewForward();
    Activations x = layer_case.NewActivations();
    Recorder recorder;
    ASSERT_TRUE(forward.Run(layer, x, recorder.Observer()).ok());
    outputs.push_back(Flat(x.view()));
    inputs.push_back(recorder.inputs);
  }

  for (int i : {1, 2}) {
    EXPECT_TRUE(outputs[i] == outputs[0]);
    EXPECT_TRUE(inputs[i] == inputs[0]);
  }
}

TEST(LayerForward, WalksInChunksOfWholeSequences) {
  // 700 tokens: two sequences a chunk, so three chunks of 2, 2 and 1.
  const LayerCase layer_case(TinyConfig(ModelFamily::kLlama), {5, 700, 40});
  const DecoderLayer layer = layer_case.Load(0);
  LayerForward forward = layer_case.NewForward();
  Activations x = layer_case.NewActivations();
  std::vector<std::int64_t> rows;

  ASSERT_TRUE(forward
                  .Run(layer, x,
                       [&](LayerInput input, ConstTensorView view) {
                         if (input == LayerInput::kMlp) rows.push_back(view.rows);
                         return absl::OkStatus();
                       })
                  .ok());

  EXPECT_THAT(rows, testing::ElementsAre(1400, 1400, 700));
  EXPECT_EQ(forward.ChunkCount(5), 3);
}

TEST(LayerForward, RunsSequencesLongerThanAChunk) {
  ModelConfig config = TinyConfig(ModelFamily::kMistral);
  const LayerCase layer_case(config, {2, kChunkTokens + 3, 40});
  const DecoderLayer layer = layer_case.Load(0);
  LayerForward forward = layer_case.NewForward();
  Activations x = layer_case.NewActivations();

  ASSERT_TRUE(forward.Run(layer, x, Ignore).ok());

  EXPECT_EQ(forward.ChunkCount(2), 2);
  const Rows last_five(layer_case.Sample(1));
  // A window of 5: the last token's output depends on the last 5 inputs alone, but on its position through rotation of
  // queries against keys only, which is relative: a sequence of the last 5 tokens gives the same.
  const Rows tail(last_five.end() - 5, last_five.end());
  const Rows expected = ReferenceLayer(config, layer_case.tensors, 0, tail).output;
  const std::vector<float> all = Flat(x.view());
  EXPECT_TRUE(Close(absl::MakeSpan(all).last(40), expected.back(),
                    {256 * kFloatRoundoff, "rotation by thousands of radians, rounded to f32"}));
}

TEST(LayerForward, ObservesTheSameInputsWithoutChangingTheActivations) {
  const LayerCase layer_case(TinyConfig(ModelFamily::kQwen2), {5, 700, 40});
  const DecoderLayer layer = layer_case.Load(0);
  LayerForward forward = layer_case.NewForward();
  Activations x = layer_case.NewActivations();
  Recorder observed, run;

  ASSERT_TRUE(forward.ObserveInputs(layer, x, observed.Observer()).ok());
  EXPECT_TRUE(Flat(x.view()) == layer_case.values);
  ASSERT_TRUE(forward.Run(layer, x, run.Observer()).ok());

  EXPECT_TRUE(observed.inputs == run.inputs);
}

TEST(LayerForward, EndsWithTheObserversStatus) {
  const LayerCase layer_case(TinyConfig(ModelFamily::kLlama), {5, 700, 40});
  const DecoderLayer layer = layer_case.Load(0);
  LayerForward forward = layer_case.NewForward();
  Activations x = layer_case.NewActivations();
  int calls = 0;

  const absl::Status status = forward.Run(layer, x, [&](LayerInput, ConstTensorView) {
    return ++calls == 5 ? absl::CancelledError("enough") : absl::OkStatus();
  });

  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(calls, 5);
}

TEST(LayerForward, RefusesSequencesBeyondTheModelsPositions) {
  ModelConfig config = TinyConfig(ModelFamily::kLlama);
  config.max_positions = 16;
  const auto backend = MakeCpuBackend({});

  EXPECT_EQ(LayerForward::Create(*backend, config, 17).status().code(), absl::StatusCode::kInvalidArgument);
}

class SequentialPassWithBudget : public testing::TestWithParam<std::size_t> {};

TEST_P(SequentialPassWithBudget, EqualsAPlainRunWhenNoWeightChanges) {
  const LayerCase layer_case(TinyConfig(ModelFamily::kLlama), {5, 700, 40});
  const DecoderLayer layer = layer_case.Load(2);
  LayerForward forward = layer_case.NewForward();
  Activations plain = layer_case.NewActivations();
  Activations staged = layer_case.NewActivations();
  Recorder run, visited;
  ASSERT_TRUE(forward.Run(layer, plain, run.Observer()).ok());

  auto pass = SequentialPass::Begin(forward, layer, staged, {.max_kept_product_bytes = GetParam()});
  ASSERT_TRUE(pass.ok()) << pass.status();
  for (LayerInput input : kLayerInputs) ASSERT_TRUE(pass->Visit(input, visited.Observer()).ok());
  ASSERT_TRUE(pass->Finish().ok());

  EXPECT_TRUE(visited.inputs == run.inputs);
  EXPECT_TRUE(Flat(staged.view()) == Flat(plain.view()));
}

// What reaches an input is computed with the weights that were set before, in all linears up to there.
TEST_P(SequentialPassWithBudget, ComputesEachInputWithTheWeightsSetBefore) {
  const LayerCase layer_case(TinyConfig(ModelFamily::kQwen2), {2, 50, 40});
  DecoderLayer replaced = layer_case.Load(0), expected_layer = layer_case.Load(0);
  const DecoderLayer other = layer_case.Load(1);  // where the new weights come from
  LayerForward forward = layer_case.NewForward();
  Activations staged = layer_case.NewActivations();

  auto pass = SequentialPass::Begin(forward, replaced, staged, {.max_kept_product_bytes = GetParam()});
  ASSERT_TRUE(pass.ok());
  for (LayerInput input : kLayerInputs) {
    Recorder visited, expected;
    ASSERT_TRUE(pass->Visit(input, visited.Observer()).ok());
    const Activations x = layer_case.NewActivations();
    ASSERT_TRUE(forward.ObserveInputs(expected_layer, x, expected.Observer()).ok());
    const int i = static_cast<int>(input);
    EXPECT_TRUE(visited.inputs[i] == expected.inputs[i]) << i;
    for (LinearRole role : LinearsAt(input)) {
      const MatrixView<const float> weight = other.weight(role).As<const float>();
      for (DecoderLayer* layer : {&replaced, &expected_layer}) {
        ASSERT_TRUE(layer_case.backend->CopyFromHost(weight, layer->Replace(role)).ok());
      }
    }
  }
  ASSERT_TRUE(pass->Finish().ok());

  Activations x = layer_case.NewActivations();
  ASSERT_TRUE(forward.Run(expected_layer, x, Ignore).ok());
  EXPECT_TRUE(Flat(staged.view()) == Flat(x.view()));
}

INSTANTIATE_TEST_SUITE_P(KeptOrRecomputed, SequentialPassWithBudget, testing::Values(std::size_t{1} << 30, 0));

// In bfloat16, while the CPU computes in f32.
StoredLinears StoredInBf16(Backend& backend, const ModelConfig& config, const Tensors& tensors, int layer) {
  StoredLinears stored;
  for (LinearRole role : kLinearRoles) {
    const LinearShape shape = ShapeOf(config, role);
    std::vector<std::uint16_t> bits;
    for (float value : tensors.at(LinearPath(layer, role) + ".weight")) bits.push_back(FloatToBf16(value));
    auto memory = backend.Allocate(bits.size() * sizeof(bits[0])).value();
    EXPECT_TRUE(backend.CopyBytesFromHost(bits.data(), memory->address(), bits.size() * sizeof(bits[0])).ok());
    stored[static_cast<std::size_t>(role)] = DeviceTensor(std::move(memory), DType::kBf16, shape.rows, shape.cols);
  }
  return stored;
}

TEST(DecoderLayer, WidensWhatIsStoredAndKeepsItUntilItIsReplaced) {
  const ModelConfig config = TinyConfig(ModelFamily::kLlama);
  const Tensors tensors = RandomTensors(config, 11);
  const MemoryCheckpoint checkpoint(config, tensors);
  const auto backend = MakeCpuBackend({});

  auto layer =
      DecoderLayer::Load(*backend, config, checkpoint.get(), StoredInBf16(*backend, config, tensors, 1), 1).value();

  const ConstTensorView weight = layer.weight(LinearRole::kO);
  const std::vector<float>& expected = tensors.at("model.layers.1.self_attn.o_proj.weight");
  ASSERT_EQ(weight.dtype, DType::kF32);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(static_cast<const float*>(weight.data)[i], Bf16ToFloat(FloatToBf16(expected[i])));
  }
  EXPECT_EQ(layer.source(LinearRole::kO).dtype, DType::kBf16);
  (void)layer.Replace(LinearRole::kO);
  EXPECT_EQ(layer.source(LinearRole::kO).data, nullptr);
  EXPECT_NE(layer.source(LinearRole::kDown).data, nullptr);
}

TEST(DecoderLayer, NamesTheTensorThatCanNotBeLoaded) {
  const ModelConfig config = TinyConfig(ModelFamily::kLlama);
  Tensors tensors = RandomTensors(config, 11);
  tensors.erase("model.layers.1.self_attn.o_proj.bias");
  const MemoryCheckpoint checkpoint(config, tensors);
  const auto backend = MakeCpuBackend({});

  const auto layer = DecoderLayer::Load(*backend, config, checkpoint.get(), CheckpointLinears(checkpoint.get()), 1);

  EXPECT_EQ(layer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(layer.status().message()), testing::HasSubstr("model.layers.1.self_attn.o_proj.bias"));
}

}  // namespace
}  // namespace gptvq
