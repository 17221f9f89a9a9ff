// A small complete program on vecgate's API: see README.md.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	vecgate "vecgate/v1"
)

const (
	collection = "example-go"
	usage      = "usage: example [host:port] [seconds to wait for the server] [records of the bulk upsert]"
)

// Answer is what the program prints: one JSON document.
type Answer struct {
	Server     Server     `json:"server"`
	Collection Collection `json:"collection"`
	Upserted   Upserted   `json:"upserted"`
	ByText     []Match    `json:"by_text"`
	ByVector   []Match    `json:"by_vector"`
	Refused    Refusal    `json:"refused"`
	Bulk       Bulk       `json:"bulk"`
}

type Server struct {
	Version      string `json:"version"`
	DefaultModel string `json:"default_model"`
	MaxBatch     uint32 `json:"max_batch"`
}

type Collection struct {
	Name      string `json:"name"`
	Created   bool   `json:"created"`
	Dimension uint32 `json:"dimension"`
	Metric    string `json:"metric"`
}

type Upserted struct {
	Stored uint32 `json:"stored"`
	Failed uint32 `json:"failed"`
}

type Match struct {
	ID       string         `json:"id"`
	Score    float32        `json:"score"`
	Text     string         `json:"text"`
	Metadata map[string]any `json:"metadata"`
}

func main() {
	address, patience, records, err := arguments(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n%s\n", err, usage)
		os.Exit(2)
	}
	answer, err := run(address, patience, records)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		os.Exit(1)
	}
}

func arguments(given []string) (address string, patience time.Duration, records int, err error) {
	defaults := []string{"localhost:50051", "10", "300"}
	if len(given) > len(defaults) {
		return "", 0, 0, fmt.Errorf("at most %d arguments", len(defaults))
	}
	copy(defaults, given)
	seconds, err := strconv.ParseFloat(defaults[1], 64)
	if err != nil || !(seconds > 0) {
		return "", 0, 0, fmt.Errorf("%q is no number of seconds above 0", defaults[1])
	}
	records, err = strconv.Atoi(defaults[2])
	if err != nil || records < 1 {
		return "", 0, 0, fmt.Errorf("%q is no number of records above 0", defaults[2])
	}
	return defaults[0], time.Duration(seconds * float64(time.Second)), records, nil
}

func run(address string, patience time.Duration, records int) (answer Answer, err error) {
	connection, err := connect(address)
	if err != nil {
		return answer, err
	}
	defer connection.Close()
	if err := waitUntilServing(connection, address, patience); err != nil {
		return answer, err
	}
	client := vecgate.NewVectorSearchServiceClient(connection)
	for _, step := range []func(vecgate.VectorSearchServiceClient, *Answer) error{
		askServer, makeCollection, upsert, searchByText, searchByVector, meetRefusal,
	} {
		if err := step(client, &answer); err != nil {
			return answer, err
		}
	}
	answer.Bulk, err = upsertInBulk(client, records)
	return answer, err
}
