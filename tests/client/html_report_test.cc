#include <cmath>
#include <limits>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "client/report/job_report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/reports.h"

namespace gptvq {
namespace {

using testing::HasSubstr;
using testing::Not;

int Count(const std::string& page, const std::string& words) {
  int count = 0;
  for (std::size_t at = page.find(words); at != std::string::npos; at = page.find(words, at + 1)) ++count;
  return count;
}

// All that group 1 of `pattern` matches.
std::vector<std::string> All(const std::string& page, const char* pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator match(page.begin(), page.end(), regex), end; match != end; ++match)
    found.push_back((*match)[1]);
  return found;
}

// Every element that opens closes, in the right order.
void ExpectWellNested(const std::string& page) {
  static const std::set<std::string> kVoid = {"meta", "line", "rect"};
  const std::regex tag("<(/?)([a-z0-9]+)[^>]*?(/?)>");
  std::vector<std::string> open;
  for (std::sregex_iterator match(page.begin(), page.end(), tag), end; match != end; ++match) {
    const std::string name = (*match)[2];
    if ((*match)[1] == "/") {
      ASSERT_FALSE(open.empty()) << name;
      EXPECT_EQ(open.back(), name);
      open.pop_back();
    } else if ((*match)[3] != "/") {
      EXPECT_FALSE(kVoid.contains(name)) << name << " is not closed";
      open.push_back(name);
    }
  }
  EXPECT_TRUE(open.empty()) << open.back();
}

TEST(HtmlReport, IsOneWellNestedPage) {
  const std::string page = HtmlReport(AReport(3));

  EXPECT_EQ(page.find("<!DOCTYPE html>"), 0u);
  ExpectWellNested(page);
}

TEST(HtmlReport, NeedsNothingFromElsewhere) {
  const std::string page = HtmlReport(AReport(3));

  for (const char* words : {"http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe"}) {
    EXPECT_THAT(page, Not(HasSubstr(words)));
  }
}

TEST(HtmlReport, HostileNamesAreOnlyText) {
  Report report = AReport(1);
  report.job_id = kHostileName;
  report.spec.preset = report.spec.model_uri = report.spec.output_uri = kHostileName;
  report.numerics_class = kHostileName;
  for (LinearReport& linear : report.linears) linear.name = std::string("model.layers.0.") + kHostileName;

  const std::string page = HtmlReport(report);

  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("\"quoted\"")));
  EXPECT_EQ(page.find('\033'), std::string::npos);
  EXPECT_THAT(page, HasSubstr("<title>&lt;script&gt;alert('x')&lt;/script&gt; &amp; &quot;quoted&quot;"));
  ExpectWellNested(page);
}

TEST(HtmlReport, PlotsOneDotPerLinear) {
  const Report report = AReport(5);

  const std::string page = HtmlReport(report);

  EXPECT_EQ(Count(page, "<circle "), 10);
  const std::vector<std::string> titles = All(page, "<circle [^>]*><title>([^<]*)</title>");
  for (const LinearReport& linear : report.linears) {
    EXPECT_THAT(titles, testing::Contains(testing::StartsWith(linear.name + ": ")));
  }
}

