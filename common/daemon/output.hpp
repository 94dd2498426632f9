// What commands print: a table for people, JSON for scripts.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <iosfwd>
#include <string>
#include <vector>

namespace fleet::daemon {

struct column {
  std::string key;  ///< of the row's object; dots go into nested objects
  std::string title;
};

/// Aligned columns under their titles; numbers to the right; control characters of values shown as "?". Missing and
/// null values are "-".
std::string format_table(const std::vector<column>& columns, const boost::json::array& rows);
/// "title: value" lines of one object.
std::string format_record(const std::vector<column>& columns, const boost::json::object& record);
/// With `json`, `rows` as they are, one line; otherwise the table, or `empty_text` where there are none.
void print_rows(std::ostream& out, bool json, const std::vector<column>& columns, const boost::json::array& rows,
                const std::string& empty_text = "none");

}  // namespace fleet::daemon
