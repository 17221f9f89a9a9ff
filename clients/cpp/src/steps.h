// The calls, one after the other. Each returns its part of the program's document and throws a Refusal if it fails.
#pragma once

#include <nlohmann/json.hpp>

#include "connection.h"

namespace example {

constexpr char kCollection[] = "example-cpp";

nlohmann::json ask_server(Stub& stub);

// Binds a collection to the server's default model. It stays, to be looked at or used again.
nlohmann::json make_collection(Stub& stub);

// Stores three texts, which the server encodes, and one vector of the program's own. Sending it again changes nothing.
nlohmann::json upsert(Stub& stub);

// Lets the server encode the question; the filter is in its text form.
nlohmann::json search_by_text(Stub& stub);

// Asks the same with a vector of its own and the filter as a tree, so the answer is the same.
nlohmann::json search_by_vector(Stub& stub);

// Searches with a vector that is too short, and takes the refusal apart.
nlohmann::json meet_refusal(Stub& stub);

}  // namespace example
