// A failed call taken apart.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace example {

// Act on `reason`, a stable word; `message` is for people.
struct Refusal : std::runtime_error {
  // Reads google.rpc.Status, which gRPC takes from the trailer grpc-status-details-bin. What did not come from a vecgate server
  // (no connection, a proxy, a deadline) has no details: its reason is the name of its code.
  explicit Refusal(const grpc::Status& status);

  // Whether the same may go through later: no server, one that ends (CANCELLED, as nobody here cancels), or one without room that
  // told when to come back.
  bool temporary() const;

  // How long to wait before the call is sent again; zero if the server named no time. Up to a fifth is added, so that those who
  // were refused together do not come back together.
  std::chrono::duration<double> pause() const;

  // For the program's document.
  nlohmann::json report() const;

  grpc::StatusCode code;
  std::string reason;
  std::string message;
  std::vector<std::string> fields;
  std::optional<double> retry_after_seconds;
};

}  // namespace example
