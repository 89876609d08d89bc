#ifndef GPTVQ_TESTS_SUPPORT_FORWARDING_BACKEND_H_
#define GPTVQ_TESTS_SUPPORT_FORWARDING_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "core/backend/backend.h"

namespace gptvq {

// Does whatever another backend does: for fakes that differ from it in one thing. Owns that backend.
class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(std::unique_ptr<Backend> target) : target_(std::move(target)) {}

  std::string name() const override { return target_->name(); }
  std::string numerics_class() const override { return target_->numerics_class(); }
  DType activation_dtype() const override { return target_->activation_dtype(); }
  std::int64_t row_unit() const override { return target_->row_unit(); }
  ForwardOps& forward() override { return target_->forward(); }
  QuantOps& quant() override { return target_->quant(); }
  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override {
    return target_->Allocate(bytes);
  }
  absl::StatusOr<std::uint64_t> CapacityBytes() override { return target_->CapacityBytes(); }
  absl::Status CopyFromHost(MatrixView<const float> source, TensorView target_out) override {
    return target_->CopyFromHost(source, target_out);
  }
  absl::Status CopyToHost(ConstTensorView source, MatrixView<float> target_out) override {
    return target_->CopyToHost(source, target_out);
  }
  absl::Status CopyBytesFromHost(const void* source, void* target_out, std::size_t bytes) override {
    return target_->CopyBytesFromHost(source, target_out, bytes);
  }
  absl::Status CopyBytesToHost(const void* source, void* target_out, std::size_t bytes) override {
    return target_->CopyBytesToHost(source, target_out, bytes);
  }
  absl::Status CopyInside(MatrixView<const float> source, MatrixView<float> target_out) override {
    return target_->CopyInside(source, target_out);
  }
  absl::Status FillZero(void* target_out, std::size_t bytes) override { return target_->FillZero(target_out, bytes); }
  absl::Status Synchronize() override { return target_->Synchronize(); }
  absl::StatusOr<std::unique_ptr<UploadLane>> MakeUploadLane() override { return target_->MakeUploadLane(); }

 private:
  const std::unique_ptr<Backend> target_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_FORWARDING_BACKEND_H_
