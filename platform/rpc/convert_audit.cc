// Audits, as they are kept in the journal and shown to clients.

#include "core/base/status_macros.h"
#include "platform/rpc/convert_enum.h"
#include "platform/rpc/convert_task.h"

namespace gptvq {
namespace {

template <typename Artifacts>
absl::StatusOr<std::vector<Digest>> DigestsOf(const Artifacts& artifacts) {
  std::vector<Digest> digests;
  for (const v1::ArtifactRef& artifact : artifacts) {
    GPTVQ_ASSIGN_OR_RETURN(const Digest digest, FromProto(artifact));
    digests.push_back(digest);
  }
  return digests;
}

}  // namespace

v1::AuditOutcome ToProto(AuditOutcome outcome) {
  switch (outcome) {
    case AuditOutcome::kAgreed: return v1::AUDIT_OUTCOME_AGREED;
    case AuditOutcome::kUpheld: return v1::AUDIT_OUTCOME_UPHELD;
    case AuditOutcome::kOverturned: return v1::AUDIT_OUTCOME_OVERTURNED;
    case AuditOutcome::kSkipped: return v1::AUDIT_OUTCOME_SKIPPED;
    case AuditOutcome::kGivenUp: return v1::AUDIT_OUTCOME_GIVEN_UP;
    case AuditOutcome::kUndecided: return v1::AUDIT_OUTCOME_UNDECIDED;
  }
  return v1::AUDIT_OUTCOME_UNSPECIFIED;
}

absl::StatusOr<AuditOutcome> FromProto(v1::AuditOutcome outcome) {
  return EnumFromProto(kAllAuditOutcomes, outcome, "outcome");
}

v1::TaskAudit ToProto(const AuditStatus& audit) {
  v1::TaskAudit proto;
  for (const LayerAuthor& author : audit.authors) {
    v1::LayerAuthor* added = proto.add_authors();
    added->set_layer(author.layer);
    added->set_worker_name(author.worker_name);
  }
  proto.set_overturned(audit.overturned);
  proto.set_may_differ(audit.may_differ);
  for (const Digest& layer : audit.layers) *proto.add_layers() = ToProto(layer);
  for (const AuditAnswer& answer : audit.answers) {
    v1::AuditAnswer* added = proto.add_answers();
    added->set_worker_name(answer.worker_name);
    for (const Digest& layer : answer.layers) *added->add_layers() = ToProto(layer);
    if (answer.output_boundary) *added->mutable_output_boundary() = ToProto(*answer.output_boundary);
  }
  if (audit.outcome) proto.set_outcome(ToProto(*audit.outcome));
  return proto;
}

absl::StatusOr<AuditStatus> FromProto(const v1::TaskAudit& proto) {
  AuditStatus audit;
  for (const v1::LayerAuthor& author : proto.authors()) audit.authors.push_back({author.layer(), author.worker_name()});
  audit.overturned = proto.overturned();
  audit.may_differ = proto.may_differ();
  GPTVQ_ASSIGN_OR_RETURN(audit.layers, DigestsOf(proto.layers()));
  for (const v1::AuditAnswer& one : proto.answers()) {
    AuditAnswer answer = {one.worker_name(), {}, std::nullopt};
    GPTVQ_ASSIGN_OR_RETURN(answer.layers, DigestsOf(one.layers()));
    if (one.has_output_boundary()) {
      GPTVQ_ASSIGN_OR_RETURN(answer.output_boundary, FromProto(one.output_boundary()));
    }
    audit.answers.push_back(std::move(answer));
  }
  if (proto.outcome() == v1::AUDIT_OUTCOME_UNSPECIFIED) return audit;
  GPTVQ_ASSIGN_OR_RETURN(audit.outcome, FromProto(proto.outcome()));
  return audit;
}

}  // namespace gptvq
