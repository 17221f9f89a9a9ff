package io.vecgate.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.Durations;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/** A failed call taken apart. Act on the reason, a stable word; the message is for people. */
final class Refusal extends Failure {
  private static final long serialVersionUID = 1;

  /** What the program prints of it. */
  record Report(String code, String reason, String message, List<String> fields, Double retryAfterSeconds) {}

  private final transient Report report;

  private Refusal(Report report) {
    super(report.message() + " (" + report.reason() + ")");
    this.report = report;
  }

  /**
   * Reads google.rpc.Status from the trailer grpc-status-details-bin. What did not come from a vecgate server (no connection, a
   * proxy, a deadline) has no details: its reason is the name of its code.
   */
  static Refusal of(StatusRuntimeException error) {
    String code = error.getStatus().getCode().name();
    String reason = code;
    List<String> fields = new ArrayList<>();
    Double retryAfterSeconds = null;
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    try {
      for (Any detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          reason = detail.unpack(ErrorInfo.class).getReason();
        } else if (detail.is(BadRequest.class)) {
          detail.unpack(BadRequest.class).getFieldViolationsList().forEach(wrong -> fields.add(wrong.getField()));
        } else if (detail.is(RetryInfo.class)) {
          retryAfterSeconds = Durations.toSecondsAsDouble(detail.unpack(RetryInfo.class).getRetryDelay());
        }
      }
    } catch (InvalidProtocolBufferException unreadable) {
      // Details that cannot be read are as none.
    }
    return new Refusal(new Report(code, reason, status.getMessage(), fields, retryAfterSeconds));
  }

  Status.Code code() {
    return Status.Code.valueOf(report.code());
  }

  Report report() {
    return report;
  }

  /**
   * Whether the same may go through later: no server, one that ends (CANCELLED, as nobody here cancels), or one without room that
   * told when to come back.
   */
  boolean isTemporary() {
    return code() == Status.Code.UNAVAILABLE
        || code() == Status.Code.CANCELLED
        || (code() == Status.Code.RESOURCE_EXHAUSTED && report.retryAfterSeconds() != null);
  }

  /**
   * How long to wait before the call is sent again; 0 if the server named no time. Up to a fifth is added, so that those who were
   * refused together do not come back together.
   */
  long pauseMillis() {
    Double seconds = report.retryAfterSeconds();
    return seconds == null ? 0 : Math.round(1000 * seconds * ThreadLocalRandom.current().nextDouble(1, 1.2));
  }
}
