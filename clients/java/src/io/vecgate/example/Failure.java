package io.vecgate.example;

/** What ends the program: one line for people. */
class Failure extends Exception {
  private static final long serialVersionUID = 1;

  Failure(String message) {
    super(message);
  }
}
