// gptvq-worker on devices that a test makes sick: the same daemon, with the slots of the CPU in the place of GPUs. The file that
// GPTVQ_SICK_DEVICES names holds the names of slots whose device is lost, one a line: as with a sticky error of CUDA, whatever is
// asked of the device fails from then on, in this process and in every later one until the name is gone. One that is followed by
// " flips" computes on and is wrong without a word: of whatever is read from it one bit is another. The n-th slot is the device at 0000:0<n+1>:00.0 of the management library, which tells its health (fake_nvml.cc).

#include <bit>
#include <cstdint>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "core/backend/device_lost.h"
#include "core/base/status_macros.h"
#include "platform/options.h"
#include "tests/support/forwarding_backend.h"
#include "worker/device_slots.h"
#include "worker/nvml_library.h"
#include "worker/worker_daemon.h"

namespace gptvq {
namespace {

bool IsNamed(const std::string& wanted) {
  std::ifstream file(ProcessEnvironment()("GPTVQ_SICK_DEVICES").value_or(""));
  for (std::string line; std::getline(file, line);) {
    if (line == wanted) return true;
  }
  return false;
}

// One of the mantissa: the number stays one.
float WithAnotherBit(float value) { return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ (1u << 20)); }

// A backend that may be lost. Every task copies, so copies are where it is noticed.
class LosableBackend final : public ForwardingBackend {
 public:
  LosableBackend(std::unique_ptr<Backend> backend, std::string slot)
      : ForwardingBackend(std::move(backend)), slot_(std::move(slot)) {}

  std::string name() const override { return slot_; }

  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override {
    GPTVQ_RETURN_IF_ERROR(Check());
    return ForwardingBackend::Allocate(bytes);
  }
  absl::Status CopyFromHost(MatrixView<const float> source, TensorView target_out) override {
    GPTVQ_RETURN_IF_ERROR(Check());
    return ForwardingBackend::CopyFromHost(source, target_out);
  }
  absl::Status CopyToHost(ConstTensorView source, MatrixView<float> target_out) override {
    GPTVQ_RETURN_IF_ERROR(Check());
    GPTVQ_RETURN_IF_ERROR(ForwardingBackend::CopyToHost(source, target_out));
    if (target_out.rows * target_out.cols > 0 && IsNamed(absl::StrCat(slot_, " flips")))
      *target_out.data = WithAnotherBit(*target_out.data);
    return absl::OkStatus();
  }
  absl::Status CopyBytesFromHost(const void* source, void* target_out, std::size_t bytes) override {
    GPTVQ_RETURN_IF_ERROR(Check());
    return ForwardingBackend::CopyBytesFromHost(source, target_out, bytes);
  }
  absl::Status CopyBytesToHost(const void* source, void* target_out, std::size_t bytes) override {
    GPTVQ_RETURN_IF_ERROR(Check());
    return ForwardingBackend::CopyBytesToHost(source, target_out, bytes);
  }
  absl::Status CopyInside(MatrixView<const float> source, MatrixView<float> target_out) override {
    GPTVQ_RETURN_IF_ERROR(Check());
    return ForwardingBackend::CopyInside(source, target_out);
  }
  absl::Status FillZero(void* target_out, std::size_t bytes) override {
    GPTVQ_RETURN_IF_ERROR(Check());
    return ForwardingBackend::FillZero(target_out, bytes);
  }

 private:
  absl::Status Check() {
    is_lost_ = is_lost_ || IsNamed(slot_);
    return is_lost_ ? DeviceLostError(absl::StrCat(slot_, " is lost: an illegal memory access, for instance"))
                    : absl::OkStatus();
  }

  const std::string slot_;
  bool is_lost_ = false;  // sticky
};

absl::StatusOr<std::vector<PlacedTeam>> MakeSickSlots(const DeviceSlotsOptions& options) {
  GPTVQ_ASSIGN_OR_RETURN(std::vector<PlacedTeam> slots, MakeDeviceSlots(options));
  GPTVQ_ASSIGN_OR_RETURN(const std::shared_ptr<NvmlLibrary> library, NvmlLibrary::Load());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    PlacedTeam& placed = slots[i];
    placed.backends[0] = std::make_unique<LosableBackend>(std::move(placed.backends[0]), placed.slot.name);
    GPTVQ_ASSIGN_OR_RETURN(placed.read_health,
                           NvmlLibrary::OpenDevice(library, absl::StrCat("0000:0", i + 1, ":00.0")));
  }
  return slots;
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) { return gptvq::RunWorker(argc, argv, gptvq::MakeSickSlots); }
