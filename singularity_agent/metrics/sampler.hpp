// Where metrics come from: something that can be asked for a sample now.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "common/messages/metrics.hpp"
#include "common/telemetry/episode.hpp"

namespace fleet::agent::metrics {

/// For one thread; one call at a time. The object lives longer than the call.
class sampler {
 public:
  virtual ~sampler() = default;
  /// Every wait inside has a deadline. Errors: `unavailable`, `timeout`, `invalid_input` (what was read is wrong; names
  /// the field).
  virtual boost::asio::awaitable<base::result<messages::metric_set>> sample() = 0;
};

/// Asks several samplers in turn and puts their metrics together; of two with the same name the later sampler's counts.
/// A part that fails takes nothing from the others: it is counted, its error kept, and logged as an episode.
class composite_sampler final : public sampler {
 public:
  struct part {
    std::string name;
    std::unique_ptr<sampler> from;
    std::uint64_t failures = 0;
    std::string last_error;  ///< empty: its last sample was good
    telemetry::episode trouble;
  };

  explicit composite_sampler(telemetry::logger log = telemetry::logger::none()) : log_(std::move(log)) {}
  void add(std::string name, std::unique_ptr<sampler> from);
  /// Error `unavailable` only where every part failed.
  boost::asio::awaitable<base::result<messages::metric_set>> sample() override;
  const std::vector<part>& parts() const { return parts_; }

 private:
  telemetry::logger log_;
  std::vector<part> parts_;
};

}  // namespace fleet::agent::metrics
