#include "refusal.h"

#include <google/protobuf/util/time_util.h>
#include <grpcpp/support/error_details.h>

#include <random>

#include "google/rpc/code.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace example {

namespace {

google::rpc::Status details_of(const grpc::Status& status) {
  google::rpc::Status details;
  // Details that cannot be read are as none.
  if (!grpc::ExtractErrorDetails(status, &details).ok()) {
    details.Clear();
  }
  return details;
}

std::string code_name(grpc::StatusCode code) { return google::rpc::Code_Name(static_cast<google::rpc::Code>(code)); }

std::string reason_of(const grpc::Status& status) {
  const google::rpc::Status details = details_of(status);
  google::rpc::ErrorInfo info;
  for (const auto& detail : details.details()) {
    if (detail.UnpackTo(&info)) {
      return info.reason();
    }
  }
  return code_name(status.error_code());
}

}  // namespace

Refusal::Refusal(const grpc::Status& status)
    : std::runtime_error(status.error_message() + " (" + reason_of(status) + ")"),
      code(status.error_code()),
      reason(reason_of(status)),
      message(status.error_message()) {
  const google::rpc::Status details = details_of(status);
  google::rpc::BadRequest request;
  google::rpc::RetryInfo retry;
  for (const auto& detail : details.details()) {
    if (detail.UnpackTo(&request)) {
      for (const auto& violation : request.field_violations()) {
        fields.push_back(violation.field());
      }
    } else if (detail.UnpackTo(&retry)) {
      retry_after_seconds = google::protobuf::util::TimeUtil::DurationToNanoseconds(retry.retry_delay()) / 1e9;
    }
  }
}

bool Refusal::temporary() const {
  return code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::CANCELLED ||
         (code == grpc::StatusCode::RESOURCE_EXHAUSTED && retry_after_seconds);
}

std::chrono::duration<double> Refusal::pause() const {
  static std::mt19937 random{std::random_device{}()};
  std::uniform_real_distribution<double> spread{1.0, 1.2};
  return std::chrono::duration<double>{retry_after_seconds.value_or(0) * spread(random)};
}

nlohmann::json Refusal::report() const {
  nlohmann::json retry_after = nullptr;
  if (retry_after_seconds) {
    retry_after = *retry_after_seconds;
  }
  return {{"code", code_name(code)},
          {"reason", reason},
          {"message", message},
          {"fields", fields},
          {"retry_after_seconds", retry_after}};
}

}  // namespace example
