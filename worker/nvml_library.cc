#include "worker/nvml_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

// The little of NVML's interface that is used, as its reference guide describes it; binary compatible by its promise.
using Return = unsigned int;
struct OpaqueDevice;
using Handle = OpaqueDevice*;
struct OpaqueEventSet;
using EventSet = OpaqueEventSet*;

constexpr Return kSuccess = 0;
constexpr Return kGpuIsLost = 15;
constexpr Return kResetRequired = 16;
constexpr unsigned kUncorrected = 1;  // nvmlMemoryErrorType_t
constexpr unsigned kVolatile = 0;     // nvmlEccCounterType_t: since the driver was loaded
constexpr unsigned kRecoveryActionField = 230;
constexpr unsigned long long kXidEvent = 8;

struct FieldValue {
  unsigned field_id;
  unsigned scope_id;
  long long timestamp;
  long long latency_us;
  unsigned value_type;
  Return result;
  union {
    double as_double;
    unsigned as_unsigned;
    unsigned long as_unsigned_long;
    unsigned long long as_unsigned_long_long;
    long long as_long_long;
  } value;
};

struct EventData {
  Handle device;
  unsigned long long type;
  unsigned long long data;  // of kXidEvent: the Xid
  unsigned gpu_instance;
  unsigned compute_instance;
};

// Xids that a program brings upon itself: they say nothing of the device. Every other one does, until the recovery action says
// otherwise (NVIDIA, "Xid Errors").
constexpr std::array<unsigned long long, 6> kProgramXids = {13, 31, 43, 45, 68, 109};
constexpr unsigned long long kRecoveryActionChangedXid = 154;  // news of the field that is read anyway

constexpr int kMaxEventsPerReading = 64;

std::pair<DeviceCondition, std::string> ConditionOf(unsigned recovery_action) {
  switch (recovery_action) {
    case 0: return {DeviceCondition::kHealthy, ""};
    case 2: return {DeviceCondition::kReboot, "the driver wants the node rebooted"};
    case 3: return {DeviceCondition::kDrain, "the driver wants peer traffic to end"};
    case 4: return {DeviceCondition::kDrain, "the driver wants the device drained and reset"};
    case 7: return {DeviceCondition::kReboot, "the driver wants the system rebooted"};
    default: return {DeviceCondition::kReset, absl::StrCat("the driver wants a reset (action ", recovery_action, ")")};
  }
}

}  // namespace

struct NvmlLibrary::Functions {
  Return (*init)();
  Return (*shutdown)();
  Return (*find_device)(const char* bus_address, Handle*);
  Return (*read_fields)(Handle, int, FieldValue*);
  Return (*count_ecc_errors)(Handle, unsigned, unsigned, unsigned long long*);
  // Null in libraries that have no events.
  Return (*make_event_set)(EventSet*);
  Return (*free_event_set)(EventSet);
  Return (*register_events)(Handle, unsigned long long, EventSet);
  Return (*wait_for_event)(EventSet, EventData*, unsigned timeout_ms);
};

