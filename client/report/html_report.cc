#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/report/job_report.h"

namespace gptvq {
namespace {

constexpr char kStyle[] = R"css(
:root { color-scheme: light dark; --ink: #1c2430; --soft: #66707f; --line: #dde2ea; --paper: #fff; --tile: #f5f7fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf1; --soft: #98a2b3; --line: #313947; --paper: #12161d; --tile: #1a202a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2.5rem auto; max-width: 62rem; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem; }
p, .soft { color: var(--soft); margin: .1rem 0; } code { font-size: .9em; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; margin-top: 1.4rem; }
.tile { background: var(--tile); border-radius: .6rem; padding: .8rem 1rem; } .tile b { display: block; font-size: 1.5rem; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; } th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } svg { width: 100%; height: auto; } svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.legend span { margin-right: 1.1rem; white-space: nowrap; } .legend i { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .35rem; }
details summary { cursor: pointer; color: var(--soft); }
)css";

constexpr const char* kColours[] = {"#4269d0", "#efb118", "#ff725c", "#6cc5b0",
                                    "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5"};
constexpr int kPlotWidth = 960;
constexpr int kPlotHeight = 300;
constexpr int kPlotLeft = 60;
constexpr int kPlotBottom = 34;

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '&': escaped += "&amp;"; break;
      case '"': escaped += "&quot;"; break;
      default: escaped.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
    }
  }
  return escaped;
}

std::string Tile(const std::string& value, const std::string& label) {
  return absl::StrCat("<div class=\"tile\"><b>", value, "</b><span class=\"soft\">", label, "</span></div>\n");
}

// The last component of a linear's name: what its dots in the plot have in common.
std::string RoleOf(const LinearReport& linear) {
  const std::size_t dot = linear.name.rfind('.');
  return dot == std::string::npos ? linear.name : linear.name.substr(dot + 1);
}

// The layer number in "model.layers.3.mlp.down_proj"; -1 when there is none.
int LayerOf(const LinearReport& linear) {
  constexpr std::string_view kMarker = "layers.";
  const std::size_t begin = linear.name.find(kMarker);
  int layer = -1;
  if (begin != std::string::npos) std::sscanf(linear.name.c_str() + begin + kMarker.size(), "%5d", &layer);
  return layer;
}

std::string Tiles(const Report& report) {
  std::string tiles;
  if (report.quantized_perplexity) {
    const std::string source =
        report.source_perplexity ? absl::StrFormat("perplexity; source %.3f", *report.source_perplexity) : "perplexity";
    tiles += Tile(absl::StrFormat("%.3f", *report.quantized_perplexity), source);
  }
  if (report.bits.weights > 0) {
    tiles += Tile(absl::StrFormat("%.4f", report.bits.bits_per_value()), "bits per value, all counted");
  }
  if (const auto mean = MeanRelativeError(report)) {
    tiles += Tile(absl::StrFormat("%.5f", *mean), "mean relative error");
  }
  if (report.output_bytes > 0) {
    tiles += Tile(absl::StrFormat("%.1f MB", static_cast<double>(report.output_bytes) / 1e6), "output size");
  }
  tiles += Tile(absl::StrFormat("%.1f s", std::chrono::duration<double>(report.wall_time).count()), "wall time");
  return absl::StrCat("<div class=\"tiles\">\n", tiles, "</div>\n");
}

// Relative error of every linear by layer on a logarithmic axis, one colour per role.
std::string ErrorPlot(const Report& report) {
  double low = INFINITY;
  double high = 0;
  int layers = 1;
  std::map<std::string, std::vector<const LinearReport*>> by_role;
  for (const LinearReport& linear : report.linears) {
    // A logarithmic axis has no place for an error of 0, nor for a broken one.
    if (LayerOf(linear) < 0 || !(linear.relative_error > 0) || std::isinf(linear.relative_error)) continue;
    by_role[RoleOf(linear)].push_back(&linear);
    low = std::min(low, linear.relative_error);
    high = std::max(high, linear.relative_error);
    layers = std::max(layers, LayerOf(linear) + 1);
  }
  if (by_role.empty()) return "";
  const double log_low = std::floor(std::log10(low) * 2) / 2;
  const double log_high = std::max(std::ceil(std::log10(high) * 2) / 2, log_low + 0.5);
  const auto x_of = [&](double layer) { return kPlotLeft + (layer + 0.5) * (kPlotWidth - kPlotLeft - 10) / layers; };
  const auto y_of = [&](double error) {
    return 8 + (log_high - std::log10(error)) / (log_high - log_low) * (kPlotHeight - kPlotBottom - 8);
  };

  std::string svg = absl::StrFormat("<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"relative error by layer\">\n",
                                    kPlotWidth, kPlotHeight);
  for (double tick = log_low; tick <= log_high + 1e-9; tick += 0.5) {
    const double y = y_of(std::pow(10, tick));
    absl::StrAppendFormat(&svg, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"var(--line)\"/>", kPlotLeft,
                          kPlotWidth - 10, y, y);
    absl::StrAppendFormat(&svg, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.2g</text>\n", kPlotLeft - 6, y + 4,
                          std::pow(10, tick));
  }
  const int step = std::max(1, layers / 16);
  for (int layer = 0; layer < layers; layer += step) {
    absl::StrAppendFormat(&svg, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", x_of(layer),
                          kPlotHeight - kPlotBottom + 18, layer);
  }
  absl::StrAppendFormat(&svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">decoder layer</text>\n", kPlotWidth / 2,
                        kPlotHeight - 2);
  std::string legend = "<p class=\"legend\">";
  int colour = 0;
  for (const auto& [role, linears] : by_role) {
    const char* const fill = kColours[colour++ % std::size(kColours)];
    absl::StrAppendFormat(&legend, "<span><i style=\"background:%s\"></i>%s</span>", fill, Escaped(role));
    for (const LinearReport* linear : linears) {
      absl::StrAppendFormat(
          &svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"><title>%s: %.5g</title></circle>\n",
          x_of(LayerOf(*linear)), y_of(linear->relative_error), fill, Escaped(linear->name), linear->relative_error);
    }
  }
  return absl::StrCat("<h2>Relative error by layer</h2>\n", legend, "</p>\n", svg, "</svg>\n");
}

