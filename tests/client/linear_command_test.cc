#include "client/commands/linear_command.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli_page.h"
#include "tests/client/linear_files.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr std::int64_t kRows = 16;
constexpr std::int64_t kCols = 32;

// Every look at it is a second later.
class TickingClock final : public MonotonicClock {
 public:
  double NowSeconds() const override { return now_ += 1; }

 private:
  mutable double now_ = 0;
};

// A directory with a weight and a Hessian, and the command on them.
struct LinearCall {
  LinearCall() : weights(TestRandom(1).Normals(kRows * kCols)), hessian(RandomHessian(kCols, 200)) {
    WriteInputs();
    options.weight = directory.Join("weight.safetensors") + ":mlp.up_proj.weight";
    options.hessian = directory.Join("hessian.safetensors") + ":h";
    options.output = directory.Join("out.safetensors");
    options.spec.group_weights = 128;  // 4 codebooks of 4 rows
    options.spec.index_bits = 3;
    options.spec.em_iterations = 10;
    options.spec.refinement_passes = 2;
    options.seed = 3;
    options.threads = 1;
  }

  void WriteInputs(DType dtype = DType::kF32) {
    WriteTensors(directory.Join("weight.safetensors"),
                 {ATensor("mlp.up_proj.weight", dtype, {kRows, kCols}, weights), Zeros("bias", dtype, {kRows}),
                  Zeros("empty", dtype, {0, kCols}), Zeros("ids", DType::kI32, {2, kCols})});
    WriteTensors(directory.Join("hessian.safetensors"), {ATensor("h", DType::kF32, {kCols, kCols}, hessian)});
  }

  ExitCode Quantize() { return QuantizeOneLinear(Storage({}), options, clock, terminal); }

  std::string OutputBytes() const {
    std::ifstream file(options.output, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // tr(E H E^T) for E [kRows, kCols].
  double Loss(const std::vector<double>& e) const {
    double sum = 0;
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t i = 0; i < kCols; ++i) {
        for (std::int64_t j = 0; j < kCols; ++j) sum += e[r * kCols + i] * hessian[i * kCols + j] * e[r * kCols + j];
      }
    }
    return sum;
  }

  TemporaryDirectory directory;
  std::vector<float> weights;
  std::vector<float> hessian;
  LinearOptions options;
  TickingClock clock;
  std::ostringstream out, err;
  Terminal terminal{out, err};
};

struct LinearCommand : testing::Test, LinearCall {};

// docs/format.md sections 4 and 5, read back bit by bit.
TEST_F(LinearCommand, DequantizedIsWhatThePackedTensorsSay) {
  ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();

  const SafetensorsReader file = OpenTensors(options.output);
  const auto indices = BytesOf(file, "mlp.up_proj.vq_indices", "U8 [16, 6]");  // 16 indices of 3 bits in a row
  const auto codes = BytesOf(file, "mlp.up_proj.vq_codebooks", "I8 [4, 8, 2]");
  const auto scales = ValuesOf(file, "mlp.up_proj.vq_codebook_scales", "BF16 [4]");
  const auto dequantized = ValuesOf(file, "dequantized", "F32 [16, 32]");
  ASSERT_FALSE(indices.empty() || codes.empty() || scales.empty() || dequantized.empty());
  EXPECT_EQ(file.tensors().size(), 4u);
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c) {
      unsigned index = 0;
      for (std::int64_t bit = 0; bit < 3; ++bit) {
        const std::int64_t place = c / 2 * 3 + bit;
        index |= ((indices[r * 6 + place / 8] >> (place % 8)) & 1u) << bit;
      }
      const std::int64_t group = r / 4;
      const auto code = static_cast<std::int8_t>(codes[(group * 8 + index) * 2 + c % 2]);
      ASSERT_EQ(dequantized[r * kCols + c], static_cast<float>(code) * scales[group]) << r << ", " << c;
    }
  }
}

TEST_F(LinearCommand, ReportIsThatOfTheWrittenMatrix) {
  ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();

  const json report = json::parse(out.str());
  const std::vector<float> dequantized = ValuesOf(OpenTensors(options.output), "dequantized", "F32 [16, 32]");
  ASSERT_EQ(dequantized.size(), weights.size());
  std::vector<double> error(weights.size());
  for (std::size_t i = 0; i < error.size(); ++i) error[i] = static_cast<double>(weights[i]) - dequantized[i];
  const double relative_error = Loss(error) / Loss({weights.begin(), weights.end()});
  EXPECT_TRUE(CloseNumber(report["relative_error"].get<double>(), relative_error,
                          {2e-3, "f32 loss with H' minus its damped part"}));
  EXPECT_EQ(report["name"], "mlp.up_proj");
  EXPECT_EQ(report["rows"], kRows);
  EXPECT_EQ(report["cols"], kCols);
  // 16 x 6 bytes of indices, 4 codebooks of 8 x 2 bytes, 4 scales of 2 bytes.
  EXPECT_EQ(report["bits_per_value"], 8.0 * (96 + 64 + 8) / 512);
  EXPECT_EQ(report["damping"], 0.03);
  EXPECT_EQ(report["hessian"], "full");
  EXPECT_EQ(report["dead_columns"], 0);
  double phases = 0;
  for (const auto& [phase, seconds] : report["seconds_by_phase"].items()) phases += seconds.get<double>();
  EXPECT_GT(phases, 0);
  EXPECT_GE(report["seconds"].get<double>(), phases);
}

TEST_F(LinearCommand, KeysAreThoseOfTheCliPage) {
  ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();

  const std::set<std::string> documented = Quoted(CliPageSection("JSON of `report`"));
  const json report = json::parse(out.str());
  EXPECT_THAT(KeysOf(report), testing::IsSubsetOf(documented));
  EXPECT_THAT(KeysOf(report["seconds_by_phase"]), testing::IsSubsetOf(documented));
}

