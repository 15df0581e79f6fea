#pragma once
// Cuts a collection of features into its features, so that one at a time becomes a document: a drawing of a
// hundred megabytes would be a document of gigabytes.

#include <functional>
#include <string>
#include <string_view>

namespace mt::wsi {

struct JsonShell {
  std::string text;       // the document with an empty list in place of the one that was cut
  bool has_list = false;  // else the text is whole
};

/// Visits the elements of the outermost list, or of the outermost object's member `name`, in order. What is
/// no JSON is found when the elements and the shell are parsed.
JsonShell cut_json(std::string_view text, std::string_view name,
                   const std::function<void(std::string_view element)>& visit);

}  // namespace mt::wsi
