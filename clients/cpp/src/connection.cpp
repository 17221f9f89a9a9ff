#include "connection.h"

#include <stdexcept>

#include "grpc/health/v1/health.grpc.pb.h"
#include "service_config.h"

namespace example {

namespace health = grpc::health::v1;

std::shared_ptr<grpc::Channel> connect(const std::string& address) {
  grpc::ChannelArguments options;
  // Which methods gRPC itself sends again, how often and how fast.
  options.SetServiceConfigJSON(kServiceConfig);
  options.SetInt(GRPC_ARG_ENABLE_RETRIES, 1);
  options.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  // A server that was away for a while is found within 2 seconds, not within 2 minutes.
  options.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  options.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  // The server bounds messages; gRPC's own 4 MiB could only disagree.
  options.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), options);
}

void wait_until_serving(const std::shared_ptr<grpc::Channel>& channel, const std::string& address, Seconds patience) {
  const auto stub = health::Health::NewStub(channel);
  const auto end = after(patience);
  std::string found = "no vecgate server answers";
  while (std::chrono::system_clock::now() < end) {
    grpc::ClientContext context;
    context.set_deadline(end);
    // Go on knocking until the deadline, instead of failing at the first refused connection.
    context.set_wait_for_ready(true);
    health::HealthCheckRequest request;
    request.set_service(vecgate::v1::VectorSearchService::service_full_name());
    const auto states = stub->Watch(&context, request);
    for (health::HealthCheckResponse state; states->Read(&state);) {
      if (state.status() == health::HealthCheckResponse::SERVING) {
        context.TryCancel();
        states->Finish();
        return;
      }
      found = "the vecgate server is not ready";
    }
    // The stream ends when the server goes; it, or another, may come back.
    const grpc::Status status = states->Finish();
    if (!status.ok() && status.error_code() != grpc::StatusCode::UNAVAILABLE &&
        status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) {
      throw std::runtime_error("what answers at " + address + " is no vecgate server: " + Refusal{status}.what());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
  }
  std::ostringstream line;
  line << found << " at " << address << " within " << patience.count() << " s";
  throw std::runtime_error(line.str());
}

}  // namespace example
