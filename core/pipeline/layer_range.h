#ifndef GPTVQ_CORE_PIPELINE_LAYER_RANGE_H_
#define GPTVQ_CORE_PIPELINE_LAYER_RANGE_H_

namespace gptvq {

// The decoder layers [begin, end) of a model: a shard. Plain value.
struct LayerRange {
  int begin = 0;
  int end = 0;

  int count() const { return end - begin; }
  friend bool operator==(const LayerRange&, const LayerRange&) = default;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_LAYER_RANGE_H_
