#include "platform/rpc/convert_spec.h"

#include <gtest/gtest.h>

#include "core/spec/presets.h"
#include "platform/job/error_reason.h"
#include "platform/rpc/record_codec.h"
#include "tests/support/job_builders.h"

namespace gptvq {
namespace {

// A spec that differs from the defaults in every field.
QuantSpec UnusualSpec() {
  QuantSpec spec;
  spec.method = QuantMethod::kGptq;
  spec.vector_dim = 1;
  spec.index_bits = 3;
  spec.group_weights = 512;
  spec.columns_per_group = 128;
  spec.codebook_dtype = CodebookDType::kFp16;
  spec.block_scale_columns = 32;
  spec.svd_rank_fraction = 0;
  spec.seeding = Seeding::kKMeansPlusPlus;
  spec.em_iterations = 17;
  spec.update_iterations = 0;
  spec.refinement_passes = 0;
  spec.uniform_bits = 3;
  spec.uniform_group_columns = 64;
  spec.act_order = true;
  spec.damping = 0.05;
  spec.layer_order = LayerOrder::kOnePass;
  spec.compatibility = Compatibility::kReference;
  return spec;
}

TEST(ConvertSpec, EveryPresetSurvivesTheWire) {
  for (const Preset& preset : AllPresets()) {
    const auto back = FromProto(ToProto(NamedQuantSpec{preset.name, preset.spec}));

    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->preset, preset.name);
    EXPECT_EQ(back->spec, preset.spec) << preset.name;
  }
}

TEST(ConvertSpec, AJobSpecWithUnusualValuesSurvivesTheWireAndTheJournal) {
  JobSpec spec = AJobSpec();
  spec.preset = "";
  spec.quant = UnusualSpec();
  spec.propagation = PropagationMode::kParallel;
  spec.shard_layers = 3;
  spec.seed = ~0ull;
  spec.evaluation_tokens = 12345;
  ASSERT_TRUE(spec.Validate().ok()) << spec.Validate();

  const auto wire = FromProto(ToProto(spec));
  const auto journal = DecodeJobSpec(EncodeJobSpec(spec));

  ASSERT_TRUE(wire.ok()) << wire.status();
  EXPECT_EQ(*wire, spec);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_EQ(*journal, spec);
}

TEST(ConvertSpec, AbsentKnobsComeFromThePresetAndPresentOnesWin) {
  v1::QuantSpec proto;
  proto.set_preset("2d-3.125bpv");
  proto.set_refinement_passes(0);
  proto.set_layer_order(v1::LAYER_ORDER_ONE_PASS);
  QuantSpec expected = *FindPreset("2d-3.125bpv");
  expected.refinement_passes = 0;
  expected.layer_order = LayerOrder::kOnePass;

  const auto named = FromProto(proto);

  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->spec, expected);
}

TEST(ConvertSpec, AnUnknownPresetIsRefusedWithTheClosestOnes) {
  v1::QuantSpec proto;
  proto.set_preset("2d-3.125");

  const auto named = FromProto(proto);

  EXPECT_EQ(ReasonOf(named.status()), ErrorReason::kInvalidField);
  EXPECT_NE(named.status().message().find("2d-3.125bpv"), std::string::npos) << named.status();
}

TEST(ConvertSpec, UnknownEnumNumbersAreRefusedByName) {
  v1::JobSpec proto = ToProto(AJobSpec());
  proto.mutable_quant()->set_seeding(static_cast<v1::Seeding>(999));
  v1::JobSpec unspecified = ToProto(AJobSpec());
  unspecified.clear_propagation();

  EXPECT_NE(FromProto(proto).status().message().find("seeding"), std::string::npos);
  EXPECT_EQ(FromProto(unspecified).status().message(), "propagation: is required");
}

TEST(ConvertSpec, WhatTheSpecItselfRefusesIsRefusedAtTheEdge) {
  v1::JobSpec proto = ToProto(AJobSpec());
  proto.set_samples(0);

  EXPECT_EQ(ReasonOf(FromProto(proto).status()), ErrorReason::kInvalidField);
}

TEST(RecordCodec, BytesThatAreNoRecordAreDataLoss) {
  EXPECT_EQ(DecodeJobSpec("\xff\xff").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeJobSpec("").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeTaskResult("").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodePublishedLayer("").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeJobEvent("").status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace gptvq
