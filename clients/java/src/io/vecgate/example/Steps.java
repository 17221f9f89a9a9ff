package io.vecgate.example;

import static io.vecgate.example.Connection.BULK_DEADLINE;
import static io.vecgate.example.Connection.READ_DEADLINE;
import static io.vecgate.example.Values.instant;
import static io.vecgate.example.Values.integer;
import static io.vecgate.example.Values.list;
import static io.vecgate.example.Values.number;
import static io.vecgate.example.Values.pack;
import static io.vecgate.example.Values.text;
import static io.vecgate.example.Values.truth;
import static io.vecgate.example.Values.unpack;

import io.vecgate.v1.Condition;
import io.vecgate.v1.CreateCollectionRequest;
import io.vecgate.v1.CreateCollectionResponse;
import io.vecgate.v1.EncodeRequest;
import io.vecgate.v1.EncodeResponse;
import io.vecgate.v1.Filter;
import io.vecgate.v1.FilterList;
import io.vecgate.v1.GetServerInfoRequest;
import io.vecgate.v1.GetServerInfoResponse;
import io.vecgate.v1.ModelChoice;
import io.vecgate.v1.Query;
import io.vecgate.v1.Record;
import io.vecgate.v1.Role;
import io.vecgate.v1.SearchOptions;
import io.vecgate.v1.SearchRequest;
import io.vecgate.v1.UpsertRequest;
import io.vecgate.v1.UpsertResponse;
import io.vecgate.v1.Value;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The calls, one after the other. */
final class Steps {
  static final String COLLECTION = "example-java";

  private static final String QUESTION = "a sleeping cat";
  private static final String RESTING = "A kitten dozes on the sofa.";

  private final Connection connection;

  Steps(Connection connection) {
    this.connection = connection;
  }

  Answer.Server askServer() throws Failure, InterruptedException {
    GetServerInfoResponse info =
        connection.send(READ_DEADLINE, stub -> stub.getServerInfo(GetServerInfoRequest.getDefaultInstance()));
    return new Answer.Server(info.getVersion(), info.getDefaultModel(), info.getLimits().getMaxBatch());
  }

  /** Binds a collection to the server's default model. It stays, to be looked at or used again. */
  Answer.Collection makeCollection() throws Failure, InterruptedException {
    CreateCollectionRequest request =
        CreateCollectionRequest.newBuilder()
            .setName(COLLECTION)
            .setModel(ModelChoice.getDefaultInstance())
            .setIfNotExists(true)
            .build();
    CreateCollectionResponse made = connection.send(BULK_DEADLINE, stub -> stub.createCollection(request));
    return new Answer.Collection(
        COLLECTION,
        made.getCreated(),
        made.getCollection().getDimension(),
        made.getCollection().getMetric().name());
  }

  /** Stores three texts, which the server encodes, and one vector of the program's own. Sending it again changes nothing. */
  Answer.Upserted upsert() throws Failure, InterruptedException {
    Embedding embedding = encode(RESTING, Role.ROLE_DOCUMENT);
    UpsertRequest request =
        UpsertRequest.newBuilder()
            .setCollection(COLLECTION)
            .addAllRecords(documents())
            .addRecords(
                record("sofa", RESTING, Map.of("topic", text("pets"), "year", integer(2025))).toBuilder()
                    .setVector(pack(embedding.components())))
            // Says what made the vectors, so that the server can refuse those of another model.
            .setVectorFingerprint(embedding.fingerprint())
            .build();
    UpsertResponse done = connection.send(BULK_DEADLINE, stub -> stub.upsert(request));
    return new Answer.Upserted(done.getStoredCount(), done.getFailedCount());
  }

  private static List<Record> documents() {
    return List.of(
        record("mat", "The cat sat on the mat.", Map.of("topic", text("pets"), "year", integer(2021))),
        record(
            "rug",
            "A feline rested on the rug.",
            Map.of(
                "topic", text("pets"),
                "year", integer(2024),
                "serial", integer(9007199254740993L), // 2^53 + 1, which a double cannot hold
                "weight", number(4.25),
                "indoors", truth(true),
                "seen", instant(Instant.parse("2024-02-29T12:30:00.123456789Z")),
                "tags", list("cat", "rug"))),
        record(
            "rates",
            "The central bank raised interest rates.",
            Map.of("topic", text("money"), "year", integer(2024))));
  }

  private static Record record(String id, String text, Map<String, Value> metadata) {
    return Record.newBuilder().setId(id).setText(text).putAllMetadata(metadata).build();
  }

  /** Lets the server encode the question; the filter is in its text form. */
  List<Answer.Match> searchByText() throws Failure, InterruptedException {
    return search(
        Query.newBuilder().setText(QUESTION),
        SearchOptions.newBuilder()
            .setFilter(Filter.newBuilder().setExpression("topic = \"pets\" AND year >= 2022")));
  }

  /** Asks the same with a vector of its own and the filter as a tree, so the answer is the same. */
  List<Answer.Match> searchByVector() throws Failure, InterruptedException {
    Embedding embedding = encode(QUESTION, Role.ROLE_QUERY);
    Condition.Builder pets = Condition.newBuilder().setField("topic").setEq(text("pets"));
    Condition.Builder recent = Condition.newBuilder().setField("year").setGte(integer(2022));
    FilterList both =
        FilterList.newBuilder()
            .addFilters(Filter.newBuilder().setCondition(pets))
            .addFilters(Filter.newBuilder().setCondition(recent))
            .build();
    return search(
        Query.newBuilder().setVector(pack(embedding.components())),
        SearchOptions.newBuilder()
            .setFilter(Filter.newBuilder().setAllOf(both))
            .setTopK(5)
            .setVectorFingerprint(embedding.fingerprint()));
  }

  private List<Answer.Match> search(Query.Builder query, SearchOptions.Builder options)
      throws Failure, InterruptedException {
    SearchRequest request =
        SearchRequest.newBuilder().setCollection(COLLECTION).setQuery(query).setOptions(options).build();
    return connection.send(READ_DEADLINE, stub -> stub.search(request)).getResult().getMatchesList().stream()
        .map(
            match -> {
              Map<String, Object> metadata = new TreeMap<>();
              match.getMetadataMap().forEach((field, value) -> metadata.put(field, Values.readable(value)));
              return new Answer.Match(match.getId(), match.getScore(), match.getText(), metadata);
            })
        .toList();
  }

  /** A vector and what made it. */
  private record Embedding(float[] components, String fingerprint) {}

  private Embedding encode(String text, Role role) throws Failure, InterruptedException {
    EncodeRequest request = EncodeRequest.newBuilder().addTexts(text).setRole(role).build();
    EncodeResponse encoded = connection.send(READ_DEADLINE, stub -> stub.encode(request));
    return new Embedding(unpack(encoded.getEmbeddings(0).getVector()), encoded.getModel().getFingerprint());
  }

  /** Searches with a vector that is too short, and takes the refusal apart. */
  Refusal.Report meetRefusal() throws Failure, InterruptedException {
    try {
      search(Query.newBuilder().setVector(pack(1, 2, 3)), SearchOptions.newBuilder());
    } catch (Refusal refusal) {
      return refusal.report();
    }
    throw new Failure("a vector of three components was not refused");
  }
}
