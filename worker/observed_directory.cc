#include "worker/observed_directory.h"

#include "core/base/status_macros.h"

namespace gptvq {
namespace {

class ObservedFile final : public RandomAccessFile {
 public:
  ObservedFile(std::unique_ptr<RandomAccessFile> file, ByteObserver observe)
      : file_(std::move(file)), observe_(std::move(observe)) {}

  std::string_view name() const override { return file_->name(); }
  std::uint64_t size() const override { return file_->size(); }

  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override {
    GPTVQ_RETURN_IF_ERROR(observe_(bytes_out.size()));
    return file_->ReadAt(offset, bytes_out);
  }

 private:
  const std::unique_ptr<RandomAccessFile> file_;
  const ByteObserver observe_;
};

class ObservedWritableFile final : public WritableFile {
 public:
  ObservedWritableFile(std::unique_ptr<WritableFile> file, ByteObserver observe)
      : file_(std::move(file)), observe_(std::move(observe)) {}

  absl::Status Append(absl::Span<const std::byte> bytes) override {
    GPTVQ_RETURN_IF_ERROR(observe_(bytes.size()));
    return file_->Append(bytes);
  }

  absl::Status Close() override {
    GPTVQ_RETURN_IF_ERROR(observe_(0));  // the last moment at which nothing is visible yet
    return file_->Close();
  }

 private:
  const std::unique_ptr<WritableFile> file_;
  const ByteObserver observe_;
};

}  // namespace

std::unique_ptr<RandomAccessFile> ObserveReads(std::unique_ptr<RandomAccessFile> file, ByteObserver observe) {
  return std::make_unique<ObservedFile>(std::move(file), std::move(observe));
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> ObservedReadableDirectory::Open(std::string_view file_name) const {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, directory_->Open(file_name));
  return ObserveReads(std::move(file), observe_);
}

absl::StatusOr<std::unique_ptr<WritableFile>> ObservedWritableDirectory::Create(std::string_view file_name) {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, directory_->Create(file_name));
  return std::make_unique<ObservedWritableFile>(std::move(file), observe_);
}

absl::Status ObservedWritableDirectory::PutNew(std::string_view file_name, absl::Span<const std::byte> bytes) {
  GPTVQ_RETURN_IF_ERROR(observe_(bytes.size()));
  return directory_->PutNew(file_name, bytes);
}

}  // namespace gptvq
