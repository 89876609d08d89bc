#include "core/cpu/cpu_backend.h"

#include <cblas.h>

#include <cstring>
#include <new>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/backend/require.h"
#include "core/base/status_macros.h"
#include "core/base/worker_pool.h"
#include "core/cpu/cpu_forward_ops.h"
#include "core/cpu/cpu_quant_ops.h"
#include "core/cpu/row_kernels.h"

namespace gptvq {
namespace {

constexpr std::align_val_t kAlignment{64};

// Grows with every change that can change a bit of a result. The instruction set is that of our kernels, the core name is
// OpenBLAS's choice for the Cholesky factor.
constexpr int kKernelVersion = 2;

class CpuMemory final : public DeviceMemory {
 public:
  explicit CpuMemory(void* address) : address_(address) {}
  ~CpuMemory() override { ::operator delete(address_, kAlignment); }
  void* address() const override { return address_; }

 private:
  void* address_;
};

absl::Status CopyRows(MatrixView<const float> source, MatrixView<float> target_out, std::string_view operation) {
  GPTVQ_RETURN_IF_ERROR(Require(SameShape(source, target_out), operation, "source and target have the same shape"));
  if (source.cols == 0) return absl::OkStatus();
  for (std::int64_t r = 0; r < source.rows; ++r) {
    std::memcpy(target_out.row(r), source.row(r), static_cast<std::size_t>(source.cols) * sizeof(float));
  }
  return absl::OkStatus();
}

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const CpuBackendOptions& options)
      : pool_(options.thread_count), sgemm_(pool_), forward_(pool_, sgemm_), quant_(pool_, sgemm_) {}

  std::string name() const override { return "cpu"; }
  std::string numerics_class() const override {
    return absl::StrCat("cpu-", InstructionSet(), "-", openblas_get_corename(), "/", kKernelVersion);
  }
  DType activation_dtype() const override { return DType::kF32; }
  std::int64_t row_unit() const override { return 1; }  // Sgemm sums up every element by itself
  ForwardOps& forward() override { return forward_; }
  QuantOps& quant() override { return quant_; }

  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override {
    void* address = ::operator new(bytes, kAlignment, std::nothrow);
    if (address == nullptr) {
      return absl::ResourceExhaustedError(absl::StrCat("cpu: no memory for ", bytes, " bytes"));
    }
    return std::make_unique<CpuMemory>(address);
  }

  absl::Status CopyFromHost(MatrixView<const float> source, TensorView target_out) override {
    return CopyRows(source, target_out.As<float>(), "CopyFromHost");
  }
  absl::Status CopyToHost(ConstTensorView source, MatrixView<float> target_out) override {
    return CopyRows(source.As<const float>(), target_out, "CopyToHost");
  }
  absl::Status CopyBytesFromHost(const void* source, void* target_out, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(target_out, source, bytes);
    return absl::OkStatus();
  }
  absl::Status CopyBytesToHost(const void* source, void* target_out, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(target_out, source, bytes);
    return absl::OkStatus();
  }
  absl::Status CopyInside(MatrixView<const float> source, MatrixView<float> target_out) override {
    return CopyRows(source, target_out, "CopyInside");
  }
  absl::Status FillZero(void* target_out, std::size_t bytes) override {
    if (bytes > 0) std::memset(target_out, 0, bytes);
    return absl::OkStatus();
  }

 private:
  WorkerPool pool_;
  Sgemm sgemm_;
  CpuForwardOps forward_;
  CpuQuantOps quant_;
};

}  // namespace

std::unique_ptr<Backend> MakeCpuBackend(const CpuBackendOptions& options) {
  openblas_set_num_threads(1);
  return std::make_unique<CpuBackend>(options);
}

}  // namespace gptvq
