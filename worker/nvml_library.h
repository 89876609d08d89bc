#ifndef GPTVQ_WORKER_NVML_LIBRARY_H_
#define GPTVQ_WORKER_NVML_LIBRARY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/device_reading.h"

namespace gptvq {

// What NVIDIA's driver says of the health of a GPU: its management library, loaded when a worker starts. There is no link to it
// and none of its headers: a build needs neither, and a machine without it is one whose devices say nothing.
//
// Thread-safe, as NVML is. A call may hang on a device that has fallen off its bus.
class NvmlLibrary {
 public:
  // Errors: FailedPrecondition when `libnvidia-ml.so.1` does not load or lacks what is needed; Unavailable when there is no
  // driver that it could ask.
  static absl::StatusOr<std::shared_ptr<NvmlLibrary>> Load();
  ~NvmlLibrary();

  // A GPU by the address of its bus, "0000:3b:00.0". Reads at most the Xids that came since its last call, so it is for one
  // caller. Keeps the library.
  // Errors: NotFound.
  static absl::StatusOr<DeviceReader> OpenDevice(std::shared_ptr<NvmlLibrary> library, const std::string& bus_address);

 private:
  struct Functions;
  explicit NvmlLibrary(std::unique_ptr<Functions> functions);
  class Device;

  const std::unique_ptr<Functions> functions_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_NVML_LIBRARY_H_
