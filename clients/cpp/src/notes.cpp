#include "notes.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "values.h"

namespace example {

namespace {

constexpr int kBatchSize = 32;
constexpr std::array<const char*, 5> kSentences{
    "The river flooded the lower fields.", "A violin needs a steady hand.",    "Bread rises in a warm kitchen.",
    "The telescope found a new comet.",    "Children learn to swim in summer."};

vecgate::v1::Record note(int number) {
  char id[16];
  std::snprintf(id, sizeof id, "note-%05d", number);
  vecgate::v1::Record made;
  made.set_id(id);
  (*made.mutable_metadata())["number"] = integer(number);
  if (number == 17) {
    *made.mutable_vector() = pack({1, 2, 3});  // Too short: it fails alone.
  } else {
    made.set_text("Note " + std::to_string(number) + ": " + kSentences[number % kSentences.size()]);
  }
  return made;
}

}  // namespace

std::vector<std::vector<vecgate::v1::Record>> batches_of_notes(int records) {
  std::vector<std::vector<vecgate::v1::Record>> batches;
  for (int first = 0; first < records; first += kBatchSize) {
    auto& batch = batches.emplace_back();
    for (int number = first; number < std::min(first + kBatchSize, records); ++number) {
      batch.push_back(note(number));
    }
  }
  return batches;
}

}  // namespace example
