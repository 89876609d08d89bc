// ClusterStripe: gather, seed, cluster; all groups of a stripe at once.
#include <algorithm>
#include <vector>

#include "core/backend/quant_checks.h"
#include "core/base/philox.h"
#include "core/cuda/cuda_quant_ops.h"
#include "core/cuda/em_kernels.h"

namespace gptvq::cuda {
namespace {

constexpr double kScatterRegularisation = 0.01;  // of the mean diagonal, as on the CPU

// One call of ClusterStripe: the stripe's vectors and scratch memory.
class StripeClustering {
 public:
  StripeClustering(DeviceContext& context, const VectorCode& code, const Stripe& stripe, const EmOptions& options,
                   Codebooks codebooks)
      : context_(context),
        code_(MakeDeviceCode(code)),
        stripe_(stripe),
        options_(options),
        codebooks_(OnDevice(codebooks.Rows(stripe.first_group, stripe.row_block_count))) {}

  absl::StatusOr<EmResult> Run(MatrixView<const float> x, absl::Span<const float> column_weights) {
    GPTVQ_RETURN_IF_ERROR(Gather(x, column_weights));
    GPTVQ_RETURN_IF_ERROR(options_.seeding == Seeding::kMahalanobis ? SeedByMahalanobis() : SeedByDSquared());
    return Cluster();
  }

 private:
  absl::Status Gather(MatrixView<const float> x, absl::Span<const float> column_weights) {
    vectors_.positions = stripe_.column_count / code_.vector_dim;
    vectors_.rows = code_.rows;
    vectors_.group_count = stripe_.row_block_count;
    vectors_.count = vectors_.rows * vectors_.positions;
    const std::int64_t weights = vectors_.count * code_.vector_dim;
    GPTVQ_ASSIGN_OR_RETURN(planes_, DeviceBuffer<float>::Make(context_, 2 * weights));
    GPTVQ_ASSIGN_OR_RETURN(distances_, DeviceBuffer<float>::Make(context_, vectors_.count));
    vectors_.x = planes_.data();
    vectors_.w = planes_.data() + weights;
    const std::int64_t height = (vectors_.rows + vectors_.group_count - 1) / vectors_.group_count;
    plan_ = PlanCluster({.group_count = vectors_.group_count,
                         .max_group_vectors = height * vectors_.positions,
                         .vector_dim = code_.vector_dim,
                         .centroid_count = code_.centroid_count},
                        context_.limits());
    GPTVQ_ASSIGN_OR_RETURN(const auto weights_device, DeviceBuffer<float>::FromHost(context_, column_weights));
    return LaunchGatherVectors(PlanRows(vectors_.rows, vectors_.positions, context_.limits()),
                               {.code = code_,
                                .column_begin = stripe_.column_begin,
                                .x = ReadOnly(x),
                                .column_weights = weights_device.data(),
                                .vectors_out = vectors_},
                               context_.stream());
  }

  absl::Status SeedByMahalanobis() {
    GPTVQ_ASSIGN_OR_RETURN(const auto keys, DeviceBuffer<std::uint32_t>::Make(context_, 4 * vectors_.count));
    GPTVQ_ASSIGN_OR_RETURN(const auto offsets, DeviceBuffer<std::int64_t>::Make(context_, vectors_.group_count + 1));
    const SeedingArguments arguments = {
        .vectors = vectors_,
        .regularisation = options_.compatibility == Compatibility::kReference ? 0.0 : kScatterRegularisation,
        .keys = keys.data(),
        .numbers = keys.data() + vectors_.count,
        .sorted_keys = keys.data() + 2 * vectors_.count,
        .sorted_numbers = keys.data() + 3 * vectors_.count,
        .offsets = offsets.data()};
    GPTVQ_RETURN_IF_ERROR(LaunchMahalanobisKeys(plan_, code_.vector_dim, arguments, context_.stream()));
    std::size_t bytes = 0;
    GPTVQ_RETURN_IF_ERROR(SortGroups(arguments, nullptr, bytes, context_.stream()));
    GPTVQ_ASSIGN_OR_RETURN(const auto workspace,
                           DeviceBuffer<std::uint8_t>::Make(context_, static_cast<std::int64_t>(bytes)));
    GPTVQ_RETURN_IF_ERROR(SortGroups(arguments, workspace.data(), bytes, context_.stream()));
    return LaunchTakeSeeds(code_.vector_dim, arguments, codebooks_, context_.stream());
  }

