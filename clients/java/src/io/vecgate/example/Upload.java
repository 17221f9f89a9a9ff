package io.vecgate.example;

import io.grpc.StatusRuntimeException;
import io.vecgate.v1.CountRequest;
import io.vecgate.v1.FieldViolation;
import io.vecgate.v1.ItemError;
import io.vecgate.v1.Record;
import io.vecgate.v1.UpsertStreamOpen;
import io.vecgate.v1.UpsertStreamResponse;
import io.vecgate.v1.UpsertStreamResult;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * A bulk upsert over as many streams as it takes. It writes in the mode UPSERT, so a batch whose result was lost may be sent again;
 * with INSERT it may not.
 */
final class Upload {
  /** How long an upload goes on without any answer before it gives up: a server that restarts is waited for. */
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private static final long RECONNECT_PAUSE_MILLIS = 200;
  private static final String NAMESPACE = "bulk";

  private final Connection connection;
  private final String collection;
  private final int records;

  /** Batches without a result, in order: the fate of all before them is known. */
  private final Deque<List<Record>> waiting;

  private final List<Answer.BulkFailure> failures = new ArrayList<>();
  private int stored;
  private int reconnects;

  /** Whether the server of this stream said that it goes away. */
  private boolean leaving;

  private long progressed = System.nanoTime();

  Upload(Connection connection, String collection, int records) {
    this.connection = connection;
    this.collection = collection;
    this.records = records;
    this.waiting = new ArrayDeque<>(Notes.batches(records));
  }

  /** Stores the records and counts what is there afterwards. */
  Answer.Bulk run() throws Failure, InterruptedException {
    while (!waiting.isEmpty()) {
      long pause = RECONNECT_PAUSE_MILLIS;
      try {
        overOneStream();
      } catch (StatusRuntimeException error) {
        Refusal refusal = Refusal.of(error);
        if (!leaving && !refusal.isTemporary()) {
          throw refusal;
        }
        pause += refusal.pauseMillis();
      }
      if (waiting.isEmpty()) {
        break;
      }
      if (System.nanoTime() - progressed > PATIENCE.toNanos()) {
        throw new Failure("the bulk upsert made no progress within " + PATIENCE.toSeconds() + " s");
      }
      // The server went away, or said that it would: what has no result goes over a new stream, to it or to another.
      reconnects++;
      Thread.sleep(pause);
    }
    CountRequest request = CountRequest.newBuilder().setCollection(collection).setNamespace(NAMESPACE).build();
    long counted = connection.send(Connection.READ_DEADLINE, stub -> stub.count(request)).getCount();
    return new Answer.Bulk(records, stored, failures.size(), failures, counted, reconnects);
  }

  /** Uploads until the stream ends; returns if nothing is amiss, and else throws what ended it. */
  private void overOneStream() throws Failure, InterruptedException {
    leaving = false;
    UpsertStreamOpen open = UpsertStreamOpen.newBuilder().setCollection(collection).setNamespace(NAMESPACE).build();
    try (UpsertStream stream = new UpsertStream(connection.streams(), open)) {
      while (true) {
        // A deadline for each answer, since nobody knows how long the whole takes.
        UpsertStreamResponse message = stream.next(PATIENCE);
        if (message == null) {
          return;
        }
        leaving |= message.hasShutdown();
        if (message.hasResult()) {
          finish(message.getResult(), stream);
        }
        // A receipt tells of arrival alone, which is no promise.
        stream.sendWhatFits(waiting);
      }
    }
  }

  /** Takes the result of the first waiting batch. */
  private void finish(UpsertStreamResult result, UpsertStream stream) throws Failure {
    List<Record> batch = waiting.peek();
    if (batch == null
        || result.getSequence() != stream.nextResult()
        || (!result.hasError() && result.getOutcomesCount() != batch.size())) {
      throw new Failure("the server's result is not that of the batch whose turn it is");
    }
    for (int i = 0; i < batch.size(); i++) {
      if (result.hasError()) {
        failures.add(failure(batch.get(i), result.getError())); // of the batch as a whole
      } else if (result.getOutcomes(i).hasError()) {
        failures.add(failure(batch.get(i), result.getOutcomes(i).getError()));
      } else {
        stored++;
      }
    }
    stream.finished(batch);
    waiting.remove();
    progressed = System.nanoTime();
    System.err.println(stored + failures.size() + " of " + records + " records");
  }

  private static Answer.BulkFailure failure(Record record, ItemError error) {
    List<String> fields = error.getFieldViolationsList().stream().map(FieldViolation::getField).toList();
    return new Answer.BulkFailure(record.getId(), error.getReason(), fields);
  }
}
