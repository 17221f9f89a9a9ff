// One stream of a bulk upsert.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "connection.h"
#include "vecgate/v1/ingest.pb.h"

namespace example {

using Batch = std::vector<vecgate::v1::Record>;

// Keeps what is sent and has no result within the window that the server gives, so that a write is taken in at once and need not
// wait for an answer to be read.
class UpsertStream {
 public:
  // Opens the stream as soon as there is a connection. Ends it when the server says nothing for longer than `patience`: that is a
  // deadline for each answer, since nobody knows how long the whole takes.
  UpsertStream(Stub& stub, const std::string& collection, const std::string& name_space, Seconds patience);
  ~UpsertStream();
  UpsertStream(const UpsertStream&) = delete;
  UpsertStream& operator=(const UpsertStream&) = delete;

  // Reads the next message; false at the end of the stream.
  bool next(vecgate::v1::UpsertStreamResponse& message);

  // Sends of the batches without a result what was not sent yet and fits; closes when there are none left.
  void send_what_fits(const std::deque<Batch>& waiting);

  // Whether a result is that of this batch, whose turn it is.
  bool answers(const vecgate::v1::UpsertStreamResult& result, const Batch& batch) const;

  // Notes that the result of a batch came, so that there is room for more.
  void finished(const Batch& batch);

  // How the stream ended, DEADLINE_EXCEEDED if the server said nothing for too long; to be called after next() returned false.
  grpc::Status end();

 private:
  using Call = grpc::ClientReaderWriter<vecgate::v1::UpsertStreamRequest, vecgate::v1::UpsertStreamResponse>;

  void watch_for_silence(Seconds patience);

  grpc::ClientContext context_;
  std::unique_ptr<Call> call_;
  vecgate::v1::UpsertStreamWindow window_;
  bool ending_ = false;
  bool ended_ = false;
  // Sequences, from 1 on every stream.
  std::uint64_t sent_ = 0;
  std::uint64_t finished_ = 0;
  // Sent and without a result.
  std::uint64_t records_ = 0;
  std::uint64_t bytes_ = 0;

  std::mutex mutex_;  // of the three below
  std::uint64_t heard_ = 0;
  bool over_ = false;
  bool silent_ = false;
  std::condition_variable changed_;
  std::thread watcher_;
};

}  // namespace example
