#include "platform/job/task_audit.h"

#include <algorithm>

namespace gptvq {

std::string_view Name(AuditOutcome outcome) {
  switch (outcome) {
    case AuditOutcome::kAgreed: return "agreed";
    case AuditOutcome::kUpheld: return "upheld";
    case AuditOutcome::kOverturned: return "overturned";
    case AuditOutcome::kSkipped: return "skipped";
    case AuditOutcome::kGivenUp: return "given_up";
    case AuditOutcome::kUndecided: return "undecided";
  }
  return "";
}

void NotePart(std::vector<LayerAuthor>& authors, int layer, const std::string& worker_name) {
  const LayerAuthor part = {layer, worker_name};
  if (std::find(authors.begin(), authors.end(), part) == authors.end()) authors.push_back(part);
}

void NotePublication(std::vector<LayerAuthor>& authors, int layer, const std::string& worker_name) {
  NotePart(authors, layer, worker_name);
  if (AuthorsOf(authors, layer) != AuthorsOf(authors, layer - 1)) return;
  std::erase_if(authors, [&](const LayerAuthor& one) { return one.layer == layer; });
}

std::set<std::string> AuthorsOf(const std::vector<LayerAuthor>& authors, int layer) {
  std::set<std::string> names;
  int since = -1;
  for (const LayerAuthor& author : authors) {
    if (author.layer > layer) break;
    if (author.layer != since) names.clear();
    since = author.layer;
    names.insert(author.worker_name);
  }
  return names;
}

bool HasPart(const std::vector<LayerAuthor>& authors, std::string_view worker_name) {
  return std::any_of(authors.begin(), authors.end(),
                     [&](const LayerAuthor& author) { return author.worker_name == worker_name; });
}

}  // namespace gptvq
