package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	vecgate "vecgate/v1"
)

const (
	// How long an upload goes on without any answer before it gives up: a server that restarts is waited for.
	uploadPatience = 60 * time.Second
	reconnectPause = 200 * time.Millisecond
)

// upload is a bulk upsert over as many streams as it takes. It writes in the mode UPSERT, so a batch whose result was lost may be
// sent again; with INSERT it may not.
type upload struct {
	client     vecgate.VectorSearchServiceClient
	waiting    [][]*vecgate.Record // batches without a result, in order: the fate of all before them is known
	leaving    bool                // the server of this stream said that it goes away
	bulk       Bulk
	progressed time.Time
}

func (upload *upload) run() error {
	for {
		err := upload.overOneStream()
		if len(upload.waiting) == 0 {
			return nil
		}
		refusal := refusalOf(err)
		if (err != io.EOF && !upload.leaving && !refusal.temporary()) || time.Since(upload.progressed) > uploadPatience {
			return refusal
		}
		// The server went away, or said that it would: what has no result goes over a new stream, to it or to another.
		upload.bulk.Reconnects++
		time.Sleep(reconnectPause + refusal.pause())
	}
}

// overOneStream uploads until the stream ends, and returns what ended it: io.EOF if nothing is amiss.
func (upload *upload) overOneStream() error {
	upload.leaving = false
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// A deadline for each answer, since nobody knows how long the whole takes.
	silence := time.AfterFunc(uploadPatience, cancel)
	defer silence.Stop()
	stream, err := upload.client.UpsertStream(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	sender := sender{stream: stream}
	sender.send(&vecgate.UpsertStreamRequest{Message: &vecgate.UpsertStreamRequest_Open{
		Open: &vecgate.UpsertStreamOpen{Collection: collection, Namespace: bulkNamespace},
	}})
	for {
		message, err := stream.Recv()
		if ctx.Err() != nil {
			return status.Errorf(codes.DeadlineExceeded, "the server said nothing for %v", uploadPatience)
		}
		if err != nil {
			return err
		}
		silence.Reset(uploadPatience)
		switch message := message.Message.(type) {
		case *vecgate.UpsertStreamResponse_Window:
			sender.window = message.Window
		case *vecgate.UpsertStreamResponse_Result:
			if !upload.answers(message.Result, sender.finished+1) {
				return errors.New("the server's result is not that of the batch whose turn it is")
			}
			sender.finish(upload.waiting[0])
			upload.finish(message.Result)
		case *vecgate.UpsertStreamResponse_Shutdown:
			// It reads no more, and answers what it has read.
			sender.ending, upload.leaving = true, true
		case *vecgate.UpsertStreamResponse_Receipt:
			// Tells of arrival alone, which is no promise.
		}
		sender.sendWhatFits(upload.waiting)
	}
}

// answers says whether a result is that of the first waiting batch.
func (upload *upload) answers(result *vecgate.UpsertStreamResult, sequence uint64) bool {
	return len(upload.waiting) > 0 && result.Sequence == sequence &&
		(result.Error != nil || len(result.Outcomes) == len(upload.waiting[0]))
}

// finish takes the result of the first waiting batch.
func (upload *upload) finish(result *vecgate.UpsertStreamResult) {
	for i, record := range upload.waiting[0] {
		failure := result.Error // of the batch as a whole, or else of the record
		if failure == nil {
			failure = result.Outcomes[i].Error
		}
		if failure == nil {
			upload.bulk.Stored++
			continue
		}
		fields := []string{}
		for _, violation := range failure.FieldViolations {
			fields = append(fields, violation.Field)
		}
		upload.bulk.Failed++
		upload.bulk.Failures = append(upload.bulk.Failures, Failure{record.Id, failure.Reason, fields})
	}
	upload.waiting = upload.waiting[1:]
	upload.progressed = time.Now()
	fmt.Fprintf(os.Stderr, "%d of %d records\n", upload.bulk.Stored+upload.bulk.Failed, upload.bulk.Records)
}

// sender is the sending side of one stream. It keeps what has no result within the window that the server gives, so that a Send is
// taken in at once and need not wait for an answer to be read.
type sender struct {
	stream         vecgate.VectorSearchService_UpsertStreamClient
	window         *vecgate.UpsertStreamWindow
	sent, finished uint64 // sequences, from 1 on every stream
	records        uint32 // sent and without a result
	bytes          uint64 // the same
	ending         bool
}

func (sender *sender) sendWhatFits(waiting [][]*vecgate.Record) {
	for !sender.ending && sender.sent-sender.finished < uint64(len(waiting)) {
		batch := numbered(sender.sent+1, waiting[sender.sent-sender.finished])
		records, bytes := sender.records+uint32(len(batch.Records)), sender.bytes+uint64(proto.Size(batch))
		// One batch may always be under way.
		if sender.records > 0 && (records > sender.window.GetRecords() || bytes > sender.window.GetBytes()) {
			return
		}
		sender.send(&vecgate.UpsertStreamRequest{Message: &vecgate.UpsertStreamRequest_Batch{Batch: batch}})
		sender.sent, sender.records, sender.bytes = sender.sent+1, records, bytes
	}
	if len(waiting) == 0 && !sender.ending {
		sender.ending = true
		sender.send(&vecgate.UpsertStreamRequest{Message: &vecgate.UpsertStreamRequest_Close{Close: &vecgate.UpsertStreamClose{}}})
		sender.stream.CloseSend() // Its error is always nil.
	}
}

func (sender *sender) finish(batch []*vecgate.Record) {
	sender.finished++
	sender.records -= uint32(len(batch))
	sender.bytes -= uint64(proto.Size(numbered(sender.finished, batch)))
}

// send leaves its error to Recv, which tells why the stream ended.
func (sender *sender) send(message *vecgate.UpsertStreamRequest) {
	_ = sender.stream.Send(message)
}

func numbered(sequence uint64, records []*vecgate.Record) *vecgate.UpsertStreamBatch {
	return &vecgate.UpsertStreamBatch{Sequence: sequence, Records: records}
}
