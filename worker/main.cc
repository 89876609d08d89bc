// gptvq-worker: leases tasks of quantization jobs and runs them.

#include "worker/worker_daemon.h"

int main(int argc, char** argv) { return gptvq::RunWorker(argc, argv, gptvq::MakeDeviceSlots); }
