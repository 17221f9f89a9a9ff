package main

import (
	"errors"
	"time"

	vecgate "vecgate/v1"
)

const (
	question = "a sleeping cat"
	resting  = "A kitten dozes on the sofa."
)

func askServer(client vecgate.VectorSearchServiceClient, answer *Answer) error {
	info, err := send(client.GetServerInfo, &vecgate.GetServerInfoRequest{}, readDeadline)
	if err != nil {
		return err
	}
	answer.Server = Server{info.Version, info.DefaultModel, info.Limits.GetMaxBatch()}
	return nil
}

// makeCollection binds a collection to the server's default model. It stays, to be looked at or used again.
func makeCollection(client vecgate.VectorSearchServiceClient, answer *Answer) error {
	made, err := send(client.CreateCollection, &vecgate.CreateCollectionRequest{
		Name:        collection,
		Source:      &vecgate.CreateCollectionRequest_Model{Model: &vecgate.ModelChoice{}},
		IfNotExists: true,
	}, bulkDeadline)
	if err != nil {
		return err
	}
	answer.Collection = Collection{collection, made.Created, made.Collection.Dimension, made.Collection.Metric.String()}
	return nil
}

// upsert stores three texts, which the server encodes, and one vector of the program's own. Sending it again changes nothing.
func upsert(client vecgate.VectorSearchServiceClient, answer *Answer) error {
	encoded, err := encode(client, resting, vecgate.Role_ROLE_DOCUMENT)
	if err != nil {
		return err
	}
	done, err := send(client.Upsert, &vecgate.UpsertRequest{
		Collection: collection,
		Records: append(documents(), &vecgate.Record{
			Id: "sofa", Text: &[]string{resting}[0], Vector: pack(encoded.components),
			Metadata: map[string]*vecgate.Value{"topic": text("pets"), "year": integer(2025)},
		}),
		// Says what made the vectors, so that the server can refuse those of another model.
		VectorFingerprint: &encoded.fingerprint,
	}, bulkDeadline)
	if err != nil {
		return err
	}
	answer.Upserted = Upserted{done.StoredCount, done.FailedCount}
	return nil
}

func documents() []*vecgate.Record {
	record := func(id, sentence string, metadata map[string]*vecgate.Value) *vecgate.Record {
		return &vecgate.Record{Id: id, Text: &sentence, Metadata: metadata}
	}
	return []*vecgate.Record{
		record("mat", "The cat sat on the mat.", map[string]*vecgate.Value{"topic": text("pets"), "year": integer(2021)}),
		record("rug", "A feline rested on the rug.", map[string]*vecgate.Value{
			"topic":   text("pets"),
			"year":    integer(2024),
			"serial":  integer(9007199254740993), // 2^53 + 1, which a double cannot hold
			"weight":  number(4.25),
			"indoors": truth(true),
			"seen":    instant(time.Date(2024, 2, 29, 12, 30, 0, 123456789, time.UTC)),
			"tags":    list("cat", "rug"),
		}),
		record("rates", "The central bank raised interest rates.", map[string]*vecgate.Value{"topic": text("money"), "year": integer(2024)}),
	}
}

// searchByText lets the server encode the question; the filter is in its text form.
func searchByText(client vecgate.VectorSearchServiceClient, answer *Answer) (err error) {
	answer.ByText, err = search(client, &vecgate.Query{Input: &vecgate.Query_Text{Text: question}}, &vecgate.SearchOptions{
		Filter: &vecgate.Filter{Node: &vecgate.Filter_Expression{Expression: `topic = "pets" AND year >= 2022`}},
	})
	return err
}

// searchByVector asks the same with a vector of its own and the filter as a tree, so the answer is the same.
func searchByVector(client vecgate.VectorSearchServiceClient, answer *Answer) error {
	encoded, err := encode(client, question, vecgate.Role_ROLE_QUERY)
	if err != nil {
		return err
	}
	topK := uint32(5)
	answer.ByVector, err = search(client, &vecgate.Query{Input: &vecgate.Query_Vector{Vector: pack(encoded.components)}}, &vecgate.SearchOptions{
		Filter: &vecgate.Filter{Node: &vecgate.Filter_AllOf{AllOf: &vecgate.FilterList{Filters: []*vecgate.Filter{
			condition("topic", &vecgate.Condition{Test: &vecgate.Condition_Eq{Eq: text("pets")}}),
			condition("year", &vecgate.Condition{Test: &vecgate.Condition_Gte{Gte: integer(2022)}}),
		}}}},
		TopK:              &topK,
		VectorFingerprint: &encoded.fingerprint,
	})
	return err
}

func condition(field string, test *vecgate.Condition) *vecgate.Filter {
	test.Field = field
	return &vecgate.Filter{Node: &vecgate.Filter_Condition{Condition: test}}
}

func search(client vecgate.VectorSearchServiceClient, query *vecgate.Query, options *vecgate.SearchOptions) ([]Match, error) {
	found, err := send(client.Search, &vecgate.SearchRequest{Collection: collection, Query: query, Options: options}, readDeadline)
	if err != nil {
		return nil, err
	}
	matches := []Match{}
	for _, match := range found.Result.Matches {
		metadata := map[string]any{}
		for field, value := range match.Metadata {
			metadata[field] = readable(value)
		}
		matches = append(matches, Match{match.Id, match.Score, match.GetText(), metadata})
	}
	return matches, nil
}

// embedding is a vector and what made it.
type embedding struct {
	components  []float32
	fingerprint string
}

func encode(client vecgate.VectorSearchServiceClient, sentence string, role vecgate.Role) (embedding, error) {
	encoded, err := send(client.Encode, &vecgate.EncodeRequest{Texts: []string{sentence}, Role: role}, readDeadline)
	if err != nil {
		return embedding{}, err
	}
	return embedding{unpack(encoded.Embeddings[0].Vector), encoded.Model.Fingerprint}, nil
}

// meetRefusal searches with a vector that is too short, and takes the refusal apart.
func meetRefusal(client vecgate.VectorSearchServiceClient, answer *Answer) error {
	_, err := search(client, &vecgate.Query{Input: &vecgate.Query_Vector{Vector: pack([]float32{1, 2, 3})}}, nil)
	if !errors.As(err, &answer.Refused) {
		return errors.New("a vector of three components was not refused")
	}
	return nil
}
