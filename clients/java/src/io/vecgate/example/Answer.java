package io.vecgate.example;

import java.util.List;
import java.util.Map;

/** What the program prints: one JSON document. */
record Answer(
    Server server,
    Collection collection,
    Upserted upserted,
    List<Match> byText,
    List<Match> byVector,
    Refusal.Report refused,
    Bulk bulk) {

  record Server(String version, String defaultModel, int maxBatch) {}

  record Collection(String name, boolean created, int dimension, String metric) {}

  record Upserted(int stored, int failed) {}

  record Match(String id, float score, String text, Map<String, Object> metadata) {}

  record Bulk(int records, int stored, int failed, List<BulkFailure> failures, long counted, int reconnects) {}

  record BulkFailure(String id, String reason, List<String> fields) {}
}
