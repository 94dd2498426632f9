#include "tests/system/faults/history.hpp"

#include <boost/json/serialize.hpp>
#include <chrono>
#include <stdexcept>

namespace fleet::test::faults {

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

history::history(std::string path) : path_(std::move(path)), out_(path_, std::ios::trunc) {
  if (!out_) throw std::runtime_error("cannot write " + path_);
}

void history::add(entry what) {
  boost::json::object line;
  const std::scoped_lock one_at_a_time(mutex_);
  line["seq"] = next_++;
  line["at"] = now();
  if (what.began > 0) line["began"] = what.began;
  line["kind"] = what.kind;
  for (const auto& [name, value] : {std::pair{"who", &what.who}, std::pair{"op", &what.op},
                                    std::pair{"subject", &what.subject}, std::pair{"answer", &what.answer}})
    if (!value->empty()) line[name] = *value;
  if (!what.detail.empty()) line["detail"] = std::move(what.detail);
  out_ << boost::json::serialize(line) << '\n' << std::flush;
  if (what.kind == "call") ++calls_;
}

std::vector<std::string> history::lines() const {
  const std::scoped_lock one_at_a_time(mutex_);
  std::ifstream in(path_);
  std::vector<std::string> all;
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

std::vector<std::string> history::about(const std::string& subject, std::size_t max) const {
  std::vector<std::string> found;
  const auto quoted = '"' + subject + '"';
  for (auto& line : lines())
    if (found.size() < max && line.find(quoted) != std::string::npos) found.push_back(std::move(line));
  return found;
}

}  // namespace fleet::test::faults
