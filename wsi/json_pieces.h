#pragma once
// Cuts a collection of features into its features, so that one at a time becomes a document: a drawing of a
// hundred megabytes would be a document of gigabytes.

#include <string>
#include <string_view>
#include <vector>

namespace mt::wsi {

struct JsonPieces {
  std::string shell;                       // the document with an empty list in place of the features
  std::vector<std::string_view> elements;  // of that list, in order
  bool has_list = false;                   // else the shell is the whole text
};

/// The elements of the outermost list, or of the outermost object's member `name`. What is no JSON is found
/// when the pieces are parsed.
JsonPieces cut_json(std::string_view text, std::string_view name);

}  // namespace mt::wsi