// A GPU, with what was seen of it.
class NvmlLibrary::Device {
 public:
  Device(std::shared_ptr<NvmlLibrary> library, Handle handle)
      : library_(std::move(library)), functions_(*library_->functions_), handle_(handle) {
    if (functions_.make_event_set == nullptr || functions_.make_event_set(&events_) != kSuccess) return;
    if (functions_.register_events(handle_, kXidEvent, events_) == kSuccess) return;
    functions_.free_event_set(std::exchange(events_, nullptr));
  }
  ~Device() {
    if (events_ != nullptr) functions_.free_event_set(events_);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  DeviceReading Read() {
    ReadXids();
    DeviceReading reading;
    ReadRecoveryAction(reading);
    unsigned long long count = 0;
    if (functions_.count_ecc_errors(handle_, kUncorrected, kVolatile, &count) == kSuccess) uncorrected_errors_ = count;
    reading.uncorrected_errors = uncorrected_errors_;
    reading.faults = faults_;
    if (reading.detail.empty() && faults_ > 0) reading.detail = absl::StrCat("the latest fault was Xid ", latest_xid_);
    return reading;
  }

 private:
  void ReadXids() {
    if (events_ == nullptr) return;
    EventData event = {};
    for (int i = 0; i < kMaxEventsPerReading && functions_.wait_for_event(events_, &event, 0) == kSuccess; ++i) {
      const bool by_program = std::find(kProgramXids.begin(), kProgramXids.end(), event.data) != kProgramXids.end();
      if (event.type != kXidEvent || by_program || event.data == kRecoveryActionChangedXid) continue;
      ++faults_;
      latest_xid_ = event.data;
    }
  }

  // Drivers before R570 do not know the field: then nothing is known.
  void ReadRecoveryAction(DeviceReading& reading) const {
    FieldValue field = {};
    field.field_id = kRecoveryActionField;
    Return result = functions_.read_fields(handle_, 1, &field);
    if (result == kSuccess) result = field.result;
    if (result == kSuccess) {
      std::tie(reading.condition, reading.detail) = ConditionOf(field.value.as_unsigned);
    } else if (result == kGpuIsLost || result == kResetRequired) {
      reading.condition = DeviceCondition::kReset;
      reading.detail = result == kGpuIsLost ? "the driver has lost the device" : "the driver wants a reset";
    }
  }

  const std::shared_ptr<NvmlLibrary> library_;
  const Functions& functions_;
  const Handle handle_;
  EventSet events_ = nullptr;
  std::uint64_t uncorrected_errors_ = 0;
  std::uint64_t faults_ = 0;
  unsigned long long latest_xid_ = 0;
};

absl::StatusOr<std::shared_ptr<NvmlLibrary>> NvmlLibrary::Load() {
  void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);  // never closed: its threads may still run
  if (library == nullptr) return absl::FailedPreconditionError(absl::StrCat("nvml: ", dlerror()));
  auto functions = std::make_unique<Functions>();
  std::string missing;
  const auto find = [&](const char* symbol, auto& function_out) {
    function_out = reinterpret_cast<std::decay_t<decltype(function_out)>>(dlsym(library, symbol));
    if (function_out == nullptr) missing = symbol;
  };
  find("nvmlDeviceGetFieldValues", functions->read_fields);
  find("nvmlDeviceGetHandleByPciBusId_v2", functions->find_device);
  find("nvmlDeviceGetTotalEccErrors", functions->count_ecc_errors);
  find("nvmlInit_v2", functions->init);
  find("nvmlShutdown", functions->shutdown);
  if (!missing.empty()) return absl::FailedPreconditionError(absl::StrCat("nvml: the library has no ", missing));
  find("nvmlEventSetCreate", functions->make_event_set);
  find("nvmlEventSetFree", functions->free_event_set);
  find("nvmlDeviceRegisterEvents", functions->register_events);
  find("nvmlEventSetWait_v2", functions->wait_for_event);
  if (!missing.empty()) functions->make_event_set = nullptr;
  const Return result = functions->init();
  if (result != kSuccess) return absl::UnavailableError(absl::StrCat("nvml: nvmlInit answers ", result));
  return std::shared_ptr<NvmlLibrary>(new NvmlLibrary(std::move(functions)));
}

NvmlLibrary::NvmlLibrary(std::unique_ptr<Functions> functions) : functions_(std::move(functions)) {}

NvmlLibrary::~NvmlLibrary() { functions_->shutdown(); }

absl::StatusOr<DeviceReader> NvmlLibrary::OpenDevice(std::shared_ptr<NvmlLibrary> library,
                                                     const std::string& bus_address) {
  Handle handle = nullptr;
  const Return result = library->functions_->find_device(bus_address.c_str(), &handle);
  if (result != kSuccess) {
    return absl::NotFoundError(absl::StrCat("nvml: no device at ", bus_address, " (", result, ")"));
  }
  auto device = std::make_shared<Device>(std::move(library), handle);  // shared: a std::function is copied
  return [device] { return device->Read(); };
}

}  // namespace gptvq
