// A bulk upsert over as many streams as it takes.
#pragma once

#include <nlohmann/json.hpp>

#include "connection.h"

namespace example {

// Stores so many records over UpsertStream, and counts what is there afterwards. Throws a Refusal or std::runtime_error.
nlohmann::json upsert_in_bulk(Stub& stub, int records);

}  // namespace example
