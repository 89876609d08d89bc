#ifndef GPTVQ_CORE_CPU_EM_GROUP_H_
#define GPTVQ_CORE_CPU_EM_GROUP_H_

#include <cstdint>
#include <vector>

#include "core/backend/quant_ops.h"

namespace gptvq {

// The vectors of one group as EM sees them, one array per component ("plane"): x = target / scale, w = column weight *
// scale^2. The objective is the sum over n and j of w_j[n] (x_j[n] - c_j)^2, c the centroid vector n is assigned to.
// Planes are padded with zeros to a whole number of chunks for the vector code.
class GroupVectors {
 public:
  GroupVectors(int dim, std::int64_t count)
      : dim_(dim),
        count_(count),
        stride_((count + kChunk - 1) / kChunk * kChunk),
        x_(dim * stride_),
        w_(dim * stride_) {}

  int dim() const { return dim_; }
  std::int64_t count() const { return count_; }
  std::int64_t stride() const { return stride_; }  // of the planes
  float* x(int j) { return x_.data() + j * stride_; }
  float* w(int j) { return w_.data() + j * stride_; }
  const float* x(int j) const { return x_.data() + j * stride_; }
  const float* w(int j) const { return w_.data() + j * stride_; }

 private:
  static constexpr std::int64_t kChunk = 64;  // four of the widest vectors

  int dim_;
  std::int64_t count_;
  std::int64_t stride_;
  std::vector<float> x_;
  std::vector<float> w_;
};

// K centroids, one plane per component.
struct Centroids {
  int dim = 0;
  int count = 0;
  std::vector<float> c;  // [dim, count]

  Centroids(int dim, int count) : dim(dim), count(count), c(static_cast<std::size_t>(dim * count)) {}
  float* plane(int j) { return c.data() + j * count; }
  const float* plane(int j) const { return c.data() + j * count; }
};

// Where EM starts. `stream` is the group's own.
// kMahalanobis: the vectors at ranks round(i (N - 1) / (K - 1)), i < K, of their Mahalanobis distance from the mean
// (unweighted; the scatter matrix is regularised by 1 % of its mean diagonal, and replaced by the identity when it is
// zero). kKMeansPlusPlus: each next centroid is drawn with probability proportional to the weighted squared distance to
// the nearest one drawn before (Arthur and Vassilvitskii 2007).
void SeedCentroids(const GroupVectors& vectors, const EmOptions& options, std::uint64_t stream,
                   Centroids& centroids_out);

// Runs EM from the given centroids (paper section 3.2). Deterministic.
EmResult ClusterGroup(const GroupVectors& vectors, const EmOptions& options, Centroids& centroids);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_EM_GROUP_H_
