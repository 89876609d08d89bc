#include "platform/identity.h"

#include <gtest/gtest.h>

namespace gptvq {
namespace {

TEST(Identity, IsReadFromItsUri) {
  const absl::StatusOr<Identity> identity = ParseIdentity("spiffe://example.org/gptvq/worker/node-7.rack_2");

  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(*identity, (Identity{"example.org", Role::kWorker, "node-7.rack_2"}));
  EXPECT_EQ(identity->ToString(), "worker/node-7.rack_2");
}

TEST(Identity, EveryOtherUriIsNone) {
  for (const std::string uri :
       {"", "spiffe://example.org", "https://example.org/gptvq/worker/a", "spiffe://example.org/gptvq/worker",
        "spiffe://example.org/gptvq/worker/", "spiffe://example.org/gptvq/worker/a/",
        "spiffe://example.org/gptvq/worker/a/b", "spiffe:///gptvq/worker/a", "spiffe://Example.org/gptvq/worker/a",
        "spiffe://example.org:80/gptvq/worker/a", "spiffe://u@example.org/gptvq/worker/a",
        "spiffe://example.org/gptvq/root/a", "spiffe://example.org/gptvq/Worker/a",
        "spiffe://example.org/gptvq/worker/*", "spiffe://example.org/gptvq/worker/.a",
        "spiffe://example.org/gptvq/worker/a%2f", "spiffe://example.org/other/worker/a",
        " spiffe://example.org/gptvq/worker/a"}) {
    EXPECT_EQ(ParseIdentity(uri).status().code(), absl::StatusCode::kInvalidArgument) << uri;
  }
  EXPECT_FALSE(ParseIdentity("spiffe://example.org/gptvq/worker/a" + std::string(1, '\0')).ok());
  EXPECT_FALSE(ParseIdentity("spiffe://example.org/gptvq/worker/" + std::string(129, 'a')).ok());
  EXPECT_TRUE(ParseIdentity("spiffe://example.org/gptvq/worker/" + std::string(128, 'a')).ok());
}

TEST(Identity, ACertificateHasExactlyOne) {
  const std::string uri = "spiffe://example.org/gptvq/client/alice";

  EXPECT_TRUE(IdentityOf({uri}).ok());
  EXPECT_FALSE(IdentityOf({}).ok());
  EXPECT_FALSE(IdentityOf({uri, "spiffe://example.org/gptvq/admin/alice"}).ok());
  EXPECT_FALSE(IdentityOf({uri, "https://example.org"}).ok());
}

TEST(Identity, OnlyACoordinatorMayServe) {
  EXPECT_TRUE(CheckIsCoordinator({"spiffe://example.org/gptvq/coordinator/main"}).ok());
  for (const char* role : {"client", "worker", "admin", "observer"}) {
    const absl::Status status = CheckIsCoordinator({std::string("spiffe://example.org/gptvq/") + role + "/a"});
    EXPECT_NE(status.message().find(std::string(role) + "/a"), std::string::npos) << status;
  }
  EXPECT_FALSE(CheckIsCoordinator({}).ok());
}

}  // namespace
}  // namespace gptvq
