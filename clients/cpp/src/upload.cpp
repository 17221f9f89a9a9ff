#include "upload.h"

#include <iostream>
#include <stdexcept>
#include <utility>

#include "notes.h"
#include "steps.h"
#include "upsert_stream.h"

namespace example {

namespace v1 = vecgate::v1;
using nlohmann::json;

namespace {

// How long an upload goes on without any answer before it gives up: a server that restarts is waited for.
constexpr Seconds kPatience{60};
constexpr Seconds kReconnectPause{0.2};
constexpr char kNamespace[] = "bulk";

// Writes in the mode UPSERT, so a batch whose result was lost may be sent again; with INSERT it may not.
class Upload {
 public:
  Upload(Stub& stub, int records) : stub_(stub), records_(records) {
    for (auto& batch : batches_of_notes(records)) {
      waiting_.push_back(std::move(batch));
    }
  }

  json run() {
    auto give_up = after(kPatience);
    while (true) {
      const std::size_t before = waiting_.size();
      const grpc::Status status = over_one_stream();
      if (waiting_.empty()) {
        break;
      }
      const Refusal refusal{status};
      if (waiting_.size() < before) {
        give_up = after(kPatience);
      }
      if ((!status.ok() && !leaving_ && !refusal.temporary()) || after(Seconds{0}) > give_up) {
        throw refusal;
      }
      // The server went away, or said that it would: what has no result goes over a new stream, to it or to another.
      ++reconnects_;
      std::this_thread::sleep_for(kReconnectPause + refusal.pause());
    }
    v1::CountRequest request;
    request.set_collection(kCollection);
    request.set_namespace_(kNamespace);
    const v1::CountResponse counted = send(stub_, &Stub::Count, request, kReadDeadline);
    return {{"records", records_},   {"stored", stored_},         {"failed", failures_.size()},
            {"failures", failures_}, {"counted", counted.count()}, {"reconnects", reconnects_}};
  }

 private:
  // Uploads until the stream ends, and returns how it ended.
  grpc::Status over_one_stream() {
    leaving_ = false;
    UpsertStream stream{stub_, kCollection, kNamespace, kPatience};
    for (v1::UpsertStreamResponse message; stream.next(message);) {
      leaving_ = leaving_ || message.has_shutdown();
      if (message.has_result()) {
        if (waiting_.empty() || !stream.answers(message.result(), waiting_.front())) {
          throw std::runtime_error("the server's result is not that of the batch whose turn it is");
        }
        finish(message.result());
        stream.finished(waiting_.front());
        waiting_.pop_front();
      }
      // A receipt tells of arrival alone, which is no promise.
      stream.send_what_fits(waiting_);
    }
    return stream.end();
  }

  // Takes the result of the first waiting batch.
  void finish(const v1::UpsertStreamResult& result) {
    const Batch& batch = waiting_.front();
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (result.has_error()) {
        fail(batch[i], result.error());  // of the batch as a whole
      } else if (result.outcomes(static_cast<int>(i)).has_error()) {
        fail(batch[i], result.outcomes(static_cast<int>(i)).error());
      } else {
        ++stored_;
      }
    }
    std::cerr << stored_ + failures_.size() << " of " << records_ << " records" << std::endl;
  }

  void fail(const v1::Record& record, const v1::ItemError& error) {
    json fields = json::array();
    for (const auto& violation : error.field_violations()) {
      fields.push_back(violation.field());
    }
    failures_.push_back({{"id", record.id()}, {"reason", error.reason()}, {"fields", fields}});
  }

  Stub& stub_;
  const int records_;
  std::deque<Batch> waiting_;  // without a result, in order: the fate of all before them is known
  std::size_t stored_ = 0;
  json failures_ = json::array();
  int reconnects_ = 0;
  bool leaving_ = false;  // the server of this stream said that it goes away
};

}  // namespace

json upsert_in_bulk(Stub& stub, int records) { return Upload{stub, records}.run(); }

}  // namespace example
