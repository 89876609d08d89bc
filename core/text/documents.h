#ifndef GPTVQ_CORE_TEXT_DOCUMENTS_H_
#define GPTVQ_CORE_TEXT_DOCUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/text/tokenizer.h"

namespace gptvq {

// The documents of a calibration or evaluation file, read front to back in bounded memory.
enum class DocumentFormat {
  kText,       // plain UTF-8: the whole file is one document
  kJsonlText,  // a JSON object a line, the document under DocumentOptions::text_key
  kJsonlIds,   // a JSON object a line, its token ids in an array under DocumentOptions::ids_key
  kIdLines,    // a document a line: token ids in decimal, separated by spaces, tabs or commas
};

// "text", "jsonl", "jsonl-ids", "ids".
std::string_view Name(DocumentFormat format);

struct DocumentOptions {
  std::string text_key = "text";
  std::string ids_key = "input_ids";
  // Ids in a file must be below this. Required for the formats with ids.
  std::int64_t vocabulary_size = 0;
  // Longer lines are refused: a JSON document, or a plain text without line ends. 16 MiB is a novel of 3000 pages.
  std::size_t max_line_bytes = std::size_t{16} << 20;
  // A plain text is handed over in parts of whole lines of at most so many bytes (or one line, if that is longer).
  std::size_t part_bytes = std::size_t{16} << 20;
};

// A stretch of a document: text, or ids for the formats that hold ids. Borrows the reader's memory.
struct DocumentPart {
  std::string_view text;
  absl::Span<const TokenId> ids;
  bool begins_document = true;
  bool ends_document = true;
};

// By the name and the start of the file: ".jsonl" and ".ndjson" are JSON lines, whose first line decides by its keys
// between text and ids; ".ids" are id lines; everything else is plain text.
// Errors: as ReadDocuments, for the first line.
absl::StatusOr<DocumentFormat> DetectDocumentFormat(const RandomAccessFile& file, const DocumentOptions& options);

// Calls on_part for every part of every document, in the order of the file, until that fails. Documents without text
// or ids, and lines of white space in the line formats, are left out. Memory: some part_bytes + max_line_bytes.
// Errors, with the file's name, and the line or byte: InvalidArgument for compressed or binary data, bytes that are
// not UTF-8, NUL bytes in plain text, malformed JSON, a missing key (the message lists the keys there are), a value of
// another type, an id outside the vocabulary, a line that is too long, JSON nested too deep; those of on_part and of
// reading.
absl::Status ReadDocuments(const RandomAccessFile& file, DocumentFormat format, const DocumentOptions& options,
                           absl::FunctionRef<absl::Status(const DocumentPart&)> on_part);

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_DOCUMENTS_H_
