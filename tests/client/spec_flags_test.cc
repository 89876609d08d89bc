#include "client/spec_flags.h"

#include <functional>
#include <string>
#include <vector>

#include "core/spec/presets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

SpecFlags FlagsOf(std::string preset) {
  SpecFlags flags;
  flags.preset = std::move(preset);
  return flags;
}

QuantSpec Preset(const char* name) { return FindPreset(name).value(); }

TEST(SpecFlags, EveryPresetAloneIsTheSpecOfItsName) {
  for (const auto& [name, spec] : AllPresets()) {
    const absl::StatusOr<QuantSpec> resolved = ResolveSpec(FlagsOf(name));

    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(*resolved, spec) << name;
  }
}

// One flag that is set, and the one field that it changes.
struct Knob {
  const char* preset;
  std::function<void(SpecFlags&)> set;
  std::function<void(QuantSpec&)> expected;
};

TEST(SpecFlags, EachFlagChangesItsFieldAndNoOther) {
  const std::vector<Knob> knobs = {
      {"2d-3.125bpv", [](auto& f) { f.vector_dim = 4; }, [](auto& s) { s.vector_dim = 4; }},
      {"2d-3.125bpv", [](auto& f) { f.index_bits = 5; }, [](auto& s) { s.index_bits = 5; }},
      {"2d-3.125bpv", [](auto& f) { f.group_weights = 1024; }, [](auto& s) { s.group_weights = 1024; }},
      {"2d-3.125bpv", [](auto& f) { f.columns_per_group = 128; }, [](auto& s) { s.columns_per_group = 128; }},
      {"2d-3.125bpv", [](auto& f) { f.codebook_dtype = "fp16"; },
       [](auto& s) { s.codebook_dtype = CodebookDType::kFp16; }},
      {"2d-3.125bpv", [](auto& f) { f.block_scale_columns = 32; }, [](auto& s) { s.block_scale_columns = 32; }},
      {"1d-3.125bpv", [](auto& f) { f.svd_rank_fraction = 0.5; }, [](auto& s) { s.svd_rank_fraction = 0.5; }},
      {"2d-3.125bpv", [](auto& f) { f.seeding = "kmeans++"; }, [](auto& s) { s.seeding = Seeding::kKMeansPlusPlus; }},
      {"2d-3.125bpv", [](auto& f) { f.em_iterations = 0; }, [](auto& s) { s.em_iterations = 0; }},
      {"2d-3.125bpv", [](auto& f) { f.update_iterations = 0; }, [](auto& s) { s.update_iterations = 0; }},
      {"2d-3.125bpv", [](auto& f) { f.refinement_passes = 0; }, [](auto& s) { s.refinement_passes = 0; }},
      {"rtn-3bit-g128", [](auto& f) { f.uniform_bits = 5; }, [](auto& s) { s.uniform_bits = 5; }},
      {"rtn-3bit-g128", [](auto& f) { f.uniform_group_columns = 64; }, [](auto& s) { s.uniform_group_columns = 64; }},
      {"gptq-3bit-g128", [](auto& f) { f.act_order = true; }, [](auto& s) { s.act_order = true; }},
      {"2d-3.125bpv", [](auto& f) { f.damping = 0.25; }, [](auto& s) { s.damping = 0.25; }},
      {"2d-3.125bpv", [](auto& f) { f.layer_order = "one-pass"; },
       [](auto& s) { s.layer_order = LayerOrder::kOnePass; }},
  };
  for (std::size_t i = 0; i < knobs.size(); ++i) {
    SpecFlags flags = FlagsOf(knobs[i].preset);
    knobs[i].set(flags);
    QuantSpec expected = Preset(knobs[i].preset);
    knobs[i].expected(expected);
    ASSERT_NE(expected, Preset(knobs[i].preset)) << "knob " << i << " has to change something";

    const absl::StatusOr<QuantSpec> spec = ResolveSpec(flags);

    ASSERT_TRUE(spec.ok()) << "knob " << i << ": " << spec.status();
    EXPECT_EQ(*spec, expected) << "knob " << i;
  }
}

TEST(SpecFlags, ReferenceModeTakesTheDampingOfThePublishedCode) {
  SpecFlags flags;
  flags.compat = "reference";

  const absl::StatusOr<QuantSpec> spec = ResolveSpec(flags);

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->compatibility, Compatibility::kReference);
  EXPECT_EQ(spec->damping, 0.01);
}

