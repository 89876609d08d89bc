#include "tests/sim/sim_stores.h"

#include <utility>

#include "core/base/status_macros.h"

namespace gptvq {
namespace {

absl::Status NoAnswer() { return absl::UnavailableError("the simulated storage does not answer"); }

// Refuses to become visible, or becomes so and denies it.
class FaultyFile final : public ResumableFile {
 public:
  FaultyFile(std::string key, std::unique_ptr<ResumableFile> file, SimWorld& world, SimChecker& checker)
      : key_(std::move(key)), file_(std::move(file)), world_(world), checker_(checker) {}

  absl::Status Append(absl::Span<const std::byte> bytes) override { return file_->Append(bytes); }
  absl::Status Close() override {
    if (world_.Strikes(SimFault::kStoreRefusal)) return NoAnswer();
    GPTVQ_RETURN_IF_ERROR(file_->Close());
    checker_.OnStoredAgain(key_);
    return world_.Strikes(SimFault::kStoreGhost) ? NoAnswer() : absl::OkStatus();
  }
  absl::StatusOr<std::string> Save() override { return file_->Save(); }
  void Discard() override { file_->Discard(); }

 private:
  const std::string key_;
  const std::unique_ptr<ResumableFile> file_;
  SimWorld& world_;
  SimChecker& checker_;
};

}  // namespace

absl::Status FaultyJobStore::AppendAll(absl::Span<const Transition* const> transitions) {
  GPTVQ_RETURN_IF_ERROR(CheckThere());
  if (world_.Strikes(SimFault::kJournalRefusal)) return NoAnswer();
  const absl::Status appended = store_.AppendAll(transitions);
  checker_.OnAppend(appended);
  GPTVQ_RETURN_IF_ERROR(appended);
  for (const Transition* transition : transitions) checker_.OnJournaled(*transition);
  return world_.Strikes(SimFault::kJournalGhost) ? NoAnswer() : absl::OkStatus();
}

absl::Status FaultyJobStore::BeginGeneration(std::int64_t after) {
  GPTVQ_RETURN_IF_ERROR(CheckThere());
  if (world_.Strikes(SimFault::kJournalRefusal)) return NoAnswer();
  GPTVQ_RETURN_IF_ERROR(store_.BeginGeneration(after));
  return world_.Strikes(SimFault::kJournalGhost) ? NoAnswer() : absl::OkStatus();
}

absl::StatusOr<JobStore::State> FaultyJobStore::LoadActive() {
  GPTVQ_RETURN_IF_ERROR(CheckThere());
  GPTVQ_ASSIGN_OR_RETURN(State state, store_.LoadActive());
  checker_.OnLoaded(state);
  return state;
}

absl::StatusOr<JobSnapshot> FaultyJobStore::ReadJob(std::string_view job_id) {
  GPTVQ_RETURN_IF_ERROR(CheckThere());
  return store_.ReadJob(job_id);
}

absl::StatusOr<std::optional<std::string>> FaultyJobStore::FindRequest(std::string_view request_id) {
  GPTVQ_RETURN_IF_ERROR(CheckThere());
  return store_.FindRequest(request_id);
}

absl::StatusOr<std::vector<PublishedLayer>> FaultyJobStore::ReadLayers(std::string_view job_id) {
  GPTVQ_RETURN_IF_ERROR(CheckThere());
  return store_.ReadLayers(job_id);
}

absl::StatusOr<std::vector<JobEvent>> FaultyJobStore::ReadEvents(std::string_view job_id, std::int64_t after,
                                                                 int limit) {
  GPTVQ_RETURN_IF_ERROR(CheckThere());
  return store_.ReadEvents(job_id, after, limit);
}

absl::Status FaultyJobStore::CheckThere() const {
  return world_.now().monotonic < back_at_ ? NoAnswer() : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<WritableFile>> FaultyObjectStore::Create(std::string_view key) {
  return CreateResumable(key);
}

absl::StatusOr<std::unique_ptr<ResumableFile>> FaultyObjectStore::CreateResumable(std::string_view key) {
  if (world_.Strikes(SimFault::kStoreRefusal)) return NoAnswer();
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ResumableFile> file, target().CreateResumable(key));
  return std::make_unique<FaultyFile>(std::string(key), std::move(file), world_, checker_);
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> FaultyObjectStore::Open(std::string_view key) const {
  if (world_.Strikes(SimFault::kStoreRefusal)) return NoAnswer();
  return target().Open(key);
}

absl::StatusOr<ObjectInfo> FaultyObjectStore::Stat(std::string_view key) const {
  if (world_.Strikes(SimFault::kStoreRefusal)) return NoAnswer();
  return target().Stat(key);
}

void FaultyObjectStore::LoseAnObject() {
  const auto objects = target().List("artifacts", ListScope::kRecursive);
  if (!objects.ok() || objects->empty()) return;
  const std::string key = (*objects)[static_cast<std::size_t>(world_.Below(objects->size()))].key;
  checker_.OnLost(key);
  if (world_.Chance(0.5)) return (void)target().Delete(key);
  std::string bytes = *ReadWholeFile(**target().Open(key), 1 << 20);
  char& changed = bytes[static_cast<std::size_t>(world_.Below(bytes.size()))];
  changed = static_cast<char>(changed ^ 1);
  const auto file = target().Create(key);
  (void)(*file)->Append(AsBytes(bytes));
  (void)(*file)->Close();
}

absl::Status FaultyObjectStore::Delete(std::string_view key) {
  if (world_.Strikes(SimFault::kStoreRefusal)) return NoAnswer();
  const auto take_effect = [this, key = std::string(key)] {
    checker_.OnDelete(key);
    return target().Delete(key);
  };
  if (!world_.Strikes(SimFault::kStoreGhost)) return take_effect();
  world_.After(world_.Latency(), [take_effect] { (void)take_effect(); });  // after its sender gave up
  return NoAnswer();
}

}  // namespace gptvq
