package io.vecgate.example;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import com.google.protobuf.util.Timestamps;
import io.vecgate.v1.StringList;
import io.vecgate.v1.Value;
import io.vecgate.v1.Vector;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/** Vectors and metadata between Java and the wire. */
final class Values {
  private Values() {}

  /** Writes a vector as it travels: little-endian float32, 4 bytes a component. */
  static Vector pack(float... components) {
    ByteBuffer bytes = ByteBuffer.allocate(Float.BYTES * components.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(components);
    return Vector.newBuilder().setPacked(ByteString.copyFrom(bytes)).build();
  }

  /** Reads a vector as answers carry it. */
  static float[] unpack(Vector vector) {
    ByteString packed = vector.getPacked();
    float[] components = new float[packed.size() / Float.BYTES];
    packed.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(components);
    return components;
  }

  // Metadata values are typed: what goes in comes back with its type.

  static Value text(String value) {
    return Value.newBuilder().setStringValue(value).build();
  }

  static Value integer(long value) {
    return Value.newBuilder().setIntValue(value).build();
  }

  static Value number(double value) {
    return Value.newBuilder().setDoubleValue(value).build();
  }

  static Value truth(boolean value) {
    return Value.newBuilder().setBoolValue(value).build();
  }

  static Value instant(Instant value) {
    Timestamp timestamp =
        Timestamp.newBuilder().setSeconds(value.getEpochSecond()).setNanos(value.getNano()).build();
    return Value.newBuilder().setTimestampValue(timestamp).build();
  }

  static Value list(String... values) {
    StringList strings = StringList.newBuilder().addAllValues(List.of(values)).build();
    return Value.newBuilder().setStringListValue(strings).build();
  }

  /** Gives a value for JSON as protobuf's JSON mapping does: integers, which JSON readers take for doubles, as strings. */
  static Map<String, Object> readable(Value value) {
    return switch (value.getKindCase()) {
      case STRING_VALUE -> Map.of("string_value", value.getStringValue());
      case INT_VALUE -> Map.of("int_value", Long.toString(value.getIntValue()));
      case DOUBLE_VALUE -> Map.of("double_value", value.getDoubleValue());
      case BOOL_VALUE -> Map.of("bool_value", value.getBoolValue());
      case TIMESTAMP_VALUE -> Map.of("timestamp_value", Timestamps.toString(value.getTimestampValue()));
      case STRING_LIST_VALUE -> Map.of("string_list_value", value.getStringListValue().getValuesList());
      case KIND_NOT_SET -> Map.of(); // A kind that this program was not built for.
    };
  }
}
