#include "steps.h"

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "values.h"

namespace example {

namespace v1 = vecgate::v1;
using nlohmann::json;

namespace {

constexpr char kQuestion[] = "a sleeping cat";
constexpr char kResting[] = "A kitten dozes on the sofa.";

// A vector and what made it.
struct Embedding {
  std::vector<float> components;
  std::string fingerprint;
};

Embedding encode(Stub& stub, const std::string& text, v1::Role role) {
  v1::EncodeRequest request;
  request.add_texts(text);
  request.set_role(role);
  const v1::EncodeResponse encoded = send(stub, &Stub::Encode, request, kReadDeadline);
  return {unpack(encoded.embeddings(0).vector()), encoded.model().fingerprint()};
}

v1::Record record(const std::string& id, const std::string& text, const std::map<std::string, v1::Value>& metadata) {
  v1::Record made;
  made.set_id(id);
  made.set_text(text);
  made.mutable_metadata()->insert(metadata.begin(), metadata.end());
  return made;
}

json search(Stub& stub, const v1::Query& query, const v1::SearchOptions& options) {
  v1::SearchRequest request;
  request.set_collection(kCollection);
  *request.mutable_query() = query;
  *request.mutable_options() = options;
  json matches = json::array();
  const v1::SearchResponse found = send(stub, &Stub::Search, request, kReadDeadline);
  for (const auto& match : found.result().matches()) {
    json metadata = json::object();
    for (const auto& [field, value] : match.metadata()) {
      metadata[field] = readable(value);
    }
    matches.push_back({{"id", match.id()}, {"score", match.score()}, {"text", match.text()}, {"metadata", metadata}});
  }
  return matches;
}

v1::Condition* add_condition(v1::FilterList& filters, const std::string& field) {
  v1::Condition* condition = filters.add_filters()->mutable_condition();
  condition->set_field(field);
  return condition;
}

}  // namespace

json ask_server(Stub& stub) {
  const v1::GetServerInfoResponse info = send(stub, &Stub::GetServerInfo, v1::GetServerInfoRequest{}, kReadDeadline);
  return {{"version", info.version()}, {"default_model", info.default_model()}, {"max_batch", info.limits().max_batch()}};
}

json make_collection(Stub& stub) {
  v1::CreateCollectionRequest request;
  request.set_name(kCollection);
  request.mutable_model();  // the server's default model
  request.set_if_not_exists(true);
  const v1::CreateCollectionResponse made = send(stub, &Stub::CreateCollection, request, kBulkDeadline);
  return {{"name", kCollection},
          {"created", made.created()},
          {"dimension", made.collection().dimension()},
          {"metric", v1::Metric_Name(made.collection().metric())}};
}

json upsert(Stub& stub) {
  v1::UpsertRequest request;
  request.set_collection(kCollection);
  *request.add_records() = record("mat", "The cat sat on the mat.", {{"topic", text("pets")}, {"year", integer(2021)}});
  *request.add_records() = record("rug", "A feline rested on the rug.",
                                  {
                                      {"topic", text("pets")},
                                      {"year", integer(2024)},
                                      {"serial", integer(9007199254740993)},  // 2^53 + 1, which a double cannot hold
                                      {"weight", number(4.25)},
                                      {"indoors", truth(true)},
                                      {"seen", instant("2024-02-29T12:30:00.123456789Z")},
                                      {"tags", list({"cat", "rug"})},
                                  });
  *request.add_records() =
      record("rates", "The central bank raised interest rates.", {{"topic", text("money")}, {"year", integer(2024)}});

  const Embedding embedding = encode(stub, kResting, v1::ROLE_DOCUMENT);
  v1::Record sofa = record("sofa", kResting, {{"topic", text("pets")}, {"year", integer(2025)}});
  *sofa.mutable_vector() = pack(embedding.components);
  *request.add_records() = sofa;
  // Says what made the vectors, so that the server can refuse those of another model.
  request.set_vector_fingerprint(embedding.fingerprint);

  const v1::UpsertResponse done = send(stub, &Stub::Upsert, request, kBulkDeadline);
  return {{"stored", done.stored_count()}, {"failed", done.failed_count()}};
}

json search_by_text(Stub& stub) {
  v1::Query query;
  query.set_text(kQuestion);
  v1::SearchOptions options;
  options.mutable_filter()->set_expression(R"(topic = "pets" AND year >= 2022)");
  return search(stub, query, options);
}

json search_by_vector(Stub& stub) {
  const Embedding embedding = encode(stub, kQuestion, v1::ROLE_QUERY);
  v1::Query query;
  *query.mutable_vector() = pack(embedding.components);
  v1::SearchOptions options;
  v1::FilterList& both = *options.mutable_filter()->mutable_all_of();
  *add_condition(both, "topic")->mutable_eq() = text("pets");
  *add_condition(both, "year")->mutable_gte() = integer(2022);
  options.set_top_k(5);
  options.set_vector_fingerprint(embedding.fingerprint);
  return search(stub, query, options);
}

json meet_refusal(Stub& stub) {
  v1::Query query;
  *query.mutable_vector() = pack({1, 2, 3});
  try {
    search(stub, query, {});
  } catch (const Refusal& refusal) {
    return refusal.report();
  }
  throw std::runtime_error("a vector of three components was not refused");
}

}  // namespace example
