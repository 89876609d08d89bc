#include "core/cpu/em_group.h"

#include <algorithm>
#include <cstring>

#include "core/backend/formulas.h"
#include "core/cpu/em_assign.h"

namespace gptvq {
namespace {

using Indices = std::vector<std::uint8_t>;

float WeightedDistance(const GroupVectors& vectors, std::int64_t n, const Centroids& centroids, int k) {
  float sum = 0;
  for (int j = 0; j < vectors.dim(); ++j) {
    const float difference = vectors.x(j)[n] - centroids.plane(j)[k];
    sum += vectors.w(j)[n] * difference * difference;
  }
  return sum;
}

// The sums behind the M step, in f64, kept up to date from iteration to iteration: late in EM few vectors change their
// cell. A vector that leaves takes exactly the terms that it brought; what the additions in between round off stays below
// 1e-12 of a sum.
class CellSums {
 public:
  CellSums(const GroupVectors& vectors, int cell_count)
      : vectors_(vectors), sums_(static_cast<std::size_t>(2 * vectors.dim() * cell_count)), sizes_(cell_count) {}

  void AddAll(const Indices& assigned) {
    for (std::int64_t n = 0; n < vectors_.count(); ++n) Move(n, assigned[n], 1);
  }

  // Takes over the vectors whose cell differs. Returns whether any did.
  bool MoveChanged(const Indices& before, const Indices& after) {
    constexpr std::int64_t kWord = 8;  // compared at once; the padding behind the vectors makes it whole
    bool changed = false;
    for (std::int64_t n = 0; n < vectors_.count(); n += kWord) {
      if (std::memcmp(&before[n], &after[n], kWord) == 0) continue;
      for (std::int64_t i = n; i < std::min(n + kWord, vectors_.count()); ++i) {
        if (before[i] == after[i]) continue;
        Move(i, before[i], -1);
        Move(i, after[i], 1);
        changed = true;
      }
    }
    return changed;
  }

  // M step: the weighted mean of every cell. Returns the empty cells, ascending; their centroids stay as they are.
  std::vector<int> UpdateCentroids(Centroids& centroids) const {
    const int d = vectors_.dim();
    std::vector<int> empty;
    for (int k = 0; k < centroids.count; ++k) {
      if (sizes_[k] == 0) {
        empty.push_back(k);
        continue;
      }
      for (int j = 0; j < d; ++j) {
        const double* sum = &sums_[2 * (d * k + j)];
        if (sum[1] > 0) centroids.plane(j)[k] = static_cast<float>(sum[0] / sum[1]);
      }
    }
    return empty;
  }

 private:
  // Vector n joins (sign 1) or leaves (sign -1) a cell.
  void Move(std::int64_t n, int cell, int sign) {
    const int d = vectors_.dim();
    for (int j = 0; j < d; ++j) {
      const double w = sign * static_cast<double>(vectors_.w(j)[n]);
      double* sum = &sums_[2 * (d * cell + j)];
      sum[0] += w * vectors_.x(j)[n];
      sum[1] += w;
    }
    sizes_[cell] += sign;
  }

  const GroupVectors& vectors_;
  std::vector<double> sums_;         // [K, d, 2]: weighted components, weights
  std::vector<std::int64_t> sizes_;  // [K]
};

// Moves each empty cell's centroid onto the worst represented vector that no other one was moved to.
void ReseedCells(const GroupVectors& vectors, const Indices& assigned, const std::vector<int>& empty,
                 Centroids& centroids) {
  if (empty.empty()) return;
  std::vector<float> distance(static_cast<std::size_t>(vectors.count()));
  for (std::int64_t n = 0; n < vectors.count(); ++n) {
    distance[n] = WeightedDistance(vectors, n, centroids, assigned[n]);
  }
  for (int k : empty) {
    const auto worst = std::max_element(distance.begin(), distance.end());
    if (!(*worst > 0)) return;  // every vector is represented exactly
    *worst = 0;
    for (int j = 0; j < vectors.dim(); ++j) centroids.plane(j)[k] = vectors.x(j)[worst - distance.begin()];
  }
}

void ZeroCells(const std::vector<int>& empty, Centroids& centroids) {
  for (int k : empty) {
    for (int j = 0; j < centroids.dim; ++j) centroids.plane(j)[k] = 0;
  }
}

std::vector<float> SlopesOf(const GroupVectors& vectors) {
  std::vector<float> slopes(static_cast<std::size_t>(vectors.dim() * vectors.stride()));
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(slopes.size()); ++i) {
    slopes[i] = -2.0f * vectors.w(0)[i] * vectors.x(0)[i];
  }
  return slopes;
}

double Objective(const GroupVectors& vectors, const Indices& assigned, const Centroids& centroids) {
  double sum = 0;
  for (std::int64_t n = 0; n < vectors.count(); ++n) {
    for (int j = 0; j < vectors.dim(); ++j) {
      const double difference = static_cast<double>(vectors.x(j)[n]) - centroids.plane(j)[assigned[n]];
      sum += vectors.w(j)[n] * difference * difference;
    }
  }
  return sum;
}

}  // namespace

EmResult ClusterGroup(const GroupVectors& vectors, const EmOptions& options, Centroids& centroids) {
  const bool reference = options.compatibility == Compatibility::kReference;
  const std::vector<float> slopes = SlopesOf(vectors);
  Indices assigned(static_cast<std::size_t>(vectors.stride()));
  Indices previous(assigned.size());
  CellSums sums(vectors, centroids.count);
  AssignVectors(vectors, slopes.data(), centroids, assigned.data());
  sums.AddAll(assigned);
  EmResult result;
  while (result.iterations < options.max_iterations) {
    const std::vector<int> empty = sums.UpdateCentroids(centroids);
    if (reference) {
      ZeroCells(empty, centroids);
    } else {
      ReseedCells(vectors, assigned, empty, centroids);
    }
    if (++result.iterations == options.max_iterations) break;
    previous.swap(assigned);
    AssignVectors(vectors, slopes.data(), centroids, assigned.data());
    if (!sums.MoveChanged(previous, assigned) && !reference) break;
  }
  result.objective = Objective(vectors, assigned, centroids);
  return result;
}

}  // namespace gptvq
