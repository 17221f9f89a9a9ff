#include "upsert_stream.h"

namespace example {

namespace v1 = vecgate::v1;

namespace {

v1::UpsertStreamBatch numbered(std::uint64_t sequence, const Batch& records) {
  v1::UpsertStreamBatch batch;
  batch.set_sequence(sequence);
  batch.mutable_records()->Assign(records.begin(), records.end());
  return batch;
}

}  // namespace

UpsertStream::UpsertStream(Stub& stub, const std::string& collection, const std::string& name_space, Seconds patience)
    : watcher_([this, patience] { watch_for_silence(patience); }) {
  context_.set_wait_for_ready(true);
  call_ = stub.UpsertStream(&context_);
  v1::UpsertStreamRequest request;
  request.mutable_open()->set_collection(collection);
  request.mutable_open()->set_namespace_(name_space);
  // What ended a stream that cannot be written to is told by next() and end().
  call_->Write(request);
}

UpsertStream::~UpsertStream() {
  if (!ended_) {
    context_.TryCancel();
    end();
  }
}

void UpsertStream::watch_for_silence(Seconds patience) {
  std::unique_lock<std::mutex> lock{mutex_};
  while (!over_ && !silent_) {
    const std::uint64_t before = heard_;
    silent_ = !changed_.wait_for(lock, patience, [&] { return over_ || heard_ != before; });
  }
  if (silent_) {
    context_.TryCancel();  // Whatever waits on the stream, a write as well as a read, fails now.
  }
}

bool UpsertStream::next(v1::UpsertStreamResponse& message) {
  if (!call_->Read(&message)) {
    ending_ = true;
    return false;
  }
  {
    const std::lock_guard<std::mutex> lock{mutex_};
    ++heard_;
  }
  changed_.notify_one();
  if (message.has_window()) {
    window_ = message.window();
  } else if (message.has_shutdown()) {
    ending_ = true;  // It reads no more, and answers what it has read.
  }
  return true;
}

void UpsertStream::send_what_fits(const std::deque<Batch>& waiting) {
  while (!ending_ && sent_ - finished_ < waiting.size()) {
    const Batch& batch = waiting[sent_ - finished_];
    v1::UpsertStreamRequest request;
    *request.mutable_batch() = numbered(sent_ + 1, batch);
    const std::uint64_t size = request.batch().ByteSizeLong();
    const bool fits = records_ + batch.size() <= window_.records() && bytes_ + size <= window_.bytes();
    // One batch may always be under way.
    if (records_ > 0 && !fits) {
      return;
    }
    call_->Write(request);
    ++sent_;
    records_ += batch.size();
    bytes_ += size;
  }
  if (waiting.empty() && !ending_) {
    ending_ = true;
    v1::UpsertStreamRequest request;
    request.mutable_close();
    call_->Write(request);
    call_->WritesDone();
  }
}

bool UpsertStream::answers(const v1::UpsertStreamResult& result, const Batch& batch) const {
  return result.sequence() == finished_ + 1 &&
         (result.has_error() || static_cast<std::size_t>(result.outcomes_size()) == batch.size());
}

void UpsertStream::finished(const Batch& batch) {
  ++finished_;
  records_ -= batch.size();
  bytes_ -= numbered(finished_, batch).ByteSizeLong();
}

grpc::Status UpsertStream::end() {
  ended_ = true;
  const grpc::Status status = call_->Finish();
  {
    const std::lock_guard<std::mutex> lock{mutex_};
    over_ = true;
  }
  changed_.notify_one();
  watcher_.join();
  return silent_ ? grpc::Status{grpc::StatusCode::DEADLINE_EXCEEDED, "the server said nothing for too long"} : status;
}

}  // namespace example
