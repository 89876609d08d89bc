#include "core/quant/row_share.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/backend/team.h"
#include "core/cpu/cpu_backend.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/quant/layer_case.h"

namespace gptvq {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

QuantSpec GroupsOf(int group_weights, int columns) {
  QuantSpec spec;
  spec.group_weights = group_weights;
  spec.columns_per_group = columns;
  return spec;
}

GroupLayout LayoutOf(std::int64_t rows, std::int64_t cols, const QuantSpec& spec) {
  return GroupLayout::Make(rows, cols, spec).value();
}

TEST(ShareOutRows, GivesEveryRowToExactlyOneRankInWholeSteps) {
  for (std::int64_t rows : {1, 7, 64, 100, 1000, 28672}) {
    for (std::int64_t step : {1, 3, 8, 512, 50000}) {
      for (int ranks : {1, 2, 3, 4, 7, 8}) {
        std::int64_t next = 0, smallest = rows, largest = 0;
        const std::vector<IndexRange> ranges = ShareOutRows(rows, step, ranks);
        ASSERT_LE(std::ssize(ranges), ranks);
        for (const IndexRange& range : ranges) {
          EXPECT_EQ(range.begin, next);
          EXPECT_EQ(range.begin % step, 0);
          EXPECT_GT(range.count(), 0);
          smallest = std::min(smallest, range.count());
          largest = std::max(largest, range.count());
          next = range.end;
        }
        EXPECT_EQ(next, rows);
        EXPECT_LT(largest - smallest, 2 * step) << rows << " rows in steps of " << step << " to " << ranks;
      }
    }
  }
}

TEST(ShareOutRows, LeavesRanksWithoutRowsWhereThereAreFewSteps) {
  EXPECT_THAT(ShareOutRows(1024, 512, 8), ElementsAre(IndexRange{0, 512}, IndexRange{512, 1024}));
  EXPECT_THAT(ShareOutRows(100, 100, 4), ElementsAre(IndexRange{0, 100}));
}

TEST(RowStep, KeepsGroupsOfEveryStripeWhole) {
  // Groups of 8 rows; the last stripe is half as wide, so its groups are 16 rows high.
  EXPECT_EQ(RowStep(LayoutOf(64, 80, GroupsOf(256, 32)), 1), 16);
  // A unit of rows that products are cut into comes on top.
  EXPECT_EQ(RowStep(LayoutOf(4096, 8192, GroupsOf(2048, 256)), 512), 512);
  EXPECT_EQ(RowStep(LayoutOf(4096, 8192, GroupsOf(65536, 256)), 96), 768);
}

TEST(RowStep, NeverCutsWhereGroupsAreOfUnequalHeightOrRowsMustStayTogether) {
  EXPECT_EQ(RowStep(LayoutOf(50, 64, GroupsOf(256, 32)), 1), 25);  // six groups: 8 1/3 rows each, so three are 25 rows
  EXPECT_EQ(RowStep(LayoutOf(53, 64, GroupsOf(256, 32)), 1), 53);
  EXPECT_EQ(RowStep(LayoutOf(64, 64, GroupsOf(256, 32)), 0), 64);
  EXPECT_EQ(RowStep(LayoutOf(64, 64, GroupsOf(4096, 32)), 1), 64);  // one group
}

TEST(RowStep, CutsSoThatEveryPartIsGroupedAsTheWholeIs) {
  for (std::int64_t rows : {48, 50, 60, 64, 90, 96, 1000}) {
    for (const QuantSpec& spec : {GroupsOf(256, 32), GroupsOf(96, 16), GroupsOf(1000, 64)}) {
      const GroupLayout whole = LayoutOf(rows, 80, spec);
      for (const IndexRange& range : ShareOutRows(rows, RowStep(whole, 1), 4)) {
        const GroupLayout part = LayoutOf(range.count(), 80, spec);
        ASSERT_EQ(part.stripes().size(), whole.stripes().size());
        for (std::size_t s = 0; s < part.stripes().size(); ++s) {
          const Stripe& own = part.stripes()[s];
          const Stripe& all = whole.stripes()[s];
          const std::int64_t first = RowShare(Communicator(), range, whole).FirstGroup(own) - all.first_group;
          for (std::int64_t block = 0; block <= own.row_block_count; ++block) {
            EXPECT_EQ(range.begin + part.RowBlockBegin(own, block), whole.RowBlockBegin(all, first + block));
          }
        }
      }
    }
  }
}

// Teams of CPU backends.
class CpuTeam {
 public:
  explicit CpuTeam(int size) {
    for (int i = 0; i < size; ++i) backends_.push_back(MakeCpuBackend({.thread_count = 1}));
  }

