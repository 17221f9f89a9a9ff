// Vectors and metadata between C++ and the wire.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vecgate/v1/metadata.pb.h"
#include "vecgate/v1/vector.pb.h"

namespace example {

// Writes a vector as it travels: little-endian float32, 4 bytes a component.
vecgate::v1::Vector pack(const std::vector<float>& components);

// Reads a vector as answers carry it.
std::vector<float> unpack(const vecgate::v1::Vector& vector);

// Metadata values are typed: what goes in comes back with its type.
vecgate::v1::Value text(const std::string& value);
vecgate::v1::Value integer(std::int64_t value);
vecgate::v1::Value number(double value);
vecgate::v1::Value truth(bool value);
vecgate::v1::Value instant(const std::string& rfc3339);
vecgate::v1::Value list(const std::vector<std::string>& values);

// Gives a value for JSON as protobuf's JSON mapping does: integers, which JSON readers take for doubles, as strings.
nlohmann::json readable(const vecgate::v1::Value& value);

}  // namespace example
