#include "common/messages/code_pattern.hpp"

namespace fleet::messages {
namespace {

constexpr text_length code_length{0, 1024 * 1024};

}  // namespace

code_pattern code_pattern::read(reader in) {
  code_pattern pattern;
  pattern.before = in.text("before", code_length);
  pattern.after = in.text("after", code_length);
  pattern.description = in.text("description", free_text);
  pattern.name = in.optional_text("name", {0, 200});
  pattern.code_template = in.optional_text("code_template", code_length);
  pattern.metadata = in.optional_free_object("metadata");
  return pattern;
}

boost::json::object code_pattern::encode() const {
  boost::json::object object{{"before", before}, {"after", after}, {"description", description}};
  if (name) object.emplace("name", *name);
  if (code_template) object.emplace("code_template", *code_template);
  if (metadata) object.emplace("metadata", *metadata);
  return object;
}

code_pattern read_code_pattern(reader& in, std::string_view name) {
  const auto* object = in.object(name);
  if (object == nullptr) return {};
  return code_pattern::read(in.nested(name, *object));
}

}  // namespace fleet::messages