TEST(HtmlReport, DotsStandByLayerAndRiseWithTheError) {
  const std::string page = HtmlReport(AReport(3));

  std::map<std::string, std::pair<double, double>> dots;  // by name
  const std::regex circle("<circle cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"[^>]*><title>([^:]*):");
  for (std::sregex_iterator match(page.begin(), page.end(), circle), end; match != end; ++match) {
    dots[(*match)[3]] = {std::stod((*match)[1]), std::stod((*match)[2])};
  }
  ASSERT_EQ(dots.size(), 6u);
  const auto [first_x, first_y] = dots["model.layers.0.mlp.down_proj"];    // error 0.02
  const auto [second_x, second_y] = dots["model.layers.1.mlp.down_proj"];  // error 0.04
  const auto [third_x, third_y] = dots["model.layers.2.mlp.down_proj"];    // error 0.06
  EXPECT_EQ(first_x, dots["model.layers.0.self_attn.q_proj"].first);
  EXPECT_NEAR(second_x - first_x, third_x - second_x, 0.2);
  EXPECT_GT(second_x, first_x);
  // On a logarithmic axis the steps are as log 2 to log 1.5; y grows downwards.
  EXPECT_GT(first_y, second_y);
  EXPECT_NEAR((first_y - second_y) / (second_y - third_y), std::log(2) / std::log(1.5), 0.02);
}

TEST(HtmlReport, OneColourPerRole) {
  const std::string page = HtmlReport(AReport(4));

  std::map<std::string, std::set<std::string>> colours;
  const std::regex circle("<circle [^>]*fill=\"([^\"]*)\"><title>[^:]*\\.([a-z_]+):");
  for (std::sregex_iterator match(page.begin(), page.end(), circle), end; match != end; ++match) {
    colours[(*match)[2]].insert((*match)[1]);
  }
  ASSERT_EQ(colours.size(), 2u);
  EXPECT_EQ(colours["q_proj"].size(), 1u);
  EXPECT_EQ(colours["down_proj"].size(), 1u);
  EXPECT_NE(colours["q_proj"], colours["down_proj"]);
}

TEST(HtmlReport, BarsHaveOnePieceForEachPartThatIsNotZero) {
  Report report = AReport(1);
  report.bits.permutation_bits = 0;

  const std::string page = HtmlReport(report);

  double width = 0;
  for (const std::string& piece : All(page, "<rect [^>]*width=\"([0-9.]+)\"")) width += std::stod(piece);
  EXPECT_EQ(Count(page, "<rect "), 4 + 3);  // parts of the bits, phases
  EXPECT_NEAR(width, 2 * 960, 0.1);         // two bars, filled
  EXPECT_THAT(page, Not(HasSubstr("permutation")));
}

TEST(HtmlReport, NumbersComeFromTheReport) {
  const std::string page = HtmlReport(AReport(2));

  for (const char* words :
       {"<b>10.500</b><span class=\"soft\">perplexity; source 10.000<", "<b>3.1840</b>", "<b>0.02500</b>",
        "<b>123.5 MB</b>", "<b>98.7 s</b>", "indices 3 bits", "codebooks 0.1 bits", "quantize 60.25 s",
        "<td>model.layers.1.mlp.down_proj</td><td>64 &times; 256</td><td>0.04</td><td>3.1890</td>"
        "<td>0.03</td><td>3</td><td>1.50</td>",
        "<p>audits: 3 agreed, 1 given_up</p>"}) {
    EXPECT_THAT(page, HasSubstr(words));
  }
  EXPECT_THAT(page, HasSubstr(DigestOf("manifest").hex()));
  EXPECT_EQ(Count(page, "<tr><td>"), 4);
}

TEST(HtmlReport, LeavesOutWhatIsNotKnownYet) {
  Report report;
  report.job_id = "job-0123456789abcdef";
  report.spec = AJobSpec();

  const std::string page = HtmlReport(report);

  ExpectWellNested(page);
  for (const char* words : {"<svg", "perplexity", "audits", "manifest", "nan", "inf"})
    EXPECT_THAT(page, Not(HasSubstr(words)));
}

TEST(HtmlReport, ErrorsThatNoAxisHoldsAreLeftToTheTable) {
  Report report = AReport(2);
  report.linears[0].relative_error = 0;
  report.linears[1].relative_error = std::numeric_limits<double>::infinity();
  report.linears[2].relative_error = std::numeric_limits<double>::quiet_NaN();
  report.linears.push_back(ALinearReport("lm_head"));

  const std::string page = HtmlReport(report);

  EXPECT_EQ(Count(page, "<circle "), 1);
  EXPECT_EQ(Count(page, "<tr><td>"), 5);
  EXPECT_LT(page.size(), 20000u);
}

}  // namespace
}  // namespace gptvq