TEST(SpecFlags, DampingThatIsGivenWinsOverReferenceMode) {
  SpecFlags flags;
  flags.compat = "reference";
  flags.damping = 0.02;

  EXPECT_EQ(ResolveSpec(flags)->damping, 0.02);
}

TEST(SpecFlags, CompatNoneKeepsOurDamping) {
  SpecFlags flags;
  flags.compat = "none";

  EXPECT_EQ(*ResolveSpec(flags), Preset("2d-3.125bpv"));
}

struct Refusal {
  std::function<void(SpecFlags&)> set;
  std::vector<const char*> words;
};

TEST(SpecFlags, WrongValuesAreRefusedWithWhatIsAllowed) {
  const std::vector<Refusal> refusals = {
      {[](auto& f) { f.preset = "2d-3.12bpv"; }, {"--preset", "2d-3.12bpv", "2d-3.125bpv"}},
      {[](auto& f) { f.codebook_dtype = "fp8"; }, {"--codebook-dtype is 'fp8'", "int8, fp16"}},
      {[](auto& f) { f.seeding = "Mahalanobis"; }, {"--seeding is 'Mahalanobis'", "mahalanobis, kmeans++"}},
      {[](auto& f) { f.layer_order = ""; }, {"--layer-order is ''", "true-sequential, one-pass"}},
      {[](auto& f) { f.compat = "paper"; }, {"--compat is 'paper'", "none, reference"}},
      {[](auto& f) { f.vector_dim = 3; }, {"vector_dim is 3", "1, 2, 4"}},
      {[](auto& f) { f.group_weights = 1023; }, {"group_weights is 1023", "multiple of vector_dim"}},
      {[](auto& f) { f.columns_per_group = 100; }, {"columns_per_group is 100", "power of two"}},
      {[](auto& f) { f.block_scale_columns = 48; }, {"block_scale_columns is 48", "divisor"}},
      {[](auto& f) { f.svd_rank_fraction = 0.5; }, {"svd_rank_fraction is 0.5", "unless vector_dim is 1"}},
      {[](auto& f) { f.damping = 0; }, {"damping is 0", "above 0, up to 1"}},
      {[](auto& f) { f.seeding = "\033[2J"; }, {"--seeding is '?[2J'"}},
  };
  for (const Refusal& refusal : refusals) {
    SpecFlags flags;
    refusal.set(flags);

    const absl::Status status = ResolveSpec(flags).status();

    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << refusal.words.front();
    for (const char* words : refusal.words) EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }
}

TEST(SpecFlags, FlagsThatTheMethodIgnoresAreRefusedByName) {
  const std::vector<Refusal> on_vectors = {
      {[](auto& f) { f.uniform_bits = 3; }, {"--uniform-bits"}},
      {[](auto& f) { f.uniform_group_columns = 64; }, {"--uniform-group-columns"}},
      {[](auto& f) { f.act_order = true; }, {"--act-order"}},
  };
  const std::vector<Refusal> on_grids = {
      {[](auto& f) { f.vector_dim = 2; }, {"--vector-dim"}},
      {[](auto& f) { f.index_bits = 6; }, {"--index-bits"}},
      {[](auto& f) { f.group_weights = 8192; }, {"--group-weights"}},
      {[](auto& f) { f.columns_per_group = 256; }, {"--columns-per-group"}},
      {[](auto& f) { f.codebook_dtype = "int8"; }, {"--codebook-dtype"}},
      {[](auto& f) { f.block_scale_columns = 64; }, {"--block-scale-columns"}},
      {[](auto& f) { f.svd_rank_fraction = 0.5; }, {"--svd-rank-fraction"}},
      {[](auto& f) { f.seeding = "mahalanobis"; }, {"--seeding"}},
      {[](auto& f) { f.em_iterations = 10; }, {"--em-iterations"}},
      {[](auto& f) { f.update_iterations = 10; }, {"--update-iterations"}},
      {[](auto& f) { f.refinement_passes = 10; }, {"--refinement-passes"}},
  };
  const auto expect_refused = [](const char* preset, const Refusal& refusal) {
    SpecFlags flags = FlagsOf(preset);
    refusal.set(flags);

    const absl::Status status = ResolveSpec(flags).status();

    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << preset << refusal.words.front();
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(refusal.words.front()) + " has no effect"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(preset));
  };
  for (const Refusal& refusal : on_vectors) expect_refused("2d-3.125bpv", refusal);
  for (const Refusal& refusal : on_grids) expect_refused("gptq-3bit-g128", refusal);
}

}  // namespace
}  // namespace gptvq
