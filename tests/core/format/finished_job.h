#ifndef GPTVQ_TESTS_CORE_FORMAT_FINISHED_JOB_H_
#define GPTVQ_TESTS_CORE_FORMAT_FINISHED_JOB_H_

#include <memory>
#include <string>
#include <vector>

#include "core/base/memory_file.h"
#include "core/format/assemble.h"
#include "core/format/layer_artifact.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// A source model of two layers with three linears each, in memory, and what a job would have made of it.
class FinishedJob {
 public:
  explicit FinishedJob(const QuantSpec& spec);

  MemoryDirectory& source() { return source_; }
  const QuantSpec& spec() const { return spec_; }
  const std::vector<NamedLinear>& linears() const { return linears_; }  // all layers, in order

  const std::vector<std::string>& artifacts() const { return artifacts_; }  // bytes, one per layer
  // The same, opened.
  std::vector<LayerArtifact> Layers() const;
  AssembleOptions Options() const;

  // Assembles everything into `output`.
  absl::StatusOr<AssembledCheckpoint> Assemble(MemoryDirectory& output, const AssembleOptions& options) const;
  absl::StatusOr<AssembledCheckpoint> Assemble(MemoryDirectory& output) const { return Assemble(output, Options()); }

 private:
  QuantSpec spec_;
  MemoryDirectory source_{"source"};
  std::vector<NamedLinear> linears_;
  std::vector<std::string> artifacts_;
};

// Shape of the linears of FinishedJob.
inline constexpr std::int64_t kJobRows = 12;
inline constexpr std::int64_t kJobCols = 272;

std::vector<std::string> FileNames(const ReadableDirectory& directory);
std::string FileText(const ReadableDirectory& directory, const std::string& name);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CORE_FORMAT_FINISHED_JOB_H_
