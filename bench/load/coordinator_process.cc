#include "bench/load/coordinator_process.h"

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stop_token>

#include "core/base/check.h"
#include "platform/clock.h"

namespace gptvq {
namespace {

std::string ReadText(const std::string& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

void CoordinatorProcess::Start() {
  const std::string address_file = directory_ + "/address";
  std::filesystem::create_directories(directory_);
  std::filesystem::remove(address_file);
  process_ = std::make_unique<ChildProcess>(
      std::vector<std::string>{program_, "--listen", address_.empty() ? "127.0.0.1:0" : address_, "--data-dir",
                               directory_ + "/data", "--address-file", address_file},
      directory_ + "/coordinator.log");
  SystemClock clock;
  while (true) {
    GPTVQ_CHECK(!process_->Wait(std::chrono::milliseconds(0)).has_value());  // its log says why
    std::istringstream text(ReadText(address_file));
    if (text >> address_) return;
    clock.Sleep(std::chrono::milliseconds(2), std::stop_token());
  }
}

void CoordinatorProcess::Kill() {
  process_->Signal(SIGKILL);
  process_->Wait(std::chrono::minutes(1));
}

// proc(5): utime and stime are the 14th and 15th field, the 12th and 13th after the name in parentheses.
double CoordinatorProcess::cpu_seconds() const {
  const std::string text = ReadText("/proc/" + std::to_string(process_->pid()) + "/stat");
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double CoordinatorProcess::rss_mib() const { return StatusMib("VmRSS:"); }
double CoordinatorProcess::peak_rss_mib() const { return StatusMib("VmHWM:"); }

double CoordinatorProcess::StatusMib(const std::string& field) const {
  std::istringstream words(ReadText("/proc/" + std::to_string(process_->pid()) + "/status"));
  std::string word;
  while (words >> word) {
    double kib = 0;
    if (word == field && words >> kib) return kib / 1024;
  }
  return 0;
}

}  // namespace gptvq
