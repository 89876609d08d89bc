#include "client/commands/about_commands.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/format/packed_layout.h"
#include "core/format/packed_linear.h"
#include "core/spec/presets.h"

namespace gptvq {
namespace {

constexpr std::int64_t kExampleSide = 4096;

// Exact bits per value of a square linear, by the packed layout.
double ExampleBitsPerValue(const QuantSpec& spec) {
  const absl::StatusOr<BitCount> bits = CountPackedBits({"example", kExampleSide, kExampleSide, LayoutOf(spec)});
  return bits.ok() ? bits->bits_per_value() : 0;
}

std::string JsonRow(const Preset& preset) {
  const QuantSpec& spec = preset.spec;
  if (spec.method == QuantMethod::kGptvq) {
    return absl::StrFormat(
        "  {\"name\": \"%s\", \"method\": \"gptvq\", \"vector_dim\": %d, \"centroids\": %d, \"group_weights\": %d, "
        "\"codebook_dtype\": \"%s\", \"block_scale_columns\": %d, \"bits_per_value\": %.6f}",
        preset.name, spec.vector_dim, spec.centroid_count(), spec.group_weights, std::string(Name(spec.codebook_dtype)),
        spec.block_scale_columns, ExampleBitsPerValue(spec));
  }
  return absl::StrFormat(
      "  {\"name\": \"%s\", \"method\": \"%s\", \"bits\": %d, \"group_columns\": %d, \"bits_per_value\": %.6f}",
      preset.name, std::string(Name(spec.method)), spec.uniform_bits, spec.uniform_group_columns,
      ExampleBitsPerValue(spec));
}

void PrintTextRow(const Preset& preset, Terminal& terminal) {
  const QuantSpec& spec = preset.spec;
  if (spec.method == QuantMethod::kGptvq) {
    terminal.out << absl::StrFormat("%-18s %-7s %2d %5d %9d  %-6s %8.4f\n", preset.name, "gptvq", spec.vector_dim,
                                    spec.centroid_count(), spec.group_weights,
                                    spec.block_scale_columns == 0 ? "-" : absl::StrCat("1/", spec.block_scale_columns),
                                    ExampleBitsPerValue(spec));
  } else {
    terminal.out << absl::StrFormat("%-18s %-7s %2s %5d %9d  %-6s %8.4f\n", preset.name, std::string(Name(spec.method)),
                                    "-", 1 << spec.uniform_bits, spec.uniform_group_columns, "-",
                                    ExampleBitsPerValue(spec));
  }
}

}  // namespace

ExitCode Presets(OutputFormat output, Terminal& terminal) {
  if (output == OutputFormat::kJson) {
    std::vector<std::string> rows;
    for (const Preset& preset : AllPresets()) rows.push_back(JsonRow(preset));
    terminal.out << "[\n" << absl::StrJoin(rows, ",\n") << "\n]\n" << std::flush;
    return ExitCode::kOk;
  }
  terminal.out << absl::StrFormat("%-18s %-7s %2s %5s %9s  %-6s %8s\n", "PRESET", "METHOD", "D", "K", "GROUP", "SCALES",
                                  "BITS");
  for (const Preset& preset : AllPresets()) PrintTextRow(preset, terminal);
  terminal.out << std::flush;
  return ExitCode::kOk;
}

ExitCode Completion(const std::string& shell, const std::vector<std::string>& commands, Terminal& terminal) {
  const std::string words = absl::StrJoin(commands, " ");
  if (shell == "bash") {
    terminal.out << "_gptvq_client() {\n"
                    "  local word=${COMP_WORDS[COMP_CWORD]}\n"
                    "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                    "    COMPREPLY=($(compgen -W \""
                 << words
                 << "\" -- \"$word\"))\n"
                    "  elif [[ $word == -* ]]; then\n"
                    "    COMPREPLY=($(compgen -W \"$(gptvq-client \"${COMP_WORDS[1]}\" --help 2>/dev/null |\n"
                    "      grep -o -- '--[a-z][a-z-]*')\" -- \"$word\"))\n"
                    "  else\n"
                    "    COMPREPLY=($(compgen -f -- \"$word\"))\n"
                    "  fi\n"
                    "}\n"
                    "complete -o filenames -F _gptvq_client gptvq-client\n";
  } else if (shell == "zsh") {
    terminal.out
        << "#compdef gptvq-client\n"
           "if (( CURRENT == 2 )); then\n"
           "  compadd "
        << words
        << "\n"
           "elif [[ $PREFIX == -* ]]; then\n"
           "  compadd -- ${(f)\"$(gptvq-client $words[2] --help 2>/dev/null | grep -o -- '--[a-z][a-z-]*')\"}\n"
           "else\n"
           "  _files\n"
           "fi\n";
  } else if (shell == "fish") {
    terminal.out << "complete -c gptvq-client -n __fish_use_subcommand -f -a \"" << words
                 << "\"\n"
                    "complete -c gptvq-client -n 'not __fish_use_subcommand' -a \"(gptvq-client "
                    "(commandline -opc)[2] --help 2>/dev/null | string match -ra -- '--[a-z][a-z-]*')\"\n";
  } else {
    terminal.err << "error: no completion for '" << Printable(shell, 64) << "'; allowed: bash, zsh, fish" << std::endl;
    return ExitCode::kUsage;
  }
  terminal.out << std::flush;
  return ExitCode::kOk;
}

}  // namespace gptvq
