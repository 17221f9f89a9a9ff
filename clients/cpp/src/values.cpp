#include "values.h"

#include <google/protobuf/util/time_util.h>

#include <cstring>
#include <stdexcept>

namespace example {

using google::protobuf::util::TimeUtil;
using vecgate::v1::Value;

vecgate::v1::Vector pack(const std::vector<float>& components) {
  std::string bytes;
  bytes.reserve(4 * components.size());
  for (const float component : components) {
    std::uint32_t bits;
    std::memcpy(&bits, &component, sizeof bits);
    // Byte by byte, so that it holds on processors of either order.
    for (int shift = 0; shift < 32; shift += 8) {
      bytes.push_back(static_cast<char>(bits >> shift & 0xff));
    }
  }
  vecgate::v1::Vector vector;
  vector.set_packed(std::move(bytes));
  return vector;
}

std::vector<float> unpack(const vecgate::v1::Vector& vector) {
  const std::string& bytes = vector.packed();
  std::vector<float> components(bytes.size() / 4);
  for (std::size_t i = 0; i < components.size(); ++i) {
    std::uint32_t bits = 0;
    for (int k = 0; k < 4; ++k) {
      bits |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[4 * i + k])) << 8 * k;
    }
    std::memcpy(&components[i], &bits, sizeof bits);
  }
  return components;
}

Value text(const std::string& value) {
  Value made;
  made.set_string_value(value);
  return made;
}

Value integer(std::int64_t value) {
  Value made;
  made.set_int_value(value);
  return made;
}

Value number(double value) {
  Value made;
  made.set_double_value(value);
  return made;
}

Value truth(bool value) {
  Value made;
  made.set_bool_value(value);
  return made;
}

Value instant(const std::string& rfc3339) {
  Value made;
  if (!TimeUtil::FromString(rfc3339, made.mutable_timestamp_value())) {
    throw std::invalid_argument(rfc3339 + " is no time of RFC 3339");
  }
  return made;
}

Value list(const std::vector<std::string>& values) {
  Value made;
  made.mutable_string_list_value()->mutable_values()->Assign(values.begin(), values.end());
  return made;
}

nlohmann::json readable(const Value& value) {
  switch (value.kind_case()) {
    case Value::kStringValue:
      return {{"string_value", value.string_value()}};
    case Value::kIntValue:
      return {{"int_value", std::to_string(value.int_value())}};
    case Value::kDoubleValue:
      return {{"double_value", value.double_value()}};
    case Value::kBoolValue:
      return {{"bool_value", value.bool_value()}};
    case Value::kTimestampValue:
      return {{"timestamp_value", TimeUtil::ToString(value.timestamp_value())}};
    case Value::kStringListValue:
      return {{"string_list_value", std::vector<std::string>(value.string_list_value().values().begin(),
                                                             value.string_list_value().values().end())}};
    case Value::KIND_NOT_SET:
      break;
  }
  return nlohmann::json::object();  // A kind that this program was not built for.
}

}  // namespace example
