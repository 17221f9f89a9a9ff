// A connection to a server: how it is reached, waited for, and asked.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "refusal.h"
#include "vecgate/v1/service.grpc.pb.h"

namespace example {

using Seconds = std::chrono::duration<double>;
using Stub = vecgate::v1::VectorSearchService::Stub;

// What a call may take, retries and pauses included.
constexpr Seconds kReadDeadline{30};
constexpr Seconds kBulkDeadline{120};

// Opens a channel; nothing is sent before the first call.
std::shared_ptr<grpc::Channel> connect(const std::string& address);

// Returns once the server says that it serves: its models are warm and a backend answers. Throws std::runtime_error.
void wait_until_serving(const std::shared_ptr<grpc::Channel>& channel, const std::string& address, Seconds patience);

// The time point that gRPC wants for a deadline.
inline std::chrono::system_clock::time_point after(Seconds duration) {
  return std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::system_clock::duration>(duration);
}

// Makes one call within a deadline, and throws a Refusal if it fails. A call that was refused for want of room had no effect,
// whatever it does: it is sent again after the time that the server names, as long as the deadline lets it.
template <typename Request, typename Response>
Response send(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request, Seconds deadline) {
  const auto end = after(deadline);
  while (true) {
    grpc::ClientContext context;
    context.set_deadline(end);
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (status.ok()) {
      return response;
    }
    Refusal refusal{status};
    const Seconds pause = refusal.pause();
    if (status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED || pause == Seconds::zero() || after(pause) > end) {
      throw refusal;
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace example
