package io.vecgate.example;

import io.vecgate.v1.Record;
import java.util.ArrayList;
import java.util.List;

/** The records of the bulk upsert. */
final class Notes {
  private static final int BATCH_SIZE = 32;
  private static final List<String> SENTENCES =
      List.of(
          "The river flooded the lower fields.",
          "A violin needs a steady hand.",
          "Bread rises in a warm kitchen.",
          "The telescope found a new comet.",
          "Children learn to swim in summer.");

  private Notes() {}

  static List<List<Record>> batches(int records) {
    List<List<Record>> batches = new ArrayList<>();
    for (int first = 0; first < records; first += BATCH_SIZE) {
      List<Record> batch = new ArrayList<>();
      for (int number = first; number < Math.min(first + BATCH_SIZE, records); number++) {
        batch.add(note(number));
      }
      batches.add(batch);
    }
    return batches;
  }

  private static Record note(int number) {
    Record.Builder note =
        Record.newBuilder()
            .setId(String.format("note-%05d", number))
            .putMetadata("number", Values.integer(number));
    if (number == 17) {
      return note.setVector(Values.pack(1, 2, 3)).build(); // Too short: it fails alone.
    }
    return note.setText("Note " + number + ": " + SENTENCES.get(number % SENTENCES.size())).build();
  }
}
