// Readiness: the named conditions that must hold before a daemon says it is ready.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace fleet::telemetry {

/// For one thread (the loop's). A condition named once stays: it is either met or missing with a reason.
class health_state {
 public:
  struct condition {
    std::string name;
    bool ok = false;
    std::string reason;  ///< why it is missing; empty when ok
    bool operator==(const condition&) const = default;
  };

  /// Names a condition that is not met yet; changes nothing where it is named already.
  void require(const std::string& name, std::string reason = "not started yet");
  void set(const std::string& name, bool ok, std::string reason = {});
  void forget(const std::string& name) { conditions_.erase(name); }

  bool ready() const;
  std::vector<condition> missing() const;  ///< by name
  std::vector<condition> all() const;

 private:
  std::map<std::string, condition> conditions_;
};

}  // namespace fleet::telemetry