struct Segment {
  std::string label;
  double value;
};

// One horizontal bar cut into labelled segments.
std::string StackedBar(const std::string& title, const std::vector<Segment>& segments, const char* unit) {
  double total = 0;
  for (const Segment& segment : segments) total += segment.value;
  if (!(total > 0)) return "";
  std::string svg =
      absl::StrFormat("<svg viewBox=\"0 0 %d 30\" role=\"img\" aria-label=\"%s\">", kPlotWidth, Escaped(title));
  std::string legend = "<p class=\"legend\">";
  double x = 0;
  int colour = 0;
  for (const Segment& segment : segments) {
    if (!(segment.value > 0)) continue;
    const char* const fill = kColours[colour++ % std::size(kColours)];
    const double width = segment.value / total * kPlotWidth;
    absl::StrAppendFormat(&svg, "<rect x=\"%.2f\" y=\"2\" width=\"%.2f\" height=\"26\" fill=\"%s\"/>", x, width, fill);
    absl::StrAppendFormat(&legend, "<span><i style=\"background:%s\"></i>%s %.4g %s</span>", fill,
                          Escaped(segment.label), segment.value, unit);
    x += width;
  }
  return absl::StrCat("<h2>", Escaped(title), "</h2>\n", svg, "</svg>\n", legend, "</p>\n");
}

std::string LinearTable(const Report& report) {
  std::string rows;
  for (const LinearReport& linear : report.linears) {
    absl::StrAppendFormat(&rows,
                          "<tr><td>%s</td><td>%d &times; %d</td><td>%.5g</td><td>%.4f</td><td>%.3g</td><td>%d</td>"
                          "<td>%.2f</td></tr>\n",
                          Escaped(linear.name), linear.rows, linear.cols, linear.relative_error,
                          linear.bits.bits_per_value(), linear.damping, linear.dead_columns, linear.seconds.total());
  }
  return absl::StrCat("<h2>Linears</h2>\n<details><summary>", report.linears.size(),
                      " linears</summary>\n<table><tr><th>linear</th><th>shape</th><th>relative error</th>"
                      "<th>bits per value</th><th>damping</th><th>dead columns</th><th>seconds</th></tr>\n",
                      rows, "</table></details>\n");
}

}  // namespace

std::string HtmlReport(const Report& report) {
  std::string page = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><title>",
      Escaped(report.job_id), "</title><style>", kStyle, "</style></head><body>\n<h1>", Escaped(report.spec.preset),
      " &middot; ", std::string(Name(report.state)), "</h1>\n<p><code>", Escaped(report.spec.model_uri),
      "</code> &rarr; <code>", Escaped(report.spec.output_uri), "</code></p>\n<p>", Escaped(report.job_id), ", ",
      std::string(Name(report.spec.propagation)), " propagation, ", report.spec.samples, " &times; ",
      report.spec.sequence_length, " calibration tokens, seed ", report.spec.seed, ", numerics class ",
      Escaped(report.numerics_class), "</p>\n");
  if (!report.audits.empty()) page += absl::StrCat("<p>audits: ", AuditSummary(report.audits), "</p>\n");
  page += Tiles(report);
  page += ErrorPlot(report);
  const BitCount& bits = report.bits;
  page += StackedBar("Bits per value",
                     {{"indices", BitsPerWeight(report, bits.index_bits)},
                      {"codebooks", BitsPerWeight(report, bits.codebook_bits)},
                      {"codebook scales", BitsPerWeight(report, bits.codebook_scale_bits)},
                      {"block scales", BitsPerWeight(report, bits.block_scale_bits)},
                      {"permutation", BitsPerWeight(report, bits.permutation_bits)}},
                     "bits");
  std::vector<Segment> phases;
  for (const TaskPhaseSeconds& phase : report.seconds)
    phases.push_back({std::string(Name(phase.phase)), phase.seconds});
  page += StackedBar("Worker time by phase", phases, "s");
  page += LinearTable(report);
  if (report.manifest) page += absl::StrCat("<p>manifest <code>", report.manifest->hex(), "</code></p>\n");
  return page + "</body></html>\n";
}

}  // namespace gptvq
