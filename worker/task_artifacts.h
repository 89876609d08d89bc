#ifndef GPTVQ_WORKER_TASK_ARTIFACTS_H_
#define GPTVQ_WORKER_TASK_ARTIFACTS_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/format/layer_artifact.h"
#include "platform/job/job.h"
#include "platform/object_store/artifact_store.h"
#include "platform/object_store/storage.h"
#include "worker/observed_directory.h"

namespace gptvq {

// The artifact store of the coordinator, opened for one task. The coordinator names it, not whoever submitted the job, so it need
// not lie in the directories that jobs are confined to. Owns the connection. Thread-compatible.
class TaskArtifacts {
 public:
  // Errors: Unavailable, because what this worker does not reach another one may.
  static absl::StatusOr<TaskArtifacts> Open(const Storage& storage, const std::string& uri);

  // Reads the artifact once to compare it with its digest, then gives it out; later reads go to `observe`.
  // Errors: DataLoss naming the artifact as lost (worker/lost_artifacts.h) when it is gone or damaged, also while it is read from
  // the file: no input of the job is to blame. Those of ArtifactStore.
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Read(const Digest& digest, ByteObserver observe) const;

  // All of these, each as Read. Errors: one that names all that are lost, so that they are made again at once; DataLoss for an
  // artifact of another layer; those of LayerArtifact::Open.
  absl::StatusOr<std::vector<LayerArtifact>> ReadLayers(const std::vector<PublishedLayer>& layers,
                                                        const ByteObserver& observe) const;

  absl::StatusOr<Digest> Write(absl::FunctionRef<absl::Status(WritableFile&)> write) {
    return ArtifactStore(*objects_).PutArtifact(write);
  }
  absl::StatusOr<Digest> Write(std::string_view bytes) { return ArtifactStore(*objects_).PutArtifact(AsBytes(bytes)); }

 private:
  explicit TaskArtifacts(std::unique_ptr<ObjectStore> objects) : objects_(std::move(objects)) {}

  std::unique_ptr<ObjectStore> objects_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_TASK_ARTIFACTS_H_
