#include "common/base/ids.hpp"

#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid_io.hpp>

namespace fleet::base {

std::string new_uuid() {
  return boost::uuids::to_string(boost::uuids::random_generator()());
}

}  // namespace fleet::base