TEST_F(LinearCommand, SameSeedGivesTheSameBytesForAnyNumberOfThreads) {
  options.spec.seeding = "kmeans++";
  ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();
  const std::string expected = OutputBytes();

  for (int threads : {2, 7}) {
    options.threads = threads;
    ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();
    EXPECT_EQ(OutputBytes(), expected) << threads;
  }
  options.seed = 4;
  ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();
  EXPECT_NE(OutputBytes(), expected) << "another seed begins elsewhere";
}

TEST_F(LinearCommand, ReadsEveryFloatingPointType) {
  for (float& weight : weights) weight = std::round(weight * 16) / 16;  // exact in 8 bits of mantissa
  WriteInputs(DType::kF32);
  ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();
  const std::string expected = OutputBytes();

  for (DType dtype : {DType::kF64, DType::kF16, DType::kBf16}) {
    WriteInputs(dtype);
    ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();
    EXPECT_EQ(OutputBytes(), expected);
  }
}

TEST_F(LinearCommand, BaselinesWriteUniformTensors) {
  options.spec = SpecFlags();
  options.spec.preset = "gptq-3bit-g128";
  options.spec.act_order = true;
  ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();

  const SafetensorsReader file = OpenTensors(options.output);
  EXPECT_EQ(BytesOf(file, "mlp.up_proj.uq_codes", "U8 [16, 12]").size(), 192u);
  EXPECT_EQ(BytesOf(file, "mlp.up_proj.uq_permutation", "I32 [32]").size(), 128u);
}

TEST_F(LinearCommand, OutputSaysHowItIsPacked) {
  ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();

  const auto metadata = OpenTensors(options.output).metadata();
  ASSERT_TRUE(metadata.contains("gptvq_modules"));
  EXPECT_EQ(json::parse(metadata.at("gptvq_modules"))["modules"]["mlp.up_proj"]["shape"], json({kRows, kCols}));
}

struct Refusal {
  std::function<void(LinearCall&)> change;
  ExitCode code;
  std::vector<const char*> words;
};

TEST_F(LinearCommand, RefusesBadInputByNameAndWritesNothing) {
  const auto weight_file = [](LinearCall& c) { return c.directory.Join("weight.safetensors"); };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<Refusal> refusals = {
      {[](auto& c) { c.options.weight = "weight.safetensors"; }, ExitCode::kUsage, {"--weight", "FILE:TENSOR"}},
      {[](auto& c) { c.options.hessian = ":h"; }, ExitCode::kUsage, {"--hessian", "FILE:TENSOR"}},
      {[](auto& c) { c.options.output = ""; }, ExitCode::kUsage, {"--output"}},
      {[&](auto& c) { c.options.output = weight_file(c); }, ExitCode::kUsage, {"--output", "never overwritten"}},
      {[](auto& c) { c.options.spec.vector_dim = 3; }, ExitCode::kUsage, {"vector_dim is 3"}},
      {[](auto& c) { c.options.weight = c.directory.Join("none:w"); }, ExitCode::kNotFound, {"none"}},
      {[&](auto& c) { c.options.weight = weight_file(c) + ":w"; },
       ExitCode::kNotFound,
       {"weight.safetensors", "no tensor 'w'"}},
      {[&](auto& c) { c.options.weight = weight_file(c) + ":bias"; },
       ExitCode::kInvalidInput,
       {"bias is F32 [16]", "a matrix"}},
      {[&](auto& c) { c.options.weight = weight_file(c) + ":ids"; }, ExitCode::kInvalidInput, {"ids is I32 [2, 32]"}},
      {[&](auto& c) { c.options.weight = weight_file(c) + ":empty"; },
       ExitCode::kInvalidInput,
       {"empty is F32 [0, 32]"}},
      {[&](auto& c) { c.options.hessian = c.options.weight; },
       ExitCode::kInvalidInput,
       {"the Hessian mlp.up_proj.weight is 16 x 32", "needs 32 x 32"}},
      {[](auto& c) { c.hessian[5] += 1e6f, c.WriteInputs(); },
       ExitCode::kInvalidInput,
       {"h: ", "not symmetric", "column 5"}},
      {[=](auto& c) { c.hessian[33] = nan, c.WriteInputs(); }, ExitCode::kInvalidInput, {"h: ", "row 1, column 1"}},
      {[=](auto& c) { c.weights[34] = nan, c.WriteInputs(); },
       ExitCode::kInvalidInput,
       {"mlp.up_proj: ", "row 1, column 2"}},
      {[](auto& c) { c.directory.WriteFile("hessian.safetensors", "no"); },
       ExitCode::kInvalidInput,
       {"hessian.safetensors"}},
      {[](auto& c) { c.options.output = c.directory.Join("none/out.safetensors"); }, ExitCode::kNotFound, {"none"}},
  };
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.words.front());
    LinearCall call;
    refusal.change(call);

    EXPECT_EQ(call.Quantize(), refusal.code) << call.err.str();

    for (const char* words : refusal.words) EXPECT_THAT(call.err.str(), HasSubstr(words));
    EXPECT_EQ(call.out.str(), "");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(call.directory.path()), {}), 2) << "two inputs";
  }
}

TEST_F(LinearCommand, FailureLeavesAnEarlierResultAsItWas) {
  ASSERT_EQ(Quantize(), ExitCode::kOk) << err.str();
  const std::string earlier = OutputBytes();
  weights[0] = std::numeric_limits<float>::infinity();
  WriteInputs();

  EXPECT_EQ(Quantize(), ExitCode::kInvalidInput);

  EXPECT_EQ(OutputBytes(), earlier);
}

}  // namespace
}  // namespace gptvq
