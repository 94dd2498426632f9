// The one unit that holds the bodies of Boost's separately compiled libraries, so that no other unit compiles them
// again.
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
#include <boost/process/v2/src.hpp>