  Team team() {
    std::vector<Backend*> borrowed;
    for (const auto& backend : backends_) borrowed.push_back(backend.get());
    return Team(borrowed, interconnect_);
  }

  absl::StatusOr<LinearResult> Quantize(const LayerCase& layer, const QuantSpec& spec) {
    std::vector<PreparedHessian> hessians;
    for (const auto& backend : backends_) hessians.push_back(Prepare(*backend, layer, spec));
    return QuantizeLinear(team(), "layers.0.q_proj", layer.View(), hessians, spec, 1, nullptr);
  }

 private:
  HostInterconnect interconnect_;
  std::vector<std::unique_ptr<Backend>> backends_;
};

TEST(RowShare, AddsRowsInTheOrderOfTheLinear) {
  // Sums that differ in f64 with the order of their terms.
  std::vector<double> values;
  for (int i = 0; i < 40; ++i) values.push_back((i % 3 == 0 ? 1e16 : 1.0) * (i % 2 == 0 ? 1 : -0.7));
  const GroupLayout layout = LayoutOf(40, 32, GroupsOf(32, 32));
  const double expected = *RowShare(layout).SumOverRows(values);
  for (int size : {2, 3, 4}) {
    const std::vector<IndexRange> ranges = ShareOutRows(40, 1, size);
    std::vector<double> sums(static_cast<std::size_t>(size));
    const absl::Status status = CpuTeam(size).team().Run([&](const Communicator& ranks) -> absl::Status {
      const RowShare share(ranks, ranges[ranks.rank()], layout);
      const auto own = absl::MakeConstSpan(values).subspan(share.rows().begin, share.rows().count());
      const absl::StatusOr<double> sum = share.SumOverRows(own);
      if (sum.ok()) sums[ranks.rank()] = *sum;
      return sum.status();
    });
    ASSERT_TRUE(status.ok()) << status;
    for (double sum : sums) EXPECT_EQ(sum, expected);
  }
}

TEST(RowShare, CountsOverAllRanks) {
  const GroupLayout layout = LayoutOf(6, 32, GroupsOf(32, 32));
  const std::vector<IndexRange> ranges = ShareOutRows(6, 1, 3);
  const absl::Status status = CpuTeam(3).team().Run([&](const Communicator& ranks) -> absl::Status {
    const RowShare share(ranks, ranges[ranks.rank()], layout);
    EXPECT_EQ(*share.Sum(ranks.rank() + 1), 6);
    EXPECT_EQ(*share.Largest(ranks.rank() == 1 ? 7 : 2), 7);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

// The same bytes, decisions and report, whatever is switched on.
class RowsOfATeam : public ::testing::TestWithParam<std::pair<std::string, QuantSpec>> {};

void ExpectSame(const LinearResult& result, const LinearResult& expected) {
  EXPECT_EQ(result.Dequantized(), expected.Dequantized());
  EXPECT_EQ(result.report.relative_error, expected.report.relative_error);
  EXPECT_EQ(result.report.sweep_relative_error, expected.report.sweep_relative_error);
  EXPECT_EQ(result.report.em_iterations, expected.report.em_iterations);
  EXPECT_EQ(result.report.update_iterations, expected.report.update_iterations);
  EXPECT_EQ(result.report.refinement_passes, expected.report.refinement_passes);
  ASSERT_EQ(result.linear.index(), expected.linear.index());
  if (const auto* linear = std::get_if<VectorQuantizedLinear>(&result.linear)) {
    const auto& one = std::get<VectorQuantizedLinear>(expected.linear);
    EXPECT_EQ(linear->layout, one.layout);
    EXPECT_EQ(linear->packed_indices, one.packed_indices);
    EXPECT_EQ(linear->block_scales.codes, one.block_scales.codes);
    EXPECT_EQ(linear->block_scales.offsets, one.block_scales.offsets);
  }
  EXPECT_TRUE(ValidateQuantizedLinear(result.linear).ok());
}

TEST_P(RowsOfATeam, GiveTheBytesOfOneBackend) {
  const LayerCase layer = RandomLayer(64, 160, 21);
  const QuantSpec& spec = GetParam().second;
  const absl::StatusOr<LinearResult> expected = Quantize(*CpuForTests(), layer, spec);
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (int size : {1, 2, 3, 4}) {
    SCOPED_TRACE(testing::Message() << size << " ranks");

    const absl::StatusOr<LinearResult> result = CpuTeam(size).Quantize(layer, spec);

    ASSERT_TRUE(result.ok()) << result.status();
    ExpectSame(*result, *expected);
  }
}

std::vector<std::pair<std::string, QuantSpec>> Specs() {
  QuantSpec plain = SmallSpec(2, 4);
  plain.update_iterations = 5;
  plain.refinement_passes = 4;
  std::vector<std::pair<std::string, QuantSpec>> specs = {{"Plain", plain}, {"SweepOnly", SweepOnly(plain)}};
  QuantSpec scaled = plain;
  scaled.block_scale_columns = 16;
  specs.emplace_back("BlockScales", scaled);
  QuantSpec random_seeds = plain;
  random_seeds.seeding = Seeding::kKMeansPlusPlus;
  specs.emplace_back("KMeansPlusPlus", random_seeds);
  QuantSpec half = plain;
  half.codebook_dtype = CodebookDType::kFp16;
  specs.emplace_back("Fp16Codebooks", half);
  QuantSpec scalars = SmallSpec(1, 3);
  scalars.update_iterations = 3;
  scalars.refinement_passes = 2;
  specs.emplace_back("Scalars", scalars);
  scalars.svd_rank_fraction = 0.5;
  specs.emplace_back("SvdCodebooksOnOneRank", scalars);
  QuantSpec reference = plain;
  reference.compatibility = Compatibility::kReference;
  reference.refinement_passes = 0;
  specs.emplace_back("ReferenceOnOneRank", reference);
  QuantSpec uniform;
  uniform.method = QuantMethod::kGptq;
  specs.emplace_back("UniformOnOneRank", uniform);
  return specs;
}

INSTANTIATE_TEST_SUITE_P(Specs, RowsOfATeam, ::testing::ValuesIn(Specs()),
                         [](const auto& info) { return info.param.first; });

TEST(RowsOfATeam, TooFewGroupsForTheRanksAreQuantizedByFewer) {
  const LayerCase layer = RandomLayer(50, 160, 22);  // a cut in the middle is the only one
  const QuantSpec spec = SmallSpec(2, 4);
  ASSERT_THAT(ShareOutRows(50, RowStep(LayoutOf(50, 160, spec), 1), 4), SizeIs(testing::Le(2)));
  const absl::StatusOr<LinearResult> expected = Quantize(*CpuForTests(), layer, spec);
  ASSERT_TRUE(expected.ok());

  const absl::StatusOr<LinearResult> result = CpuTeam(4).Quantize(layer, spec);

  ASSERT_TRUE(result.ok()) << result.status();
  ExpectSame(*result, *expected);
}

TEST(RowsOfATeam, AnErrorOfOneRankIsTheErrorOfAll) {
  LayerCase layer = RandomLayer(64, 160, 23);
  for (std::int64_t c = 0; c < 160; ++c)
    layer.narrow[60 * 160 + c] = 3e38f;  // the loss of the last rank's rows overflows

  const absl::StatusOr<LinearResult> result = CpuTeam(4).Quantize(layer, SmallSpec(2, 4));

  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition) << result.status();
}

}  // namespace
}  // namespace gptvq
