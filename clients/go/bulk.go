package main

import (
	"fmt"
	"time"

	vecgate "vecgate/v1"
)

const (
	bulkNamespace = "bulk"
	batchSize     = 32
)

var sentences = []string{
	"The river flooded the lower fields.",
	"A violin needs a steady hand.",
	"Bread rises in a warm kitchen.",
	"The telescope found a new comet.",
	"Children learn to swim in summer.",
}

// Bulk is what became of the bulk upsert.
type Bulk struct {
	Records    int       `json:"records"`
	Stored     int       `json:"stored"`
	Failed     int       `json:"failed"`
	Failures   []Failure `json:"failures"`
	Counted    uint64    `json:"counted"`
	Reconnects int       `json:"reconnects"`
}

type Failure struct {
	ID     string   `json:"id"`
	Reason string   `json:"reason"`
	Fields []string `json:"fields"`
}

// upsertInBulk stores records over UpsertStream and counts what is there afterwards.
func upsertInBulk(client vecgate.VectorSearchServiceClient, records int) (Bulk, error) {
	upload := upload{client: client, bulk: Bulk{Records: records, Failures: []Failure{}}, progressed: time.Now()}
	for first := 0; first < records; first += batchSize {
		upload.waiting = append(upload.waiting, bulkBatch(first, records))
	}
	if err := upload.run(); err != nil {
		return upload.bulk, err
	}
	counted, err := send(client.Count, &vecgate.CountRequest{Collection: collection, Namespace: bulkNamespace}, readDeadline)
	if err != nil {
		return upload.bulk, err
	}
	upload.bulk.Counted = counted.Count
	return upload.bulk, nil
}

func bulkBatch(first, records int) []*vecgate.Record {
	batch := []*vecgate.Record{}
	for number := first; number < first+batchSize && number < records; number++ {
		record := &vecgate.Record{
			Id:       fmt.Sprintf("note-%05d", number),
			Metadata: map[string]*vecgate.Value{"number": integer(int64(number))},
		}
		if number == 17 {
			record.Vector = pack([]float32{1, 2, 3}) // Too short: it fails alone.
		} else {
			sentence := fmt.Sprintf("Note %d: %s", number, sentences[number%len(sentences)])
			record.Text = &sentence
		}
		batch = append(batch, record)
	}
	return batch
}
