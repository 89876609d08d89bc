#include "core/cuda/cuda_backend.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/backend/require.h"
#include "core/cuda/context_backend.h"
#include "core/cuda/cuda_forward_ops.h"
#include "core/cuda/cuda_memory.h"
#include "core/cuda/cuda_quant_ops.h"
#include "core/cuda/cuda_upload_lane.h"
#include "core/cuda/device_context.h"
#include "core/cuda/device_view.h"
#include "core/cuda/matrix_kernels.h"

namespace gptvq {
namespace cuda {
namespace {

// Grows with every change of a kernel or of the use of a library that can change a bit of a result.
constexpr int kKernelVersion = 4;

// f32 on its way to or from another dtype, on the device.
constexpr std::int64_t kConversionBytes = std::int64_t{64} << 20;

bool IsCopied(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBf16; }

// Bytes of a row of f32 and from row to row, as cudaMemcpy2D wants them.
std::size_t FloatBytes(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

class CudaBackend final : public Backend {
 public:
  CudaBackend(std::unique_ptr<DeviceContext> context, std::int64_t row_unit)
      : context_(std::move(context)), row_unit_(row_unit), forward_(*context_), quant_(*context_, row_unit) {}

  std::string name() const override { return absl::StrCat("cuda:", context_->device()); }
  std::string numerics_class() const override {
    return absl::StrCat("cuda-", absl::StrReplaceAll(context_->device_name(), {{" ", "-"}, {"/", "-"}}), "-cublas",
                        context_->libraries().cublas_version, "-cusolver", context_->libraries().cusolver_version, "/",
                        kKernelVersion, row_unit_ > 0 ? absl::StrCat("+rows", row_unit_) : "");
  }
  DType activation_dtype() const override { return DType::kBf16; }
  std::int64_t row_unit() const override { return row_unit_; }
  ForwardOps& forward() override { return forward_; }
  QuantOps& quant() override { return quant_; }

  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override {
    GPTVQ_RETURN_IF_ERROR(context_->Activate());
    GPTVQ_ASSIGN_OR_RETURN(void* address, context_->Allocate(bytes));
    return std::make_unique<CudaMemory>(*context_, address);
  }

  absl::StatusOr<std::uint64_t> CapacityBytes() override {
    GPTVQ_RETURN_IF_ERROR(context_->Activate());
    return context_->CapacityBytes();
  }

  absl::Status CopyFromHost(MatrixView<const float> source, TensorView target_out) override;
  absl::Status CopyToHost(ConstTensorView source, MatrixView<float> target_out) override;
  absl::Status CopyBytesFromHost(const void* source, void* target_out, std::size_t bytes) override {
    GPTVQ_RETURN_IF_ERROR(context_->Activate());
    GPTVQ_RETURN_IF_ERROR(context_->CopyToDevice(source, target_out, bytes));
    return context_->Sync("CopyBytesFromHost");
  }
  absl::Status CopyBytesToHost(const void* source, void* target_out, std::size_t bytes) override {
    GPTVQ_RETURN_IF_ERROR(context_->Activate());
    return context_->CopyToHostSync(source, target_out, bytes);
  }
  absl::Status CopyInside(MatrixView<const float> source, MatrixView<float> target_out) override;
  absl::Status FillZero(void* target_out, std::size_t bytes) override {
    GPTVQ_RETURN_IF_ERROR(context_->Activate());
    return context_->Zero(target_out, bytes);
  }
  absl::Status Synchronize() override {
    GPTVQ_RETURN_IF_ERROR(context_->Activate());
    return context_->Sync("Synchronize");
  }
  absl::StatusOr<std::unique_ptr<UploadLane>> MakeUploadLane() override { return CudaUploadLane::Make(*context_); }

 private:
  // Calls copy(first row, row count, f32 staging view) for pieces of rows that fit the staging memory.
  template <typename Copy>
  absl::Status ForEachStagedPiece(std::int64_t rows, std::int64_t cols, Copy copy);

  absl::Status Copy2D(const float* source, std::int64_t source_stride, float* target, std::int64_t target_stride,
                      std::int64_t rows, std::int64_t cols) {
    return CudaStatus(
        cudaMemcpy2DAsync(target, FloatBytes(target_stride), source, FloatBytes(source_stride), FloatBytes(cols),
                          static_cast<std::size_t>(rows), cudaMemcpyDefault, context_->stream()),
        "copy of a matrix");
  }

  // Between host and device, either way; waits for it.
  absl::Status CopyFloats(MatrixView<const float> source, MatrixView<float> target) {
    if (source.rows == 0 || source.cols == 0) return absl::OkStatus();
    GPTVQ_RETURN_IF_ERROR(context_->Activate());
    GPTVQ_RETURN_IF_ERROR(Copy2D(source.data, source.stride, target.data, target.stride, source.rows, source.cols));
    return context_->Sync("copy between host and device");
  }

  std::unique_ptr<DeviceContext> context_;
  const std::int64_t row_unit_;
  CudaForwardOps forward_;
  CudaQuantOps quant_;
};

template <typename Copy>
absl::Status CudaBackend::ForEachStagedPiece(std::int64_t rows, std::int64_t cols, Copy copy) {
  if (rows == 0 || cols == 0) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(context_->Activate());
  const std::int64_t piece = std::min(PlanTokenChunk(cols, kConversionBytes), rows);
  GPTVQ_ASSIGN_OR_RETURN(const auto staging, DeviceBuffer<float>::Make(*context_, piece * cols));
  for (std::int64_t first = 0; first < rows; first += piece) {
    const std::int64_t count = std::min(piece, rows - first);
    GPTVQ_RETURN_IF_ERROR(copy(first, count, DeviceView<float>{staging.data(), count, cols, cols}));
  }
  return context_->Sync("copy between host and device");
}

absl::Status CudaBackend::CopyFromHost(MatrixView<const float> source, TensorView target_out) {
  GPTVQ_RETURN_IF_ERROR(Require(SameShape(source, target_out) && IsCopied(target_out.dtype), "CopyFromHost",
                                "source and target have the same shape, and the target is f32 or bfloat16"));
  if (target_out.dtype == DType::kF32) return CopyFloats(source, target_out.As<float>());
  const Bf16View target = Bf16OnDevice(target_out);
  return ForEachStagedPiece(
      source.rows, source.cols, [&](std::int64_t first, std::int64_t count, DeviceView<float> staging) {
        GPTVQ_RETURN_IF_ERROR(
            Copy2D(source.row(first), source.stride, staging.data, staging.stride, count, source.cols));
        return LaunchToBf16(PlanRows(count, source.cols, context_->limits()),
                            {staging.data, staging.rows, staging.cols, staging.stride},
                            {target.row(first), count, target.cols, target.stride}, context_->stream());
      });
}

absl::Status CudaBackend::CopyToHost(ConstTensorView source_tensor, MatrixView<float> target_out) {
  GPTVQ_RETURN_IF_ERROR(Require(SameShape(source_tensor, target_out) && IsCopied(source_tensor.dtype), "CopyToHost",
                                "source and target have the same shape, and the source is f32 or bfloat16"));
  if (source_tensor.dtype == DType::kF32) return CopyFloats(source_tensor.As<const float>(), target_out);
  const ConstBf16View source = Bf16OnDevice(source_tensor);
  return ForEachStagedPiece(
      source.rows, source.cols, [&](std::int64_t first, std::int64_t count, DeviceView<float> staging) {
        GPTVQ_RETURN_IF_ERROR(LaunchFromBf16(PlanRows(count, source.cols, context_->limits()),
                                             {source.row(first), count, source.cols, source.stride}, staging,
                                             context_->stream()));
        return Copy2D(staging.data, staging.stride, target_out.row(first), target_out.stride, count, source.cols);
      });
}

absl::Status CudaBackend::CopyInside(MatrixView<const float> source, MatrixView<float> target_out) {
  GPTVQ_RETURN_IF_ERROR(Require(SameShape(source, target_out), "CopyInside", "source and target have the same shape"));
  if (source.rows == 0 || source.cols == 0) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(context_->Activate());
  return Copy2D(source.data, source.stride, target_out.data, target_out.stride, source.rows, source.cols);
}

}  // namespace

std::unique_ptr<Backend> MakeContextBackend(std::unique_ptr<DeviceContext> context, std::int64_t row_unit) {
  return std::make_unique<CudaBackend>(std::move(context), row_unit);
}

}  // namespace cuda

namespace {

std::string BusAddress(const cudaDeviceProp& properties) {
  return absl::StrCat(absl::Hex(properties.pciDomainID, absl::kZeroPad4), ":",
                      absl::Hex(properties.pciBusID, absl::kZeroPad2), ":",
                      absl::Hex(properties.pciDeviceID, absl::kZeroPad2), ".0");
}

}  // namespace

absl::StatusOr<std::vector<CudaDevice>> CudaDevices() {
  int count = 0;
  GPTVQ_RETURN_IF_ERROR(cuda::CudaStatus(cudaGetDeviceCount(&count), "cudaGetDeviceCount"));
  std::vector<CudaDevice> devices;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties;
    GPTVQ_RETURN_IF_ERROR(cuda::CudaStatus(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties"));
    if (properties.major < cuda::kLeastComputeMajor) continue;
    devices.push_back({.index = index,
                       .name = properties.name,
                       .memory_bytes = properties.totalGlobalMem,
                       .bus_address = BusAddress(properties)});
  }
  return devices;
}

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(const CudaBackendOptions& options) {
  GPTVQ_ASSIGN_OR_RETURN(auto context, cuda::DeviceContext::Make(options.device));
  return cuda::MakeContextBackend(std::move(context), options.row_unit);
}

}  // namespace gptvq
