#include <iostream>
#include <string>
#include <vector>

#include "centralcloud_daemon/cli/commands.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return fleet::central::cli::make_commands().run(arguments, std::cout, std::cerr);
}
