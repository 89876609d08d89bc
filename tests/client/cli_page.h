#ifndef GPTVQ_TESTS_CLIENT_CLI_PAGE_H_
#define GPTVQ_TESTS_CLIENT_CLI_PAGE_H_

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace gptvq {

// The part of docs/cli.md below the heading "## `heading`"; empty when there is none.
inline std::string CliPageSection(const std::string& heading) {
  std::ifstream file(std::string(GPTVQ_SOURCE_DIR) + "/docs/cli.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  const std::size_t begin = page.find("\n## " + heading + "\n");
  if (begin == std::string::npos) return "";
  return page.substr(begin + 1, page.find("\n## ", begin + 1) - begin);
}

// The words of a text that stand in back quotes.
inline std::set<std::string> Quoted(const std::string& text) {
  static const std::regex& pattern = *new std::regex("`([a-z_0-9]+)`");
  std::set<std::string> words;
  for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match)
    words.insert((*match)[1]);
  return words;
}

// The keys in the first column of a section's table.
inline std::set<std::string> TableKeys(const std::string& section) {
  std::set<std::string> keys;
  std::size_t begin = 0;
  while ((begin = section.find("\n| `", begin)) != std::string::npos) {
    keys.merge(Quoted(section.substr(begin, section.find(" | ", begin) - begin)));
    ++begin;
  }
  return keys;
}

// The keys of a JSON object of the nlohmann library.
template <typename Json>
std::set<std::string> KeysOf(const Json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CLIENT_CLI_PAGE_H_
