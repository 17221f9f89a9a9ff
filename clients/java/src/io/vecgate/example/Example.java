package io.vecgate.example;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.io.IOException;
import java.time.Duration;

/** A small complete program on vecgate's API: see README.md. */
public final class Example {
  private static final String USAGE =
      "usage: example [host:port] [seconds to wait for the server] [records of the bulk upsert]";
  private static final Gson JSON =
      new GsonBuilder()
          .setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES)
          .serializeNulls()
          .disableHtmlEscaping()
          .create();

  private Example() {}

  /** What the command line says. */
  private record Arguments(String address, Duration patience, int records) {
    static Arguments of(String[] given) {
      if (given.length > 3) {
        throw new IllegalArgumentException("at most 3 arguments");
      }
      String address = given.length > 0 ? given[0] : "localhost:50051";
      double seconds;
      int records;
      try {
        seconds = given.length > 1 ? Double.parseDouble(given[1]) : 10;
        records = given.length > 2 ? Integer.parseInt(given[2]) : 300;
      } catch (NumberFormatException error) {
        throw new IllegalArgumentException("the seconds must be a number, the records a whole one");
      }
      if (!(seconds > 0) || records < 1) {
        throw new IllegalArgumentException("the seconds and the records must be above 0");
      }
      return new Arguments(address, Duration.ofMillis(Math.round(1000 * seconds)), records);
    }
  }

  public static void main(String[] given) throws InterruptedException, IOException {
    Arguments arguments;
    try {
      arguments = Arguments.of(given);
    } catch (IllegalArgumentException error) {
      System.err.println("error: " + error.getMessage() + "\n" + USAGE);
      System.exit(2);
      return;
    }
    try {
      System.out.println(JSON.toJson(run(arguments)));
    } catch (Failure failure) {
      System.err.println("error: " + failure.getMessage());
      System.exit(1);
    }
  }

  private static Answer run(Arguments arguments) throws Failure, InterruptedException, IOException {
    try (Connection connection = new Connection(arguments.address())) {
      connection.waitUntilServing(arguments.patience());
      Steps steps = new Steps(connection);
      return new Answer(
          steps.askServer(),
          steps.makeCollection(),
          steps.upsert(),
          steps.searchByText(),
          steps.searchByVector(),
          steps.meetRefusal(),
          new Upload(connection, Steps.COLLECTION, arguments.records()).run());
    }
  }
}
