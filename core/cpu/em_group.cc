#include "core/cpu/em_group.h"

#include <algorithm>
#include <limits>

#include "core/backend/formulas.h"

namespace gptvq {
namespace {

using Indices = std::vector<std::uint8_t>;

float WeightedDistance(const GroupVectors& vectors, std::int64_t n, const Centroids& centroids, int k) {
  float sum = 0;
  for (int j = 0; j < vectors.dim; ++j) {
    const float difference = vectors.x_plane(j)[n] - centroids.plane(j)[k];
    sum += vectors.w_plane(j)[n] * difference * difference;
  }
  return sum;
}

// E step: the nearest centroid of every vector, the smallest index on ties.
void AssignVectors(const GroupVectors& vectors, const Centroids& centroids, Indices& assigned_out) {
  for (std::int64_t n = 0; n < vectors.count; ++n) {
    float best = std::numeric_limits<float>::infinity();
    int best_k = 0;
    for (int k = 0; k < centroids.count; ++k) {
      const float distance = WeightedDistance(vectors, n, centroids, k);
      if (distance < best) {
        best = distance;
        best_k = k;
      }
    }
    assigned_out[n] = static_cast<std::uint8_t>(best_k);
  }
}

// M step: the weighted mean of every cell. Returns the empty cells, ascending; their centroids stay as they are.
std::vector<int> UpdateCentroids(const GroupVectors& vectors, const Indices& assigned, Centroids& centroids) {
  const int d = vectors.dim;
  std::vector<double> sums(static_cast<std::size_t>(centroids.count * 2 * d));
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(centroids.count));
  for (std::int64_t n = 0; n < vectors.count; ++n) {
    double* cell = &sums[assigned[n] * 2 * d];
    ++sizes[assigned[n]];
    for (int j = 0; j < d; ++j) {
      const double w = vectors.w_plane(j)[n];
      cell[j] += w * vectors.x_plane(j)[n];
      cell[d + j] += w;
    }
  }
  std::vector<int> empty;
  for (int k = 0; k < centroids.count; ++k) {
    if (sizes[k] == 0) empty.push_back(k);
    for (int j = 0; j < d; ++j) {
      const double weight = sums[k * 2 * d + d + j];
      if (weight > 0) centroids.plane(j)[k] = static_cast<float>(sums[k * 2 * d + j] / weight);
    }
  }
  return empty;
}

// Moves each empty cell's centroid onto the worst represented vector that no other one was moved to.
void ReseedCells(const GroupVectors& vectors, const Indices& assigned, const std::vector<int>& empty,
                 Centroids& centroids) {
  std::vector<float> distance(static_cast<std::size_t>(vectors.count));
  for (std::int64_t n = 0; n < vectors.count; ++n) {
    distance[n] = WeightedDistance(vectors, n, centroids, assigned[n]);
  }
  for (int k : empty) {
    const auto worst = std::max_element(distance.begin(), distance.end());
    if (!(*worst > 0)) return;  // every vector is represented exactly
    *worst = 0;
    for (int j = 0; j < vectors.dim; ++j) centroids.plane(j)[k] = vectors.x_plane(j)[worst - distance.begin()];
  }
}

void ZeroCells(const std::vector<int>& empty, Centroids& centroids) {
  for (int k : empty) {
    for (int j = 0; j < centroids.dim; ++j) centroids.plane(j)[k] = 0;
  }
}

}  // namespace

EmResult ClusterGroup(const GroupVectors& vectors, const EmOptions& options, Centroids& centroids) {
  const bool reference = options.compatibility == Compatibility::kReference;
  Indices assigned(static_cast<std::size_t>(vectors.count));
  Indices previous;
  EmResult result;
  AssignVectors(vectors, centroids, assigned);
  while (result.iterations < options.max_iterations) {
    const std::vector<int> empty = UpdateCentroids(vectors, assigned, centroids);
    if (reference) {
      ZeroCells(empty, centroids);
    } else {
      ReseedCells(vectors, assigned, empty, centroids);
    }
    if (++result.iterations == options.max_iterations) break;
    previous = assigned;
    AssignVectors(vectors, centroids, assigned);
    if (!reference && assigned == previous) break;
  }
  for (std::int64_t n = 0; n < vectors.count; ++n) {
    for (int j = 0; j < vectors.dim; ++j) {
      const double difference =
          static_cast<double>(vectors.x_plane(j)[n]) - centroids.plane(j)[assigned[n]];
      result.objective += vectors.w_plane(j)[n] * difference * difference;
    }
  }
  return result;
}

}  // namespace gptvq
