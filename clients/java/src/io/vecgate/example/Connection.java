package io.vecgate.example;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.vecgate.v1.VectorSearchServiceGrpc;
import io.vecgate.v1.VectorSearchServiceGrpc.VectorSearchServiceBlockingStub;
import io.vecgate.v1.VectorSearchServiceGrpc.VectorSearchServiceStub;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.time.Duration;
import java.util.Iterator;
import java.util.Map;
import java.util.function.Function;

/** A connection to a server: how it is reached, waited for, and asked. */
final class Connection implements AutoCloseable {
  /** What a call may take, retries and pauses included. */
  static final Duration READ_DEADLINE = Duration.ofSeconds(30);

  static final Duration BULK_DEADLINE = Duration.ofSeconds(120);

  private final String address;
  private final ManagedChannel channel;

  /** Opens a connection; nothing is sent before the first call. */
  Connection(String address) throws Failure, IOException {
    this.address = address;
    ManagedChannelBuilder<?> builder =
        ManagedChannelBuilder.forTarget(address)
            .usePlaintext()
            .defaultServiceConfig(serviceConfig())
            .enableRetry()
            .keepAliveTime(30, SECONDS)
            // The server bounds messages; gRPC's own 4 MiB could only disagree.
            .maxInboundMessageSize(Integer.MAX_VALUE);
    try {
      channel = builder.build();
    } catch (IllegalArgumentException error) {
      throw new Failure("no vecgate server answers at " + address + ": it is no address");
    }
  }

  /** Which methods gRPC itself sends again, how often and how fast. */
  private static Map<String, Object> serviceConfig() throws IOException {
    try (Reader json =
        new InputStreamReader(Connection.class.getResourceAsStream("/service_config.json"), UTF_8)) {
      return new Gson().fromJson(json, new TypeToken<Map<String, Object>>() {}.getType());
    }
  }

  /** Returns once the server says that it serves: its models are warm and a backend answers. */
  void waitUntilServing(Duration patience) throws Failure, InterruptedException {
    Deadline end = Deadline.after(patience.toMillis(), MILLISECONDS);
    String found = "no vecgate server answers";
    while (!end.isExpired()) {
      // Leaving the context ends the call that was made in it.
      try (Context.CancellableContext watching = Context.current().withCancellation()) {
        Context before = watching.attach();
        try {
          Iterator<HealthCheckResponse> states = watchHealth(end);
          while (states.hasNext()) {
            if (states.next().getStatus() == ServingStatus.SERVING) {
              return;
            }
            found = "the vecgate server is not ready";
          }
        } finally {
          watching.detach(before);
        }
      } catch (StatusRuntimeException error) {
        Status.Code code = error.getStatus().getCode();
        if (code != Status.Code.UNAVAILABLE && code != Status.Code.DEADLINE_EXCEEDED) {
          throw new Failure(
              "what answers at " + address + " is no vecgate server: " + Refusal.of(error).getMessage());
        }
      }
      // The stream ends when the server goes; it, or another, may come back.
      Thread.sleep(100);
    }
    throw new Failure(found + " at " + address + " within " + patience.toMillis() / 1000.0 + " s");
  }

  private Iterator<HealthCheckResponse> watchHealth(Deadline end) {
    // withWaitForReady: go on knocking until the deadline, instead of failing at the first refused connection.
    return HealthGrpc.newBlockingStub(channel)
        .withWaitForReady()
        .withDeadline(end)
        .watch(HealthCheckRequest.newBuilder().setService(VectorSearchServiceGrpc.SERVICE_NAME).build());
  }

  /**
   * Makes one call within a deadline. A call that was refused for want of room had no effect, whatever it does: it is sent again
   * after the time that the server names, as long as the deadline lets it.
   */
  <T> T send(Duration deadline, Function<VectorSearchServiceBlockingStub, T> call)
      throws Refusal, InterruptedException {
    Deadline end = Deadline.after(deadline.toMillis(), MILLISECONDS);
    while (true) {
      try {
        return call.apply(VectorSearchServiceGrpc.newBlockingStub(channel).withDeadline(end));
      } catch (StatusRuntimeException error) {
        Refusal refusal = Refusal.of(error);
        long pause = refusal.pauseMillis();
        if (refusal.code() != Status.Code.RESOURCE_EXHAUSTED
            || pause == 0
            || end.timeRemaining(MILLISECONDS) < pause) {
          throw refusal;
        }
        Thread.sleep(pause);
      }
    }
  }

  /** The stub for streams. A server that was away is looked for at once, not after gRPC's pause of up to 2 minutes. */
  VectorSearchServiceStub streams() {
    channel.resetConnectBackoff();
    return VectorSearchServiceGrpc.newStub(channel).withWaitForReady();
  }

  @Override
  public void close() {
    channel.shutdownNow();
  }
}
