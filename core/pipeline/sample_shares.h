#ifndef GPTVQ_CORE_PIPELINE_SAMPLE_SHARES_H_
#define GPTVQ_CORE_PIPELINE_SAMPLE_SHARES_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/base/index_range.h"

namespace gptvq {

// How calibration samples are shared out among the ranks of a team: in the chunks in which they go through a layer on one
// device (core/model/layer_forward.h), chunk i to rank i mod rank_count. So what a chunk computes does not depend on where it
// lies, and a round, one chunk of every rank, has consecutive chunks in order of ranks. Plain value, pure.
// Preconditions: all numbers > 0.
struct SampleShares {
  std::int64_t sample_count = 0;
  std::int64_t sequence_length = 0;
  std::int64_t chunk_samples = 0;
  int rank_count = 1;

  std::int64_t ChunkCount() const { return (sample_count + chunk_samples - 1) / chunk_samples; }
  std::int64_t RoundCount() const { return (ChunkCount() + rank_count - 1) / rank_count; }

  // The samples of a rank's chunk in a round; none where chunks have run out.
  IndexRange Samples(std::int64_t round, int rank) const {
    const std::int64_t chunk = round * rank_count + rank;
    return {std::min(chunk * chunk_samples, sample_count), std::min((chunk + 1) * chunk_samples, sample_count)};
  }

  // The tokens of every rank's chunk in a round.
  std::vector<std::int64_t> TokensOfRound(std::int64_t round) const {
    std::vector<std::int64_t> tokens;
    for (int rank = 0; rank < rank_count; ++rank) tokens.push_back(Samples(round, rank).count() * sequence_length);
    return tokens;
  }

  // Of all rounds.
  std::int64_t SampleCountOf(int rank) const {
    std::int64_t count = 0;
    for (std::int64_t round = 0; round < RoundCount(); ++round) count += Samples(round, rank).count();
    return count;
  }
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_SAMPLE_SHARES_H_