  // The random numbers are drawn on the host, where Philox lives: K a group.
  absl::Status SeedByDSquared() {
    fractions_.reserve(static_cast<std::size_t>(vectors_.group_count * code_.centroid_count));
    for (std::int64_t block = 0; block < vectors_.group_count; ++block) {
      const Philox random(options_.seed, options_.stream + static_cast<std::uint64_t>(stripe_.first_group + block));
      for (int k = 0; k < code_.centroid_count; ++k) {
        fractions_.push_back(random.Uniform(static_cast<std::uint64_t>(k)));
      }
    }
    GPTVQ_ASSIGN_OR_RETURN(const auto fractions_device, DeviceBuffer<double>::FromHost(context_, fractions_));
    return LaunchDSquaredSeeds(
        plan_, code_.vector_dim,
        {.vectors = vectors_, .fractions = fractions_device.data(), .nearest = distances_.data()}, codebooks_,
        context_.stream());
  }

  absl::StatusOr<EmResult> Cluster() {
    const std::int64_t groups = vectors_.group_count;
    GPTVQ_ASSIGN_OR_RETURN(const auto assigned, DeviceBuffer<std::uint8_t>::Make(context_, 2 * vectors_.count));
    GPTVQ_ASSIGN_OR_RETURN(const auto iterations, DeviceBuffer<std::int64_t>::Make(context_, groups));
    GPTVQ_ASSIGN_OR_RETURN(const auto objectives, DeviceBuffer<double>::Make(context_, groups));
    GPTVQ_RETURN_IF_ERROR(LaunchClusterGroups(plan_, code_.vector_dim,
                                              {.vectors = vectors_,
                                               .codebooks = codebooks_,
                                               .centroid_count = code_.centroid_count,
                                               .max_iterations = options_.max_iterations,
                                               .compatibility = options_.compatibility,
                                               .assigned = assigned.data(),
                                               .previous = assigned.data() + vectors_.count,
                                               .distances = distances_.data(),
                                               .iterations_out = iterations.data(),
                                               .objectives_out = objectives.data()},
                                              context_.stream()));
    std::vector<std::int64_t> iterations_host(static_cast<std::size_t>(groups));
    std::vector<double> objectives_host(static_cast<std::size_t>(groups));
    GPTVQ_RETURN_IF_ERROR(iterations.ToHostSync(absl::MakeSpan(iterations_host)));
    GPTVQ_RETURN_IF_ERROR(objectives.ToHostSync(absl::MakeSpan(objectives_host)));
    EmResult result;
    for (std::int64_t group = 0; group < groups; ++group) {
      result.iterations = std::max(result.iterations, iterations_host[group]);
      result.objective += objectives_host[group];
    }
    return result;
  }

  DeviceContext& context_;
  const DeviceCode code_;
  const Stripe& stripe_;
  const EmOptions& options_;
  const DeviceView<float> codebooks_;  // of the stripe
  StripeVectors vectors_;
  GroupPlan plan_;
  std::vector<double> fractions_;  // read until Cluster has waited
  DeviceBuffer<float> planes_;
  DeviceBuffer<float> distances_;  // also what D-squared seeding keeps
};

}  // namespace

absl::StatusOr<EmResult> CudaQuantOps::ClusterStripe(const VectorCode& code, const Stripe& stripe,
                                                     MatrixView<const float> x, absl::Span<const float> column_weights,
                                                     const EmOptions& options, Codebooks codebooks) {
  GPTVQ_RETURN_IF_ERROR(CheckClusterStripe(code, stripe, x, column_weights, codebooks));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return StripeClustering(context_, code, stripe, options, codebooks).Run(x, column_weights);
}

}  // namespace gptvq::cuda
