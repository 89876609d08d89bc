#include "platform/object_store/s3_answers.h"

#include <algorithm>
#include <cstring>
#include <pugixml.hpp>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

absl::Status Malformed(std::string_view what) {
  return absl::UnavailableError(absl::StrCat("the server's answer can not be understood: ", std::string(what)));
}

// The one root element of a document. What it returns lives in `document`.
absl::StatusOr<pugi::xml_node> Root(std::string_view xml, const char* name, pugi::xml_document& document) {
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size());
  if (!parsed) return Malformed(absl::StrCat(parsed.description(), " at offset ", parsed.offset));
  const pugi::xml_node root = document.document_element();
  if (std::strcmp(root.name(), name) != 0) return Malformed(absl::StrCat("it has no <", name, ">"));
  return root;
}

absl::StatusOr<std::string> Text(const pugi::xml_node& parent, const char* name) {
  std::string text = parent.child_value(name);
  if (text.empty()) return Malformed(absl::StrCat("it has no <", name, ">"));
  return text;
}

absl::StatusOr<WallTime> Time(const pugi::xml_node& parent, const char* name) {
  GPTVQ_ASSIGN_OR_RETURN(const std::string text, Text(parent, name));
  absl::Time time;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, nullptr)) {
    return Malformed(absl::StrCat("<", name, "> is no time"));
  }
  return absl::ToChronoTime(time);
}

absl::StatusOr<bool> IsTruncated(const pugi::xml_node& root) {
  GPTVQ_ASSIGN_OR_RETURN(const std::string text, Text(root, "IsTruncated"));
  if (text != "true" && text != "false") return Malformed("<IsTruncated> is neither true nor false");
  return text == "true";
}

}  // namespace

std::optional<S3ErrorAnswer> ParseS3Error(std::string_view xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return std::nullopt;
  pugi::xml_node error = document.document_element();
  if (std::strcmp(error.name(), "ErrorResponse") == 0) error = error.child("Error");  // STS wraps it
  if (std::strcmp(error.name(), "Error") != 0) return std::nullopt;
  return S3ErrorAnswer{error.child_value("Code"), error.child_value("Message"), error.child_value("Region")};
}

std::string RootElement(std::string_view xml) {
  pugi::xml_document document;
  return document.load_buffer(xml.data(), xml.size()) ? document.document_element().name() : "";
}

absl::StatusOr<ObjectPage> ParseObjectPage(std::string_view xml) {
  pugi::xml_document document;
  GPTVQ_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(xml, "ListBucketResult", document));
  ObjectPage page;
  for (const pugi::xml_node& contents : root.children("Contents")) {
    ListedObject object;
    GPTVQ_ASSIGN_OR_RETURN(object.key, Text(contents, "Key"));
    GPTVQ_ASSIGN_OR_RETURN(const std::string size, Text(contents, "Size"));
    if (!absl::SimpleAtoi(size, &object.size_bytes)) return Malformed("<Size> is no size");
    page.objects.push_back(std::move(object));
  }
  GPTVQ_ASSIGN_OR_RETURN(const bool is_truncated, IsTruncated(root));
  if (is_truncated) {
    GPTVQ_ASSIGN_OR_RETURN(page.next_token, Text(root, "NextContinuationToken"));
  }
  return page;
}

absl::StatusOr<UploadPage> ParseUploadPage(std::string_view xml) {
  pugi::xml_document document;
  GPTVQ_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(xml, "ListMultipartUploadsResult", document));
  UploadPage page;
  for (const pugi::xml_node& node : root.children("Upload")) {
    ListedUpload upload;
    GPTVQ_ASSIGN_OR_RETURN(upload.key, Text(node, "Key"));
    GPTVQ_ASSIGN_OR_RETURN(upload.upload_id, Text(node, "UploadId"));
    GPTVQ_ASSIGN_OR_RETURN(upload.begin_time, Time(node, "Initiated"));
    page.uploads.push_back(std::move(upload));
  }
  GPTVQ_ASSIGN_OR_RETURN(const bool is_truncated, IsTruncated(root));
  if (is_truncated) {
    GPTVQ_ASSIGN_OR_RETURN(page.next_key, Text(root, "NextKeyMarker"));
    GPTVQ_ASSIGN_OR_RETURN(page.next_upload_id, Text(root, "NextUploadIdMarker"));
  }
  return page;
}

absl::StatusOr<PartPage> ParsePartPage(std::string_view xml) {
  pugi::xml_document document;
  GPTVQ_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(xml, "ListPartsResult", document));
  PartPage page;
  for (const pugi::xml_node& part : root.children("Part")) {
    GPTVQ_ASSIGN_OR_RETURN(const WallTime time, Time(part, "LastModified"));
    page.last_write_time = std::max(time, page.last_write_time.value_or(time));
    page.parts.push_back({part.child_value("PartNumber"), part.child_value("ETag")});
  }
  GPTVQ_ASSIGN_OR_RETURN(const bool is_truncated, IsTruncated(root));
  if (is_truncated) {
    GPTVQ_ASSIGN_OR_RETURN(page.next_part, Text(root, "NextPartNumberMarker"));
  }
  return page;
}

absl::StatusOr<std::string> ParseUploadId(std::string_view xml) {
  pugi::xml_document document;
  GPTVQ_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(xml, "InitiateMultipartUploadResult", document));
  return Text(root, "UploadId");
}

absl::StatusOr<std::string> ParseCompletedEtag(std::string_view xml) {
  pugi::xml_document document;
  GPTVQ_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(xml, "CompleteMultipartUploadResult", document));
  return std::string(root.child_value("ETag"));
}

std::string CompleteUploadXml(const std::vector<std::string>& etags) {
  pugi::xml_document document;
  pugi::xml_node upload = document.append_child("CompleteMultipartUpload");
  for (std::size_t i = 0; i < etags.size(); ++i) {
    pugi::xml_node part = upload.append_child("Part");
    part.append_child("PartNumber").text().set(static_cast<unsigned>(i + 1));
    part.append_child("ETag").text().set(etags[i].c_str());
  }
  std::ostringstream text;
  document.save(text, "", pugi::format_raw | pugi::format_no_declaration);
  return text.str();
}

absl::StatusOr<TemporaryCredentials> ParseAssumedRole(std::string_view xml) {
  pugi::xml_document document;
  GPTVQ_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(xml, "AssumeRoleWithWebIdentityResponse", document));
  const pugi::xml_node node = root.child("AssumeRoleWithWebIdentityResult").child("Credentials");
  TemporaryCredentials credentials;
  GPTVQ_ASSIGN_OR_RETURN(credentials.access_key_id, Text(node, "AccessKeyId"));
  GPTVQ_ASSIGN_OR_RETURN(std::string secret_access_key, Text(node, "SecretAccessKey"));
  credentials.secret_access_key = Secret(std::move(secret_access_key));
  GPTVQ_ASSIGN_OR_RETURN(std::string session_token, Text(node, "SessionToken"));
  credentials.session_token = Secret(std::move(session_token));
  GPTVQ_ASSIGN_OR_RETURN(credentials.expiry_time, Time(node, "Expiration"));
  return credentials;
}

std::optional<WallTime> ParseHttpDate(std::string_view text) {
  absl::Time time;
  if (!absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", absl::string_view(text.data(), text.size()), &time, nullptr)) {
    return std::nullopt;
  }
  return absl::ToChronoTime(time);
}

}  // namespace gptvq
