package io.vecgate.example;

import static java.util.concurrent.TimeUnit.NANOSECONDS;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.vecgate.v1.Record;
import io.vecgate.v1.UpsertStreamBatch;
import io.vecgate.v1.UpsertStreamClose;
import io.vecgate.v1.UpsertStreamOpen;
import io.vecgate.v1.UpsertStreamRequest;
import io.vecgate.v1.UpsertStreamResponse;
import io.vecgate.v1.UpsertStreamWindow;
import io.vecgate.v1.VectorSearchServiceGrpc.VectorSearchServiceStub;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** One stream. It keeps what is sent and has no result within the window that the server gives, so memory stays bounded. */
final class UpsertStream implements AutoCloseable {
  /** A message, an error, or neither: the end. */
  private record Event(UpsertStreamResponse message, Throwable error) {}

  private final BlockingQueue<Event> events = new LinkedBlockingQueue<>();
  private final ClientCallStreamObserver<UpsertStreamRequest> requests;

  private UpsertStreamWindow window = UpsertStreamWindow.getDefaultInstance();
  private boolean ending;

  // Sequences, from 1 on every stream.
  private long sent;
  private long finished;

  // Sent and without a result.
  private int records;
  private long bytes;

  UpsertStream(VectorSearchServiceStub stub, UpsertStreamOpen open) {
    StreamObserver<UpsertStreamResponse> answers =
        new StreamObserver<>() {
          @Override
          public void onNext(UpsertStreamResponse message) {
            events.add(new Event(message, null));
          }

          @Override
          public void onError(Throwable error) {
            events.add(new Event(null, error));
          }

          @Override
          public void onCompleted() {
            events.add(new Event(null, null));
          }
        };
    // What the stub returns is of this type by its contract.
    requests = (ClientCallStreamObserver<UpsertStreamRequest>) stub.upsertStream(answers);
    requests.onNext(UpsertStreamRequest.newBuilder().setOpen(open).build());
  }

  /**
   * Returns the server's next message, or null at the end of the stream.
   *
   * @throws StatusRuntimeException what ended the stream, or DEADLINE_EXCEEDED if nothing came in time
   */
  UpsertStreamResponse next(Duration patience) throws InterruptedException {
    Event event = events.poll(patience.toNanos(), NANOSECONDS);
    if (event == null) {
      String silence = "the server said nothing for " + patience.toSeconds() + " s";
      throw Status.DEADLINE_EXCEEDED.withDescription(silence).asRuntimeException();
    }
    if (event.error() != null) {
      ending = true;
      throw (StatusRuntimeException) event.error();
    }
    if (event.message() == null) {
      ending = true;
      return null;
    }
    if (event.message().hasWindow()) {
      window = event.message().getWindow();
    } else if (event.message().hasShutdown()) {
      ending = true; // It reads no more, and answers what it has read.
    }
    return event.message();
  }

  /** Sends of the batches without a result what was not sent yet and fits; closes when there are none left. */
  void sendWhatFits(Collection<List<Record>> waiting) {
    for (List<Record> batch : waiting.stream().skip(sent - finished).toList()) {
      UpsertStreamBatch numbered = numbered(sent + 1, batch);
      int size = numbered.getSerializedSize();
      boolean fits = records + batch.size() <= window.getRecords() && bytes + size <= window.getBytes();
      // One batch may always be under way.
      if (ending || (records > 0 && !fits)) {
        return;
      }
      requests.onNext(UpsertStreamRequest.newBuilder().setBatch(numbered).build());
      sent++;
      records += batch.size();
      bytes += size;
    }
    if (waiting.isEmpty() && !ending) {
      ending = true;
      requests.onNext(
          UpsertStreamRequest.newBuilder().setClose(UpsertStreamClose.getDefaultInstance()).build());
      requests.onCompleted();
    }
  }

  /** The sequence whose result comes next. */
  long nextResult() {
    return finished + 1;
  }

  /** Notes that the result of a batch came, so that there is room for more. */
  void finished(List<Record> batch) {
    finished++;
    records -= batch.size();
    bytes -= numbered(finished, batch).getSerializedSize();
  }

  private static UpsertStreamBatch numbered(long sequence, List<Record> records) {
    return UpsertStreamBatch.newBuilder().setSequence(sequence).addAllRecords(records).build();
  }

  /** Ends the stream if it has not ended. */
  @Override
  public void close() {
    requests.cancel("the program has what it wants", null);
  }
}
