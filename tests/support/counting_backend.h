#ifndef GPTVQ_TESTS_SUPPORT_COUNTING_BACKEND_H_
#define GPTVQ_TESTS_SUPPORT_COUNTING_BACKEND_H_

#include <cstddef>
#include <memory>
#include <string>

#include "core/backend/backend.h"

namespace gptvq {

// A backend that counts what is allocated from it and passes everything on to another one. Borrows that one.
class CountingBackend final : public Backend {
 public:
  explicit CountingBackend(Backend& backend) : backend_(backend) {}

  std::size_t held_bytes() const { return *held_bytes_; }
  std::size_t peak_bytes() const { return peak_bytes_; }

  std::string name() const override { return backend_.name(); }
  std::string numerics_class() const override { return backend_.numerics_class(); }
  DType activation_dtype() const override { return backend_.activation_dtype(); }
  std::int64_t row_unit() const override { return backend_.row_unit(); }
  ForwardOps& forward() override { return backend_.forward(); }
  QuantOps& quant() override { return backend_.quant(); }
  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override;
  absl::Status CopyFromHost(MatrixView<const float> source, TensorView target_out) override {
    return backend_.CopyFromHost(source, target_out);
  }
  absl::Status CopyToHost(ConstTensorView source, MatrixView<float> target_out) override {
    return backend_.CopyToHost(source, target_out);
  }
  absl::Status CopyBytesFromHost(const void* source, void* target_out, std::size_t bytes) override {
    return backend_.CopyBytesFromHost(source, target_out, bytes);
  }
  absl::Status CopyBytesToHost(const void* source, void* target_out, std::size_t bytes) override {
    return backend_.CopyBytesToHost(source, target_out, bytes);
  }
  absl::Status CopyInside(MatrixView<const float> source, MatrixView<float> target_out) override {
    return backend_.CopyInside(source, target_out);
  }
  absl::Status FillZero(void* target_out, std::size_t bytes) override { return backend_.FillZero(target_out, bytes); }

 private:
  Backend& backend_;
  // Shared with the pieces, which may outlive this object.
  std::shared_ptr<std::size_t> held_bytes_ = std::make_shared<std::size_t>(0);
  std::size_t peak_bytes_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_COUNTING_BACKEND_H_
