// A small complete program on vecgate's API: see README.md.
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

#include "connection.h"
#include "steps.h"
#include "upload.h"

namespace {

constexpr char kUsage[] = "usage: example [host:port] [seconds to wait for the server] [records of the bulk upsert]";

struct Arguments {
  std::string address = "localhost:50051";
  example::Seconds patience{10};
  int records = 300;
};

// Of what std::sto… reads the beginning, takes the whole or nothing.
template <typename Number>
Number whole(const std::string& text, Number (*read)(const std::string&, std::size_t*)) {
  std::size_t length = 0;
  const Number number = read(text, &length);
  if (length != text.size()) {
    throw std::invalid_argument(text);
  }
  return number;
}

Arguments read_arguments(int count, char** given) {
  Arguments arguments;
  try {
    if (count > 4) {
      throw std::invalid_argument("");
    }
    if (count > 1) {
      arguments.address = given[1];
    }
    if (count > 2) {
      arguments.patience = example::Seconds{whole<double>(given[2], std::stod)};
    }
    if (count > 3) {
      arguments.records = whole<int>(given[3], [](const std::string& text, std::size_t* length) { return std::stoi(text, length); });
    }
  } catch (const std::logic_error&) {
    throw std::invalid_argument("at most three arguments, the second a number and the third a whole one");
  }
  if (!(arguments.patience.count() > 0) || arguments.records < 1) {
    throw std::invalid_argument("the seconds and the records must be above 0");
  }
  return arguments;
}

nlohmann::json run(const Arguments& arguments) {
  const auto channel = example::connect(arguments.address);
  example::wait_until_serving(channel, arguments.address, arguments.patience);
  const auto stub = vecgate::v1::VectorSearchService::NewStub(channel);
  nlohmann::json answer;
  answer["server"] = example::ask_server(*stub);
  answer["collection"] = example::make_collection(*stub);
  answer["upserted"] = example::upsert(*stub);
  answer["by_text"] = example::search_by_text(*stub);
  answer["by_vector"] = example::search_by_vector(*stub);
  answer["refused"] = example::meet_refusal(*stub);
  answer["bulk"] = example::upsert_in_bulk(*stub, arguments.records);
  return answer;
}

}  // namespace

int main(int count, char** given) {
  Arguments arguments;
  try {
    arguments = read_arguments(count, given);
  } catch (const std::invalid_argument& error) {
    std::cerr << "error: " << error.what() << "\n" << kUsage << std::endl;
    return 2;
  }
  try {
    std::cout << run(arguments).dump() << std::endl;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 1;
  }
  return 0;
}
