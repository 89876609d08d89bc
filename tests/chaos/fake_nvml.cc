// A libnvidia-ml.so.1 that says what a file says, for faults that no test can make a GPU have. The file that
// GPTVQ_FAKE_NVML names has a line per device, read at every question:
//
//   0000:01:00.0 ACTION ERRORS XID XID ...
//
// the recovery action (NVML_FI_DEV_GET_GPU_RECOVERY_ACTION), uncorrected errors of the memory so far, and every Xid so far. A
// device that has no line is one that the driver has lost.

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "platform/options.h"

namespace {

constexpr unsigned kSuccess = 0;
constexpr unsigned kInvalidArgument = 2;
constexpr unsigned kNotFound = 6;
constexpr unsigned kTimeout = 10;
constexpr unsigned kGpuIsLost = 15;

struct Device {
  std::string bus_address;
};

struct EventSet {
  const Device* device = nullptr;
  std::size_t told = 0;
};

struct Line {
  bool found = false;
  unsigned action = 0;
  unsigned long long errors = 0;
  std::vector<unsigned long long> xids;
};

Line LineOf(const std::string& bus_address) {
  std::ifstream file(gptvq::ProcessEnvironment()("GPTVQ_FAKE_NVML").value_or(""));
  for (std::string text; std::getline(file, text);) {
    std::istringstream words(text);
    std::string address;
    Line line;
    if (!(words >> address >> line.action >> line.errors) || address != bus_address) continue;
    line.found = true;
    for (unsigned long long xid = 0; words >> xid;) line.xids.push_back(xid);
    return line;
  }
  return {};
}

struct FieldValue {
  unsigned field_id;
  unsigned scope_id;
  long long timestamp;
  long long latency_us;
  unsigned value_type;
  unsigned result;
  union {
    unsigned long long as_unsigned_long_long;
    unsigned as_unsigned;
  } value;
};

struct EventData {
  const Device* device;
  unsigned long long type;
  unsigned long long data;
  unsigned gpu_instance;
  unsigned compute_instance;
};

}  // namespace

extern "C" {

unsigned nvmlInit_v2() { return kSuccess; }
unsigned nvmlShutdown() { return kSuccess; }

unsigned nvmlDeviceGetHandleByPciBusId_v2(const char* bus_address, Device** device_out) {
  if (!LineOf(bus_address).found) return kNotFound;
  *device_out = new Device{bus_address};  // as long as the process, as NVML's
  return kSuccess;
}

unsigned nvmlDeviceGetFieldValues(const Device* device, int count, FieldValue* values) {
  const Line line = LineOf(device->bus_address);
  if (!line.found) return kGpuIsLost;
  for (int i = 0; i < count; ++i) {
    values[i].result = values[i].field_id == 230 ? kSuccess : kInvalidArgument;
    values[i].value.as_unsigned = line.action;
  }
  return kSuccess;
}

unsigned nvmlDeviceGetTotalEccErrors(const Device* device, unsigned, unsigned, unsigned long long* count_out) {
  const Line line = LineOf(device->bus_address);
  if (!line.found) return kGpuIsLost;
  *count_out = line.errors;
  return kSuccess;
}

unsigned nvmlEventSetCreate(EventSet** set_out) {
  *set_out = new EventSet;
  return kSuccess;
}

unsigned nvmlEventSetFree(EventSet* set) {
  delete set;
  return kSuccess;
}

unsigned nvmlDeviceRegisterEvents(const Device* device, unsigned long long, EventSet* set) {
  set->device = device;
  set->told = LineOf(device->bus_address).xids.size();  // events are those that come from now on
  return kSuccess;
}

unsigned nvmlEventSetWait_v2(EventSet* set, EventData* data_out, unsigned) {
  const Line line = LineOf(set->device->bus_address);
  if (set->told >= line.xids.size()) return kTimeout;
  *data_out = {set->device, 8, line.xids[set->told++], 0, 0};
  return kSuccess;
}

}  // extern "C"
